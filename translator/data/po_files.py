"""The pairs of gettext's PO files. Only this module imports `polib`."""

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import polib

from translator.data.lines import UNFINISHED, MalformedError, one_line
from translator.data.opening import open_binary
from translator.data.readers import Row
from translator.data.xml_files import is_language
from translator.errors import DataError

#: A line with a string that has no quote at its end. `polib` would drop the last character.
_UNCLOSED = re.compile(r'^(?:#~ *)?(?:msg[\w\[\]]+ +)?"(?:.*[^"\s])?[ \t\r]*$', re.MULTILINE)

#: Characters at which `polib` would end a line, though PO files do not.
_NO_LINE_ENDS = dict.fromkeys(map(ord, "\v\f\x1c\x1d\x1e\x85\u2028\u2029"), " ")


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
    is_reversed = source == "msgstr"
    if {source, target} != {"msgid", "msgstr"}:
        language = entries.metadata.get("Language", "")
        is_reversed = is_language(language, source)
        if not is_reversed and not is_language(language, target):
            advice = f"set data.columns={{{source}: msgid, {target}: msgstr}}, or the other way round"
            raise DataError(f"{path}: its header names the language {language or '(none)'}; {advice}")
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
            yield Row(line, *(pair if is_reversed else pair[::-1]), 0)


def _parse(path: Path, encoding: str | None) -> Any:
    with open_binary(path, file_format="po") as file:
        content = file.read()
    try:
        text = content.decode(encoding or polib.detect_encoding(content)).removeprefix("\ufeff")
        text = text.translate(_NO_LINE_ENDS)
        if unclosed := _UNCLOSED.search(text):
            raise ValueError(f"the quote in {unclosed[0].strip()[:40]} is never closed")
        return polib.pofile(f"{text}\n")  # with a line break, it is not taken for the name of a file
    except (OSError, ValueError, IndexError) as error:
        raise DataError(f"{path}: not a valid PO file: {error}; fix it, or set data.encoding") from None
