"""The trace of a beam search is complete, and tracing does not change the result."""

import pytest
import torch
from table_stepper import (
    FORBIDDEN,
    Table,
    TableStepper,
    found,
    log_prob_of,
    random_table,
    run_beam,
    run_greedy,
    table_of,
    table_with_ties,
)

from translator.search.beam import beam_search, search
from translator.search.result import Result, SearchOptions
from translator.search.trace import Trace, considered
from translator.symbols import EOS


def traced(table: Table, *, beam_size: int, prefix: tuple[int, ...] = ()) -> tuple[Result, Trace]:
    trace: Trace = []
    options = SearchOptions(beam_size, 1.0, FORBIDDEN, prefix=prefix)
    [result] = search(TableStepper([table]), torch.tensor([7]), options=options, trace=trace)
    return result, trace


def histories(trace: Trace) -> list[list[tuple[int, ...]]]:
    """The pieces of each continuation that was considered, with those that it continues."""
    live, all_of_them = [()], []
    for step in trace:
        spelled = [(*live[c.parent], c.piece) for c in step]
        all_of_them.append(spelled)
        live = [ids for ids, c in zip(spelled, step, strict=True) if c.fate == "kept"]
    return all_of_them


@pytest.mark.parametrize("prefix", [(), (5, 6)])
@pytest.mark.parametrize("beam_size", [1, 2, 3, 9])
def test_a_trace_changes_nothing(beam_size: int, prefix: tuple[int, ...]) -> None:
    some = [*map(random_table, range(8)), *map(table_with_ties, range(8))]
    plain = [run_beam([table], 7, beam_size=beam_size, prefix=prefix)[0] for table in some]
    with_trace = [traced(table, beam_size=beam_size, prefix=prefix)[0] for table in some]
    assert with_trace == plain
    if beam_size == 1:  # greedy search has no trace of its own
        assert found(with_trace) == found(run_greedy(some, 7, prefix=prefix))
    else:  # control: another beam finds others
        assert found(with_trace) != found([traced(table, beam_size=1)[0] for table in some])


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_a_trace_says_what_became_of_every_continuation(beam_size: int) -> None:
    for table in map(random_table, range(15)):
        result, trace = traced(table, beam_size=beam_size, prefix=(5,))
        spelled = histories(trace)
        finished = set()
        for step, ids in zip(trace, spelled, strict=True):
            for c, pieces in zip(step, ids, strict=True):
                assert c.log_prob == pytest.approx(log_prob_of(table, pieces), rel=0, abs=1e-12)
                finished |= {pieces} if c.fate == "finished" else set()
            scores = [c.log_prob for c in step]
            assert scores == sorted(scores, reverse=True)
            kept = [c for c in step if c.fate == "kept"]
            assert len(kept) <= beam_size
            # Of those that could go on, the kept ones are the best.
            going_on = [c for c in step if c.piece != EOS]
            assert going_on[: len(kept)] == kept
            assert {c.fate for c in step if c.piece == EOS} <= {"finished", "pruned"}
        assert (*result.hypotheses[0].ids, EOS) in finished
        # Control: read from other parents, the scores are wrong.
        assert trace[0][0].piece == 5
    assert any(c.fate == "pruned" for step in trace for c in step)


def test_a_wrong_parent_would_be_seen() -> None:
    """The control of the test above."""
    _, trace = traced(random_table(3), beam_size=3)
    step = next(step for step in trace[1:] if any(c.parent != 0 for c in step))
    before = histories(trace)[trace.index(step) - 1][0]
    other = next(c for c in step if c.parent != 0)
    assert abs(other.log_prob - log_prob_of(random_table(3), (*before, other.piece))) > 1e-6


def test_an_end_far_down_is_pruned_and_what_is_missing_is_left_out() -> None:
    ranked = [(-1.0, 0, 4), (-2.0, 0, EOS), (-3.0, 0, 5), (-4.0, 0, EOS), (-torch.inf, 0, 0)]
    fates = [c.fate for c in considered(ranked, beam_size=2)]
    assert fates == ["kept", "finished", "kept", "pruned"]


def test_few_pieces_and_a_wide_beam() -> None:
    only = table_of({(): {4: -0.1}, (4,): {EOS: -0.2}})
    result, trace = traced(only, beam_size=20)
    assert result.hypotheses[0].ids == [4]
    assert all(len(step) <= 41 for step in trace)
    assert len(trace[0]) == 3, "three pieces to spell with"


def test_a_trace_is_of_one_sentence() -> None:
    with pytest.raises(ValueError, match="one sentence; this batch has 2"):
        beam_search(
            TableStepper([random_table(0)] * 2),
            torch.tensor([5, 5]),
            options=SearchOptions(2, 1.0, FORBIDDEN),
            trace=[],
        )
