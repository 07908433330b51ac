"""`curves.png` and the numbers behind it."""

import builtins
import struct
from pathlib import Path
from typing import Any

import pytest

from translator.training.curves import plot_curves, read_series
from translator.training.run_dir import remove_partial_files_of_run

FIRST = """epoch,learning_rate,step,train_loss,val_bleu,val_loss
0,0.001,9,5.0,,
0,,9,,1.5,4.5
0,0.002,19,4.0,,
0,0.003,29,3.9,,
"""
SECOND = """epoch,learning_rate,step,train_loss,val_bleu,val_loss
0,0.0021,19,4.1,,
0,,19,,2.5,4.2
"""


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "first.csv", tmp_path / "second.csv"]
    for path, text in zip(paths, (FIRST, SECOND), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


def test_sessions_are_merged_and_the_later_counts(logs: list[Path]) -> None:
    assert read_series(logs) == {
        "learning_rate": {9: 0.001, 19: 0.0021, 29: 0.003},
        "train_loss": {9: 5.0, 19: 4.1, 29: 3.9},
        "val_bleu": {9: 1.5, 19: 2.5},
        "val_loss": {9: 4.5, 19: 4.2},
    }
    # Control: in the other order the earlier session wins.
    assert read_series(logs[::-1])["train_loss"][19] == 4.0


def test_the_picture_is_a_png_of_some_size(logs: list[Path], tmp_path: Path) -> None:
    picture = tmp_path / "curves.png"
    assert plot_curves(logs, picture)
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width > 500
    assert height > 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "first.csv", "second.csv"]


def test_a_log_without_a_row_is_a_picture_too(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("", encoding="utf-8")
    assert read_series([log]) == {}
    assert plot_curves([log], tmp_path / "curves.png")


def test_without_matplotlib_there_is_no_picture(
    logs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not plot_curves(logs, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()


def test_a_failed_write_keeps_the_previous_picture(
    logs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(handle: int) -> None:
        raise OSError("no space left")

    picture = tmp_path / "curves.png"
    picture.write_bytes(b"previous")
    monkeypatch.setattr("translator.files.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        plot_curves(logs, picture)
    assert picture.read_bytes() == b"previous"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "first.csv", "second.csv"]


def test_a_partial_picture_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    partial, other = tmp_path / ".curves.png-abcd1234", tmp_path / ".other.png-abcd1234"
    for path in (partial, other):
        path.touch()
    remove_partial_files_of_run(tmp_path)
    assert not partial.exists()
    assert other.exists()
