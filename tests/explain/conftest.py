"""Fixtures for the tests of explanations: a tiny trained model, and an explanation."""

from collections.abc import Iterator

import pytest
import torch
from phrases import Trained

from translator.explain import Explanation, explain
from translator.translation.inference import Translator

SENTENCE = "Ma sœur ne mange pas dans la maison."


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def translator(trained: Trained) -> Translator:
    return Translator.load(trained.model)


@pytest.fixture(scope="session")
def explanation(translator: Translator) -> Explanation:
    return explain(translator, SENTENCE)
