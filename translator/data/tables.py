"""Tables of the `datasets` library, which only this module imports: loading, downloading, writing as Arrow.

The text and CSV builders of `datasets` change the text, so such files are read by `readers`. Rows are written
in batches, since `Dataset.from_generator` encodes them one by one and takes several times as long.
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

COLUMNS = Features(
    {
        "line": Value("int64"),
        "source": Value("string"),
        "target": Value("string"),
        "notes": Value("uint8"),
    }
)
#: Columns of a cached table, which includes the malformed rows; `problem` is 0 for a valid pair.
_CACHED = Features({**COLUMNS, "problem": Value("uint8")})
_TOKENS = Features({"source_ids": ListOf(Value("int32")), "target_ids": ListOf(Value("int32"))})

_BATCH_SIZE = 1000

disable_progress_bars()
tqdm.monitor_interval = 0  # otherwise tqdm starts a monitor thread even for disabled bars


def open_arrow(path: Path) -> Table:
    """Open an Arrow file, memory-mapped."""
    return Dataset.from_file(str(path))


def write_rows(rows: Iterator[tuple[int, str, str, int, int]], path: Path) -> int:
    """Write rows of (line, source, target, notes, problem) to an Arrow file; return their number."""
    with ArrowWriter(features=_CACHED, path=str(path)) as writer:
        while batch := list(islice(rows, _BATCH_SIZE)):
            columns = map(list, zip(*batch, strict=True))
            writer.write_batch(dict(zip(_CACHED, columns, strict=True)))
        n_rows, _ = writer.finalize()
    return int(n_rows)


def write_tokens(
    table: Table, encode: Callable[[list[str], list[str]], dict[str, list[list[int]]]], path: Path
) -> Table:
    """Encode the pairs of a table into an Arrow file; return it memory-mapped.

    Args:
        table: columns `source` and `target`.
        encode: maps a batch of sources and targets to `source_ids` and `target_ids`; it may drop pairs.
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
    """Yield the rows of a table in batches; rows that are not valid UTF-8 hold bytes instead of text."""
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
    """Load a Parquet file; `datasets` converts it to Arrow in the cache folder.

    Raises:
        DataError: the file cannot be read.
    """
    with one_line_errors(str(path), "fix or replace the file"):
        return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(cache))


def load_hub(dataset: str, subset: str | None, split: str, cache: Path) -> Table:
    """Load a split of a Hub data set or of a local folder.

    Raises:
        DataError: the data set or split does not exist, or cannot be fetched.
    """
    hint = "check the name, the network and data.files (split → the data set's own name for it)"
    with one_line_errors(f"data.dataset={dataset}, split {split!r}", hint):
        if subset and (Path(dataset) / subset).is_dir():
            return load_dataset(dataset, data_dir=subset, split=split, cache_dir=str(cache))
        return load_dataset(dataset, subset, split=split, cache_dir=str(cache))


def download(url: str, folder: Path, *, force: bool = False) -> Path:
    """Download a file, unless the server reports that the copy in the folder is current; `force` always does.

    Raises:
        OSError, ValueError: the address cannot be reached.
    """
    options = DownloadConfig(cache_dir=str(folder), disable_tqdm=True, max_retries=2, force_download=force)
    return Path(DownloadManager(download_config=options).download(url))


@contextmanager
def one_line_errors(what: str, hint: str) -> Iterator[None]:
    """Turn the errors that `datasets` raises for a name, file or network into one line; silence its log."""
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
    """Return the first line of an error's cause, or of the error itself."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
