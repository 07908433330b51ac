"""The pairs of translation memories (TMX) and of XLIFF 1.2 files. Only this module imports `lxml`.

Inline markup in a segment, such as `<bpt>` and `<x/>`, is dropped; the text inside `<hi>`, `<g>` and `<mrk>`
is kept. Line breaks in a segment become spaces. Nothing outside the file is read, and no entity is expanded.
"""

import html
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lxml import etree

from translator.data.lines import MARKUP, NO_TEXT, UNFINISHED, MalformedError, one_line
from translator.data.opening import open_binary
from translator.data.readers import Row
from translator.errors import DataError

_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
#: Inline elements that mark text of the segment. What other inline elements contain is code.
_MARKING_TEXT = ("hi", "g", "mrk")
#: States of an XLIFF target that is not a translation yet.
_UNFINISHED_STATES = ("new", "needs-translation")
_ENTITIES = "declares XML entities, which can expand without end; remove them"


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
    for unit in _elements(path, "tmx", ["{*}tu"], encoding):
        by_language = [
            (str(variant.get(_LANGUAGE) or variant.get("lang")), *_text_of(segment))
            for variant in unit.iterfind("{*}tuv")
            for segment in variant.iterfind("{*}seg")
        ]
        sources, targets = (
            dict.fromkeys(
                (text, note) for language, text, note in by_language if is_language(language, wanted)
            )
            for wanted in (source, target)
        )
        for wanted, found in ((source, sources), (target, targets)):
            if not found:
                has = ", ".join(language for language, _, _ in by_language) or "nothing"
                problem = f"no segment in {wanted!r}; there are: {has}; set data.columns to two of them"
                yield MalformedError(unit.sourceline, NO_TEXT, f"{path}:{unit.sourceline}: {problem}")
                break
        for text, note in sources:
            for translation, other_note in targets:
                yield Row(unit.sourceline, text, translation, note | other_note)


def read_xliff(
    path: Path, source: str, target: str, encoding: str | None = None
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of an XLIFF 1.2 file in either direction; see `read_tmx` for the arguments.

    A unit without a target, or with one whose state is `new` or `needs-translation`, is unfinished.

    Raises:
        DataError: see `read_tmx`. Also raised if the file is between other languages, or is XLIFF 2.
    """
    for unit in _elements(path, "xliff", ["{*}trans-unit", "{*}unit"], encoding):
        line = unit.sourceline
        if etree.QName(unit).localname == "unit":
            raise DataError(f"{path} is XLIFF 2, and XLIFF 1.2 is read; save it as that, or as TMX")
        file = next(unit.iterancestors("{*}file"), unit)
        languages = [file.get("source-language", ""), file.get("target-language", "")]
        is_crossed = is_language(languages[0], target)
        if not is_crossed and not is_language(languages[0], source):
            found = " into ".join(filter(None, languages))
            advice = "set data.source_language and data.target_language, or data.columns"
            raise DataError(f"{path}:{line}: it is from {found}, not between {source} and {target}; {advice}")
        elements = [unit.find("{*}source"), unit.find("{*}target")]
        if None in elements or elements[1].get("state") in _UNFINISHED_STATES:
            yield MalformedError(line, UNFINISHED, f"{path}:{line}: not translated yet; translate it")
            continue
        (first, note), (second, other_note) = (_text_of(element) for element in elements)
        pair = (second, first) if is_crossed else (first, second)
        yield Row(line, *pair, note | other_note)


def is_language(given: str, wanted: str) -> bool:
    """Return whether a language code is the wanted one or a variant of it."""
    return f"{given.replace('_', '-').lower()}-".startswith(f"{wanted.replace('_', '-').lower()}-")


def _elements(path: Path, file_format: str, tags: list[str], encoding: str | None) -> Iterator[Any]:
    """Yield the elements with the given tags. An element is emptied after it was used."""
    with open_binary(path, file_format=file_format, encoding=encoding or "utf-8") as file:
        try:
            for _, element in etree.iterparse(
                file,
                tag=tags,
                encoding=encoding,
                resolve_entities=False,
                remove_comments=True,
                remove_pis=True,
                collect_ids=False,
            ):
                declared = element.getroottree().docinfo.internalDTD
                if declared is not None and any(True for _ in declared.iterentities()):
                    raise DataError(f"{path} {_ENTITIES}")
                yield element
                element.clear()
                while element.getprevious() is not None:
                    del element.getparent()[0]
        except etree.XMLSyntaxError as error:
            if "amplification" in str(error.msg):
                raise DataError(f"{path} {_ENTITIES}") from None
            reason = " ".join(str(error.msg).partition(", line ")[0].split())
            problem = f"not valid XML: {reason}; fix or fetch the file again"
            if "encoding" in problem or "UTF-8" in problem:
                problem = f"{problem}, or set data.encoding"
            raise DataError(f"{path}:{error.lineno}: {problem}") from None
        except LookupError:
            raise DataError(f"{path}: XML in data.encoding={encoding} cannot be read; convert it") from None


def _text_of(element: Any) -> tuple[str, int]:
    """Return the text of a segment without its inline markup, and the flag `MARKUP` if there was any."""
    parts, note = [element.text or ""], 0
    for child in element:
        if child.tag is etree.Entity:
            parts.append(html.unescape(child.text))
        else:
            note = MARKUP
            if etree.QName(child).localname in _MARKING_TEXT:
                parts.append(_text_of(child)[0])
        parts.append(child.tail or "")
    return one_line("".join(parts)), note
