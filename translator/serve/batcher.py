"""A queue that groups waiting texts into batches, and the threads that compute the batches."""

import asyncio
import heapq
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from translator.search.result import Result

Answer = TypeVar("Answer")

#: Minimum length, in tokens, of the longest part when the size of a batch is computed. A shorter part counts
#: as this long, because a search for it is not faster.
MIN_LENGTH = 8

#: Token ids of a part of a text. A part is a sentence or, if the sentence exceeds the model's maximum length,
#: a section of the sentence.
Ids = Sequence[int]


@dataclass
class _Request:
    """A request in the queue.

    Attributes:
        parts: the token ids of each part to translate.
        n_best: number of translations per part.
        answer: the future that receives the results once all parts are translated.
        n_started: number of parts that have been put into a batch.
        n_tokens: number of tokens of the parts that have been put into a batch, including end symbols.
        results: the results of the parts that have been translated so far, in the order of the parts.
    """

    parts: Sequence[Ids]
    n_best: int
    answer: asyncio.Future[list[Result]]
    n_started: int = 0
    n_tokens: int = 0
    results: list[Result] = field(default_factory=list)


class Batcher:
    """A fair queue in front of the model.

    While the model computes a batch, new requests wait. The next batch is then formed from parts of the
    waiting requests. Each part is taken from the request that has had the fewest tokens in batches so far.
    Because the number of tokens of a batch is limited, a long request is computed in several batches, and
    short requests overtake it. If the model is idle, it starts on a new request at once. A request that was
    cancelled, because of a timeout or a closed connection, is skipped.
    """

    def __init__(
        self,
        search: Callable[[list[Ids], int], list[Result]],
        *,
        batch_tokens: int,
        beam_size: int = 1,
        observe: Callable[[int], None] = lambda n_parts: None,
    ):
        """Create a batcher. It forms no batches until `start` is called.

        Args:
            search: `(parts, n_best) -> results`, the function that computes a batch. It is called on a worker
                thread.
            batch_tokens: maximum number of tokens in a batch, counted as the number of parts times the length
                of the longest part, including the end symbol. A part that is longer than the maximum forms a
                batch alone.
            beam_size: the beam size, unless the `n_best` of a request is larger. In that case, `n_best` is
                the beam size for this request, and the maximum number of tokens in its batches is reduced in
                proportion.
            observe: function that is called for each batch with the number of parts in the batch.
        """
        self._search, self._batch_tokens, self._observe = search, batch_tokens, observe
        self._beam_size = beam_size
        self._requests: list[_Request] = []
        self._waiting = asyncio.Event()
        self._searches = ThreadPoolExecutor(1, thread_name_prefix="translate")
        self._other_work = ThreadPoolExecutor(1, thread_name_prefix="other-work")
        self._started: dict[ThreadPoolExecutor, float] = {}
        self._worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start the task that forms batches. This method must be called while an event loop is running."""
        self._worker = asyncio.get_running_loop().create_task(self._work())

    async def stop(self) -> None:
        """Finish the computations in progress, then stop. Parts that are still waiting are not translated."""
        if self._worker is not None:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for executor in (self._searches, self._other_work):
            await asyncio.to_thread(executor.shutdown, cancel_futures=True)

    async def search(self, parts: Sequence[Ids], *, n_best: int = 1) -> list[Result]:
        """Translate the parts of one request, and return one result for each part, in order."""
        if not parts:
            return []
        request = _Request(parts, n_best, asyncio.get_running_loop().create_future())
        self._requests.append(request)
        self._waiting.set()
        return await request.answer

    async def run(self, function: Callable[[], Answer]) -> Answer:
        """Run a computation that is not a batch, and return its result.

        These computations have a thread of their own: they run one at a time, but do not wait for batches.
        """
        return await self._compute(self._other_work, function)

    def n_waiting(self) -> int:
        """Return the number of parts that have not been put into a batch."""
        return sum(len(request.parts) - request.n_started for request in self._requests)

    @property
    def is_working(self) -> bool:
        """Whether a request is waiting, or a batch or another computation is in progress."""
        return bool(self._requests or self._started)

    @property
    def has_ended(self) -> bool:
        """Whether the task that forms batches has ended or has not been started."""
        return self._worker is None or self._worker.done()

    def seconds_busy(self) -> float:
        """Return how many seconds ago the oldest computation in progress started; 0 if there is none."""
        now = time.monotonic()
        return now - min([now, *self._started.values()])

    async def _compute(self, executor: ThreadPoolExecutor, function: Callable[[], Answer]) -> Answer:
        def timed() -> Answer:
            self._started[executor] = time.monotonic()
            try:
                return function()
            finally:
                del self._started[executor]

        return await asyncio.get_running_loop().run_in_executor(executor, timed)

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
                results = await self._compute(self._searches, partial(self._search, parts, n_best))
            except Exception as error:  # every request of this batch receives the error
                for request, _ in batch:
                    if not request.answer.done():
                        request.answer.set_exception(error)
                continue
            for (request, _), result in zip(batch, results, strict=True):
                request.results.append(result)
                if len(request.results) == len(request.parts) and not request.answer.done():
                    request.answer.set_result(request.results)

    def _next_batch(self) -> list[tuple[_Request, Ids]]:
        """Remove the parts of the next batch from the queue, and return each part with its request.

        All requests in a batch have the same `n_best`: that of the request with the fewest tokens so far.
        """
        self._requests = [r for r in self._requests if not r.answer.done() and r.n_started < len(r.parts)]
        if not self._requests:
            return []
        n_best = min(self._requests, key=lambda request: request.n_tokens).n_best
        max_tokens = self._batch_tokens * self._beam_size // max(self._beam_size, n_best)
        heap = [(r.n_tokens, i) for i, r in enumerate(self._requests) if r.n_best == n_best]
        heapq.heapify(heap)
        batch: list[tuple[_Request, Ids]] = []
        longest = MIN_LENGTH
        while heap:
            _, i = heap[0]
            request = self._requests[i]
            part = request.parts[request.n_started]
            longest = max(longest, len(part) + 1)
            if batch and longest * (len(batch) + 1) > max_tokens:
                break
            batch.append((request, part))
            request.n_started += 1
            request.n_tokens += len(part) + 1
            if request.n_started < len(request.parts):
                heapq.heapreplace(heap, (request.n_tokens, i))
            else:
                heapq.heappop(heap)
        return batch
