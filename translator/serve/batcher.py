"""What waits is translated together, in slices, on one thread; a second thread does the rest."""

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from translator.search import Result

Answer = TypeVar("Answer")

#: Tokens that the shortest part counts as: its search takes no fewer steps.
SHORTEST = 8

#: Token ids of a sentence, or of a part of one that is longer than the model takes.
Ids = Sequence[int]


@dataclass
class _Request:
    """The parts of one request, how many are begun and what they cost, and what was found so far."""

    parts: Sequence[Ids]
    n_best: int
    answer: asyncio.Future[list[Result]]
    n_begun: int = 0
    n_tokens: int = 0
    results: list[Result] = field(default_factory=list)


class Batcher:
    """A queue before the model.

    While the model computes a batch, what comes in waits; then a batch is made of it. The request that has
    had the fewest tokens computed is served next, part by part, and a batch ends at a number of tokens, so a
    long request is worked on in short slices and short ones overtake it. Nothing waits while the model is
    free. What nobody waits for any more (time, a closed connection) is left out.
    """

    def __init__(
        self,
        search: Callable[[list[Ids], int], list[Result]],
        *,
        batch_tokens: int,
        beam_size: int = 1,
        observe: Callable[[int], None] = lambda n_parts: None,
    ):
        """Take the model's function over, `(parts, n_best) -> results`, to be called on the thread.

        Args:
            search: what computes.
            batch_tokens: tokens of a batch, its parts times the longest of them, with its end symbol. A part
                that is longer is a batch by itself.
            beam_size: hypotheses of a search; where more are wanted, fewer tokens go into a batch.
            observe: told the parts of each batch.
        """
        self._search, self._batch_tokens, self._observe = search, batch_tokens, observe
        self._beam_size = beam_size
        self._requests: list[_Request] = []
        self._waiting = asyncio.Event()
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._others = ThreadPoolExecutor(1, thread_name_prefix="others")
        self._began: dict[ThreadPoolExecutor, float] = {}
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work, in the running event loop."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Finish what is being computed, and end."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for thread in (self._searches, self._others):
            await asyncio.to_thread(thread.shutdown, cancel_futures=True)

    async def search(self, parts: Sequence[Ids], *, n_best: int = 1) -> list[Result]:
        """Search for the translations of the parts of one request; one result each, in order."""
        if not parts:
            return []
        request = _Request(parts, n_best, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._waiting.set()
        return await request.answer

    async def run(self, function: Callable[[], Answer]) -> Answer:
        """Compute something else with the model, beside the batches and one after another."""
        return await self._compute(self._others, function)

    def n_waiting(self) -> int:
        """Return how many parts wait."""
        return sum(len(request.parts) - request.n_begun for request in self._requests)

    @property
    def is_working(self) -> bool:
        """Whether parts wait or the model computes."""
        return bool(self._requests or self._began)

    @property
    def has_ended(self) -> bool:
        """Whether nothing that waits will ever be computed."""
        return self._worker is None or self._worker.done()

    def seconds_busy(self) -> float:
        """Return how long the model has been computing the same slice; 0 where it computes nothing."""
        now = time.monotonic()
        return now - min([now, *self._began.values()])

    async def _compute(self, thread: ThreadPoolExecutor, function: Callable[[], Answer]) -> Answer:
        def timed() -> Answer:
            self._began[thread] = time.monotonic()
            try:
                return function()
            finally:
                del self._began[thread]

        return await asyncio.get_running_loop().run_in_executor(thread, timed)

    async def _work(self) -> None:
        while True:
            await self._waiting.wait()
            batch = self._next_batch()
            if not batch:
                self._waiting.clear()
                continue
            self._observe(len(batch))
            parts, n_best = [part for _, part in batch], batch[0][0].n_best
            try:
                found = await self._compute(self._searches, partial(self._search, parts, n_best))
            except Exception as error:  # whatever it is, it is theirs whose parts these are
                for request, _ in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                continue
            for (request, _), result in zip(batch, found, strict=True):
                request.results.append(result)
                if len(request.results) == len(request.parts) and not request.answer.done():
                    request.answer.set_result(request.results)

    def _next_batch(self) -> list[tuple[_Request, Ids]]:
        """Parts to be searched together, all with the `n_best` of the request that is served first."""
        self._requests = [
            one for one in self._requests if not one.answer.done() and one.n_begun < len(one.parts)
        ]
        if not self._requests:
            return []
        n_best = min(self._requests, key=lambda request: request.n_tokens).n_best
        most = self._batch_tokens * self._beam_size // max(self._beam_size, n_best)
        heap = [(one.n_tokens, i) for i, one in enumerate(self._requests) if one.n_best == n_best]
        heapq.heapify(heap)
        batch: list[tuple[_Request, Ids]] = []
        longest = SHORTEST
        while heap:
            _, i = heap[0]
            request = self._requests[i]
            part = request.parts[request.n_begun]
            longest = max(longest, len(part) + 1)
            if batch and longest * (len(batch) + 1) > most:
                break
            batch.append((request, part))
            request.n_begun += 1
            request.n_tokens += len(part) + 1
            if request.n_begun < len(request.parts):
                heapq.heapreplace(heap, (request.n_tokens, i))
            else:
                heapq.heappop(heap)
        return batch
