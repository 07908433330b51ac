"""The pairs of translation memories (TMX) and of XLIFF 1.2 files. Only this module imports `lxml`.

Inline markup in a segment, such as `<bpt>` and `<x/>`, is dropped; the text inside `<hi>`, `<g>` and `<mrk>`
is kept. Line breaks in a segment become spaces. Nothing outside the file is read, and no entity is expanded.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from lxml import etree

from translator.data.lines import MARKUP, NO_TEXT, UNFINISHED, MalformedError, one_line
from translator.data.opening import open_binary
from translator.data.readers import Row
from translator.errors import DataError

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
#: Inline elements that contain code. Others, such as `<hi>`, `<g>` and `<mrk>`, mark text of the segment.
_CODE = [f"{{*}}{name}" for name in "bpt ept it ph ut sub x bx ex".split()]
#: States of an XLIFF target that is not a translation yet.
_UNFINISHED_STATES = ("new", "needs-translation")


def read_tmx(
    path: Path, source: str, target: str, encoding: str | None = None
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of a TMX file: of each unit, each source segment with each target segment.

    Args:
        path: the file.
        source: code of the source language. `fr` also stands for its variants, such as `fr-CA`.
        target: code of the target language; see `source`.
        encoding: encoding of the file; None: the one that the file declares.

    Raises:
        DataError: the file cannot be read, is not valid XML, or declares entities.
    """
    for unit in _elements(path, "tmx", "{*}tu", encoding):
        by_language = [
            (str(variant.get(_LANGUAGE) or variant.get("lang")), *_text_of(segment))
            for variant in unit.iterfind("{*}tuv")
            for segment in variant.iterfind("{*}seg")
        ]
        sources, targets = (
            [(text, note) for language, text, note in by_language if is_language(language, wanted)]
            for wanted in (source, target)
        )
        if not sources or not targets:
            has = ", ".join(language for language, _, _ in by_language) or "nothing"
            problem = f"no segment in {(target if sources else source)!r}; there are: {has}"
            where, advice = f"{path}:{unit.sourceline}", "set data.columns to two of them"
            yield MalformedError(unit.sourceline, NO_TEXT, f"{where}: {problem}; {advice}")
        for (text, note), (translation, other_note) in product(sources, targets):
            yield Row(unit.sourceline, text, translation, note | other_note)


def read_xliff(
    path: Path, source: str, target: str, encoding: str | None = None
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of an XLIFF 1.2 file in either direction; see `read_tmx` for the arguments.

    A unit without a target, or with one whose state is `new` or `needs-translation`, is unfinished.

    Raises:
        DataError: see `read_tmx`. Also raised if the file is between other languages.
    """
    for unit in _elements(path, "xliff", "{*}trans-unit", encoding):
        line = unit.sourceline
        file = next(unit.iterancestors("{*}file"), unit)
        given = file.get("source-language", ""), file.get("target-language") or None
        is_crossed = is_language(given[0], target) and is_language(given[1] or source, source)
        if not is_crossed and not (is_language(given[0], source) and is_language(given[1] or target, target)):
            advice = "set data.source_language and data.target_language, or data.columns"
            has = f"it is from {given[0]!r} into {given[1] or 'nothing'!r}"
            raise DataError(f"{path}:{line}: {has}, not between {source} and {target}; {advice}")
        original, translation = unit.find("{*}source"), unit.find("{*}target")
        if original is None or translation is None or translation.get("state") in _UNFINISHED_STATES:
            yield MalformedError(line, UNFINISHED, f"{path}:{line}: not translated yet; translate it")
            continue
        (first, note), (second, other_note) = _text_of(original), _text_of(translation)
        yield Row(line, *((second, first) if is_crossed else (first, second)), note | other_note)


def is_language(given: str, wanted: str) -> bool:
    """Return whether a language code is the wanted one or a variant of it."""
    return f"{given.replace('_', '-').lower()}-".startswith(f"{wanted.replace('_', '-').lower()}-")


def _elements(path: Path, file_format: str, tag: str, encoding: str | None) -> Iterator[Any]:
    """Yield the elements with a tag. An element is emptied after it was used."""
    keys = {"resolve_entities": False, "remove_comments": True, "remove_pis": True, "collect_ids": False}
    with open_binary(path, file_format=file_format) as file:
        try:
            for _, element in etree.iterparse(file, tag=tag, encoding=encoding, **keys):
                entity = next(element.iter(etree.Entity), None)
                if entity is not None:
                    raise DataError(f"{path} uses the XML entity {entity.text}; write its text instead")
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except (etree.XMLSyntaxError, LookupError) as error:  # the second: an unknown encoding
            reason = " ".join(str(error).partition(", line ")[0].split())
            problem = f"not valid XML: {reason}; fix or fetch the file again, or set data.encoding"
            raise DataError(f"{path}:{getattr(error, 'lineno', 1)}: {problem}") from None


def _text_of(element: Any) -> tuple[str, int]:
    """Return the text of a segment without its inline markup, and the flag `MARKUP` if there was any."""
    note = MARKUP if len(element) else 0
    for code in element.iter(*_CODE):
        if code.get("ctype") == "lb" or "<br" in (code.text or ""):
            code.tail = f"\n{code.tail or ''}"
    etree.strip_elements(element, *_CODE, with_tail=False)
    return one_line("".join(element.itertext())), note
