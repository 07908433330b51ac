"""The machine and the process: CPU features, memory allocation and threads."""

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

# Parameters of `mallopt`, from glibc's <malloc.h>.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4

#: Bounds that `chunk_size` uses. Chunks smaller than `SMALL_CHUNK` would be inefficient. A thread with more
#: items than `MEDIUM_CHUNK` gets several chunks.
SMALL_CHUNK, MEDIUM_CHUNK = 16, 64


def multiplies_bfloat16() -> bool:
    """Return whether the CPU has bfloat16 instructions. Without them, bfloat16 products are very slow."""
    return _has_any({"avx512_bf16", "amx_bf16"})


def multiplies_int8() -> bool:
    """Return whether the CPU adds int8 products in 32 bits. Other CPUs first add pairs of them in 16 bits."""
    return _has_any({"avx512_vnni", "avx_vnni", "amx_int8"})


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


def parallel_map(function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """Apply a function to items in parallel, and return the results in the order of the items.

    `torch.get_num_threads()` items are processed at a time, each by a single thread, because the operations
    of a decoding step are too small to be split between threads.
    """
    n_threads = torch.get_num_threads()
    if n_threads == 1:
        return [function(item) for item in items]
    pool = _single_threaded(n_threads)
    jobs = [pool.submit(function, item) for item in items]
    try:
        return [job.result() for job in jobs]
    finally:
        for job in jobs:
            job.cancel()  # after an exception, this cancels the jobs that have not started


@cache
def _single_threaded(n_threads: int) -> ThreadPoolExecutor:
    """Return a pool of threads in which torch's operations are single-threaded.

    The pool is cached, because each new thread compiles its own kernels. When a thread of the pool calls
    `torch.set_num_threads`, this also changes the default for threads that the process starts later. The
    previous default is therefore restored as soon as all threads of the pool have started.
    """
    pool = ThreadPoolExecutor(n_threads, "decoding", initializer=use_threads, initargs=(1,))
    all_started = Barrier(n_threads)
    for job in [pool.submit(all_started.wait) for _ in range(n_threads)]:
        job.result()
    torch.set_num_threads(n_threads)
    return pool


def use_threads(n_threads: int) -> None:
    """Set the number of threads that torch uses for each operation of the calling thread.

    The first use of torch in a new thread sets this number to the process-wide default. The function
    therefore uses torch once before it sets the number. Otherwise, the default would replace it later.
    """
    torch.get_num_threads()
    torch.set_num_threads(n_threads)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_single_threaded.cache_clear)  # threads do not survive a fork


def chunk_size(n_items: int, n_threads: int, *, most: int) -> int:
    """Return a number of items per chunk, at most `most`, that keeps all threads busy until the end.

    The caller sorts the items, the longest first, so the first chunks take the most time. If there are many
    items, each thread gets several chunks, so that all threads finish at about the same time.
    """
    each = -(-n_items // n_threads)
    return min(most, max(each // 4, min(each, MEDIUM_CHUNK), SMALL_CHUNK))
