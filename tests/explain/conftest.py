"""Fixtures for the tests of explanations: a tiny trained model, and an explanation."""

from collections.abc import Iterator

import pytest
import torch
from phrases import Trained

from translator.building import build_model
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


@pytest.fixture(scope="session")
def layered(translator: Translator) -> Translator:
    """An untrained model with several layers, whose heads attend to few pieces each."""
    torch.manual_seed(1)
    update = {"width": 84, "n_heads": 3, "feed_forward": 64, "max_length": 256}
    shape = translator.config.model.model_copy(update=update | {"n_encoder_layers": 2, "n_decoder_layers": 3})
    model = build_model(shape, len(translator.tokenizer)).eval()
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if name.endswith("attention.query.weight"):
                weights *= 4
    config = translator.config.model_copy(update={"model": shape})
    return Translator(model, translator.tokenizer, config)
