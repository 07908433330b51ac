"""What a process keeps for its next step: memory that was freed, but few of the kernels compiled."""

import ctypes
import os
import sys

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large blocks instead of mapping fresh pages for each tensor.

    A fresh page costs a fault and is zeroed: training at width 128 spends a third of its time there (1.46
    against 0.97 s a step of 3,000 tokens, 1 thread). The process keeps its peak memory until it ends.

    Returns:
        Whether it was done; elsewhere than on Linux with glibc, nothing changes.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    largest = 2**31 - 1
    return bool(
        mallopt(_M_MMAP_MAX, 0) and mallopt(_M_TRIM_THRESHOLD, largest) and mallopt(_M_TOP_PAD, 2**26)
    )


def keep_few_kernels() -> None:
    """Let PyTorch's oneDNN keep 256 compiled kernels, not 1024, twice over; call it before the first product.

    Each shape of a bfloat16 product has its own, with its working memory: 400 shapes of (n, 512) × (512, 512)
    take 260 MB. 40 batches of the benchmark have 143 shapes (`unpadding.round_number`).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")  # oneDNN's own
    os.environ.setdefault("LRU_CACHE_CAPACITY", "256")  # that of ideep, between PyTorch and oneDNN
