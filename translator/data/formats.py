"""Which reader reads which `data.format`."""

from collections.abc import Iterator
from pathlib import Path

from translator.config import DataConfig
from translator.data import readers
from translator.data.lines import MalformedError
from translator.errors import DataError

#: What may separate columns, by its name in `data.delimiter`.
DELIMITERS = {"tab": "\t", "semicolon": ";", "comma": ","}


def read_files(config: DataConfig, paths: dict[str, Path]) -> Iterator[readers.Row | MalformedError]:
    """Yield the rows of a split that consists of files of any format except Parquet.

    Args:
        config: the configuration of the data.
        paths: the file of each language. Except for `text`, both languages have the same file.

    Raises:
        DataError: a file cannot be read; see the readers.
    """
    path, encoding = paths[config.source_language], config.encoding
    source, target = column_names(config)
    match config.format:
        case "text":
            return readers.read_parallel(path, paths[config.target_language], encoding or "utf-8")
        case "tsv" | "csv":
            is_csv = config.format == "csv"
            return readers.read_table(
                path,
                source,
                target,
                delimiter=DELIMITERS[config.delimiter or ("comma" if is_csv else "tab")],
                quoted=(config.quoting or ("double" if is_csv else "none")) == "double",
                encoding=encoding or "utf-8",
            )
        case "xlsx":
            from translator.data.workbooks import workbook_records

            return readers.columns(path, workbook_records(path), source, target)
        case "jsonl":
            return readers.read_jsonl(path, str(source), str(target), encoding or "utf-8")
        case "tmx":
            from translator.data.xml_files import read_tmx as read
        case "xliff":
            from translator.data.xml_files import read_xliff as read
        case _:
            from translator.data.po_files import read_po as read
    return read(path, str(source), str(target), encoding)


def column_names(config: DataConfig) -> tuple[str | int, str | int]:
    """Return the names or numbers of the source column and the target column.

    Raises:
        DataError: one is a name and the other a number, or the format has no numbered columns.
    """
    languages = (config.source_language, config.target_language)
    names = [config.columns.get(language, language) for language in languages]
    if isinstance(names[0], int) != isinstance(names[1], int):
        raise DataError("data.columns mixes a name and a number; give two names, or two numbers from 1")
    if isinstance(names[0], int) and config.format not in ("tsv", "csv", "xlsx"):
        raise DataError(
            f"data.columns: numbers are for tsv, csv and xlsx; data.format={config.format} has names"
        )
    return names[0], names[1]
