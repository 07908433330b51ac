"""Searches on several threads. This module does not import torch."""

import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from ctypes import c_int
from functools import cache
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: Bounds of `chunk_size`. Smaller chunks would read the weights more often; the keys and values of larger
#: ones would not fit a CPU's cache.
SMALL_CHUNK, LARGE_CHUNK = 4, 32


def chunk_size(n_items: int, n_threads: int, *, most: int) -> int:
    """Return a number of items per chunk, at most `most`, that keeps all threads busy until the end.

    The caller sorts the items, the longest first, so the first chunks take the most time. If there are many
    items, each thread gets several chunks, so that all threads finish at about the same time.
    """
    each = -(-n_items // n_threads)
    return min(most, max(min(each, LARGE_CHUNK), SMALL_CHUNK))


def n_threads() -> int:
    """Return torch's number of threads or, if torch is not loaded, the number that it would choose."""
    if torch := sys.modules.get("torch"):
        return int(torch.get_num_threads())
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    return int(wanted) if wanted.isdecimal() and int(wanted) > 0 else os.cpu_count() or 1


def map_interruptibly(
    function: Callable[[Item, c_int], Answer], items: Sequence[Item], n_threads: int
) -> list[Answer]:
    """Apply a function to items on several threads, and return the results in the order of the items.

    Args:
        function: a function of an item and a flag. It should end when the flag becomes nonzero, which happens
            when another call has failed or the caller has been interrupted, for example by Ctrl-C.
        items: the items.
        n_threads: number of threads.
    """
    stop = c_int(0)
    jobs: list[Future[Answer]] = []
    try:
        jobs += (_pool(n_threads).submit(function, item, stop) for item in items)
        return [job.result() for job in jobs]
    except BaseException:
        stop.value = 1
        raise
    finally:
        for job in jobs:
            job.cancel()  # after an exception, this cancels the jobs that have not started


@cache
def _pool(n_threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(n_threads, "decoding")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
