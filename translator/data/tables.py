"""Tables of the library `datasets`: loading and downloading them, and writing them as Arrow files.

No other module imports `datasets`. Its builders for text and CSV change the text, so such files are read by
`readers` instead. Rows are written in batches here, since `Dataset.from_generator` encodes rows one by one,
which takes several times as long.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from datasets import (
    Dataset,
    DownloadConfig,
    DownloadManager,
    Features,
    Value,
    disable_progress_bars,
    load_dataset,
)
from datasets import List as ListOf
from datasets.arrow_writer import ArrowWriter
from datasets.exceptions import DatasetGenerationError
from datasets.utils import tqdm

from translator.errors import DataError, is_out_of_memory

Table: TypeAlias = Dataset

#: Columns of a split.
COLUMNS = Features(
    {
        "line": Value("int64"),
        "source": Value("string"),
        "target": Value("string"),
        "notes": Value("uint8"),
    }
)
#: Columns of a cached table, which also has the malformed rows. `problem` is 0 if the row is a valid pair.
_CACHED = Features({**COLUMNS, "problem": Value("uint8")})
_TOKENS = Features({"source_ids": ListOf(Value("int32")), "target_ids": ListOf(Value("int32"))})

_BATCH_SIZE = 1000

disable_progress_bars()
tqdm.monitor_interval = 0  # otherwise tqdm starts a monitor thread even for disabled bars


def open_arrow(path: Path) -> Table:
    """Return the table in an Arrow file, memory-mapped."""
    return Dataset.from_file(str(path))


def write_rows(rows: Iterator[tuple[int, str, str, int, int]], path: Path) -> int:
    """Write rows of (line, source, target, notes, problem) to an Arrow file; return the number of rows."""
    with ArrowWriter(features=_CACHED, path=str(path)) as writer:
        while batch := list(islice(rows, _BATCH_SIZE)):
            columns = map(list, zip(*batch, strict=True))
            writer.write_batch(dict(zip(_CACHED, columns, strict=True)))
        n_rows, _ = writer.finalize()
    return int(n_rows)


def write_tokens(
    table: Table, encode: Callable[[list[str], list[str]], dict[str, list[list[int]]]], path: Path
) -> Table:
    """Write the token ids of the pairs of a table to an Arrow file. Return the new table, memory-mapped.

    Args:
        table: the pairs, with the columns `source` and `target`.
        encode: maps the sources and the targets of a batch to `source_ids` and `target_ids`; it may drop
            pairs.
        path: the Arrow file.
    """
    table.map(
        lambda batch: encode(batch["source"], batch["target"]),
        batched=True,
        remove_columns=table.column_names,
        features=_TOKENS,
        cache_file_name=str(path),
        load_from_cache_file=False,
        new_fingerprint=path.stem,
    )
    return open_arrow(path)


def iter_batches(table: Table) -> Iterator[dict[str, list[object]]]:
    """Yield the rows of a table in batches.

    If a text of a row is not valid UTF-8, all columns of the row hold bytes instead, so readers find it
    malformed.
    """
    for start in range(0, len(table), _BATCH_SIZE):
        try:
            yield table[start : start + _BATCH_SIZE]
        except UnicodeDecodeError:
            for row in range(start, min(start + _BATCH_SIZE, len(table))):
                try:
                    yield table[row : row + 1]
                except UnicodeDecodeError:
                    yield {name: [b"no UTF-8"] for name in table.column_names}


def load_parquet(path: Path, cache: Path) -> Table:
    """Load a Parquet file. `datasets` converts the file to Arrow and stores the result in the cache folder.

    Raises:
        DataError: the file cannot be read.
    """
    with one_line_errors(str(path), "fix or replace the file"):
        return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(cache))


def load_hub(dataset: str, subset: str | None, split: str, cache: Path) -> Table:
    """Load a split of a data set that is on the Hub or in a local folder.

    Raises:
        DataError: the data set or split does not exist, or cannot be fetched.
    """
    hint = "check the name, the network and data.files (split → the data set's own name for it)"
    with one_line_errors(f"data.dataset={dataset}, split {split!r}", hint):
        if subset and (Path(dataset) / subset).is_dir():
            return load_dataset(dataset, data_dir=subset, split=split, cache_dir=str(cache))
        return load_dataset(dataset, subset, split=split, cache_dir=str(cache))


def download(url: str, folder: Path, *, force: bool = False) -> Path:
    """Download a file into a folder, and return the path of the copy.

    If the folder has a copy already and the server reports that the copy is current, the file is not
    downloaded. With `force`, it is always downloaded.

    Raises:
        OSError, ValueError: the address cannot be reached.
    """
    options = DownloadConfig(cache_dir=str(folder), disable_tqdm=True, max_retries=2, force_download=force)
    return Path(DownloadManager(download_config=options).download(url))


@contextmanager
def one_line_errors(what: str, hint: str) -> Iterator[None]:
    """Turn an error of `datasets` into a `DataError` of one line, and keep its log messages off the screen.

    Args:
        what: what is loaded, for the message.
        hint: what the user should check, for the message.
    """
    logs = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetGenerationError) as error:
        if is_out_of_memory(error) or is_out_of_memory(error.__cause__ or error):
            raise MemoryError from None
        raise DataError(f"{what}: cannot be loaded: {first_line(error)}; {hint}") from None
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def first_line(error: Exception) -> str:
    """Return the first line of the message of an error's cause or, without a cause, of the error itself."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
