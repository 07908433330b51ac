"""One thread, so that tiny models are quickest and sums have one order on every machine; and C."""

from collections.abc import Iterator

import pytest
import torch

from translator.engine import native_library
from translator.engine.native import Native, load_native


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


#: The levels that were built and that this CPU has.
HERE = [
    name
    for name in native_library.LEVELS
    if isinstance(native_library._load(native_library.FOLDER, name), tuple)
]


@pytest.fixture(params=HERE or ["default"])
def native(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Native:
    """The C operations of each level; a test that needs them is skipped where they were not built."""
    monkeypatch.setenv(native_library.VARIABLE, request.param)
    found = load_native()
    if found is None:
        pytest.skip(f"no C operations: {native_library.problem()}")
    return found
