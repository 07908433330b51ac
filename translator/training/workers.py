"""Threads that each train on a share of every batch, the way several devices would, on one CPU.

Two threads that run whole layers on half of the rows each keep two cores at work; two that share every
operation wait for each other at its end, thousands of times a step.
"""

import copy
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from translator.data.batching import Batch
from translator.model.dropout import Dropout

#: What a worker computes of its share: the loss to go back from, and further sums to report.
ShareLoss = Callable[[nn.Module, Batch], tuple[Tensor, Tensor]]


class Workers:
    """One model trained by several threads: the weights are common, each thread has its own gradients.

    Invariant: for the same seed and number of workers, the gradients are the same to the last bit; they are
    summed in the order of the shares, whichever thread is ready first.
    """

    def __init__(self, model: nn.Module, *, n_workers: int, threads_each: int = 1):
        """Start the threads.

        Args:
            model: takes the gradients; trained by the first worker.
            n_workers: how many there are.
            threads_each: for each worker's own operations.
        """
        self.models = [model, *(_twin(model) for _ in range(n_workers - 1))]
        self._pool = ThreadPoolExecutor(
            n_workers, thread_name_prefix="worker", initializer=partial(torch.set_num_threads, threads_each)
        )

    def seed(self, seed: int) -> None:
        """Seed the dropout of all workers but the first, which draws from torch's global generator."""
        for number, model in enumerate(self.models[1:], 1):
            for part in model.modules():
                if isinstance(part, Dropout) and part.generator is not None:
                    part.generator.manual_seed(seed + number)
                    break  # all dropouts of a worker share one generator

    def loss(self, batch: Batch, loss: ShareLoss) -> tuple[Tensor, Tensor]:
        """Return the sums over the shares of a batch of what `loss` gives.

        Each worker goes forward and back through its share, so that none waits for another in between; going
        back from the sum only hands the gradients out.
        """
        shares = batch.shares(len(self.models))  # fewer where there are fewer rows
        for twin in self.models[1:]:
            for mine, common in zip(twin.parameters(), self.models[0].parameters(), strict=True):
                mine.data = common.data  # a callback may have replaced it
        jobs = [self._pool.submit(_go, loss, *pair) for pair in zip(self.models, shares, strict=False)]
        losses, others, gradients = zip(*(job.result() for job in jobs), strict=True)
        adding = [
            self._pool.submit(_add, [own[i :: len(jobs)] for own in gradients]) for i in range(len(jobs))
        ]
        for job in adding:
            job.result()
        value: Tensor = _Known.apply(torch.stack(losses).sum(), gradients[0], *self.models[0].parameters())  # type: ignore[no-untyped-call]
        return value, torch.stack(others).sum()

    def map(self, function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
        """Apply a function to each of some items, beside each other; the results in order."""
        return self._pool.map(function, items)

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _go(loss: ShareLoss, model: nn.Module, share: Batch) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Forward and back: both values of `loss`, and the gradient of the first by each weight."""
    value, other = loss(model, share)
    return value.detach(), other.detach(), torch.autograd.grad(value, list(model.parameters()))


def _add(gradients: list[tuple[Tensor, ...]]) -> None:
    """Add all workers' gradients of some weights to the first worker's, in order."""
    for common, *others in zip(*gradients, strict=True):
        for other in others:
            common += other


class _Known(torch.autograd.Function):
    """A value whose gradients are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: tuple[Tensor, ...], *weights: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *factors: Tensor) -> tuple[Tensor | None, ...]:
        known, ctx.gradients = ctx.gradients, None  # given away, they need not be copied
        return None, None, *(known if factors[0] == 1 else [own * factors[0] for own in known])


def _twin(model: nn.Module) -> nn.Module:
    """A model of the same weights, in the same memory, with gradients and random numbers of its own."""
    twin = copy.deepcopy(model)
    generator = torch.Generator()
    for part in twin.modules():
        if isinstance(part, Dropout):
            part.generator = generator
    return twin
