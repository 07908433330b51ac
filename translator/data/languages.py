"""Tells which text is in which language, by names of columns and files, and by frequent words."""

import re
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from translator.data.oddities import FUNCTION_WORDS
from translator.errors import DataError

#: Names of languages are not believed if each text has this many more frequent words of the other language.
_N_VETO = 3

#: Names of languages in headers and file names.
_NAMES = {
    "fr": set("fr fra fre french français française francais francaise".split()),
    "en": set("en eng english anglais anglaise".split()),
}
#: Words in the names of columns that tell which two are the sides.
_SIDE_WORDS = set("source target src tgt trg cible".split())
#: Words that a column's name in a header may have, besides the names of languages.
_HEADER_WORDS = set("text texte sentence phrase segment translation traduction language langue id in".split())
_HEADER_WORDS |= _SIDE_WORDS | set("us usa gb uk ca be ch france canada".split())

Languages = tuple[str, str]


def find_columns(
    path: Path, rows: list[list[str]], languages: Languages, *, has_header: bool
) -> tuple[dict[str, Any], list[str]]:
    """Return for each language the name of its column, or the number if there is no header, and why."""
    header, *others = rows
    texts = list(zip_longest(*others, fillvalue=""))[: len(header)]
    sides, why = find_sides(path, header, texts, languages, is_header=has_header)
    if not has_header:
        cells = [header[side] for side in sides.values()]
        is_other = [
            _is_named(cell, other) and not _is_named(cell, language)
            for cell, language, other in zip(cells, languages, languages[::-1], strict=True)
        ]
        has_header = any(_is_header(cell, *languages) for cell in cells) and not any(is_other)
    columns = {x: header[side] if has_header else side + 1 for x, side in sides.items()}
    return columns, [f"column {name!r} is {language}, {why}" for language, name in columns.items()]


def find_sides(
    path: Path,
    names: Sequence[str],
    texts: Sequence[Sequence[str]],
    languages: Languages,
    *,
    is_header: bool = True,
) -> tuple[dict[str, int], str]:
    """Return for each language the index of the text in it, and how this was seen.

    Args:
        path: the file, for messages.
        names: the name of each text.
        texts: texts, as sequences of lines or cells.
        languages: codes of the two languages.
        is_header: whether the names are names for certain; otherwise, they may be the first row of a table.

    Raises:
        DataError: neither the names nor frequent words tell.
    """
    plain = {i for i, name in enumerate(names) if _is_header(name, *languages)}
    named: list[int] = []
    for language in languages:
        loose = {i for i, name in enumerate(names) if _is_named(name, language)}
        bare = {i for i in loose & plain if language_names(language).issuperset(words_of(names[i]))}
        choices = (bare, loose & plain, loose if is_header else set[int]())
        named += next((found for found in choices if len(found) == 1), ())
    first, second = (FUNCTION_WORDS.get(language, frozenset()) for language in languages)
    leads = [sum((x in first) - (x in second) for x in words_of(" ".join(text))) for text in texts]
    leads += [0] * (len(names) - len(leads))
    if len(set(named)) == 2 and (leads[named[0]] > -_N_VETO or leads[named[1]] < _N_VETO):
        return dict(zip(languages, named, strict=True)), "because it is named so"
    sides = [i for i in plain if not _SIDE_WORDS.isdisjoint(words_of(names[i]))]
    if len(sides) > 1:
        leads = [lead if i in sides else 0 for i, lead in enumerate(leads)]
    if max(leads) <= 0 or min(leads) >= 0:
        raise DataError(
            f"{path}: it cannot be told which text is {languages[0]} and which {languages[1]}; name them so "
            f"in the header or in the names of two files (now: {', '.join(names)})"
        )
    found = (leads.index(max(leads)), leads.index(min(leads)))
    return dict(zip(languages, found, strict=True)), "because of its frequent words"


def words_of(text: str) -> list[str]:
    """Return the words of a text in lower case."""
    return re.findall(r"[^\W_]+", text.lower())


def _is_named(name: str, language: str) -> bool:
    words = words_of(name)
    return len(words) <= 3 and not language_names(language).isdisjoint(words)


def _is_header(name: str, *languages: str) -> bool:
    known = _HEADER_WORDS.union(*map(language_names, languages), *_NAMES.values())
    return bool(words := words_of(name)) and known.issuperset(words) and not re.search("[.!?…]", name)


def language_names(language: str) -> set[str]:
    """Return the words that name a language in headers and file names."""
    return _NAMES.get(language, {language.lower()})
