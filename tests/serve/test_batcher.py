"""Waiting requests are translated together, fairly, and each gets its own answer."""

import asyncio
import threading
from typing import Any

import pytest

from translator.inference import Candidate, Translation
from translator.serve.batcher import Batcher


class Model:
    """Answers a text with itself in capitals, one batch at a time, once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.batches: list[tuple[list[str], int]] = []

    def __call__(self, texts: list[str], n_best: int) -> list[Translation]:
        self.batches.append((texts, n_best))
        assert self.go.wait(20)
        if "broken" in texts:
            raise ValueError("broken")
        return [Translation(text.upper(), 0.0, (Candidate(text.upper(), 0.0),), 1) for text in texts]


def together(*requests: Any, batch_size: int) -> tuple[list[Any], list[tuple[list[str], int]]]:
    """The answers to requests, `(texts, n_best)`, that wait behind a first one, and the batches after it."""

    async def ask() -> list[Any]:
        batcher.start()
        first = asyncio.create_task(batcher.translate(["first"]))
        while not model.batches:
            await asyncio.sleep(0)
        others = [asyncio.create_task(batcher.translate(texts, n_best=n)) for texts, n in requests]
        await asyncio.sleep(0)
        model.go.set()
        found = await asyncio.gather(*others, return_exceptions=True)
        assert [one.text for one in await first] == ["FIRST"]
        await batcher.stop()
        return [
            one if isinstance(one, Exception) else [translation.text for translation in one] for one in found
        ]

    model = Model()
    batcher = Batcher(model, batch_size=batch_size)
    return asyncio.run(ask()), model.batches[1:]


def test_what_waits_is_translated_together_and_answered_apart() -> None:
    found, batches = together((["a"], 1), (["b", "c"], 1), ([], 1), (["d"], 1), batch_size=8)
    assert found == [["A"], ["B", "C"], [], ["D"]]
    assert [sorted(texts) for texts, _ in batches] == [["a", "b", "c", "d"]]


def test_with_a_batch_size_of_one_each_is_translated_by_itself() -> None:
    _, batches = together((["a"], 1), (["b", "c"], 1), batch_size=1)
    assert [len(texts) for texts, _ in batches] == [1, 1, 1]


def test_a_long_request_does_not_keep_a_short_one_waiting() -> None:
    found, batches = together(([f"long {i}" for i in range(10)], 1), (["short"], 1), batch_size=2)
    assert found[0] == [f"LONG {i}" for i in range(10)]
    assert "short" in batches[0][0]


def test_only_requests_for_as_many_candidates_are_put_together() -> None:
    _, batches = together((["a"], 1), (["b"], 3), (["c"], 1), batch_size=8)
    assert batches == [(["a", "c"], 1), (["b"], 3)]


def test_an_error_is_told_to_those_it_concerns_and_work_goes_on() -> None:
    found, _ = together((["broken"], 1), (["b"], 1), batch_size=1)
    assert isinstance(found[0], ValueError)
    assert found[1] == ["B"]


def test_what_is_given_up_while_it_waits_is_not_computed() -> None:
    async def ask() -> None:
        batcher.start()
        first = asyncio.create_task(batcher.translate(["first"]))
        while not model.batches:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(batcher.translate(["given up"]))
        await asyncio.sleep(0)
        assert batcher.n_waiting() == 1
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        model.go.set()
        await first
        assert [one.text for one in await batcher.translate(["after"])] == ["AFTER"]
        await batcher.stop()

    model = Model()
    batcher = Batcher(model, batch_size=8)
    asyncio.run(ask())
    assert [texts for texts, _ in model.batches] == [["first"], ["after"]]


def test_stopping_finishes_what_was_begun() -> None:
    async def ask() -> list[Translation]:
        batcher.start()
        job = asyncio.create_task(batcher.run(lambda: model(["last"], 1)))
        while not model.batches:
            await asyncio.sleep(0)
        stopping = asyncio.create_task(batcher.stop())
        await asyncio.sleep(0)
        model.go.set()
        await stopping
        return await job

    model = Model()
    batcher = Batcher(model, batch_size=8)
    assert [one.text for one in asyncio.run(ask())] == ["LAST"]
