"""Requests that wait are translated together, on one thread that alone uses the model."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from translator.inference import Translation

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Job:
    text: str
    n_best: int
    answer: asyncio.Future[Translation]


class Batcher:
    """A queue before the model.

    While the model computes a batch, what comes in waits; then a batch is made of it, a text of each request
    in turn, so that a long request does not keep short ones waiting. Nothing waits while the model is free.
    Texts whose request was given up (time, a closed connection) are left out.
    """

    def __init__(
        self,
        translate: Callable[[list[str], int], list[Translation]],
        *,
        batch_size: int,
        observe: Callable[[int], None] = lambda n_texts: None,
    ):
        """Take the model's function over, `(texts, n_best) -> translations`, to be called on the thread.

        Args:
            translate: what computes.
            batch_size: texts that are translated together.
            observe: told the size of each batch.
        """
        self._translate, self._batch_size, self._observe = translate, batch_size, observe
        self._requests: deque[deque[_Job]] = deque()
        self._waiting = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Finish what is being computed, and end."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        await asyncio.to_thread(self._thread.shutdown)

    async def translate(self, texts: Sequence[str], *, n_best: int = 1) -> list[Translation]:
        """Translate the texts of one request; one answer a text, in order."""
        loop = asyncio.get_running_loop()
        jobs = [_Job(text, n_best, loop.create_future()) for text in texts]
        if jobs:
            self._requests.append(deque(jobs))
            self._waiting.set()
        return list(await asyncio.gather(*(job.answer for job in jobs)))

    async def run(self, function: Callable[[], Answer]) -> Answer:
        """Compute something else with the model, between two batches."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)

    def n_waiting(self) -> int:
        """Return how many texts wait."""
        return sum(map(len, self._requests))

    async def _work(self) -> None:
        while True:
            await self._waiting.wait()
            batch = self._next_batch()
            if not batch:
                self._waiting.clear()
                continue
            self._observe(len(batch))
            texts, n_best = [job.text for job in batch], batch[0].n_best
            try:
                found = await self.run(partial(self._translate, texts, n_best))
            except Exception as error:  # whatever it is, it is theirs whose texts these are
                for job in batch:
                    if not job.answer.done():
                        job.answer.set_exception(error)
                continue
            for job, translation in zip(batch, found, strict=True):
                if not job.answer.done():
                    job.answer.set_result(translation)

    def _next_batch(self) -> list[_Job]:
        """A text of each request in turn, all with the `n_best` of the first."""
        batch: list[_Job] = []
        others: deque[deque[_Job]] = deque()
        while self._requests and len(batch) < self._batch_size:
            request = self._requests.popleft()
            while request and request[0].answer.done():  # given up
                request.popleft()
            if not request:
                continue
            if batch and request[0].n_best != batch[0].n_best:
                others.append(request)
                continue
            batch.append(request.popleft())
            self._requests.append(request)
        self._requests = others + self._requests
        return batch
