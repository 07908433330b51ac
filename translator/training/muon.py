"""Muon: steps along the nearest orthogonal matrix to a matrix's averaged gradient.

Where Adam scales each number of a gradient by itself, Muon makes all directions of a matrix count alike, also
those in which its gradients are small. Sources: Jordan et al. 2024 (Muon); Liu et al. 2025, "Muon is
scalable for LLM training" (the length of its steps, so that one learning rate serves both); Amsel et al.
2025, "The Polar Express" (the polynomials).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

#: Coefficients (a, b, c) of x ↦ a x + b x³ + c x⁵, one after another: the source's first three. They take
#: singular values between 0.0015 and 1 to between 0.2 and 1.9. Training learns as much from a step as with
#: five of Jordan's (validation loss after 600 steps 3.304 and 3.303), which take 1.7 times as long.
POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
)
#: Matrices of a shape that are multiplied together in bfloat16: those of a model 128 wide, 4 + 4 layers, take
#: 19 ms so and 35 one by one, 34 in float32; 256 wide, 3 + 3 layers, 57, 55 and 116 (two threads of an Intel
#: Xeon with AMX). In float32 nothing is gained by it.
LOT = 8
#: Weight of the past in the average of gradients.
MOMENTUM = 0.95
#: Root mean square of a step, in units of the learning rate. Liu et al. (section 2.2) take 0.2, as long as
#: AdamW's; but the embedding, which stays AdamW's, wants twice the rate that the matrices do: validation loss
#: after 600 steps is 3.101 with 0.1 at a rate of 0.008; with 0.2 there 3.252, at 0.005 3.215, at 0.003 3.304.
STEP = 0.1


class Muon(torch.optim.AdamW):
    """Muon for some matrices, AdamW for all other parameters, as one optimiser.

    A step uses the gradients of Muon's matrices up: they are None afterwards.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[dict[str, Any]],
        *,
        each: Callable[..., Iterable[None]] = map,
        products: torch.dtype = torch.float32,
        **options: Any,
    ):
        """Take parameters to train.

        Args:
            matrices: for Muon, in two dimensions.
            others: AdamW's groups of parameters.
            each: applies a function to each lot of Muon's matrices, as `map` does or on several threads.
            products: dtype that Muon multiplies in.
            options: AdamW's; Muon takes its learning rate and weight decay from there.
        """
        self.each, self.products = each, products
        super().__init__([{"params": list(matrices), "muon": True}, *others], **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; return what `closure`, which computes the gradients, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("muon"):
                move = partial(self._move, rate=group["lr"], decay=group["weight_decay"])
                list(self.each(move, self._lots(group["params"])))
        super().step()  # which passes over what has no gradient
        return loss

    def _lots(self, matrices: list[Tensor]) -> list[list[Tensor]]:
        """Those with a gradient, by shape, few of one shape at a time."""
        by_shape = defaultdict(list)
        for matrix in matrices:
            if matrix.grad is not None:
                by_shape[matrix.shape].append(matrix)
        most = 1 if self.products == torch.float32 else LOT
        return [same[at : at + most] for same in by_shape.values() for at in range(0, len(same), most)]

    @torch.no_grad()  # once more: threads do not share it
    def _move(self, matrices: list[Tensor], rate: float, decay: float) -> None:
        updates = []
        for matrix in matrices:
            gradient, matrix.grad = matrix.grad, None
            assert gradient is not None
            state = self.state[matrix]
            if not state:
                state["step"] = torch.tensor(0.0)  # AdamW looks for it when a checkpoint is loaded
                state["average"] = torch.zeros_like(gradient)
            state["step"] += 1
            average = state["average"].lerp_(gradient, 1 - MOMENTUM)
            updates.append(gradient.lerp(average, MOMENTUM))  # Nesterov's momentum
        length = rate * STEP * max(matrices[0].shape) ** 0.5
        for matrix, update in zip(matrices, orthogonal(torch.stack(updates), self.products), strict=True):
            matrix.mul_(1 - rate * decay).add_(update, alpha=-length)


def orthogonal(matrices: Tensor, products: torch.dtype) -> Tensor:
    """Return about U · Vᵀ of each matrix U · S · Vᵀ, by products alone (Newton–Schulz).

    Args:
        matrices: (M, N, K) float.
        products: their dtype, and that of the result.

    Returns:
        (M, N, K).
    """
    is_tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if is_tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(products)
    for a, b, c in POLYNOMIALS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
