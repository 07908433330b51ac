"""Threads that each train on a share of every batch, the way several devices would, on one CPU.

Two threads that run whole layers on half of the rows each keep two cores at work; two that share every
operation wait for each other at its end, thousands of times a step.
"""

import copy
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

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

    def losses(self, batch: Batch, loss: ShareLoss) -> list[tuple[Tensor, Tensor]]:
        """Return what `loss` gives for each share of a batch; fewer where there are fewer rows."""
        shares = batch.shares(len(self.models))
        for twin in self.models[1:]:
            for mine, common in zip(twin.parameters(), self.models[0].parameters(), strict=True):
                mine.data = common.data  # a callback may have replaced it
        pairs = zip(self.models, shares, strict=False)
        return [done.result() for done in [self._pool.submit(loss, *pair) for pair in pairs]]

    def backward(self, loss: Tensor, share_losses: list[Tensor]) -> None:
        """Add the gradients of a loss, made of those of the shares, to the gradients of the model."""
        factors = torch.autograd.grad(loss, share_losses)
        pairs = zip(share_losses, factors, strict=True)
        for done in [self._pool.submit(_backward, *pair) for pair in pairs]:
            done.result()
        trained = self.models[: len(share_losses)]
        weights = [list(of_one) for of_one in zip(*(model.parameters() for model in trained), strict=True)]
        for done in [
            self._pool.submit(_add_gradients, weights[i :: len(trained)]) for i in range(len(trained))
        ]:
            done.result()

    def close(self) -> None:
        """End the threads."""
        self._pool.shutdown()


def _backward(loss: Tensor, factor: Tensor) -> None:
    loss.backward(factor)  # type: ignore[no-untyped-call]


def _add_gradients(weights: list[list[nn.Parameter]]) -> None:
    """Add, for each weight, the gradients of all workers to that of the first, in order."""
    for common, *others in weights:
        for other in others:
            if common.grad is not None and other.grad is not None:
                common.grad += other.grad
            other.grad = None


def _twin(model: nn.Module) -> nn.Module:
    """A model of the same weights, in the same memory, with gradients and random numbers of its own."""
    twin = copy.deepcopy(model)
    generator = torch.Generator()
    for part in twin.modules():
        if isinstance(part, Dropout):
            part.generator = generator
    return twin
