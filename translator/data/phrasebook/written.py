"""Hand-written sentence pairs, one table per theme, with the grammar points that they illustrate."""

from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

from translator.data.phrasebook.lexicon import TABLES
from translator.errors import DataError


class Written(NamedTuple):
    """A hand-written pair, without alignment."""

    fr: str
    en: str
    points: tuple[str, ...]


@cache
def sentences() -> tuple[Written, ...]:
    """Return the sentences of all themes, in the order of the file names.

    Raises:
        DataError: a line does not have two or three cells, its French or English cell is empty, or its French
            sentence is also in an earlier line. In the last case, the message names both lines.
    """
    by_french: dict[str, Written] = {}
    seen: dict[str, str] = {}
    for where, line in _lines():
        cells = [cell.strip() for cell in line.split("\t")]
        if not 2 <= len(cells) <= 3 or not (cells[0] and cells[1]):
            raise DataError(f"{where}: a line is French, a tab, English; this one has {len(cells)} cells")
        key = cells[0].casefold()
        if key in seen:
            raise DataError(f"{where}: {cells[0]!r} stands in {seen[key]} already; leave one of them out")
        seen[key] = where
        by_french[key] = Written(cells[0], cells[1], tuple(cells[2].split()) if len(cells) == 3 else ())
    return tuple(by_french.values())


def _lines() -> Iterator[tuple[str, str]]:
    for path in sorted((TABLES / "sentences").glob("*.tsv")):
        for n, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
            if line.strip() and not line.startswith("#"):
                yield f"sentences/{path.name}:{n}", line
