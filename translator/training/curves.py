"""`curves.png`: loss, BLEU and learning rate, plotted over the steps."""

import csv
from pathlib import Path
from statistics import fmean

from translator.errors import PictureError
from translator.files import atomic_write
from translator.plotting import new_figure, png


def plot_curves(logs: list[Path], picture: Path, *, name: str, test_bleu: float | None = None) -> bool:
    """Plot the metrics that a run logged, and save the plot.

    If two sessions logged the same step, the values of the later session are plotted.

    Args:
        logs: the CSV logs, one for each session, in the order of the sessions.
        picture: path of the PNG file to write.
        name: name of the run, for the title.
        test_bleu: BLEU on the test split, or None if there is no such split.

    Returns:
        Whether the picture was drawn. It is not drawn if matplotlib, a dependency of the extra `logs`, is not
        installed.
    """
    try:
        figure = new_figure(9, 7)
    except PictureError:
        return False
    series = read_series(logs)
    score = "" if test_bleu is None else f": BLEU {test_bleu:.2f} on the test split"
    figure.suptitle(f"{name}{score}", parse_math=False)
    loss, bleu, rate = figure.subplots(3, 1, sharex=True)
    loss.set_ylabel("loss per token,\nwithout label smoothing")
    steps, losses = _points(series, "train_loss")
    loss.plot(steps, losses, color="C0", alpha=0.3, label="training, of one batch")
    loss.plot(steps, smooth(losses), color="C0", label="training, mean of neighbouring batches")
    loss.plot(*_points(series, "val_loss"), color="C1", marker="o", label="validation")
    bleu.set_ylabel("BLEU")
    steps, scores = _points(series, "val_bleu")
    bleu.plot(steps, scores, color="C1", marker="o", label="validation")
    bleu.set_ylim(0, 1.1 * max([*scores, test_bleu or 0.0, 1.0]))
    if test_bleu is not None:
        bleu.axhline(test_bleu, color="C2", linestyle="--", label="test")
    rate.set_ylabel("learning rate")
    rate.plot(*_points(series, "learning_rate"), color="C0")
    rate.set_xlabel("optimiser steps")
    for axes in (loss, bleu):
        axes.legend()
    for axes in (loss, bleu, rate):
        axes.grid(alpha=0.3)
    atomic_write(picture, png(figure))
    return True


def smooth(values: list[float]) -> list[float]:
    """Return the mean of each value and its neighbours, in all a twentieth of the values."""
    reach = len(values) // 40
    return [fmean(values[max(0, i - reach) : i + reach + 1]) for i in range(len(values))]


def _points(series: dict[str, dict[int, float]], name: str) -> tuple[list[int], list[float]]:
    """Return the steps at which a metric was logged, in order, and its values."""
    points = sorted(series.get(name, {}).items())
    return [step for step, _ in points], [value for _, value in points]


def read_series(logs: list[Path]) -> dict[str, dict[int, float]]:
    """Read from CSV logs the value of each metric at each step.

    If two files have a value for the same step, the value of the later file is used.

    Returns:
        For each metric, a dictionary that maps steps to values.
    """
    series: dict[str, dict[int, float]] = {}
    for log in logs:
        with log.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                for name, value in row.items():
                    if name not in ("step", "epoch") and value:
                        series.setdefault(name, {})[int(row["step"])] = float(value)
    return series
