"""Records the film of a training (see `translation.film`)."""

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from translator import console
from translator.alignment.words import words
from translator.data.batching import Batch
from translator.errors import PasserelleError
from translator.files import atomic_write
from translator.training.module import TranslationModule
from translator.translation.film import new_film, read_film, translations
from translator.translation.inference import Translator

#: How many sentences a film shows, and how many words, with punctuation, each of them has.
N_SENTENCES, MIN_WORDS, MAX_WORDS = 3, 4, 12


def is_moment(step: int) -> bool:
    """Return whether the film shows the model after this step.

    The moments are 0, 1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100 …: six in each tenfold increase.
    """
    return str(step).rstrip("0") in ("", "1", "15", "2", "3", "5", "7")


def choose_sentences(sources: Iterable[str]) -> list[str]:
    """Return the first sentences of the validation split that are neither too short nor too long to show."""
    fitting = (text for text in dict.fromkeys(sources) if MIN_WORDS <= len(words(text)) <= MAX_WORDS)
    return [*islice(fitting, N_SENTENCES)]


class RecordFilm(Callback):
    """Translates the sentences at each moment (see `is_moment`) and at the end, in the first process.

    The weights are those in training, not their moving average, because the film shows what training does.
    The random state is not used. An error ends the film and not the training.
    """

    def __init__(self, path: Path):
        self.path = path
        self._film: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the film or, in a resumed training, cut the film back to the step from which it resumes."""
        assert isinstance(pl_module, TranslationModule)
        shards_weights = pl_module.config.hardware.strategy.startswith(("fsdp", "deepspeed"))
        sources = choose_sentences(pl_module.data.sources)
        if not trainer.is_global_zero or shards_weights or not sources:
            return
        film, step = new_film(pl_module.data.prepared.tokenizer, sources), pl_module.progress.steps
        earlier = read_film(self.path) if step else film
        if earlier is None or earlier["sentences"] != film["sentences"]:
            console.note(f"{self.path}: absent or damaged; the film of this training starts at step {step:,}")
        else:
            film["moments"] = [m for m in earlier["moments"] if m["step"] <= step and is_moment(m["step"])]
        self._film = film

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """If the weights are those of a moment, record it. A resumed training starts with such a check."""
        assert isinstance(pl_module, TranslationModule)
        if is_moment(pl_module.progress.steps):
            self._record(pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the last step."""
        assert isinstance(pl_module, TranslationModule)
        self._record(pl_module)

    def _record(self, module: TranslationModule) -> None:
        film, step = self._film, module.progress.steps
        if film is None or (film["moments"] and film["moments"][-1]["step"] == step):
            return
        was_training = module.model.training
        try:
            shown = translations(_translator(module), [s["source"] for s in film["sentences"]])
            film["moments"].append({"step": step, "translations": shown})
            atomic_write(self.path, json.dumps(film, ensure_ascii=False, separators=(",", ":")).encode())
        except (OSError, PasserelleError) as error:
            console.note(f"{self.path}: the film of this training ends at step {step:,}: {error}")
            self._film = None
        finally:
            module.model.train(was_training)


def _translator(module: TranslationModule) -> Translator:
    """Return a translator with the current weights, of which a decoder may have copies."""
    return Translator(module.model.eval(), module.data.prepared.tokenizer, module.config)
