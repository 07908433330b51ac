"""Memory allocation of the process. This module does not import torch."""

import ctypes
import os
import sys

# Parameters of `mallopt`, from glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


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
