"""Many computations beside each other, each on one thread."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Answer = TypeVar("Answer")

#: A lot too small to be worth a thread of its own, and one exceeded only where each thread has four or more.
SMALL_LOT, MIDDLE_LOT = 16, 64


def beside_each_other(function: Callable[[Item], Answer], items: Sequence[Item]) -> list[Answer]:
    """Apply a function to each item, on as many threads as torch may use here; the answers in order.

    Torch then computes each on one thread. A step of decoding is too small to be shared: two threads that
    meet after each operation cost more than they give, and beside another busy process nearly everything (4
    sentences a second, where two workers of one thread each decode 147 to 279).
    """
    n_threads = torch.get_num_threads()
    try:
        if n_threads == 1 or len(items) <= 1:  # a thread begun for it would first compile its own kernels
            torch.set_num_threads(1)
            return [function(item) for item in items]
        with ThreadPoolExecutor(
            min(n_threads, len(items)), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(n_threads)  # not changed in this thread, but for threads that are begun later


def shared_out(n_items: int, n_threads: int, *, most: int) -> int:
    """Return the size of lots, at most `most`, that keeps all threads at work until the end.

    The first lot is the slowest where the longest items come first: 200 sentences take 1.1 times as long to
    translate in two lots as in four, on 2 threads.
    """
    share = -(-n_items // n_threads)
    return min(most, max(share // 4, min(share, MIDDLE_LOT), SMALL_LOT))
