"""Searches beside each other on threads: order, failures, interrupts and the number of threads."""

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from ctypes import c_int

import pytest
import torch

from translator.translation import parallel
from translator.translation.parallel import chunk_size, map_interruptibly, n_threads


def wait_for(stop: c_int) -> bool:
    """Wait until a flag is set, for at most 20 s."""
    end = time.monotonic() + 20
    while not stop.value and time.monotonic() < end:
        time.sleep(0.001)
    return bool(stop.value)


def test_answers_are_in_order_and_computed_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=20)  # passed only if two are in there at once

    def answer(item: int, stop: c_int) -> tuple[int, int, bool]:
        both.wait()
        return item, stop.value, threading.current_thread() is threading.main_thread()

    assert map_interruptibly(answer, [5, 3, 4, 1], 2) == [(item, 0, False) for item in (5, 3, 4, 1)]
    assert map_interruptibly(answer, [], 2) == []


def test_threads_stay_for_the_next_items() -> None:
    names = [map_interruptibly(lambda *_: threading.current_thread().name, range(20), 2) for _ in range(3)]
    assert len({name for some in names for name in some}) <= 2


def test_several_threads_may_ask_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: map_interruptibly(lambda item, _: item + n, range(10), 2), range(8)))
    assert found == [list(range(n, n + 10)) for n in range(8)]


def test_a_failure_is_passed_on_ends_the_others_and_what_is_not_begun_is_left_out() -> None:
    begun: list[int] = []
    ended = threading.Event()

    def answer(item: int, stop: c_int) -> float:
        begun.append(item)
        if item and wait_for(stop):
            ended.set()
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        map_interruptibly(answer, [0, *range(1, 100)], 2)
    assert ended.wait(20) or begun == [0]
    assert len(begun) < 10
    assert map_interruptibly(lambda item, stop: (item, stop.value), [7], 2) == [(7, 0)], "a flag of its own"


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="there is no pthread_kill")
def test_an_interrupt_ends_what_is_begun() -> None:
    ended = threading.Event()

    def answer(_: int, stop: c_int) -> None:
        time.sleep(0.05)  # until the main thread waits
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        if wait_for(stop):
            ended.set()

    map_interruptibly(lambda *_: None, [1], 1)  # the thread starts before it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        map_interruptibly(answer, [1], 1)
    assert ended.wait(20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_begins_threads_of_its_own() -> None:
    code = """
import os
from translator.translation.parallel import map_interruptibly
answer = lambda item, stop: -item
map_interruptibly(answer, [1, 2], 2)
child = os.fork()
if child == 0:
    os._exit(0 if map_interruptibly(answer, [-1, 2], 2) == [1, -2] else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("n_items", "n_threads", "size"),
    [(0, 2, 4), (1, 2, 4), (9, 2, 5), (40, 2, 20), (64, 2, 32), (65, 2, 32), (1000, 2, 32), (20, 1, 20),
     (1000, 8, 32)],
)  # fmt: skip
def test_items_are_chunk_size(n_items: int, n_threads: int, size: int) -> None:
    assert chunk_size(n_items, n_threads, most=128) == size
    assert chunk_size(n_items, n_threads, most=3) == 3


def test_torch_says_how_many_threads() -> None:
    torch.set_num_threads(3)  # `_one_thread` puts it back
    assert n_threads() == 3


@pytest.mark.parametrize(
    ("variable", "expected"), [("3", 3), ("", "all"), ("0", "all"), ("many", "all"), (None, "all")]
)
def test_without_torch_the_environment_says_it(
    variable: str | None, expected: int | str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parallel, "sys", type("sys", (), {"modules": {}}))
    monkeypatch.setattr(os, "cpu_count", lambda: 11)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if variable is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    assert n_threads() == (11 if expected == "all" else expected)
