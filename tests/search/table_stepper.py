"""Searching without a model: what may follow is a function of the pieces so far.

Beside it stand two slow, plain answers to compare with: a beam search for one sentence, written from the
description alone, and the list of all outputs.
"""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from translator.search.beam import beam_search
from translator.search.greedy import greedy_search
from translator.search.result import Result, SearchOptions
from translator.symbols import BOS, EOS, NEVER_EMITTED

N_PIECES = 7  # four special ones and three to spell with
FORBIDDEN = NEVER_EMITTED

#: The pieces so far, without the start symbol → log-probabilities of the next piece.
Table = Callable[[tuple[int, ...]], Sequence[float]]


def random_table(seed: int, *, n_pieces: int = N_PIECES, scale: float = 1.5) -> Table:
    """Return real log-probabilities, drawn for each history by itself."""

    @cache
    def table(ids: tuple[int, ...]) -> tuple[float, ...]:
        draw = random.Random(f"{seed} {ids}")
        logits = [draw.gauss(0, scale) for _ in range(n_pieces)]
        total = math.log(sum(map(math.exp, logits)))
        return tuple(logit - total for logit in logits)

    return table


def table_with_ties(seed: int) -> Table:
    """Return scores whose sums are exact in binary, of four kinds, so that equal ones abound."""

    @cache
    def table(ids: tuple[int, ...]) -> tuple[float, ...]:
        draw = random.Random(f"{seed} {ids}")
        return tuple(draw.choice([-0.25, -1.0, -4.0, -8.0]) for _ in range(N_PIECES))

    return table


def constant_table(**log_probs: float) -> Table:
    """Return a table that says the same whatever came before; `p4` is piece 4, others are at -9."""
    row = [-9.0] * N_PIECES
    for name, value in log_probs.items():
        row[EOS if name == "eos" else int(name[1:])] = value
    return lambda ids: row


def table_of(rows: dict[tuple[int, ...], dict[int, float]]) -> Table:
    """Return a table with the given log-probabilities after the given pieces, and all others far below."""
    return lambda ids: [rows.get(ids, {}).get(piece, -20.0 - piece**2) for piece in range(N_PIECES)]


class TableStepper:
    """A `Stepper` over one table a sentence; it checks that it is asked as the protocol says."""

    def __init__(self, tables: Sequence[Table], dtype: torch.dtype = torch.float64):
        self.tables, self.dtype = list(tables), dtype
        self.rows: list[list[tuple[int, ...]]] = [[()] for _ in tables]  # pieces read, with the start symbol
        self.batch_sizes: list[int] = []

    def step(self, tokens: Tensor) -> Tensor:
        assert tokens.shape == (len(self.rows), len(self.rows[0]))
        assert tokens.dtype == torch.int64
        self.batch_sizes.append(len(tokens))
        self.rows = [
            [(*ids, token) for ids, token in zip(row, new, strict=True)]
            for row, new in zip(self.rows, tokens.tolist(), strict=True)
        ]
        assert all(ids[0] == BOS for row in self.rows for ids in row)
        return torch.tensor(
            [[table(ids[1:]) for ids in row] for table, row in zip(self.tables, self.rows, strict=True)],
            dtype=self.dtype,
        )

    def reorder(self, sentences: Tensor, parents: Tensor) -> None:
        chosen = sentences.tolist()
        assert len(chosen) == len(set(chosen))
        assert len(parents) == len(chosen)
        self.rows = [
            [self.rows[sentence][parent] for parent in row]
            for sentence, row in zip(chosen, parents.tolist(), strict=True)
        ]
        self.tables = [self.tables[sentence] for sentence in chosen]


class Found(NamedTuple):
    """An output and what it is worth."""

    ids: list[int]
    log_prob: float
    score: float


def found(results: Sequence[Result]) -> list[list[Found]]:
    return [[Found(h.ids, h.log_prob, h.score) for h in result.hypotheses] for result in results]


def run_beam(
    tables: Sequence[Table],
    max_lengths: int | Sequence[int],
    *,
    beam_size: int,
    alpha: float = 1.0,
    n_best: int = 1,
    prefix: Sequence[int] = (),
) -> list[Result]:
    lengths = [max_lengths] * len(tables) if isinstance(max_lengths, int) else max_lengths
    options = SearchOptions(beam_size, alpha, FORBIDDEN, n_best=n_best, prefix=prefix)
    return beam_search(TableStepper(tables), torch.tensor(lengths), options=options)


def run_greedy(
    tables: Sequence[Table],
    max_lengths: int | Sequence[int],
    *,
    alpha: float = 1.0,
    prefix: Sequence[int] = (),
) -> list[Result]:
    lengths = [max_lengths] * len(tables) if isinstance(max_lengths, int) else max_lengths
    options = SearchOptions(1, alpha, FORBIDDEN, prefix=prefix)
    return greedy_search(TableStepper(tables), torch.tensor(lengths), options=options)


def choices(table: Table, ids: tuple[int, ...], max_length: int) -> Iterator[tuple[int, float]]:
    """Yield the pieces that may follow, in order, and their log-probabilities."""
    for piece, log_prob in enumerate(table(ids)):
        if piece == EOS:
            allowed = len(ids) > 0
        else:
            allowed = piece not in NEVER_EMITTED and len(ids) + 1 < max_length
        if allowed:
            yield piece, log_prob


def log_prob_of(table: Table, ids: Sequence[int]) -> float:
    """Return Σ log p of pieces, one after another."""
    return sum(table(tuple(ids[:i]))[piece] for i, piece in enumerate(ids))


def all_outputs(table: Table, max_length: int, alpha: float) -> list[Found]:
    """Return every output that is allowed, best first."""
    outputs: list[Found] = []
    growing: list[tuple[int, ...]] = [()]
    while growing:
        ids = growing.pop()
        for piece, _ in choices(table, ids, max_length):
            if piece == EOS:
                total = log_prob_of(table, [*ids, EOS])
                outputs.append(Found(list(ids), total, total / (len(ids) + 1) ** alpha))
            else:
                growing.append((*ids, piece))
    return sorted(outputs, key=lambda output: -output.score)


def plain_beam(
    table: Table,
    max_length: int,
    *,
    beam_size: int,
    alpha: float,
    n_best: int,
    prefix: Sequence[int] = (),
    last_piece_first: bool = False,
) -> list[Found]:
    """Search one sentence as `beam_search` describes it, in lists and without the early stop."""
    live = [(log_prob_of(table, prefix), tuple(prefix))]
    finished: list[Found] = []
    while live and len(finished) < beam_size:
        candidates = [
            (-(score + log_prob), number, -piece if last_piece_first else piece)
            for number, (score, ids) in enumerate(live)
            for piece, log_prob in choices(table, ids, max_length)
        ]
        going_on = []
        for rank, (negated, number, piece) in enumerate(sorted(candidates)[: 2 * beam_size]):
            ids = live[number][1]
            if abs(piece) != EOS:
                going_on.append((-negated, (*ids, abs(piece))))
            elif rank < beam_size:
                finished.append(Found(list(ids), -negated, -negated / (len(ids) + 1) ** alpha))
        live = going_on[:beam_size]
    return sorted(finished, key=lambda output: -output.score)[:n_best]
