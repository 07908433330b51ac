"""Data parallelism on one CPU: replicas of a model, one thread each, trained on shards of every batch.

Two threads that run whole layers on half of the rows each keep two cores busy; two that share every operation
wait for each other at its end, thousands of times a step.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor

from translator.data.batching import Batch
from translator.engine.runtime import use_threads
from translator.engine.training import TrainingEngine

#: The loss of a shard, which has the gradient, and a further sum to report.
ShardLoss = Callable[[TrainingEngine, Batch], tuple[Tensor, Tensor]]


class Replicas:
    """Engines that share one model's weights; each thread computes gradients of its own.

    Invariant: for the same seed and number of replicas, gradients are the same to the last bit; they are
    summed in the order of the shards, whichever thread finishes first.
    """

    def __init__(self, engine: TrainingEngine, *, n_replicas: int, threads_each: int = 1):
        """Start the threads.

        Args:
            engine: of the model that takes the gradients; it is the first replica.
            n_replicas: how many there are.
            threads_each: for the operations of each replica.
        """
        self.engines = [engine, *(engine.replica() for _ in range(n_replicas - 1))]
        self._pool = ThreadPoolExecutor(
            n_replicas, thread_name_prefix="replica", initializer=partial(use_threads, threads_each)
        )

    def seed(self, seed: int) -> None:
        """Seed the dropout of all replicas but the first, which draws from torch's global generator."""
        for number, engine in enumerate(self.engines[1:], 1):
            assert engine.rng.generator is not None
            engine.rng.generator.manual_seed(seed + number)

    def forward_backward(self, batch: Batch, loss: ShardLoss) -> tuple[Tensor, Tensor]:
        """Return the sums over the shards of a batch of what `loss` returns.

        Each replica runs forward and backward over its shard before they meet; `backward()` on the result
        only delivers gradients already computed.
        """
        shards = batch.shards(len(self.engines))  # fewer if there are fewer rows
        shared = list(self.engines[0].model.parameters())
        for engine in self.engines[1:]:
            for own, weight in zip(engine.model.parameters(), shared, strict=True):
                own.data = weight.data  # a callback may have replaced it
        jobs = [
            self._pool.submit(_forward_backward, loss, *pair)
            for pair in zip(self.engines, shards, strict=False)
        ]
        losses, others, gradients = zip(*(job.result() for job in jobs), strict=True)
        sums = [
            self._pool.submit(_accumulate, [own[i :: len(jobs)] for own in gradients])
            for i in range(len(jobs))
        ]
        for job in sums:
            job.result()
        value: Tensor = _PrecomputedGradients.apply(torch.stack(losses).sum(), gradients[0], *shared)  # type: ignore[no-untyped-call]
        return value, torch.stack(others).sum()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Apply a function to items in parallel; results in order."""
        return self._pool.map(function, items)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _forward_backward(
    loss: ShardLoss, engine: TrainingEngine, shard: Batch
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Both values of `loss`, and the gradient of the first for each parameter."""
    value, other = loss(engine, shard)
    return value.detach(), other.detach(), torch.autograd.grad(value, list(engine.model.parameters()))


def _accumulate(gradients: list[tuple[Tensor, ...]]) -> None:
    """Add all replicas' gradients of some parameters to the first replica's, in order."""
    for total, *others in zip(*gradients, strict=True):
        for other in others:
            total += other


class _PrecomputedGradients(torch.autograd.Function):
    """A value whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor, ...], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor | None, ...]:
        known, ctx.gradients = ctx.gradients, None  # released, so that they need not be copied
        return None, None, *(known if factors[0] == 1 else [own * factors[0] for own in known])
