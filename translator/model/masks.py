"""Boolean attention masks: True where a key may be attended to, as in `scaled_dot_product_attention`."""

import warnings

import torch
from torch import Tensor

from translator.symbols import PAD


def padding_mask(ids: Tensor) -> Tensor:
    """Return a mask that hides padding from all queries: (B, K) ids → (B, 1, 1, K) bool."""
    return (ids != PAD)[:, None, None, :]


def causal_mask(length: int, *, device: torch.device | str | None = None) -> Tensor:
    """Return a mask that hides the keys after each query's own position: (1, 1, length, length) bool."""
    return torch.ones(length, length, dtype=torch.bool, device=device).tril()[None, None]


def __getattr__(name: str) -> object:
    if name in ("padding_keep", "causal_keep"):
        warnings.warn(f"{name} is now called {name[:-4]}mask", FutureWarning, stacklevel=2)
        return globals()[f"{name[:-4]}mask"]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
