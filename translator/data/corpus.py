"""Every source of sentence pairs as one kind of `datasets.Dataset`. The only importer of `datasets`.

A split is a memory-mapped table with the columns `line` (from 1, for messages), `source`, `target` and
`notes` (bits of `lines` and `oddities`). Sources have gone through the input map.

`datasets`' own text and CSV builders change text, so files come in through `readers` and are written a batch
at a time (`Dataset.from_generator`, a row at a time, takes four times as long).
"""

import hashlib
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
from translator.data.lines import MalformedError, scan_lines
from translator.data.oddities import odd_bits
from translator.errors import DataError, is_out_of_memory
from translator.files import atomic_write, find_sealed, sha256

#: Raise it when a change here or in `readers` would read a file differently.
READER_VERSION = 3

COLUMNS = Features(
    {
        "line": Value("int64"),
        "source": Value("string"),
        "target": Value("string"),
        "notes": Value("uint8"),
    }
)
#: Of the tables in the cache, which keep the place of malformed rows; `problem` is 0 for a pair.
_CACHED = Features({**COLUMNS, "problem": Value("uint8")})
TOKENS = Features({"source_ids": ListOf(Value("int32")), "target_ids": ListOf(Value("int32"))})

#: The file in the folder of a table of the cache.
TABLE = "table.arrow"

Rows = Iterator[readers.Row | MalformedError]

disable_progress_bars()
tqdm.monitor_interval = 0  # of datasets' own class: no thread that watches what nobody sees


def split_names(config: DataConfig) -> list[str]:
    """Return the names of the splits that `open_split` can open, `train` first."""
    if config.format == "phrasebook":
        return list(phrasebook.SPLITS)
    own = list(config.files) or ["train", "val", "test"]  # a Hub data set's usual names
    return [*own, *(name for name in config.held_out if name not in own)]


def open_split(config: DataConfig, split: str, *, seed: int) -> Dataset:
    """Return one split in order, as text, without malformed rows; sources as `data.input_map` has them.

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


def open_malformed(config: DataConfig, split: str) -> Dataset:
    """Return the malformed rows of a split: columns `line` and `problem`. A split that is cut has none."""
    table = _open_table(config, "train" if split in config.held_out else split)
    rows = _problems(table).nonzero()[0] if split not in config.held_out else []
    return table.select_columns(["line", "problem"]).select(rows)


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
    table = _open_table(config, split)
    problems = _problems(table)
    table = table.remove_columns("problem")
    return table.select((problems == 0).nonzero()[0]) if problems.any() else table


def _problems(table: Dataset) -> Any:
    """The column `problem` as a NumPy array."""
    return table.data.column("problem").to_numpy()


def _open_table(config: DataConfig, split: str) -> Dataset:
    source, target = _column_names(config)
    if config.format == "phrasebook":
        return _from_rows(config, lambda _: _phrasebook_rows(split, source, target), split, {})
    if config.format == "hub":
        table = _load_hub(config, split)
        where = f"data.dataset={config.dataset}, split {split!r}"
        return _from_rows(
            config, lambda _: _table_rows(config, table, where), split, {"": table._fingerprint}
        )
    paths = _paths(config, split)
    path = paths[config.source_language]
    rows: dict[str, Callable[[Path], Rows]] = {
        "parquet": lambda scratch: _table_rows(config, _load_parquet(path, scratch), str(path)),
        "text": lambda _: readers.read_parallel(path, paths[config.target_language]),
        "tsv": lambda _: readers.read_tsv(path, source, target),
        "csv": lambda _: readers.read_csv(path, source, target),
        "jsonl": lambda _: readers.read_jsonl(path, str(source), str(target)),
    }
    digests = {language: _sha256(path) for language, path in paths.items()}
    return _from_rows(config, rows[config.format], split, digests)


def _table_rows(config: DataConfig, table: Dataset, where: str) -> Rows:
    """The rows of a table with a `translation` feature or two text columns."""
    source, target = map(str, _column_names(config))
    if "translation" not in table.column_names:
        readers.pair_of(dict.fromkeys(table.column_names, ""), source, target, line=0, where=where)
    wanted = [name for name in table.column_names if name in (source, target, "translation")]
    return readers.read_records(_batches(table.select_columns(wanted)), source, target, where=where)


def _load_parquet(path: Path, scratch: Path) -> Dataset:
    """Load a Parquet file; what `datasets` makes of it is kept in a scratch folder."""
    with _one_line_errors(str(path), "mend or replace the file"):
        return load_dataset("parquet", data_files=str(path), split="train", cache_dir=str(scratch))


def _batches(table: Dataset) -> Iterator[dict[str, list[object]]]:
    """A table, a thousand rows at a time; text in it that is no UTF-8 as bytes."""
    for start in range(0, len(table), 1000):
        try:
            yield table[start : start + 1000]
        except UnicodeDecodeError:
            for row in range(start, min(start + 1000, len(table))):
                try:
                    yield table[row : row + 1]
                except UnicodeDecodeError:
                    yield {name: [b"no UTF-8"] for name in table.column_names}


def _from_rows(
    config: DataConfig, rows: Callable[[Path], Rows], split: str, digests: dict[str, str]
) -> Dataset:
    """Write rows into a table of the cache, or find them written and undamaged.

    Args:
        config: the data.
        rows: reads them; it may keep files in the scratch folder that it is given.
        split: their split, for messages.
        digests: what identifies the files.
    """
    what: list[object] = [READER_VERSION, config.input_map, config.format, split, sorted(digests.items())]
    what += [_column_names(config), phrasebook.fingerprint() if config.format == "phrasebook" else ""]
    folder = Path(_cache(config, "arrow")) / _key(what)

    def write(partial: Path) -> None:
        if not _write_rows(_cached(rows(partial.with_name("source")), config), partial / TABLE):
            raise DataError(_no_pairs(config, split))

    find_sealed(folder, [TABLE], write)
    return open_arrow(folder / TABLE)


def _no_pairs(config: DataConfig, split: str) -> str:
    if config.format == "hub":
        return f"data.dataset={config.dataset}: split {split!r} has no rows; name another in data.files"
    path = _paths(config, split)[config.source_language]
    is_text = config.format != "parquet"
    is_empty = is_text and next(scan_lines(path), None) is None
    what = (
        "is empty" if is_empty else "has no pairs, only blank lines or a header" if is_text else "has no rows"
    )
    return f"{path} {what}; name a file that has pairs in data.files.{split}"


def _cached(
    rows: Iterator[readers.Row | MalformedError], config: DataConfig
) -> Iterator[tuple[int, str, str, int, int]]:
    """Rows as the cache has them, sources through the input map if there is to be one.

    Raises:
        DataError: there are rows, and all are malformed (the message is that of the first).
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


def _write_rows(rows: Iterator[tuple[int, str, str, int, int]], path: Path) -> int:
    """Write an Arrow file; return the number of rows."""
    with ArrowWriter(features=_CACHED, path=str(path)) as writer:
        while batch := list(islice(rows, 1000)):
            columns = map(list, zip(*batch, strict=True))
            writer.write_batch(dict(zip(_CACHED, columns, strict=True)))
        n_rows, _ = writer.finalize()
    return int(n_rows)


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
        if is_out_of_memory(error) or is_out_of_memory(error.__cause__ or error):
            raise MemoryError from None
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
            paths[language] = _plain_or_gz(Path(name).expanduser(), config.root)
    return paths


def _plain_or_gz(path: Path, root: str | None) -> Path:
    """The path itself, or its twin with or without `.gz` where only that is there."""
    twin = path.with_suffix("") if path.suffix == ".gz" else path.with_name(path.name + ".gz")
    for candidate in (path, twin):
        if candidate.is_file():
            return candidate
        if candidate.is_dir():
            raise DataError(f"{candidate} is a folder; name a file in it, in data.files")
        if candidate.exists():
            raise DataError(
                f"{candidate} is a pipe or a device, and a corpus is read more than once; "
                "write it into a file and name that"
            )
    where = ""
    if not path.is_absolute():
        of_root = "data.root is not set" if root is None else f"data.root={root}"
        where = f"; {of_root}, and a relative path starts at the working folder, so it was {path.absolute()}"
    raise DataError(f"{path}: no such file, nor {twin.name}{where}; check data.root and data.files")


def _fetch(config: DataConfig, url: str) -> Path:
    """Fetch a file, or find it fetched: anew where the server says it changed, as it is with no network.

    What was damaged since it was fetched is fetched again.
    """
    folder = _cache(config, "downloads")
    options = DownloadConfig(cache_dir=folder, disable_tqdm=True, max_retries=2)
    record = Path(folder) / f"{_key(url)}.path"
    known, digest = (
        [*record.read_text(errors="replace").split("\n"), "", ""][:2] if record.is_file() else ("", "")
    )

    def is_damaged(path: str) -> bool:
        return path == known and digest not in ("", _sha256(Path(path)))  # older records have no digest

    try:
        path = DownloadManager(download_config=options).download(url)
        if is_damaged(path):
            console.note(f"{path}: damaged since it was fetched; fetching {url} again")
            options.force_download = True
            path = DownloadManager(download_config=options).download(url)
    except (OSError, ValueError) as error:
        if Path(known).is_file() and not is_damaged(known):
            console.note(f"{url}: cannot be reached; going on with what was fetched before")
            return Path(known)
        raise DataError(
            f"{url}: cannot be fetched ({_reason(error)}); check the address and the network, or put the "
            "files into a folder and give data.root=FOLDER"
        ) from None
    atomic_write(record, f"{path}\n{_sha256(Path(path))}".encode())
    return Path(path)


def _phrasebook_rows(
    split: str, source: str | int, target: str | int
) -> Iterator[readers.Row]:  # the languages are its column names
    for number, pair in zip(count(1), phrasebook.pairs(split)):
        texts = readers.pair_of(pair, str(source), str(target), line=number, where="phrasebook")
        yield readers.Row(number, *texts, 0)


def _sha256(path: Path) -> str:
    try:
        return sha256(path)
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
