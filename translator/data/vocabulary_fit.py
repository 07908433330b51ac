"""How well a vocabulary fits a text: the better it fits, the fewer pieces and bytes a word has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from translator.data.tokenizer import Tokenizer


@dataclass(frozen=True)
class Fit:
    """How well a vocabulary fits a text.

    Attributes:
        pieces_per_word: number of pieces divided by the number of words; a word ends at a space.
        byte_share: fraction of the pieces that stand for one byte, because the vocabulary lacks a character.
    """

    pieces_per_word: float
    byte_share: float


def vocabulary_fit(tokenizer: Tokenizer, texts: Sequence[str]) -> Fit:
    """Measure how well the vocabulary of a tokenizer fits some texts, of which at least one has a word."""
    ids = [i for ids in tokenizer.encode_batch(texts) for i in ids]
    n_words = sum(len(text.split()) for text in texts)
    return Fit(len(ids) / max(1, n_words), tokenizer.n_bytes(ids) / max(1, len(ids)))


def describe_fit(fits: Mapping[str, Fit], languages: Mapping[str, str], of_model: Any = None) -> str:
    """Return one line about the fit of a vocabulary.

    Args:
        fits: the fit to each side, `source` and `target`.
        languages: the language of each side.
        of_model: what the manifest of the model that has the vocabulary says of the model's own corpus, or
            None.
    """
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
