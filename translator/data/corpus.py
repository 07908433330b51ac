"""Every source of sentence pairs as one kind of `datasets.Dataset`. The only importer of `datasets`.

A split is a memory-mapped table with the columns `line` (from 1, for messages), `source`, `target` and
`notes` (bits of `readers`: what was taken off the line). Sources have gone through the input map.

`datasets`' own text and CSV builders change text, so files come in through `readers` and are written a batch
at a time (`Dataset.from_generator`, a row at a time, takes four times as long).
"""

import hashlib
import logging
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any

import torch
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

from translator import console
from translator.config import DataConfig
from translator.data import phrasebook, readers
from translator.data.input_map import map_input
from translator.errors import DataError

#: Raise it when a change here or in `readers` would read a file differently.
READER_VERSION = 2

COLUMNS = Features(
    {
        "line": Value("int64"),
        "source": Value("string"),
        "target": Value("string"),
        "notes": Value("uint8"),
    }
)
TOKENS = Features({"source_ids": ListOf(Value("int32")), "target_ids": ListOf(Value("int32"))})

disable_progress_bars()
tqdm.monitor_interval = 0  # of datasets' own class: no thread that watches what nobody sees


def split_names(config: DataConfig) -> list[str]:
    """Return the names of the splits that `open_split` can open, `train` first."""
    if config.format == "phrasebook":
        return list(phrasebook.SPLITS)
    own = list(config.files) or ["train", "val", "test"]  # a Hub data set's usual names
    return [*own, *(name for name in config.held_out if name not in own)]


def open_split(config: DataConfig, split: str, *, seed: int) -> Dataset:
    """Return one split, whole and in order, as text; sources as `data.input_map` has them.

    Args:
        config: where it comes from.
        split: its name; `train` without the pairs that `data.held_out` cuts from it.
        seed: of the cut.

    Raises:
        DataError: the split is not there or cannot be read; the message names file and line.
    """
    if split not in split_names(config):
        raise DataError(f"no split {split!r}; the data has: {', '.join(split_names(config))}")
    if not config.held_out or (split != "train" and split not in config.held_out):
        return _open_whole(config, split)
    whole = _open_whole(config, "train")
    cuts = cut_held_out(whole, config.held_out, seed=seed)
    if split in cuts:
        return whole.select(cuts[split].tolist())
    keep = torch.ones(len(whole), dtype=torch.bool)
    keep[torch.cat(list(cuts.values()))] = False
    return whole.select(keep.nonzero().flatten().numpy())


def second_references(config: DataConfig, split: str) -> list[str] | None:
    """Return a second English of each line of a split that people wrote for the phrasebook, else None."""
    is_english = config.format == "phrasebook" and _column_names(config)[1] == "en"
    return phrasebook.second_references(split) if is_english else None


def origins(config: DataConfig, split: str) -> list[str] | None:
    """Return where each line of a split comes from, for the phrasebook, which has several sources."""
    is_phrasebook = config.format == "phrasebook" and split not in config.held_out
    return phrasebook.origins(split) if is_phrasebook else None


def cut_held_out(whole: Dataset, sizes: dict[str, int], *, seed: int) -> dict[str, torch.Tensor]:
    """Draw the row numbers of each held-out split, in file order; pairs with a blank side are not drawn.

    Raises:
        DataError: the splits together would take more than half of the pairs.
    """
    n_wanted = sum(sizes.values())
    if 2 * n_wanted > len(whole):
        raise DataError(
            f"data.held_out takes {n_wanted} of {len(whole)} pairs; at most half may be held out, "
            "so lower its numbers"
        )
    shuffled = torch.randperm(len(whole), generator=torch.Generator().manual_seed(seed))
    drawn: list[int] = []
    for i in range(len(whole)):  # not over a list of them all, which takes five times as much memory
        if len(drawn) == n_wanted:
            break
        row = int(shuffled[i])
        pair = whole[row]
        if pair["source"].strip() and pair["target"].strip():
            drawn.append(row)
    if len(drawn) < n_wanted:
        raise DataError(f"data.held_out takes {n_wanted} pairs and only {len(drawn)} are not blank")
    cuts, at = {}, 0
    for name, size in sizes.items():
        cuts[name] = torch.tensor(sorted(drawn[at : at + size]))
        at += size
    return cuts


def fingerprints(config: DataConfig) -> dict[str, str]:
    """Return what identifies the data: SHA-256 of each file, or `datasets`' fingerprint of a Hub split.

    Raises:
        DataError: a file cannot be read or fetched.
    """
    if config.format == "phrasebook":
        return {"phrasebook": phrasebook.fingerprint()}
    if config.format == "hub":
        theirs = [split for split in split_names(config) if split not in config.held_out]
        return {split: str(_load_hub(config, split)._fingerprint) for split in theirs}
    paths = {split: _paths(config, split) for split in config.files}
    return {
        f"{split}.{language}": _sha256(path)
        for split, by_language in paths.items()
        for language, path in by_language.items()
    }


def write_tokens(
    dataset: Dataset, encode: Callable[[list[str], list[str]], dict[str, list[list[int]]]], path: Path
) -> Dataset:
    """Map text pairs to ids, once, into an Arrow file; return it memory-mapped.

    Args:
        dataset: columns `source` and `target`.
        encode: batch of sources and of targets → `source_ids` and `target_ids`; it may drop pairs.
        path: the Arrow file, written whole.
    """
    dataset.map(
        lambda batch: encode(batch["source"], batch["target"]),
        batched=True,
        remove_columns=dataset.column_names,
        features=TOKENS,
        cache_file_name=str(path),
        load_from_cache_file=False,
        new_fingerprint=path.stem,
    )
    return open_arrow(path)


def open_arrow(path: Path) -> Dataset:
    """Open an Arrow file, memory-mapped."""
    return Dataset.from_file(str(path))


def _open_whole(config: DataConfig, split: str) -> Dataset:
    source, target = _column_names(config)
    if config.format == "phrasebook":
        return _from_rows(config, partial(_phrasebook_rows, split, source, target), split, {})
    if config.format == "hub":
        table = _load_hub(config, split)
        return _normalise(config, table, f"{config.dataset} {split}", _cache(config, "arrow"))
    paths = _paths(config, split)
    path = paths[config.source_language]
    if config.format == "parquet":
        # By content: `datasets` itself tells a changed file by its time alone.
        cache = _cache(config, f"arrow/parquet-{_sha256(path)[:32]}")
        with _one_line_errors(str(path), "mend or replace the file"):
            table = load_dataset("parquet", data_files=str(path), split="train", cache_dir=cache)
        return _normalise(config, table, str(path), cache)
    rows: dict[str, Callable[[], Iterator[readers.Row]]] = {
        "text": lambda: readers.read_parallel(path, paths[config.target_language]),
        "tsv": lambda: readers.read_tsv(path, source, target),
        "csv": lambda: readers.read_csv(path, source, target),
        "jsonl": lambda: readers.read_jsonl(path, str(source), str(target)),
    }
    return _from_rows(config, rows[config.format], split, {k: _sha256(p) for k, p in paths.items()})


def _from_rows(
    config: DataConfig, rows: Callable[[], Iterator[readers.Row]], split: str, digests: dict[str, str]
) -> Dataset:
    """Write rows into an Arrow file of the cache, or find them written; it is there when it is whole."""
    what: list[object] = [READER_VERSION, config.input_map, config.format, split, sorted(digests.items())]
    what += [_column_names(config), phrasebook.fingerprint() if config.format == "phrasebook" else ""]
    path = Path(_cache(config, "arrow")) / f"{_key(what)}.arrow"
    if not path.is_file():
        with tempfile.TemporaryDirectory(prefix="partial-", dir=path.parent) as partial_folder:
            partial_path = Path(partial_folder) / path.name
            if not _write_rows(_mapped(rows(), config), partial_path):
                raise DataError(f"data.files.{split} has no pairs; name a file that has some")
            partial_path.replace(path)
    return open_arrow(path)


def _mapped(rows: Iterator[readers.Row], config: DataConfig) -> Iterator[readers.Row]:
    """Put the sources through the input map, if there is to be one."""
    return (row._replace(source=map_input(row.source)) for row in rows) if config.input_map else rows


def _write_rows(rows: Iterator[readers.Row], path: Path) -> int:
    """Write an Arrow file; return the number of rows."""
    with ArrowWriter(features=COLUMNS, path=str(path)) as writer:
        while batch := list(islice(rows, 1000)):
            columns = map(list, zip(*batch, strict=True))
            writer.write_batch(dict(zip(readers.Row._fields, columns, strict=True)))
        n_rows, _ = writer.finalize()
    return int(n_rows)


def _normalise(config: DataConfig, table: Dataset, where: str, cache: str) -> Dataset:
    """Bring a table with a `translation` feature or two text columns to our columns."""
    source, target = map(str, _column_names(config))

    def convert(batch: dict[str, list[Any]], rows: list[int]) -> dict[str, list[Any]]:
        records = [dict(zip(batch, values, strict=True)) for values in zip(*batch.values(), strict=True)]
        pairs = [
            readers.pair_of(record, source, target, where=f"{where}, row {row + 1}")
            for record, row in zip(records, rows, strict=True)
        ]
        return {
            "line": [row + 1 for row in rows],
            "source": [map_input(pair[0]) if config.input_map else pair[0] for pair in pairs],
            "target": [pair[1] for pair in pairs],
            "notes": [0] * len(rows),
        }

    key = _key([READER_VERSION, config.input_map, table._fingerprint, source, target])
    return table.map(
        convert,
        batched=True,
        with_indices=True,
        remove_columns=table.column_names,
        features=COLUMNS,
        cache_file_name=str(Path(cache) / f"{key}.arrow"),
        new_fingerprint=key,
    )


def _load_hub(config: DataConfig, split: str) -> Dataset:
    dataset = str(config.dataset)
    # Our `val` is called `validation` on the Hub, unless the configuration says otherwise.
    theirs = config.files.get(split, "validation" if split == "val" else split)
    cache = _cache(config, "hub")
    hint = "check the name, the network and data.files (split → the data set's own name for it)"
    with _one_line_errors(f"data.dataset={dataset}, split {theirs!r}", hint):
        if config.subset and (Path(dataset) / config.subset).is_dir():
            return load_dataset(dataset, data_dir=config.subset, split=theirs, cache_dir=cache)
        return load_dataset(dataset, config.subset, split=theirs, cache_dir=cache)


@contextmanager
def _one_line_errors(what: str, hint: str) -> Iterator[None]:
    """Turn what `datasets` raises for a name, file or network into one line; hush its own log of it."""
    logs = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.CRITICAL)
    try:
        yield
    except (OSError, ValueError, RuntimeError, DatasetGenerationError) as error:
        raise DataError(f"{what}: cannot be loaded: {_reason(error)}; {hint}") from None
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)


def _reason(error: Exception) -> str:
    """First line of what lies behind an error of `datasets`."""
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__


def _column_names(config: DataConfig) -> tuple[str | int, str | int]:
    languages = (config.source_language, config.target_language)
    names = [config.columns.get(language, language) for language in languages]
    if isinstance(names[0], int) != isinstance(names[1], int):
        raise DataError("data.columns mixes a name and a place; give two names, or two places from 1")
    if isinstance(names[0], int) and config.format not in ("tsv", "csv"):
        raise DataError(f"data.columns: places are for tsv and csv; data.format={config.format} has names")
    return names[0], names[1]


def _paths(config: DataConfig, split: str) -> dict[str, Path]:
    """Language → local path of its file; fetched first where it is an address."""
    named = config.files[split]
    paths = {}
    for language in (config.source_language, config.target_language):
        name = named[language] if isinstance(named, dict) else named.replace("{lang}", language)
        if config.root is not None:
            name = f"{config.root.rstrip('/')}/{name}"
        if name.startswith(("http://", "https://")):
            paths[language] = _fetch(config, name)
        else:
            paths[language] = _plain_or_gz(Path(name).expanduser())
    return paths


def _plain_or_gz(path: Path) -> Path:
    """The path itself, or its twin with or without `.gz` where only that is there."""
    twin = path.with_suffix("") if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    for candidate in (path, twin):
        if candidate.is_file():
            return candidate
    raise DataError(f"{path}: no such file, nor {twin.name}; check data.root and data.files")


def _fetch(config: DataConfig, url: str) -> Path:
    """Fetch a file, or find it fetched: anew where the server says it changed, as it is with no network."""
    folder = _cache(config, "downloads")
    options = DownloadConfig(cache_dir=folder, disable_tqdm=True, max_retries=2)
    remembered = Path(folder) / f"{_key(url)}.path"
    try:
        path = Path(DownloadManager(download_config=options).download(url))
    except (OSError, ValueError) as error:
        if remembered.is_file() and (path := Path(remembered.read_text())).is_file():
            console.note(f"{url}: cannot be reached; going on with what was fetched before")
            return path
        raise DataError(
            f"{url}: cannot be fetched ({_reason(error)}); check the address and the network, or put the "
            "files into a folder and give data.root=FOLDER"
        ) from None
    remembered.write_text(str(path))
    return path


def _phrasebook_rows(
    split: str, source: str | int, target: str | int
) -> Iterator[readers.Row]:  # the languages are its column names
    for number, pair in zip(count(1), phrasebook.pairs(split)):
        yield readers.Row(number, *readers.pair_of(pair, str(source), str(target), where="phrasebook"), 0)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; check data.root and data.files") from None


def _key(what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:32]


def _cache(config: DataConfig, name: str) -> str:
    folder = Path(config.cache).expanduser() / name
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"data.cache={config.cache}: cannot be made: {error.strerror}") from None
    return str(folder)
