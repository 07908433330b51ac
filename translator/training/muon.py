"""Muon: an optimiser that orthogonalises the averaged gradient of each matrix.

Adam scales each value of a gradient separately. Muon instead gives equal weight to all singular
directions of a gradient, including those in which the gradient is small. Sources: Jordan et al. 2024 (Muon);
Liu et al. 2025, "Muon is scalable for LLM training" (the step size with which Muon and AdamW can share one
learning rate); Amsel et al. 2025, "The Polar Express" (polynomials).
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Tensor

#: Coefficients (a, b, c) of polynomials a x + b x³ + c x⁵, which are applied one after another. They are the
#: first three of Amsel et al. Together, they map singular values between 0.0015 and 1 to values between 0.2
#: and 1.9. More than three polynomials do not improve the training.
POLYNOMIALS = (
    (8.28721201814563, -23.595886519098837, 17.300387312530933),
    (4.107059111542203, -2.9478499167379106, 0.5448431082926601),
    (3.9486908534822946, -2.908902115962949, 0.5518191394370137),
)
#: Maximum number of matrices of one shape that are multiplied as one batch in bfloat16. In wider
#: dtypes, matrices are multiplied one by one, because batches are no faster there.
BATCH_SIZE = 8
#: Decay of the moving average of gradients.
MOMENTUM = 0.95
#: Root mean square of the change of a matrix in one step, in units of the learning rate. Liu et al. (section
#: 2.2) use 0.2 to match AdamW. This program uses half of that, because the embedding, which AdamW trains,
#: needs twice the learning rate of the matrices (docs/performance.md).
STEP = 0.1


class Muon(torch.optim.AdamW):
    """Muon for some matrices and AdamW for all other parameters, as one optimiser.

    After a step, the gradients of Muon's matrices are None.
    """

    def __init__(
        self,
        matrices: Iterable[Tensor],
        others: Iterable[dict[str, Any]],
        *,
        map_function: Callable[..., Iterable[None]] = map,
        product_dtype: torch.dtype = torch.float32,
        **options: Any,
    ):
        """Create an optimiser.

        Args:
            matrices: two-dimensional parameters, trained by Muon.
            others: parameter groups, trained by AdamW.
            map_function: `map`, or a parallel version of it for Muon's batches of matrices.
            product_dtype: dtype of Muon's matrix products.
            options: AdamW's options. Muon also uses two of them, the learning rate and the weight decay.
        """
        self.map_function, self.product_dtype = map_function, product_dtype
        super().__init__([{"params": list(matrices), "muon": True}, *others], **options)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step and return the loss that `closure` returns, as in every torch optimiser."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            if group.get("muon"):
                update = partial(self._update, rate=group["lr"], decay=group["weight_decay"])
                list(self.map_function(update, self._batches(group["params"])))
        super().step()  # skips Muon's matrices, whose gradients are now None
        return loss

    def _batches(self, matrices: list[Tensor]) -> list[list[Tensor]]:
        """Group the matrices that have a gradient into batches of matrices of the same shape."""
        by_shape = defaultdict(list)
        for matrix in matrices:
            if matrix.grad is not None:
                by_shape[matrix.shape].append(matrix)
        n = BATCH_SIZE if self.product_dtype == torch.bfloat16 else 1
        return [same[start : start + n] for same in by_shape.values() for start in range(0, len(same), n)]

    @torch.no_grad()  # needed here, too: gradient mode is thread-local, and this may run in another thread
    def _update(self, matrices: list[Tensor], rate: float, decay: float) -> None:
        updates = []
        for matrix in matrices:
            gradient, matrix.grad = matrix.grad, None
            assert gradient is not None
            state = self.state[matrix]
            if not state:
                state["step"] = torch.tensor(0.0)  # AdamW expects this key when a checkpoint is loaded
                state["average"] = torch.zeros_like(gradient)
            state["step"] += 1
            average = state["average"].lerp_(gradient, 1 - MOMENTUM)
            updates.append(gradient.lerp(average, MOMENTUM))  # Nesterov's momentum
        length = rate * STEP * max(matrices[0].shape) ** 0.5
        steps = orthogonalize(torch.stack(updates), self.product_dtype)
        for matrix, step in zip(matrices, steps, strict=True):
            matrix.mul_(1 - rate * decay).add_(step, alpha=-length)


def orthogonalize(matrices: Tensor, dtype: torch.dtype) -> Tensor:
    """Return approximately U · Vᵀ for each matrix with the singular value decomposition U · S · Vᵀ.

    The method is Newton–Schulz iteration with `POLYNOMIALS`.

    Args:
        matrices: a batch of matrices, (batch, rows, columns) float.
        dtype: dtype of the matrix products and of the result.

    Returns:
        A batch of the same shape as `matrices`.
    """
    is_tall = matrices.size(1) > matrices.size(2)
    x = matrices.mT if is_tall else matrices
    x = (x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)).to(dtype)
    for a, b, c in POLYNOMIALS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x
