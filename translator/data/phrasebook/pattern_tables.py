"""Reading and checking the tables of patterns (see docs/phrasebook.md).

Error messages name the file, the line and a remedy.
"""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from translator.alignment.words import words
from translator.errors import DataError


class Slot(NamedTuple):
    """A slot on one side of a pattern.

    Attributes:
        lead: the modifiers. In the slot `{un adj food#2}`, they are un and adj.
        of: the name. In the slot `{un adj food#2}`, it is food#2.
    """

    lead: tuple[str, ...]
    of: str

    @property
    def kind(self) -> str:
        """The name of the slot without its number: food for the name food#2."""
        return self.of.partition("#")[0]

    def __str__(self) -> str:
        return "{" + " ".join((*self.lead, self.of)) + "}"


Items = tuple[str | Slot, ...]


@dataclass(frozen=True)
class Pattern:
    """A pattern, which is one line of a table.

    Attributes:
        fr, en: the words and slots of each side, in order.
        links: pairs (position in `fr`, position in `en`) of aligned words and slots.
        points: numbers of the grammar points that the pattern illustrates. They are listed in points.tsv.
        where: file and line of the pattern, for messages.
    """

    fr: Items
    en: Items
    links: tuple[tuple[int, int], ...]
    points: tuple[str, ...]
    where: str

    @cached_property
    def shared(self) -> dict[str, tuple[Slot, Slot]]:
        """The slots that are on both sides: a dict from name to the French and the English slot.

        Slots that occur on only one side are left out. The name of such a slot is itself the word to inflect.
        """
        left, right = ({s.of: s for s in side if isinstance(s, Slot)} for side in (self.fr, self.en))
        return {of: (left[of], right[of]) for of in left if of in right}


def read(path: Path, *, named: bool) -> Iterator[tuple[str, Pattern]]:
    """Yield each pattern of a table, preceded by the name of the slot that it can fill.

    If `named` is true, the first column of the table contains the names. Otherwise, the patterns are whole
    sentences, and the name is always "sentence".

    Raises:
        DataError: a line has too few cells or cannot be parsed.
    """
    columns = ("slot", "French", "English", "links") if named else ("French", "English", "links", "points")
    for n, line in enumerate(path.read_text(encoding="utf-8").splitlines()[1:], 2):
        where, cells = f"{path.name}:{n}", line.split("\t")
        if not line.strip() or line.startswith("#"):
            continue
        if not 3 <= len(cells) <= 4 or not all(cell.strip() for cell in cells[: 3 if named else 2]):
            raise DataError(
                f"{where}: {len(cells)} cells; a line is {', '.join(columns)}, with tabs between them"
            )
        cells = [*cells, ""] if named else ["sentence", *cells, ""]
        yield cells[0].strip(), parse(*cells[1:4], where=where, points="" if named else cells[4])


def parse(fr: str, en: str, links: str, *, where: str, points: str = "") -> Pattern:
    """Parse the cells of one pattern. Unknown slots are not detected here, but in `check`."""
    sides = (_items(fr, where), _items(en, where))
    shared = {i.of for i in sides[0] if isinstance(i, Slot)} & {i.of for i in sides[1] if isinstance(i, Slot)}
    lone = [[at for at, i in enumerate(side) if isinstance(i, Slot) and i.of not in shared] for side in sides]
    found = set(zip(*lone, strict=True)) if len(lone[0]) == len(lone[1]) else set()
    for mark in ".,?!;:…":  # paired from the end, because Mr. and Dr. contain a full stop
        marks = ([at for at, i in enumerate(side) if i == mark][::-1] for side in sides)
        found.update(zip(*marks, strict=False))
    for pair in filter(None, (part.strip() for part in links.split(";"))):
        ends = pair.split("=")
        if len(ends) != 2:
            raise DataError(f"{where}: link {pair!r} is not `French words=English words`")
        left, right = (_find(side, _items(end, where), where) for side, end in zip(sides, ends, strict=True))
        found.update((i, j) for i in left for j in right)
    return Pattern(*sides, tuple(sorted(found)), tuple(points.split()), where)


def _items(text: str, where: str) -> Items:
    items: list[str | Slot] = []
    for part in re.split(r"(\{[^{}]*\})", text.strip()):
        if not part.endswith("}"):
            if "{" in part or "}" in part:
                raise DataError(f"{where}: a brace without its partner in {text!r}")
            items += words(part + " x")[:-1]  # the extra word makes `words` recognise an elision at the end
            continue
        *lead, of = part[1:-1].split() or [""]
        items.append(Slot(tuple(lead[:-1]), f"se {of}") if lead[-1:] == ["se"] else Slot(tuple(lead), of))
    return tuple(items)


def _find(side: Items, wanted: Items, where: str) -> list[int]:
    """Return the positions in `side` of the words and slots in `wanted`, which are one end of a link.

    The first place where they stand together is preferred. If there is none, a word that is repeated in
    `wanted` is matched with its occurrences in `side` from left to right.
    """
    given, names = [[str(item).lower() for item in items] for items in (side, wanted)]
    for at in range(len(given) - len(names) + 1):
        if given[at : at + len(names)] == names:
            return [*range(at, at + len(names))]
    positions: list[int] = []
    for item, name in zip(wanted, names, strict=True):
        same = [i for i, candidate in enumerate(given) if candidate == name and i not in positions]
        if not same:
            raise DataError(
                f"{where}: a link names {str(item)!r}, which is not in {' '.join(map(str, side))!r}"
            )
        positions.append(same[0])
    return positions


class Known(NamedTuple):
    """The names that slots can have.

    Attributes:
        drawn: names of slots that are filled with a random phrase. They are the slots in slots.tsv, and
            built-in slots, for example for numbers and times.
        nouns: classes and lemmas of nouns. A slot with such a name is filled with a noun.
        empty: classes that have no noun.
        french, english: words that can be inflected. A slot with such a name is on one side only.
        leads: determiners and other modifiers that a slot for a noun can have.
    """

    drawn: Collection[str]
    nouns: Collection[str]
    empty: Collection[str]
    french: Collection[str]
    english: Collection[str]
    leads: Collection[str]


def check(tables: dict[str, list[Pattern]], known: Known) -> dict[str, list[Pattern]]:
    """Check that every slot can be filled and that no slot contains itself, and return the tables.

    Raises:
        DataError: a check fails; the message names file, line and remedy.
    """
    first: dict[str, str] = {}
    for name, line in ((name, line) for name, lines in tables.items() for line in lines):
        where = first.setdefault(f"{name} {line.fr}", line.where)
        if where != line.where:
            raise DataError(f"{line.where}: the French is that of {where}; remove one of the two")
        for items, is_french in ((line.fr, True), (line.en, False)):
            slots = [item for item in items if isinstance(item, Slot)]
            for slot in slots:
                if slot.of in line.shared and [s.of for s in slots].count(slot.of) > 1:
                    raise DataError(
                        f"{line.where}: {slot} twice; tell them apart: {slot.of}#1 and {slot.of}#2"
                    )
                problem = _problem(slot, line, known, is_french=is_french)
                if problem:
                    raise DataError(f"{line.where}: {problem}")
    for name in tables:
        _refuse_cycle(tables, name, ())
    return tables


def _problem(slot: Slot, line: Pattern, known: Known, *, is_french: bool) -> str:
    is_lone = slot.of not in line.shared
    if is_lone and slot.of in (known.french if is_french else known.english):
        return ""
    if not is_lone and slot.kind in known.drawn:
        return ""
    if not is_lone and set(slot.kind.split("|")) <= set(known.nouns):
        wrong = [w for w in slot.lead if is_french and w not in known.leads and w[0] != "@"]
        return (
            f"{wrong[0]!r} in {slot} is not a determiner; there are: {', '.join(known.leads)}"
            if wrong
            else ""
        )
    if slot.kind in known.empty:
        return f"class {slot.kind} has no noun; add one to nouns.tsv"
    names = {*known.drawn, *known.nouns}
    if is_lone and slot.kind in names:
        return f"{slot} is on one side only; the other needs one of {slot.of} too"
    close = get_close_matches(
        slot.kind, sorted(names | set(known.french if is_french else known.english)), n=1
    )
    return f"unknown slot {{{slot.of}}}" + (f"; did you mean {{{close[0]}}}?" if close else "")


def _refuse_cycle(tables: dict[str, list[Pattern]], name: str, path: tuple[str, ...]) -> None:
    if name in path:
        cycle = " → ".join((*path[path.index(name) :], name))
        raise DataError(f"slots.tsv: {cycle}: a slot contains itself; break the cycle")
    for line in tables[name]:
        for left, _ in line.shared.values():
            if left.kind in tables:
                _refuse_cycle(tables, left.kind, (*path, name))
