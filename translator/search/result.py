"""The options of a search and its results. This module does not import torch."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SearchOptions:
    """Options of a search.

    Attributes:
        beam_size: W, the number of hypotheses that are kept at each step.
        length_penalty: the exponent α in the formula for scores (see `scoring`).
        forbidden: ids of the tokens that are never chosen.
        n_best: maximum number of hypotheses to return for each sentence; at most `beam_size`.
        prefix: ids of the tokens with which every output starts. These tokens are part of the output, so they
            contribute to its score and its length.
        seeds: for each sentence of a batch, the seed with which its tokens are sampled, of which torch uses
            the lowest 32 bits. Empty means that tokens are not sampled. Requires a beam size of 1. The search
            in C does not sample.
    """

    beam_size: int
    length_penalty: float
    forbidden: Sequence[int]
    n_best: int = 1
    prefix: Sequence[int] = ()
    seeds: Sequence[int] = ()

    def __post_init__(self) -> None:
        if self.n_best > self.beam_size:
            raise ValueError(f"n_best={self.n_best} is above beam_size={self.beam_size}")
        if self.seeds and self.beam_size > 1:
            raise ValueError(f"seeds are for sampling, which has no beam; beam_size={self.beam_size}")


@dataclass(frozen=True)
class Hypothesis:
    """A finished hypothesis.

    Attributes:
        ids: ids of the tokens, without the start symbol and the end symbol.
        log_prob: Σ log p of the tokens and of the end symbol.
        score: `log_prob` / length^α, where the length is the number of tokens, including the end symbol.
        log_probs: log p of each token and of the end symbol. Only a search in C lists them.
    """

    ids: list[int]
    log_prob: float
    score: float
    log_probs: Sequence[float] = ()


#: The hypothesis that is returned for a sentence if no translation of that sentence has a finite score.
NOTHING = Hypothesis([], float("-inf"), float("-inf"))


@dataclass(frozen=True)
class Result:
    """The result of a search for one sentence.

    Attributes:
        hypotheses: at least one hypothesis and at most `n_best`, the best first. If no translation has a
            finite score, the only hypothesis is `NOTHING`.
    """

    hypotheses: list[Hypothesis]
