"""Data parallelism on one CPU: each batch is split into shards, one for each replica of the model.

Each replica runs on its own thread, and the replicas wait for each other once per step. The alternative would
be threads that share the work of every single operation. Such threads would wait for each other at the end of
each operation, thousands of times per step.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from translator.data.batching import Batch
from translator.engine.runtime import use_threads
from translator.engine.training import TrainingEngine

#: A function that returns two sums over a shard: the loss, whose gradients are computed, and a value that is
#: only reported.
ShardLoss = Callable[[TrainingEngine, Batch], tuple[Tensor, Tensor]]


class Replicas:
    """Training engines that share one model's weights, each with its own thread and gradients.

    With the same seed and the same number of replicas, gradients are bitwise reproducible, because they are
    always summed in the order of the shards, regardless of which thread finishes first.
    """

    def __init__(self, engine: TrainingEngine, *, n_replicas: int, threads_each: int = 1):
        """Start the threads.

        Args:
            engine: the engine that becomes the first replica. Its model receives the summed gradients.
            n_replicas: total number of replicas.
            threads_each: number of threads that torch uses for each operation of a replica.
        """
        self.engines = [engine, *(engine.replica() for _ in range(n_replicas - 1))]
        self._pool = ThreadPoolExecutor(
            n_replicas, thread_name_prefix="replica", initializer=partial(use_threads, threads_each)
        )

    def seed(self, seed: int) -> None:
        """Seed the dropout of all replicas except the first, which uses torch's global generator."""
        for number, engine in enumerate(self.engines[1:], 1):
            assert engine.rng.generator is not None
            engine.rng.generator.manual_seed(seed + number)

    def forward_backward(self, batch: Batch, loss: ShardLoss) -> tuple[Tensor, Tensor]:
        """Return the two values of `loss`, each summed over the shards of the batch.

        This method runs both the forward and the backward pass of every shard. A later call of `backward()`
        on the first value only adds the gradients that were computed here to those of the parameters.
        """
        shards = batch.shards(len(self.engines))  # a small batch has fewer shards than replicas
        model = self.engines[0].model
        for engine in self.engines[1:]:
            for parameter, weight in zip(engine.model.parameters(), model.parameters(), strict=True):
                parameter.data = weight.data  # because a callback may have replaced `weight.data`
        jobs = [
            self._pool.submit(_forward_backward, loss, *pair)
            for pair in zip(self.engines, shards, strict=False)
        ]
        losses, sums, gradients = zip(*(job.result() for job in jobs), strict=True)
        reductions = [
            self._pool.submit(_accumulate, [of_shard[i :: len(jobs)] for of_shard in gradients])
            for i in range(len(jobs))
        ]
        for reduction in reductions:
            reduction.result()
        trained = _trained(model)
        value: Tensor = _PrecomputedGradients.apply(torch.stack(losses).sum(), gradients[0], *trained)  # type: ignore[no-untyped-call]
        return value, torch.stack(sums).sum()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Apply a function to items in parallel, and return the results in the order of the items."""
        return self._pool.map(function, items)

    def close(self) -> None:
        """Stop the threads."""
        self._pool.shutdown()


def _forward_backward(
    loss: ShardLoss, engine: TrainingEngine, shard: Batch
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return both values of `loss`, and the gradients of the first value with respect to the parameters."""
    value, summed = loss(engine, shard)
    return value.detach(), summed.detach(), torch.autograd.grad(value, _trained(engine.model))


def _trained(model: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that are not frozen."""
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _accumulate(gradients: list[tuple[Tensor, ...]]) -> None:
    """Add the gradients of all other shards to those of the first shard, in place and in a fixed order.

    Args:
        gradients: one tuple per shard, with gradients of the same parameters in the same order.
    """
    for total, *addends in zip(*gradients, strict=True):
        for addend in addends:
            total += addend


class _PrecomputedGradients(torch.autograd.Function):
    """Copies a value, and attaches its precomputed gradients with respect to the weights to the copy."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor, ...], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor | None, ...]:
        # `ctx` must drop its reference, because autograd copies gradients that something else refers to.
        gradients, ctx.gradients = ctx.gradients, None
        return None, None, *(gradients if factors[0] == 1 else [g * factors[0] for g in gradients])
