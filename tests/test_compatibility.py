"""What commit 49b6f75 wrote is still read, and means the same.

The folder is of a model of width 16 that was trained there for two minutes on one thread: `translator train
configs/phrasebook.yaml tokenizer.vocabulary_size=500 model.width=16 model.n_heads=2 model.feed_forward=32
model.n_encoder_layers=1 model.n_decoder_layers=1 train.max_minutes=2`. It translates badly, but always alike.
"""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from translator import Translator
from translator.model_folder import load_model_folder
from translator.training.module import TranslationModule

FOLDER = Path(__file__).parent / "fixtures" / "model_49b6f75"

#: Lines, and what that commit made of them with a beam of 5.
LINES = {
    "Le chat dort.": "The covely.",
    "Je mange une pomme rouge.": "I haking a ster.",
    "Ils ne sont pas venus hier.": "They are not going to me.",
    "Où est la gare ?": "Where is know.",
    "Ma sœur lit un livre dans le jardin.": "My knowowowowowoway.",
    "Les enfants jouent.": "The knoway.",
}


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_an_old_folder_translates_as_it_did(backend: str) -> None:
    translator = Translator.load(FOLDER, backend=backend)  # type: ignore[arg-type]
    assert [found.text for found in translator.translate(list(LINES))] == list(LINES.values())
    # Control: other weights, other words.
    with torch.no_grad():
        translator.model.embedding.weight.neg_()
    changed = Translator(translator.model, translator.tokenizer, translator.config)
    assert [found.text for found in changed.translate(list(LINES))] != list(LINES.values())


def test_an_old_folder_is_read_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    """Its configuration has keys that are now called something else."""
    assert {"kernels", "workers"} <= set(json.loads((FOLDER / "config.json").read_text())["hardware"])
    config = load_model_folder(FOLDER).config
    assert (config.hardware.backend, config.hardware.replicas) == ("auto", None)
    assert capsys.readouterr().err == ""


def test_weights_of_an_old_checkpoint_fit() -> None:
    """A checkpoint names each weight as the model folder does, after `model.`."""
    weights = safetensors.torch.load((FOLDER / "model.safetensors").read_bytes())
    bundle = load_model_folder(FOLDER)
    module = TranslationModule(bundle.model, bundle.config)
    assert set(module.state_dict()) == {f"model.{name}" for name in weights}
    module.load_state_dict({f"model.{name}": weight for name, weight in weights.items()})
