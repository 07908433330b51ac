"""Greedy and beam search. They see a small step protocol, never the model."""

from collections.abc import Sequence

from torch import Tensor

from translator.search.beam import beam_search
from translator.search.greedy import greedy_search
from translator.search.step import Hypothesis, Result, Stepper
from translator.search.trace import Trace

__all__ = ["Hypothesis", "Result", "Stepper", "Trace", "beam_search", "greedy_search", "search"]


def search(
    stepper: Stepper,
    max_lengths: Tensor,
    *,
    beam_size: int,
    length_penalty: float,
    forbidden: Tensor,
    n_best: int = 1,
    prefix: Sequence[int] = (),
    trace: Trace | None = None,
) -> list[Result]:
    """Search greedily where `beam_size` is 1, with a beam otherwise or to have a trace; see `beam_search`."""
    if beam_size == n_best == 1 and trace is None:
        return greedy_search(
            stepper, max_lengths, length_penalty=length_penalty, forbidden=forbidden, prefix=prefix
        )
    return beam_search(
        stepper,
        max_lengths,
        beam_size=beam_size,
        length_penalty=length_penalty,
        forbidden=forbidden,
        n_best=n_best,
        prefix=prefix,
        trace=trace,
    )
