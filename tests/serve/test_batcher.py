"""The batcher: waiting requests share batches fairly, and each gets its own results."""

import asyncio
import threading
import time
from typing import Any

import pytest

from translator.search.result import Hypothesis, Result
from translator.serve.batcher import Batcher, Ids

#: A part that the model below cannot translate.
BROKEN = [666]


class Model:
    """A search that returns the reversed ids of each part, once the test releases it."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[tuple[list[Ids], int]] = []

    def __call__(self, parts: list[Ids], n_best: int) -> list[Result]:
        self.batches.append((parts, n_best))
        assert self.go.wait(20)
        if BROKEN in parts:
            raise ValueError("broken")
        return [Result([Hypothesis(list(part)[::-1], 0.0, 0.0)]) for part in parts]


def ids(results: list[Result]) -> list[list[int]]:
    return [result.hypotheses[0].ids for result in results]


def together(
    *requests: tuple[list[list[int]], int], batch_tokens: int, beam_size: int = 1
) -> tuple[list[Any], list[tuple[list[Ids], int]]]:
    """Return the results of requests `(parts, n_best)` queued behind another one, and the batches formed."""

    async def ask() -> list[Any]:
        batcher.start()
        first = asyncio.create_task(batcher.search([[1, 2]]))
        while not model.batches:
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.search(parts, n_best=n)) for parts, n in requests]
        await asyncio.sleep(0)
        model.go.set()
        found = await asyncio.gather(*others, return_exceptions=True)
        assert ids(await first) == [[2, 1]]
        await batcher.stop()
        return [one if isinstance(one, BaseException) else ids(one) for one in found]

    model = Model()
    batcher = Batcher(model, batch_tokens=batch_tokens, beam_size=beam_size)
    return asyncio.run(ask()), model.batches[1:]


def test_what_waits_is_translated_together_and_answered_apart() -> None:
    found, batches = together(([[1, 2]], 1), ([[3], [4, 5]], 1), ([], 1), ([[6]], 1), batch_tokens=100)
    assert found == [[[2, 1]], [[3], [5, 4]], [], [[6]]]
    assert [sorted(parts) for parts, _ in batches] == [[[1, 2], [3], [4, 5], [6]]]


def test_with_one_token_each_is_translated_by_itself() -> None:
    _, batches = together(([[1]], 1), ([[2], [3]], 1), batch_tokens=1)
    assert [len(parts) for parts, _ in batches] == [1, 1, 1]


def test_a_batch_ends_at_a_number_of_tokens_and_one_of_more_is_for_a_longer_part_alone() -> None:
    lengths = [9, 9, 9, 1, 3, 3, 40, 1]
    found, batches = together(([[i] * n for i, n in enumerate(lengths)], 1), batch_tokens=24)
    assert [[len(part) for part in parts] for parts, _ in batches] == [[9, 9], [9, 1], [3, 3], [40], [1]]
    assert [len(part) for part in found[0]] == lengths


def test_where_more_hypotheses_are_wanted_fewer_tokens_go_into_a_batch() -> None:
    many = [[i] for i in range(8)]
    for n_best, sizes in ((1, [8]), (4, [8]), (8, [4, 4])):
        _, batches = together((many, n_best), batch_tokens=64, beam_size=4)
        assert [len(parts) for parts, _ in batches] == sizes


def test_short_requests_overtake_long_ones_however_many_these_are() -> None:
    long = [[i] * 9 for i in range(20)]
    found, batches = together(*[(long, 1)] * 8, ([[1], [2]], 1), batch_tokens=20)
    assert found[-1] == [[1], [2]]
    assert found[0] == long
    # Requests without a computed token come first; after its first part, the short one still has the fewest.
    assert max(n for n, (parts, _) in enumerate(batches) if [1] in parts or [2] in parts) <= 4


def test_a_request_that_comes_late_is_not_kept_waiting_by_one_that_began() -> None:
    async def ask() -> None:
        batcher.start()
        long = asyncio.create_task(batcher.search([[i] * 9 for i in range(50)]))
        while not model.batches:
            await asyncio.sleep(0)
        late = asyncio.create_task(batcher.search([[99], [98]]))
        await asyncio.sleep(0)
        model.go.set()
        assert ids(await late) == [[99], [98]]
        assert (
            len(model.batches) <= 3
        )  # the batch in progress, the batch of the request, and perhaps one more that has started since
        assert not long.done()
        long.cancel()
        await batcher.stop()

    model = Model()
    batcher = Batcher(model, batch_tokens=20)
    asyncio.run(ask())


def test_only_requests_for_as_many_candidates_are_put_together() -> None:
    _, batches = together(([[1]], 1), ([[2]], 3), ([[3]], 1), batch_tokens=16)
    assert batches == [([[1], [3]], 1), ([[2]], 3)]


def test_an_error_is_told_to_those_it_concerns_and_work_goes_on() -> None:
    found, _ = together(([BROKEN], 1), ([[1]], 1), batch_tokens=1)
    assert isinstance(found[0], ValueError)
    assert found[1] == [[1]]


def test_what_is_given_up_is_not_computed_any_further() -> None:
    async def ask() -> None:
        batcher.start()
        first = asyncio.create_task(batcher.search([[i] for i in range(9)]))
        while not model.batches:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(batcher.search([[77]]))
        await asyncio.sleep(0)
        assert batcher.n_waiting() == 8
        for given_up in (waiting, first):
            given_up.cancel()
            with pytest.raises(asyncio.CancelledError):
                await given_up
        model.go.set()
        assert ids(await batcher.search([[88]])) == [[88]]
        await batcher.stop()

    model = Model()
    batcher = Batcher(model, batch_tokens=16)
    asyncio.run(ask())
    assert [parts for parts, _ in model.batches] == [[[0], [1]], [[88]]]


def test_other_work_does_not_keep_translations_waiting() -> None:
    async def ask() -> None:
        batcher.start()
        model.go.set()
        other = asyncio.create_task(batcher.run(lambda: hold.wait(20)))
        assert ids(await asyncio.wait_for(batcher.search([[1]]), 10)) == [[1]]
        assert not other.done()
        hold.set()
        assert await other
        await batcher.stop()

    model, hold = Model(), threading.Event()
    batcher = Batcher(model, batch_tokens=8)
    asyncio.run(ask())


def test_it_says_how_long_it_has_been_busy_and_whether_it_has_ended() -> None:
    async def ask() -> None:
        assert batcher.has_ended
        batcher.start()
        assert (batcher.has_ended, batcher.is_working, batcher.seconds_busy()) == (False, False, 0)
        first = asyncio.create_task(batcher.search([[1]]))
        while not model.batches:
            await asyncio.sleep(0)
        time.sleep(0.02)
        assert batcher.is_working
        assert batcher.seconds_busy() >= 0.02
        model.go.set()
        await first
        await batcher.stop()
        assert batcher.has_ended

    model = Model()
    batcher = Batcher(model, batch_tokens=8)
    asyncio.run(ask())


def test_stopping_finishes_what_was_begun() -> None:
    async def ask() -> list[Result]:
        batcher.start()
        job = asyncio.create_task(batcher.run(lambda: model([[1, 2]], 1)))
        while not model.batches:
            await asyncio.sleep(0)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        model.go.set()
        await stopping
        return await job

    model = Model()
    batcher = Batcher(model, batch_tokens=8)
    assert ids(asyncio.run(ask())) == [[2, 1]]
