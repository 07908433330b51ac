"""A plugin for the tests that need a model that has learnt something: it is trained once a session.

A test module asks for it with `pytest_plugins = ("trained",)`.
"""

from collections.abc import Iterator

import pytest
import torch
from phrases import Trained, write_phrases

from translator.config.file import load_config
from translator.training.run import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A run that has half learnt its phrases; read it, do not change it."""
    root = tmp_path_factory.mktemp("trained")
    path = write_phrases(root)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    model = train(load_config(path), name=path.stem)
    torch.set_num_threads(before)
    assert model is not None
    return Trained(root, path, model)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Torch on one thread: tiny models are quickest so."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
