"""Figures drawn with matplotlib, an optional dependency (`passerelle[logs]`)."""

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
    """Import matplotlib, if it is installed. The import works even if $MPLBACKEND names an unknown backend.

    Jupyter and Colab set this variable to their own backend. In a Python environment without that backend, a
    plain import of matplotlib would fail. A backend that is known is still used.
    """
    if "matplotlib" in sys.modules:
        return
    with suppress(ImportError):
        with without("MPLBACKEND"):
            import matplotlib
        with suppress(ValueError, KeyError):
            matplotlib.rcParams["backend"] = os.environ["MPLBACKEND"]


def new_figure(width: float, height: float) -> "Figure":
    """Return an empty figure.

    Args:
        width: width in inches.
        height: height in inches.

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
    """Render a figure and return the content of the PNG. Characters that no font has are drawn as boxes."""
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        warnings.filterwarnings("ignore", message="constrained_layout not applied")
        figure.savefig(file, dpi=dots_per_inch, format="png")
    return file.getvalue()
