"""Draw reliability diagrams: how often a translation is good, against how probable the model called it.

translator evaluate --split val --json > val.json
translator evaluate --split everyday --json > everyday.json
python scripts/plot_confidence.py docs/images/confidence.png val=val.json everyday=everyday.json
"""

import argparse
import json
from pathlib import Path

from translator.plotting import new_figure, png
from translator.translation.calibration import CLEARLY_GOOD_CHRF, MIN_CHRF


def main() -> None:
    """Read the results of `translator evaluate --json` and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("picture", type=Path)
    parser.add_argument("results", nargs="+", metavar="NAME=FILE")
    arguments = parser.parse_args()
    figure = new_figure(3.4 * len(arguments.results), 4.6)
    panels = figure.subplots(1, len(arguments.results), sharey=True, squeeze=False)[0]
    for axes, result in zip(panels, arguments.results, strict=True):
        name, _, path = result.partition("=")
        found = json.loads(Path(path).read_text(encoding="utf-8"))["confidence"]
        probabilities, shares, counts = zip(*found["bins"], strict=True)
        axes.plot((0, 1), (0, 1), color="0.7", linestyle="--")
        axes.scatter(probabilities, shares, [6 + 300 * n / sum(counts) for n in counts], color="#1d5fa8")
        axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), xlabel="probability")
        flagged = f"{found['flagged_bad']:.0%} of {found['n_bad']} bad, {found['flagged_good']:.0%} of"
        flagged += f" {found['n_good']} good\nlines called a guess"
        axes.set_title(f"{name}: error {found['error']:.3f}\n{flagged}", fontsize=9)
    panels[0].set_ylabel(f"lines with chrF of {MIN_CHRF:g} or more")
    figure.supxlabel(f"good: chrF of {CLEARLY_GOOD_CHRF:g} or more; bad: below {MIN_CHRF:g}", fontsize=8)
    arguments.picture.write_bytes(png(figure, dots_per_inch=110))


if __name__ == "__main__":
    main()
