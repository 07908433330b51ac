"""`curves.png`: loss, BLEU and learning rate, plotted over the steps."""

import csv
from pathlib import Path

from translator.errors import PictureError
from translator.files import atomic_write
from translator.plotting import new_figure, png


def plot_curves(logs: list[Path], picture: Path) -> bool:
    """Plot the metrics that a run logged, and save the plot.

    If two sessions logged the same step, the values of the later session are plotted.

    Args:
        logs: the CSV logs, one for each session, in the order of the sessions.
        picture: path of the PNG file to write.

    Returns:
        Whether the picture was drawn. It is not drawn if matplotlib, a dependency of the extra `logs`, is not
        installed.
    """
    try:
        figure = new_figure(9, 7)
    except PictureError:
        return False
    series = read_series(logs)
    panels = figure.subplots(3, 1, sharex=True)
    metrics = [("train_loss", "val_loss"), ("val_bleu",), ("learning_rate",)]
    for axes, names in zip(panels, metrics, strict=True):
        for name in names:
            points = sorted(series.get(name, {}).items())
            axes.plot([x for x, _ in points], [y for _, y in points], label=name.replace("_", " "))
        axes.legend()
        axes.grid(alpha=0.3)
    panels[-1].set_xlabel("optimiser steps")
    atomic_write(picture, png(figure))
    return True


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
