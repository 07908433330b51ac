"""The process that the engines run in: threads beside each other, memory, oneDNN's cache."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from translator.engine.runtime import chunk_size, parallel_map


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def new_thread_has() -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return found[0]


def test_answers_are_in_order_and_computed_beside_each_other() -> None:
    both = threading.Barrier(2, timeout=20)  # passed only if two are in there at once

    def answer(item: int) -> tuple[int, int, bool]:
        both.wait()
        return item, torch.get_num_threads(), threading.current_thread() is threading.main_thread()

    assert parallel_map(answer, [5, 3, 4, 1]) == [(item, 1, False) for item in (5, 3, 4, 1)]
    assert (torch.get_num_threads(), new_thread_has()) == (2, 2)
    assert parallel_map(answer, []) == []


def test_meanwhile_other_threads_have_as_many_as_ever() -> None:
    assert parallel_map(lambda _: new_thread_has(), [1, 2, 3]) == [2, 2, 2]


def test_threads_stay_for_the_next_items() -> None:
    """Each has compiled kernels of its own."""
    named = [set(parallel_map(lambda _: threading.current_thread().name, range(20))) for _ in range(3)]
    assert len(set.union(*named)) <= 2


def test_several_threads_may_ask_at_once() -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: parallel_map(lambda item: item + n, range(10)), range(8)))
    assert found == [list(range(n, n + 10)) for n in range(8)]


def test_with_one_thread_there_are_no_others() -> None:
    torch.set_num_threads(1)
    assert parallel_map(lambda _: threading.current_thread(), [1, 2]) == [threading.main_thread()] * 2


def test_an_item_may_have_items_of_its_own() -> None:
    assert parallel_map(lambda n: parallel_map(lambda m: n * m, [1, 2]), [3, 4, 5]) == [
        [3, 6],
        [4, 8],
        [5, 10],
    ]


def test_a_lone_item_is_computed_on_one_thread() -> None:
    assert parallel_map(lambda _: torch.get_num_threads(), [1]) == [1]
    assert (torch.get_num_threads(), new_thread_has()) == (2, 2)


def test_a_failure_is_passed_on_and_what_is_not_begun_is_left_out() -> None:
    begun: list[int] = []

    def answer(item: int) -> float:
        begun.append(item)
        if item:
            time.sleep(0.02)
        return 1 / item

    with pytest.raises(ZeroDivisionError):
        parallel_map(answer, [0, *range(1, 100)])
    assert len(begun) < 50
    with pytest.raises(ZeroDivisionError):
        parallel_map(answer, [0])
    assert (torch.get_num_threads(), new_thread_has()) == (2, 2)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_process_begins_threads_of_its_own() -> None:
    code = """
import os, torch
from translator.engine.runtime import parallel_map
torch.set_num_threads(2)
parallel_map(abs, [1, 2])
child = os.fork()
if child == 0:
    os._exit(0 if parallel_map(abs, [-1, 2]) == [1, 2] else 1)
assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("n_items", "n_threads", "size"),
    [(0, 2, 16), (1, 2, 16), (16, 2, 16), (40, 2, 20), (128, 2, 64), (200, 2, 64), (1000, 2, 125),
     (5000, 2, 128), (200, 1, 64), (1000, 8, 64)],
)  # fmt: skip
def test_items_are_chunk_size(n_items: int, n_threads: int, size: int) -> None:
    assert chunk_size(n_items, n_threads, most=128) == size
    assert chunk_size(n_items, n_threads, most=7) == 7


PAGE_FAULTS = """
import resource, sys
import torch
from translator.engine.memory import tune_malloc
torch.set_num_threads(1)
if sys.argv[1] == "keep":
    assert tune_malloc()
for _ in range(10):
    torch.ones(12_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(12_000_000)  # 48 MB, above any threshold of glibc's own
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc only")
def test_freed_blocks_are_reused_without_page_faults() -> None:
    def faults(how: str) -> int:
        command = [sys.executable, "-c", PAGE_FAULTS, how]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    # 12 million floats are 11,719 pages of 4 KiB: already there when kept, mapped ten times when not.
    assert faults("keep") < faults("leave") / 4


GROWTH = """
import re, sys
from pathlib import Path
import torch
from translator.engine.memory import cap_onednn_cache
torch.set_num_threads(1)
if sys.argv[1] == "few":
    cap_onednn_cache()

def private_kb():
    return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text()).group(1))

weight = torch.ones(512, 512, dtype=torch.bfloat16)
before = 0
for rows in range(100, 1100):
    torch.ones(rows, 512, dtype=torch.bfloat16) @ weight
    before = before or private_kb()
print(private_kb() - before)
"""


@pytest.mark.skipif(
    not sys.platform.startswith("linux") or not torch.ops.mkldnn._is_mkldnn_bf16_supported(),
    reason="memory is read from /proc, and the CPU multiplies bfloat16 by oneDNN",
)
def test_kernels_of_many_shapes_are_not_all_kept() -> None:
    # Training in this process, in another test, may have set them. With AMX, oneDNN keeps some of a kernel's
    # memory for good, whatever its cache holds.
    ours = {"ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"}
    environment = {name: value for name, value in os.environ.items() if name not in ours}
    environment["ONEDNN_MAX_CPU_ISA"] = "AVX512_CORE_BF16"

    def growth(how: str) -> int:
        command = [sys.executable, "-c", GROWTH, how]
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return int(ran.stdout)

    assert growth("few") < growth("all") / 2
