"""What the engines need to know of the machine, and change in the process: CPU, memory, threads."""

import ctypes
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Barrier
from typing import TypeVar

import torch
from torch import nn

Item = TypeVar("Item")
Answer = TypeVar("Answer")

# glibc's <malloc.h>
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4

#: Smallest useful chunk; the size beyond which every thread must get at least four chunks.
SMALL_CHUNK, MEDIUM_CHUNK = 16, 64


def multiplies_bfloat16() -> bool:
    """Whether the CPU has bfloat16 instructions; without them, products are 100 times slower."""
    return _has({"avx512_bf16", "amx_bf16"})


def multiplies_int8() -> bool:
    """Whether the CPU sums int8 products in 32 bits; without such instructions, first in pairs in 16 bits."""
    return _has({"avx512_vnni", "avx_vnni", "amx_int8"})


def _has(names: set[str]) -> bool:
    ask = getattr(torch.cpu, "get_capabilities", None)  # not in every build of torch
    return ask is not None and any(value and name in names for name, value in ask().items())


def device_of(model: nn.Module) -> torch.device:
    """Return the device of a model's weights."""
    return next(model.parameters()).device


def tune_malloc() -> bool:
    """Keep freed heap blocks instead of mapping fresh pages for each tensor.

    A fresh page costs a fault and is zeroed, a third of the time of training at width 128. The process keeps
    its peak memory until it ends.

    Returns:
        Whether it was done; nothing changes except on Linux with glibc.
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


def cap_onednn_cache() -> None:
    """Let oneDNN keep 256 compiled kernels instead of 1024; call it before the first product.

    Every shape of a bfloat16 product has its own kernel, each with its working memory (docs/performance.md).
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")  # oneDNN's own
    os.environ.setdefault("LRU_CACHE_CAPACITY", "256")  # that of ideep, between PyTorch and oneDNN


def parallel_map(function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """Apply a function to each item, on as many threads as torch may use here; results in order.

    Each item is computed on one thread: a step of decoding is too small to be shared by several.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        return [function(item) for item in items]
    jobs = [_single_threaded(n_threads).submit(function, item) for item in items]
    try:
        return [job.result() for job in jobs]
    finally:
        for job in jobs:
            job.cancel()  # those not begun, after an exception


@cache
def _single_threaded(n_threads: int) -> ThreadPoolExecutor:
    """Threads that each compute on one thread; they stay, since each compiles kernels of its own.

    `torch.set_num_threads` also sets what threads begun later start with, so it is set back at once.
    """
    pool = ThreadPoolExecutor(n_threads, "decoding", initializer=use_threads, initargs=(1,))
    all_started = Barrier(n_threads)
    for job in [pool.submit(all_started.wait) for _ in range(n_threads)]:
        job.result()
    torch.set_num_threads(n_threads)
    return pool


def use_threads(n_threads: int) -> None:
    """Let torch's operations in a new thread use so many threads.

    Torch reads the process-wide number at a thread's first operation, and would then undo what was set.
    """
    torch.get_num_threads()
    torch.set_num_threads(n_threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_single_threaded.cache_clear)  # a forked process has no such threads


def chunk_size(n_items: int, n_threads: int, *, most: int) -> int:
    """Return the size of chunks, at most `most`, that keeps all threads busy until the end.

    The first chunk is the slowest when the longest items come first, so there are several per thread.
    """
    each = -(-n_items // n_threads)
    return min(most, max(each // 4, min(each, MEDIUM_CHUNK), SMALL_CHUNK))
