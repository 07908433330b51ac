"""How well a vocabulary fits a corpus: the better it fits, the fewer pieces and bytes a word has."""

from dataclasses import dataclass
from typing import Any

import torch

from translator.config import DataConfig
from translator.data.tokenizer import Tokenizer

#: Key of the fit in a manifest.
FIT = "vocabulary_fit"

#: Maximum number of pairs on which the fit is measured.
_MAX_PAIRS = 5000


@dataclass(frozen=True)
class Fit:
    """How well a vocabulary fits a text.

    Attributes:
        pieces_per_word: number of pieces divided by the number of words; a word ends at a space.
        byte_share: fraction of the pieces that stand for one byte, because the vocabulary lacks a character.
    """

    pieces_per_word: float
    byte_share: float


def vocabulary_fit(tokenizer: Tokenizer, texts: Any) -> dict[str, Fit]:
    """Measure how well the vocabulary of a tokenizer fits a corpus.

    Args:
        tokenizer: the tokenizer.
        texts: the corpus, a table with the columns `source` and `target`. If it is long, an evenly spaced
            sample is measured.

    Returns:
        The fit to each column.
    """
    rows = torch.linspace(0, len(texts) - 1, min(len(texts), _MAX_PAIRS), dtype=torch.float64).long()
    sample = texts[rows.tolist()]
    return {side: _fit(tokenizer, sample[side]) for side in ("source", "target")}


def _fit(tokenizer: Tokenizer, texts: list[str]) -> Fit:
    ids = [i for ids in tokenizer.encode_batch(texts) for i in ids]
    n_words = sum(len(text.split()) for text in texts)
    return Fit(len(ids) / max(1, n_words), tokenizer.n_bytes(ids) / max(1, len(ids)))


def describe_fit(fits: dict[str, Fit], data: DataConfig, of_model: Any = None) -> str:
    """Return one line about the fit of a vocabulary.

    Args:
        fits: the fit to each side of a corpus.
        data: the source of the corpus, which names the languages.
        of_model: the value of `FIT` in the manifest of the model that has the vocabulary, or None.
    """
    languages = {"source": data.source_language, "target": data.target_language}
    return "vocabulary: " + "; ".join(
        f"{languages[side]}: {_numbers(fit)}{_compared(of_model, side)}" for side, fit in fits.items()
    )


def _numbers(fit: Fit) -> str:
    return f"{fit.pieces_per_word:.2f} pieces a word, {fit.byte_share:.2%} of them bytes"


def _compared(of_model: Any, side: str) -> str:
    try:
        return f" (the model's own corpus: {_numbers(Fit(**of_model[side]))})"
    except (TypeError, KeyError, ValueError):  # a model from before this was recorded
        return ""
