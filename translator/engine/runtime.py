"""The device of a model, CPU features and threads."""

import torch
from torch import nn


def multiplies_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions. Without them, bfloat16 products are very slow."""
    return _has_any({"avx512_bf16", "amx_bf16"})


def _has_any(features: set[str]) -> bool:
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)  # missing in some builds of torch
    return any(value and name in features for name, value in get_capabilities().items())


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights."""
    return next(model.parameters()).device


def use_threads(n_threads: int) -> None:
    """Set the number of threads that torch uses for each operation of the calling thread.

    The first use of torch in a new thread sets this number to the process-wide default. The function
    therefore uses torch once before it sets the number. Otherwise, the default would replace it later.
    """
    torch.get_num_threads()
    torch.set_num_threads(n_threads)
