"""The pairs of gettext's PO files. Only this module imports `polib`."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from translator.data.lines import UNFINISHED, MalformedError, one_line
from translator.data.opening import open_binary
from translator.data.readers import Row
from translator.data.xml_files import is_language
from translator.errors import DataError

try:
    import polib
except ImportError:
    raise DataError("PO files need polib: pip install 'passerelle[import]'") from None

#: A larger file is not read, because all of it is held in memory.
MAX_BYTES = 100_000_000

#: A line with a string that has no quote at its end. `polib` would drop the last character.
_UNCLOSED = re.compile(r'^(?:#~ *)?(?:msg[\w\[\]]+ +)?"(?:.*[^"\s])?[ \t\r]*$', re.MULTILINE)


def read_po(
    path: Path, source: str, target: str, encoding: str | None = None
) -> Iterator[Row | MalformedError]:
    """Yield the pairs of a PO file: each `msgid` with its `msgstr`, and of plurals each form.

    Entries that are fuzzy, obsolete or not translated are unfinished. Line breaks become spaces.

    Args:
        path: the file.
        source: `msgid` or `msgstr`, or the source language, if the header names the language of `msgstr` and
            this is the source or the target language.
        target: see `source`.
        encoding: encoding of the file; None: the one in its header, or UTF-8.

    Raises:
        DataError: the file cannot be read, is not a PO file, or its language is not known.
    """
    entries = _parse(path, encoding)
    if {source, target} != {"msgid", "msgstr"}:
        language = entries.metadata.get("Language", "")
        if not any(is_language(language, wanted) for wanted in (source, target)):
            named = (
                f"names {language!r}, neither {source!r} nor {target!r}" if language else "names no language"
            )
            advice = f"set data.columns={{{source}: msgid, {target}: msgstr}}, or the other way round"
            raise DataError(f"{path}: its header {named}; {advice}")
        source = "msgstr" if is_language(language, source) else "msgid"
    for entry in entries:
        line = entry.linenum or 0
        if entry.obsolete or entry.fuzzy or not entry.translated():
            problem = "the entry is fuzzy, obsolete or not translated; finish it"
            yield MalformedError(line, UNFINISHED, f"{path}:{line}: {problem}")
            continue
        # The first plural form translates `msgid`, each other one `msgid_plural`.
        forms = [text for _, text in sorted(entry.msgstr_plural.items())] or [entry.msgstr]
        for original, text in zip_longest([entry.msgid], forms, fillvalue=entry.msgid_plural):
            pair = (one_line(text), one_line(original))
            yield Row(line, *(pair if source == "msgstr" else pair[::-1]), 0)


def _parse(path: Path, encoding: str | None) -> Any:
    with open_binary(path, file_format="po", encoding=encoding or "utf-8") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise DataError(f"{path} has more than {MAX_BYTES:,} bytes; split it")
    declared = re.search(rb"charset=([\w.:-]+)", content[:10_000])
    encoding = encoding or (declared[1].decode("ascii", "replace") if declared else "utf-8")
    try:
        text = content.decode("utf-8" if encoding == "CHARSET" else encoding).removeprefix("\ufeff")
        if unclosed := _UNCLOSED.search(text):
            line = text.count("\n", 0, unclosed.start()) + 1
            raise DataError(f"{path}:{line}: the quote opened here is never closed; close it")
        return polib.pofile(f"{text}\n")  # with a line break, it is not taken for the name of a file
    except LookupError:
        raise DataError(f"{path}: unknown charset {encoding!r} in its header; set data.encoding") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        problem = f"byte 0x{content[error.start]:02x} is not valid {encoding}; set data.encoding"
        raise DataError(f"{path}:{line}: {problem}") from None
    except (OSError, ValueError, IndexError) as error:
        at = re.search(r"\(line (\d+)\)", str(error))
        where = f"{path}:{at[1]}" if at else str(path)
        raise DataError(f"{where}: not a PO file; `translator import FILE` says what it is") from None
