"""Greedy search and beam search. Both call a model only through the `Stepper` protocol."""

from torch import Tensor

from translator.search.beam import beam_search
from translator.search.greedy import greedy_search
from translator.search.step import Hypothesis, Result, SearchOptions, Stepper
from translator.search.trace import Trace

__all__ = [
    "Hypothesis",
    "Result",
    "SearchOptions",
    "Stepper",
    "Trace",
    "beam_search",
    "greedy_search",
    "search",
]


def search(
    stepper: Stepper, max_lengths: Tensor, *, options: SearchOptions, trace: Trace | None = None
) -> list[Result]:
    """Run greedy search if the beam size is 1 and `trace` is None, else beam search.

    `beam_search` describes the arguments and the result.
    """
    if options.beam_size == options.n_best == 1 and trace is None:
        return greedy_search(stepper, max_lengths, options=options)
    return beam_search(stepper, max_lengths, options=options, trace=trace)
