"""Functions that load tables with the library `datasets`, write them to Arrow files, and download files.

No other module imports `datasets`. Text and CSV files are read by the module `readers` instead, because
`datasets` changes the text when it loads such files. Rows are written in batches and not with
`Dataset.from_generator`, which encodes them one by one and takes several times as long.
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
    concatenate_datasets,
    disable_progress_bars,
    load_dataset,
)
from datasets import List as ListOf
from datasets.arrow_writer import ArrowWriter
from datasets.exceptions import DatasetGenerationError
from datasets.utils import tqdm

from translator.errors import DataError, is_out_of_memory

Table: TypeAlias = Dataset

#: The columns of a split.
COLUMNS = Features(
    {
        "line": Value("int64"),
        "source": Value("string"),
        "target": Value("string"),
        "notes": Value("uint8"),
    }
)
#: The columns of a cached table, which also contains the malformed rows. For all other rows, `problem` is 0.
_CACHED = Features({**COLUMNS, "problem": Value("uint8")})
_TOKENS = Features({"source_ids": ListOf(Value("int32")), "target_ids": ListOf(Value("int32"))})

_BATCH_SIZE = 1000

disable_progress_bars()
tqdm.monitor_interval = 0  # without this, tqdm starts a monitor thread even if bars are disabled


def open_arrow(path: Path) -> Table:
    """Return a memory-mapped table of the rows in an Arrow file."""
    return Dataset.from_file(str(path))


def concatenate(parts: list[Table]) -> Table:
    """Return a table with the rows of several tables, one after the other. Nothing is copied."""
    return concatenate_datasets(parts) if len(parts) > 1 else parts[0]


def write_rows(rows: Iterator[tuple[int, str, str, int, int]], path: Path) -> int:
    """Write rows of (line, source, target, notes, problem) to an Arrow file. Return the number of rows."""
    with ArrowWriter(features=_CACHED, path=str(path)) as writer:
        while batch := list(islice(rows, _BATCH_SIZE)):
            columns = map(list, zip(*batch, strict=True))
            writer.write_batch(dict(zip(_CACHED, columns, strict=True)))
        n_rows, _ = writer.finalize()
    return int(n_rows)


def write_tokens(
    table: Table, encode: Callable[[list[str], list[str]], dict[str, list[list[int]]]], path: Path
) -> Table:
    """Encode the pairs of a table and write their ids to an Arrow file. Return the new table, memory-mapped.

    Args:
        table: the pairs, with the columns `source` and `target`.
        encode: function that takes the sources and the targets of a batch, and returns the columns
            `source_ids` and `target_ids`. It may leave out pairs.
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

    If a text of a row is not valid UTF-8, all columns of this row contain bytes in place of text, so that
    readers find the row malformed.
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
    """Load a Parquet file. `datasets` converts it to Arrow and stores the result in the folder `cache`.

    Raises:
        DataError: the file cannot be read.
    """
    with one_line_errors(str(path), "fix or replace the file"):
        return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(cache))


def load_hub(dataset: str, subset: str | None, split: str, cache: Path) -> Table:
    """Load a split of a dataset, which may be on the Hub or in a local folder.

    Raises:
        DataError: the dataset or the split does not exist or cannot be loaded.
    """
    hint = "check the name, the network and data.files (split → the data set's own name for it)"
    with one_line_errors(f"data.dataset={dataset}, split {split!r}", hint):
        if subset and (Path(dataset) / subset).is_dir():
            return load_dataset(dataset, data_dir=subset, split=split, cache_dir=str(cache))
        return load_dataset(dataset, subset, split=split, cache_dir=str(cache))


def download(url: str, folder: Path, *, force: bool = False) -> Path:
    """Download a file into a folder, and return the path of the local copy.

    If the folder already has a copy, and if the server reports that this copy is current, the file is not
    downloaded again unless `force` is set.

    Raises:
        OSError, ValueError: the file cannot be downloaded.
    """
    options = DownloadConfig(cache_dir=str(folder), disable_tqdm=True, max_retries=2, force_download=force)
    return Path(DownloadManager(download_config=options).download(url))


@contextmanager
def one_line_errors(what: str, hint: str) -> Iterator[None]:
    """Turn an error of `datasets` into a `DataError` with a one-line message.

    Inside this context, the log messages of `datasets` and `huggingface_hub` are not shown, unless they are
    critical.

    Args:
        what: name of what is loaded. The message starts with it.
        hint: advice to the user. The message ends with it.
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
    """Return the first line of an error's message. If the error has a cause, the cause's message is used."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
