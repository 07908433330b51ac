"""The best continuations, compared with sorting all of them."""

import pytest
import torch
from torch import Tensor

from translator.search import top
from translator.search.beam import closest_end
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


@pytest.mark.parametrize("block", [2, 5, 7, 100])
@pytest.mark.parametrize("n_values", [None, 3, 40])
@pytest.mark.parametrize("n_pieces", [3, 20, 23, 70])
def test_sorting_everything_finds_the_same(
    n_pieces: int, n_values: int | None, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(top, "BLOCK", block)
    for seed in range(5):
        scores, log_probs = draw(max(n_pieces, 4), n_values=n_values, seed=seed)
        for n_best in (1, 2, 9):
            expected = plain(scores, log_probs, n_best + 1)
            actual = found(scores, log_probs, n_best + 1)
            assert [row[:n_best] for row in actual] == [row[:n_best] for row in expected]
            assert [row[-1][0] for row in actual] == [row[-1][0] for row in expected]
            other = found(scores, log_probs.roll(1, 2), n_best + 1)
            assert [row[:n_best] for row in other] != [row[:n_best] for row in expected]  # control


def test_what_is_missing_is_hopeless() -> None:
    [row] = found(torch.zeros(1, 1, dtype=torch.float64), torch.tensor([[[-2.0, -1.0]]]), 4)
    assert [total for total, _, _ in row] == [-1.0, -2.0, -torch.inf, -torch.inf]


def test_blocks_are_used_where_there_are_many_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    real = Tensor.topk

    def note(self: Tensor, k: int) -> object:
        sizes.append(self.size(1))
        return real(self, k)

    monkeypatch.setattr(Tensor, "topk", note)
    best_continuations(*draw(1030, n_values=None, seed=1), 9)
    assert sizes == [4 * 10, 9 * 100 + 4 * 30]  # blocks, then what is in the best of them or after the last


@pytest.mark.parametrize(
    ("scores", "ends", "expected"),
    [
        ([-1.0, -2.0, -2.5, -3.0, -9.0], [0, 0, 0, 0, 0], torch.inf),  # nothing ends
        ([-1.0, -2.0, -2.5, -9.0, -9.5], [1, 0, 0, 0, 0], 1.5),  # it would be third if it lost 1.5
        ([-1.0, -2.0, -2.1, -3.0, -9.0], [0, 0, 1, 0, 0], 0.1),  # it comes third and does not count
        ([-1.0, -2.0, -2.1, -3.0, -9.0], [0, 1, 0, 0, 0], 0.1),  # it comes second and does
        ([-1.0, -1.0, -2.1, -3.0, -9.0], [1, 1, 0, 1, 0], 1.1),  # the second of two that tie still counts
        ([-1.0, -2.0, -torch.inf, -torch.inf, -torch.inf], [1, 1, 1, 0, 0], torch.inf),
    ],
)
def test_how_close_an_end_is_to_the_last_place(scores: list[float], ends: list[int], expected: float) -> None:
    ending = torch.tensor([ends], dtype=torch.bool)
    assert closest_end(torch.tensor([scores]).double(), ending, 2).tolist() == pytest.approx([expected])
