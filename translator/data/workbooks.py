"""The rows of the first sheet of an Excel workbook (.xlsx). Only this module imports `openpyxl`."""

import io
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import openpyxl
from openpyxl.utils.escape import unescape

from translator.data.csv_records import Record
from translator.data.file_kinds import ZIP_ERRORS
from translator.data.lines import one_line
from translator.data.opening import open_binary, unpacked_limit
from translator.errors import DataError

#: A workbook may unpack to this many bytes, because its texts are held in memory.
MAX_UNPACKED_BYTES = 1_000_000_000
#: Excel has no more rows than this. A damaged file may claim more, and each would be yielded as blank.
MAX_ROWS = 1_048_576
#: What `zipfile` and `openpyxl` raise for damaged and encrypted workbooks, and for XML entities that expand
#: to far more than they are.
_DAMAGE = (*ZIP_ERRORS, TypeError, AttributeError, SyntaxError, EOFError, zlib.error)


def workbook_records(path: Path) -> Iterator[Record]:
    """Yield the rows of the first sheet. Line breaks in a cell become spaces, and numbers become text.

    Of a formula, the value is taken that Excel saved.

    Raises:
        DataError: the file cannot be read, is no workbook, or unpacks to too much.
    """
    with open_binary(path, file_format="xlsx") as opened:
        file = io.BytesIO(opened.read())
    try:
        limit = min(unpacked_limit(len(file.getbuffer())), MAX_UNPACKED_BYTES)
        if sum(part.file_size for part in zipfile.ZipFile(file).infolist()) > limit:
            raise DataError(f"{path} unpacks to more than {limit:,} bytes; save its text as a TSV file")
        with warnings.catch_warnings(action="ignore"):  # about styles and extensions that are not read
            sheet = openpyxl.load_workbook(file, read_only=True, data_only=True).worksheets[0]
            sheet.reset_dimensions()  # some programs write wrong ones
            for number, row in enumerate(sheet.iter_rows(max_row=MAX_ROWS), start=1):
                fields = ["" if cell.value is None or cell.data_type == "e" else cell.value for cell in row]
                while fields and fields[-1] == "":
                    fields.pop()
                texts = [unescape(str(field)).replace("\r", "") for field in fields] or [""]
                yield Record(number, list(map(one_line, texts)), 0)
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DataError(f"{path}: damaged workbook: {reason}; open it in Excel and save it again") from None
