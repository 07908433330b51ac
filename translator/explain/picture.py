"""The averaged cross-attention map as an image."""

from translator import plotting as picture
from translator.explain.explanation import Explanation


def to_png(explanation: Explanation) -> bytes:
    """Return a PNG image of the cross-attention, averaged over all layers and heads.

    Raises:
        PictureError: matplotlib is not installed.
    """
    e = explanation
    n_target, n_source = len(e.target_pieces), len(e.source_pieces)
    cell = min(0.45, 16 / max(n_source, n_target))  # width and height in inches
    figure = picture.new_figure(2.5 + cell * n_source, 1.8 + cell * n_target)
    axes = figure.subplots()
    image = axes.imshow(e.cross.average.tolist(), cmap="Blues", vmin=0, aspect="equal")
    size = max(4.0, min(10.0, 60 * cell))
    # With `parse_math=True`, matplotlib would typeset text between dollar signs as a formula.
    axes.set_xticks(range(n_source), e.source_pieces, rotation=90, fontsize=size, parse_math=False)
    axes.set_yticks(range(n_target), e.target_pieces, fontsize=size, parse_math=False)
    axes.set_xlabel(f"keys: the source ({e.languages[0]})")
    axes.set_ylabel(f"queries: the translation ({e.languages[1]})")
    figure.colorbar(image, ax=axes, label="attention, average of all heads", shrink=0.8)
    return picture.png(figure, dots_per_inch=110)
