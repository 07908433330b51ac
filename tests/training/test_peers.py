"""Processes agree before they train, and none goes on without the others. Threads play the processes."""

import re
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from torch import distributed

from translator import console
from translator.errors import TrainingError
from translator.training import peers as peers_module
from translator.training import watch
from translator.training.data_record import RECORD, batches_to_accumulate
from translator.training.peers import Peers
from translator.training.processes import Processes

Ended = list[tuple[str, int]]
Run = Callable[[Callable[[Peers], Any]], list[Future[Any]]]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    """The thread and the exit code of each process that would have ended itself."""
    found: Ended = []
    monkeypatch.setattr(watch.os, "_exit", lambda code: found.append((threading.current_thread().name, code)))
    monkeypatch.setattr(watch, "GRACE", 0.1)
    return found


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, ended: Ended) -> Iterator[Run]:
    """Runs a function in three processes at once."""
    with ThreadPoolExecutor(3) as pool:

        def one(number: int, function: Callable[[Peers], Any]) -> Any:
            with Peers(Processes("torchrun", 3, number, None, 3), timeout_seconds=20) as peers:
                return function(peers)

        def run(function: Callable[[Peers], Any]) -> list[Future[Any]]:
            store = distributed.HashStore()
            monkeypatch.setattr(peers_module, "_store", lambda *_: store)
            return [pool.submit(one, number, function) for number in range(3)]

        yield run


def test_values_come_in_order_and_the_first_goes_ahead(run: Run, ended: Ended) -> None:
    called: list[int] = []

    def exchange(peers: Peers) -> list[Any]:
        peers.first_then_others(lambda: called.append(peers.number))
        return peers.gather("number", peers.number * 2)

    assert [future.result(20) for future in run(exchange)] == [[0, 2, 4]] * 3
    assert called[0] == 0
    assert sorted(called) == [0, 1, 2]
    assert not ended


def test_a_folder_is_shared_under_whatever_path(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("a")
    for future in run(lambda peers: peers.check_shared(tmp_path / "abc"[peers.number])):
        future.result(20)
    assert not list((tmp_path / "a").iterdir())


def test_a_folder_that_is_not_shared_is_named_by_all(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "c").symlink_to("a")
    for future in run(lambda peers: peers.check_shared(tmp_path / "abc"[peers.number])):
        place = re.escape(f"{socket.gethostname()}:{tmp_path / 'b'}")
        with pytest.raises(
            TrainingError, match=f"^{place} is not the folder in which the first process trains"
        ):
            future.result(20)


def test_data_that_differ_are_named_by_all(run: Run) -> None:
    facts = {"train.max_steps": 5, "train.fr": "1234"}

    for future in run(lambda peers: peers.check_equal(facts)):
        future.result(20)
    other = {"train.fr": "5678"}
    for future in run(lambda peers: peers.check_equal(facts | (other if peers.number == 2 else {}))):
        with pytest.raises(TrainingError, match=r"^train\.fr is 5678 on \S+ and 1234 on \S+; give all"):
            future.result(20)


def test_a_process_that_fails_ends_the_others(
    run: Run, ended: Ended, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(console, "note", notes.append)
    others_end = threading.Event()

    def fail(peers: Peers) -> None:
        if peers.number == 1:
            raise TrainingError("its own message")
        others_end.wait(20)

    futures = run(fail)
    with pytest.raises(TrainingError, match="its own message"):
        futures[1].result(20)
    while len(ended) < 2:
        threading.Event().wait(0.01)
    others_end.set()
    assert [code for _, code in ended] == [1, 1]
    assert len(notes) == 2
    for note in notes:
        assert re.fullmatch(r"error: process 1 of 3 \(pid \d+ on \S+\) ended; .* with --resume", note)


@pytest.mark.parametrize(("n_processes", "expected"), [(1, 6), (2, 3), (3, 2), (6, 1)])
def test_steps_keep_their_batches(tmp_path: Path, n_processes: int, expected: int) -> None:
    record = tmp_path / RECORD
    record.write_text('{"data": {}, "vocabulary": "", "batches_per_step": 6}')
    assert batches_to_accumulate(tmp_path, 2, n_processes=n_processes) == expected
    record.write_text('{"data": {}, "vocabulary": ""}')  # of an older version
    assert batches_to_accumulate(tmp_path, 2, n_processes=n_processes) == 2


def test_steps_that_cannot_be_divided_are_refused(tmp_path: Path) -> None:
    (tmp_path / RECORD).write_text('{"data": {}, "vocabulary": "", "batches_per_step": 6}')
    with pytest.raises(
        TrainingError, match=r"started with 6 batches per step, which 4 processes cannot divide"
    ):
        batches_to_accumulate(tmp_path, 2, n_processes=4)
