"""`curves.png` and the numbers behind it."""

import builtins
import struct
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from translator.training.curves import plot_curves, read_series, smooth
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
    assert plot_curves(logs, picture, name="tiny")
    content = picture.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width > 500
    assert height > 500
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "first.csv", "second.csv"]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are rendered."""
    figures: list[Figure] = []

    def render(figure: Figure) -> bytes:
        figures.append(figure)
        return b"PNG"

    monkeypatch.setattr("translator.training.curves.png", render)
    return figures


def test_the_picture_says_what_it_shows_and_the_test_score(
    logs: list[Path], tmp_path: Path, drawn: list[Figure]
) -> None:
    assert plot_curves(logs, tmp_path / "curves.png", name="tiny", test_bleu=57.999)
    loss, bleu, _ = drawn[0].axes
    assert drawn[0].get_suptitle() == "tiny: BLEU 58.00 on the test split"
    assert "without label smoothing" in loss.get_ylabel()
    _, training, validation = loss.get_lines()
    assert list(training.get_xdata()) == [9, 19, 29]
    assert list(zip(*validation.get_data(), strict=True)) == [(9, 4.5), (19, 4.2)]
    assert list(bleu.get_lines()[1].get_ydata()) == [57.999, 57.999]
    assert bleu.get_ylim()[0] == 0
    # Control: without a test split, there is no score and no line.
    assert plot_curves(logs, tmp_path / "curves.png", name="tiny")
    assert drawn[1].get_suptitle() == "tiny"
    assert len(drawn[1].axes[1].get_lines()) == 1


def test_training_losses_are_smoothed_over_neighbours() -> None:
    noisy = [i / 100 + (-1) ** i for i in range(200)]
    calm = smooth(noisy)
    assert len(calm) == 200
    assert calm[100] == pytest.approx(sum(noisy[95:106]) / 11)  # without a shift
    assert calm[0] == pytest.approx(sum(noisy[:6]) / 6)
    assert smooth([3.0, 1.0]) == [3.0, 1.0]  # a short run is not changed


def test_a_log_without_a_row_is_a_picture_too(tmp_path: Path) -> None:
    log = tmp_path / "metrics.csv"
    log.write_text("", encoding="utf-8")
    assert read_series([log]) == {}
    assert plot_curves([log], tmp_path / "curves.png", name="tiny")


def test_without_matplotlib_there_is_no_picture(
    logs: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ModuleNotFoundError(name)
        return usual(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not plot_curves(logs, tmp_path / "curves.png", name="tiny")
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
        plot_curves(logs, picture, name="tiny")
    assert picture.read_bytes() == b"previous"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["curves.png", "first.csv", "second.csv"]


def test_a_partial_picture_of_a_killed_process_is_removed(tmp_path: Path) -> None:
    partial, other = tmp_path / ".curves.png-abcd1234", tmp_path / ".other.png-abcd1234"
    for path in (partial, other):
        path.touch()
    remove_partial_files_of_run(tmp_path)
    assert not partial.exists()
    assert other.exists()
