"""The optimiser of a run: AdamW alone, or Muon for the weights of linear layers and AdamW for the rest."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from translator.config import TrainConfig
from translator.training.muon import Muon


def build_optimizer(
    module: nn.Module,
    train: TrainConfig,
    *,
    fused: bool,
    product_dtype: torch.dtype,
    map_function: Callable[..., Iterable[None]],
) -> torch.optim.Optimizer:
    """Return the configured optimiser. Weight decay applies to matrices, not to biases and norms.

    Args:
        module: the module to train.
        train: configuration of the training.
        fused: whether AdamW runs as one fused kernel.
        product_dtype: dtype of Muon's matrix products.
        map_function: `map`, or a parallel version of it for Muon's batches of matrices.
    """
    linear = [part.weight for part in module.modules() if isinstance(part, nn.Linear)]
    muon_params = linear if train.optimizer == "muon" else []
    adamw_params = [p for p in module.parameters() if all(p is not matrix for matrix in muon_params)]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in adamw_params if p.dim() > 1], "weight_decay": train.weight_decay},
        {"params": [p for p in adamw_params if p.dim() <= 1], "weight_decay": 0.0},
    ]
    options: dict[str, Any] = {"lr": train.learning_rate, "betas": train.adam_betas, "fused": fused}
    if not muon_params:
        return torch.optim.AdamW(groups, **options)
    options["weight_decay"] = train.weight_decay
    return Muon(muon_params, groups, map_function=map_function, product_dtype=product_dtype, **options)
