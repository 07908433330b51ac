"""Pictures: the only importer of matplotlib, which comes with the extra `logs`."""

import os
import sys
import warnings
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING

from translator.environment import without
from translator.errors import PictureError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def import_matplotlib() -> None:
    """Import matplotlib, if it is installed, even where $MPLBACKEND names what this Python does not have.

    Jupyter and Colab leave their own backend there, and matplotlib then fails to be imported. Where it is
    known, it is taken as usual.
    """
    if "matplotlib" in sys.modules:
        return
    with suppress(ImportError):
        with without("MPLBACKEND"):
            import matplotlib
        with suppress(ValueError, KeyError):
            matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]


def blank(width: float, height: float) -> "Figure":
    """Return a figure to draw on, in inches.

    Raises:
        PictureError: matplotlib is not installed.
    """
    import_matplotlib()
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise PictureError("pictures need matplotlib: pip install 'passerelle[logs]'") from None
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png(figure: "Figure", *, dots_per_inch: int = 120) -> bytes:
    """Return a figure as a PNG file; letters that no font has are boxes in it."""
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure.savefig(file, dpi=dots_per_inch, format="png")
    return file.getvalue()
