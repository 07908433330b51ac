"""One thread, so that tiny models are quickest and sums have one order on every machine; and C."""

from collections.abc import Iterator

import pytest
import torch

from translator.engine.native import Native, load_native
from translator.engine.native_library import problem


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def native() -> Native:
    """The C operations; a test that needs them is skipped where there is no compiler."""
    found = load_native()
    if found is None:
        pytest.skip(f"no C operations: {problem()}")
    return found
