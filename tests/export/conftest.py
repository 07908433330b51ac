"""Fixtures for the export tests: trained and random models of every shape, and lines to translate."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from phrases import Trained
from torch.nn import functional as F

from translator import Translator
from translator.building import build_model
from translator.data.batching import make_batch
from translator.model import Transformer
from translator.model_folder import LoadedModel, load_model_folder, save_weights, write_manifest
from translator.symbols import PAD


@pytest.fixture(scope="session")
def bundle(trained: Trained) -> LoadedModel:
    """The vocabulary and the configuration of all models here."""
    return load_model_folder(trained.model)


@pytest.fixture(scope="session")
def learnt(
    trained: Trained, bundle: LoadedModel, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """A function `(norm, activation) -> Path`: the folder of a model that has learnt the phrases."""
    encode = bundle.tokenizer.encode_batch
    sources, targets = (encode(trained.lines(f"train.{language}")) for language in ("fr", "en"))

    def learn(model: Transformer) -> None:
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimiser, 1e-2, total_steps=120)
        order = torch.Generator().manual_seed(1)
        for _ in range(120):
            rows = torch.randperm(len(sources), generator=order)[:40].tolist()
            batch = make_batch([sources[row] for row in rows], [targets[row] for row in rows])
            logits = model(batch.source_ids, batch.target_in)
            optimiser.zero_grad()
            F.cross_entropy(logits.flatten(0, 1), batch.target_out.flatten(), ignore_index=PAD).backward()
            optimiser.step()
            scheduler.step()

    @cache
    def make(norm: str, activation: str) -> Path:
        changes = {"norm": norm, "activation": activation, "n_decoder_layers": 2}
        shape = bundle.config.model.model_copy(update=changes)
        torch.manual_seed(1)
        model = build_model(shape, len(bundle.tokenizer))
        learn(model)
        folder = tmp_path_factory.mktemp("learnt") / f"{norm}-{activation}" / "model"
        config = bundle.config.model_copy(update={"model": shape})
        save_weights(folder, model.state_dict(), bundle.tokenizer, config)
        write_manifest(folder, {"source_language": "fr", "target_language": "en"})
        return folder

    return make


@pytest.fixture
def draw(bundle: LoadedModel) -> Callable[[str, str], Translator]:
    """A function `(norm, activation) -> Translator`: a model that has learnt nothing.

    Every weight is drawn, biases and norms too, so that none can be lost unseen; and from a seed: of some
    draws, one activation and the next write the same.
    """

    def make(norm: str, activation: str) -> Translator:
        changes = {"norm": norm, "activation": activation, "position_base": 50.0}
        shape = bundle.config.model.model_copy(update=changes)
        torch.manual_seed(7)
        model = build_model(shape, len(bundle.tokenizer))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.3)
        return Translator(model, bundle.tokenizer, bundle.config.model_copy(update={"model": shape}))

    return make


@pytest.fixture(scope="session")
def lines(trained: Trained) -> list[str]:
    """Sources of all lengths: of the corpus, blank, of other letters, longer than the model takes."""
    odd = ["", "Oui", "🐈 عربي œ", "\u2581Le\u2581chat", "Le chat dort dans la maison. " * 8, "mot" * 60]
    return [*trained.lines("test.fr"), *trained.lines("val.fr"), *odd]


@pytest.fixture(scope="session")
def references(trained: Trained) -> list[str]:
    """A translation of each of `lines`."""
    return [*trained.lines("test.en"), *trained.lines("val.en"), *["The cat sleeps in the house."] * 6]
