"""The rows of one split of one source: read once, and then cached in a memory-mapped table."""

from collections.abc import Callable, Iterator
from pathlib import Path

from translator.config import DataConfig
from translator.data import phrasebook, readers, tables
from translator.data.formats import column_names, read_files
from translator.data.input_map import map_input
from translator.data.lines import MalformedError, scan_lines
from translator.data.locations import cache_folder, file_sha256, local_paths, short_hash
from translator.data.oddities import odd_bits
from translator.data.tables import Table
from translator.errors import DataError
from translator.files import ensure_sealed

#: Version of the cached tables. Increment it when a change to this module or to `readers` alters the rows
#: that are read from a file.
READER_VERSION = 3

#: Name of the Arrow file in the folder of a cached table.
TABLE = "table.arrow"

Rows = Iterator[readers.Row | MalformedError]


def open_table(config: DataConfig, split: str) -> Table:
    """Return the cached table of a split, which includes the malformed rows; see `_cached_table`."""
    source, target = column_names(config)
    if config.format == "phrasebook":
        return _cached_table(config, lambda _: _phrasebook_rows(split, source, target), split, {})
    if config.format == "hub":
        table = load_hub(config, split)
        where = f"data.dataset={config.dataset}, split {split!r}"
        return _cached_table(
            config, lambda _: _table_rows(config, table, where), split, {"": table._fingerprint}
        )
    paths = local_paths(config, split)
    path = paths[config.source_language]
    digests = {language: file_sha256(path) for language, path in paths.items()}
    if config.format == "parquet":
        return _cached_table(
            config,
            lambda scratch: _table_rows(config, tables.load_parquet(path, scratch), str(path)),
            split,
            digests,
        )
    return _cached_table(config, lambda _: read_files(config, paths), split, digests)


def _table_rows(config: DataConfig, table: Table, where: str) -> Rows:
    """Yield the rows of a table that has two text columns or the column `translation` (see `pair_of`)."""
    source, target = map(str, column_names(config))
    if "translation" not in table.column_names:
        readers.pair_of(dict.fromkeys(table.column_names, ""), source, target, line=0, where=where)
    wanted = [name for name in table.column_names if name in (source, target, "translation")]
    return readers.read_records(
        tables.iter_batches(table.select_columns(wanted)), source, target, where=where
    )


def _cached_table(
    config: DataConfig, rows: Callable[[Path], Rows], split: str, digests: dict[str, str]
) -> Table:
    """Return the cached table of a split. If the table is missing or damaged, write it first.

    Args:
        config: the configuration of the data.
        rows: function that takes a folder for temporary files and yields the rows of the split.
        split: name of the split.
        digests: digests that identify the data of the split.
    """
    key: list[object] = [READER_VERSION, config.input_map, config.format, split, sorted(digests.items())]
    key += [config.encoding, config.delimiter, config.quoting]
    key += [column_names(config), phrasebook.fingerprint() if config.format == "phrasebook" else ""]
    folder = cache_folder(config, "arrow") / short_hash(key)

    def write(partial: Path) -> None:
        records = _cache_records(rows(partial.with_name("source")), config)
        if not tables.write_rows(records, partial / TABLE):
            raise DataError(_no_pairs(config, split))

    ensure_sealed(folder, [TABLE], write)
    return tables.open_arrow(folder / TABLE)


def _no_pairs(config: DataConfig, split: str) -> str:
    """Return the error message for a split that has no rows."""
    if config.format == "hub":
        return f"data.dataset={config.dataset}: split {split!r} has no rows; name another in data.files"
    path = local_paths(config, split)[config.source_language]
    is_text = config.format in ("text", "tsv", "csv", "jsonl")
    is_empty = is_text and next(scan_lines(path, config.encoding or "utf-8"), None) is None
    what = (
        "is empty"
        if is_empty
        else "has no pairs, only blank lines or a header"
        if is_text
        else "has no pairs"
    )
    return f"{path} {what}; name a file that has pairs in data.files.{split}"


def _cache_records(rows: Rows, config: DataConfig) -> Iterator[tuple[int, str, str, int, int]]:
    """Yield each row in the form in which it is cached: (line, source, target, notes, problem).

    If `data.input_map` is set, the input map is applied to the sources.

    Raises:
        DataError: every row is malformed. The message describes what is wrong with the first row.
    """
    first: MalformedError | None = None
    n_malformed = n_pairs = 0
    for row in rows:
        if isinstance(row, MalformedError):
            first, n_malformed = first or row, n_malformed + 1
            yield row.line, "", "", 0, row.problem
        else:
            n_pairs += 1
            source = map_input(row.source) if config.input_map else row.source
            yield row.line, source, row.target, row.notes | odd_bits(row.source, row.target), 0
    if first is not None and not n_pairs:
        others = f" (nor is any other of the {n_malformed:,} rows a pair)" if n_malformed > 1 else ""
        raise DataError(f"{first}{others}")


def load_hub(config: DataConfig, split: str) -> Table:
    """Return a split of a Hub dataset."""
    # The split that this project calls `val` is usually called `validation` on the Hub.
    on_hub = config.files.get(split, "validation" if split == "val" else split)
    return tables.load_hub(str(config.dataset), config.subset, str(on_hub), cache_folder(config, "hub"))


def _phrasebook_rows(split: str, source: str | int, target: str | int) -> Iterator[readers.Row]:
    """Yield the rows of a phrasebook split. `source` and `target` are language codes, such as `fr`."""
    for number, pair in enumerate(phrasebook.pairs(split), start=1):
        texts = readers.pair_of(pair, str(source), str(target), line=number, where="phrasebook")
        yield readers.Row(number, *texts, 0)
