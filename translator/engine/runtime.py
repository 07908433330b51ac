"""The machine and the process: CPU features, memory allocation and threads."""

import ctypes
import os
import sys

import torch
from torch import nn

# Parameters of `mallopt`, from glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def multiplies_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions. Without them, bfloat16 products are very slow."""
    return _has_any({"avx512_bf16", "amx_bf16"})


def _has_any(features: set[str]) -> bool:
    get_capabilities = getattr(torch.cpu, "get_capabilities", dict)  # missing in some builds of torch
    return any(value and name in features for name, value in get_capabilities().items())


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights."""
    return next(model.parameters()).device


def tune_malloc() -> bool:
    """Make malloc reuse freed blocks instead of mapping new pages for each tensor.

    For every new page, the operating system handles a page fault and zeroes the page. When a small model is
    trained, this takes much of the time. The drawback of reusing blocks is that the process keeps its
    peak memory until it exits.

    Returns:
        Whether malloc was configured, which is possible only on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    unlimited = 2**31 - 1
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, unlimited) and mallopt(_M_TOP_PAD, 2**26)
    )


def cap_onednn_cache() -> None:
    """Limit oneDNN's cache to 256 compiled kernels, because the default of 1024 needs too much memory.

    Each shape of a bfloat16 product has its own kernel with its own scratch memory (docs/performance.md). If
    environment variables already set a limit, this limit is kept. The function must be called before the
    first matrix product.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    os.environ.setdefault("LRU_CACHE_CAPACITY", "256")  # read by ideep, a layer between PyTorch and oneDNN


def use_threads(n_threads: int) -> None:
    """Set the number of threads that torch uses for each operation of the calling thread.

    The first use of torch in a new thread sets this number to the process-wide default. The function
    therefore uses torch once before it sets the number. Otherwise, the default would replace it later.
    """
    torch.get_num_threads()
    torch.set_num_threads(n_threads)
