"""The best continuations, compared with sorting all of them."""

import pytest
import torch
from torch import Tensor

from translator.search.top import best_continuations


def plain(scores: Tensor, log_probs: Tensor, n_best: int) -> list[list[tuple[float, int, int]]]:
    """Return totals, hypotheses and pieces of each sentence by sorting all of them."""
    answers = []
    for own_scores, rows in zip(scores.tolist(), log_probs.double().tolist(), strict=True):
        everything = [
            (-(score + log_prob), hypothesis, piece)
            for hypothesis, (score, row) in enumerate(zip(own_scores, rows, strict=True))
            for piece, log_prob in enumerate(row)
        ]
        answers.append([(-total, w, piece) for total, w, piece in sorted(everything)[:n_best]])
    return answers


def found(scores: Tensor, log_probs: Tensor, n_best: int) -> list[list[tuple[float, int, int]]]:
    columns = [column.tolist() for column in best_continuations(scores, log_probs, n_best)]
    return [list(zip(*rows, strict=True)) for rows in zip(*columns, strict=True)]


def draw(n_pieces: int, *, n_values: int | None, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    scores = -torch.rand(6, 4, generator=generator, dtype=torch.float64)
    log_probs = -torch.rand(6, 4, n_pieces, generator=generator)
    if n_values is not None:  # many ties
        scores, log_probs = (scores * 2).round(), (log_probs * n_values).round()
    log_probs[:, :, 3] = -torch.inf
    return scores, log_probs


@pytest.mark.parametrize("n_values", [None, 3, 40])
@pytest.mark.parametrize("n_pieces", [3, 20, 23, 70])
def test_sorting_everything_finds_the_same(n_pieces: int, n_values: int | None) -> None:
    for seed in range(5):
        scores, log_probs = draw(max(n_pieces, 4), n_values=n_values, seed=seed)
        for n_best in (1, 2, 9):
            expected = plain(scores, log_probs, n_best)
            assert found(scores, log_probs, n_best) == expected
            assert found(scores, log_probs.roll(1, 2), n_best) != expected  # control


def test_what_is_missing_is_hopeless() -> None:
    [row] = found(torch.zeros(1, 1, dtype=torch.float64), torch.tensor([[[-2.0, -1.0]]]), 4)
    assert [total for total, _, _ in row] == [-1.0, -2.0, -torch.inf, -torch.inf]
