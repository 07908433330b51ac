"""Work beside each other: every answer in order, one thread each, and nothing changed afterwards."""

import threading
from collections.abc import Iterator

import pytest
import torch
from translator.threads import beside_each_other, shared_out


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

    assert beside_each_other(answer, [5, 3, 4, 1]) == [(item, 1, False) for item in (5, 3, 4, 1)]
    assert (torch.get_num_threads(), new_thread_has()) == (2, 2)
    assert beside_each_other(answer, []) == []


def test_with_one_thread_there_are_no_workers() -> None:
    torch.set_num_threads(1)
    assert beside_each_other(lambda _: threading.current_thread(), [1, 2]) == [threading.main_thread()] * 2


def test_a_lone_item_needs_no_worker() -> None:
    def answer(_: int) -> tuple[threading.Thread, int]:
        return threading.current_thread(), torch.get_num_threads()

    assert beside_each_other(answer, [1]) == [(threading.main_thread(), 1)]
    assert (torch.get_num_threads(), new_thread_has()) == (2, 2)


def test_a_failure_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        beside_each_other(lambda item: 1 // item, [1, 0, 2])
    assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError):
        beside_each_other(lambda item: 1 // item, [0])
    assert (torch.get_num_threads(), new_thread_has()) == (2, 2)


@pytest.mark.parametrize(
    ("n_items", "n_threads", "size"),
    [(0, 2, 16), (1, 2, 16), (16, 2, 16), (40, 2, 20), (128, 2, 64), (200, 2, 64), (1000, 2, 125),
     (5000, 2, 128), (200, 1, 64), (1000, 8, 64)],
)  # fmt: skip
def test_items_are_shared_out(n_items: int, n_threads: int, size: int) -> None:
    assert shared_out(n_items, n_threads, most=128) == size
    assert shared_out(n_items, n_threads, most=7) == 7
