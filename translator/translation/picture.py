"""The picture with which a translation shows itself in a notebook."""

from collections.abc import Sequence
from html import escape
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from translator.translation.words import LinkedWords

#: Lengths in pixels: of a character in the monospaced font, between words, and heights of the rows.
_CHARACTER, _GAP, _SOURCE, _TARGET, _PROBABILITY, _HEIGHT = 8.5, 16, 18, 88, 106, 114


def to_html(parts: "Sequence[LinkedWords]") -> str:
    """Draw each part: source words above target words, lines between linked ones, probabilities below.

    The picture has no colours of its own, so it is readable in light and in dark themes.
    """
    return f'<div style="overflow-x: auto">{"".join(map(_draw, parts)) or "(blank)"}</div>'


def _draw(part: "LinkedWords") -> str:
    targets = [word.text for word in part.target]
    (above, source_width), (below, target_width) = _centres(part.source), _centres(targets)
    rows = [(x, _SOURCE, word) for x, word in zip(above, part.source, strict=True)]
    rows += [(x, _TARGET, word) for x, word in zip(below, targets, strict=True)]
    lines = "".join(
        f'<line x1="{above[i]:g}" y1="{_SOURCE + 6}" x2="{below[j]:g}" y2="{_TARGET - 16}"/>'
        for i, j in part.links
    )
    texts = "".join(f'<text x="{x:g}" y="{y}">{escape(word)}</text>' for x, y, word in rows)
    shares = "".join(
        f'<text x="{x:g}" y="{_PROBABILITY}">{word.probability:.0%}</text>'
        for x, word in zip(below, part.target, strict=True)
    )
    title = escape(f"{' '.join(part.source)} → {' '.join(targets)}")
    return (
        f'<svg role="img" width="{max(source_width, target_width):g}" height="{_HEIGHT}" fill="currentColor" '
        f'text-anchor="middle" font-family="monospace" font-size="14" style="display: block">'
        f'<title>{title}</title><g stroke="currentColor" stroke-opacity="0.5">{lines}</g>{texts}'
        f'<g font-size="11" fill-opacity="0.7">{shares}</g></svg>'
    )


def _centres(words: Sequence[str]) -> tuple[list[float], float]:
    """Return the horizontal centre of each word in a row, and the width of the row."""
    widths = [max(len(word), 4) * _CHARACTER + _GAP for word in words]  # a probability has four characters
    return [end - width / 2 for end, width in zip(accumulate(widths), widths, strict=True)], sum(widths)
