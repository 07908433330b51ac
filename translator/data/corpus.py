"""Access to the splits of a corpus: the phrasebook, text files, Parquet files or a Hub dataset.

For each kind of corpus, a split is a memory-mapped table with four columns: `line` is the number (from 1) of
the pair's line in its file, for use in messages; `source` and `target` are the texts of the pair; `notes`
combines bit flags that the modules `lines` and `oddities` define. If `data.input_map` is set, the input map
has been applied to the sources.

With `data.sources`, a split has the pairs of all sources that have a split of this name.
"""

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

import torch

from translator.config import DataConfig
from translator.data import phrasebook, tables
from translator.data.formats import column_names
from translator.data.locations import file_sha256, local_paths
from translator.data.split_table import load_hub, open_table
from translator.data.tables import Table
from translator.errors import DataError

T = TypeVar("T")


def split_names(config: DataConfig) -> list[str]:
    """Return the names of the splits that `open_split` can open, `train` first."""
    of_sources = [_split_names(source) for source in config.by_source().values()]
    return list(dict.fromkeys(name for names in of_sources for name in names))


def _split_names(config: DataConfig) -> list[str]:
    if config.format == "phrasebook":
        return list(phrasebook.SPLITS)
    own = list(config.files) or ["train", "val", "test"]  # the usual splits of a Hub dataset
    return [*own, *(name for name in config.held_out if name not in own)]


def open_split(config: DataConfig, split: str, *, seed: int) -> Table:
    """Return the pairs of a split of all sources, one source after the other; see `open_splits`."""
    return tables.concatenate(list(open_splits(config, split, seed=seed).values()))


def open_splits(config: DataConfig, split: str, *, seed: int) -> dict[str, Table]:
    """Return the well-formed pairs of a split in file order, with `data.input_map` applied to the sources.

    Args:
        config: the configuration of the data.
        split: name of the split. If it is `train`, pairs that belong to a split of `data.held_out` are not
            returned.
        seed: seed of the random choice of the pairs that are held out.

    Returns:
        The pairs of each source that has the split, by the name of the source.

    Raises:
        DataError: the split does not exist, or it cannot be read. If a file cannot be read, the message names
            the file and, if a single line is the reason, also the line.
    """
    if split not in split_names(config):
        raise DataError(f"no split {split!r}; the data has: {', '.join(split_names(config))}")
    return of_each_source(config, split, lambda source: _open_split(source, split, seed))


def open_malformed(config: DataConfig, split: str) -> dict[str, Table]:
    """Return the malformed rows of a split, as a table with the columns `line` and `problem` by source.

    For a split of `data.held_out`, the table is empty, because such a split has only well-formed pairs.
    """
    return of_each_source(config, split, lambda source: _open_malformed(source, split))


def of_each_source(config: DataConfig, split: str, read: Callable[[DataConfig], T]) -> dict[str, T]:
    """Apply a function to the configuration of each source that has a split. Return the results by source.

    Raises:
        DataError: `read` raised it. With `data.sources`, the message starts with the name of the source.
    """
    results = {}
    for name, source in config.by_source().items():
        try:
            if split in _split_names(source):
                results[name] = read(source)
        except DataError as error:
            if not name:
                raise
            raise DataError(f"source {name}: {error}") from None
    return results


def _open_split(config: DataConfig, split: str, seed: int) -> Table:
    if not config.held_out or (split != "train" and split not in config.held_out):
        return _open_uncut(config, split)
    table = _open_uncut(config, "train")
    cuts = cut_held_out(table, config.held_out, seed=seed)
    if split in cuts:
        return table.select(cuts[split].tolist())
    is_train = torch.ones(len(table), dtype=torch.bool)
    is_train[torch.cat(list(cuts.values()))] = False
    return table.select(is_train.nonzero().flatten().numpy())


def _open_malformed(config: DataConfig, split: str) -> Table:
    table = open_table(config, "train" if split in config.held_out else split)
    rows = _problems(table).nonzero()[0] if split not in config.held_out else []
    return table.select_columns(["line", "problem"]).select(rows)


def second_references(config: DataConfig, split: str) -> list[str] | None:
    """Return a second reference translation for each line of a split, or None if the split has none.

    Only the hand-written splits of the phrasebook have second references, all in English.
    """
    sources = list(of_each_source(config, split, lambda source: source).values())
    is_english = [source.format == "phrasebook" and column_names(source)[1] == "en" for source in sources]
    return phrasebook.second_references(split) if is_english == [True] else None


def origins(config: DataConfig, split: str, *, seed: int) -> list[str] | None:
    """Return the origin of each line of a split: its source or, in a phrasebook split, its generator.

    If only one source has the split, the origin is that of `phrasebook.origins`. The result is then None if
    this source is not the phrasebook, and for hand-written splits and those of `data.held_out`.
    """
    sources = of_each_source(config, split, lambda source: source)
    if len(sources) > 1:
        sizes = {name: len(table) for name, table in open_splits(config, split, seed=seed).items()}
        return [name for name, size in sizes.items() for _ in range(size)]
    is_phrasebook = [
        source.format == "phrasebook" and split not in source.held_out for source in sources.values()
    ]
    return phrasebook.origins(split) if is_phrasebook == [True] else None


def cut_held_out(table: Table, sizes: dict[str, int], *, seed: int) -> dict[str, torch.Tensor]:
    """Choose at random the rows of each held-out split. Pairs with a blank side are never chosen.

    Args:
        table: the pairs from which to choose.
        sizes: maps the name of each held-out split to its number of pairs.
        seed: seed of the random choice.

    Returns:
        The row numbers of each held-out split, in ascending order.

    Raises:
        DataError: the splits together would take more than half of the pairs, or too few pairs have text on
            both sides.
    """
    n_wanted = sum(sizes.values())
    if 2 * n_wanted > len(table):
        raise DataError(
            f"data.held_out takes {n_wanted} of {len(table)} pairs; at most half may be held out, "
            "so lower its numbers"
        )
    shuffled = torch.randperm(len(table), generator=torch.Generator().manual_seed(seed))
    drawn: list[int] = []
    for i in range(len(table)):  # a list of the tensor's numbers would take five times its memory
        if len(drawn) == n_wanted:
            break
        row = int(shuffled[i])
        pair = table[row]
        if pair["source"].strip() and pair["target"].strip():
            drawn.append(row)
    if len(drawn) < n_wanted:
        raise DataError(f"data.held_out takes {n_wanted} pairs and only {len(drawn)} are not blank")
    rows = iter(drawn)
    return {name: torch.tensor(sorted(islice(rows, size))) for name, size in sizes.items()}


def fingerprints(config: DataConfig) -> dict[str, str]:
    """Return digests that identify the data.

    For files, the keys are `SPLIT.LANGUAGE`, and the values are the SHA-256 digests of the files. For a Hub
    dataset, the keys are the names of the splits, and the values are the fingerprints that the library
    `datasets` gives the splits. For the phrasebook, the only key is `phrasebook`, and its value is a digest
    of all splits. With `data.sources`, the keys start with the name of the source, as in `NAME.train.fr`.

    Raises:
        DataError: a file cannot be read or fetched.
    """
    of_sources = of_each_source(config, "train", _fingerprints)
    return {
        f"{name}.{key}" if name else key: digest
        for name, digests in of_sources.items()
        for key, digest in digests.items()
    }


def _fingerprints(config: DataConfig) -> dict[str, str]:
    if config.format == "phrasebook":
        return {"phrasebook": phrasebook.fingerprint()}
    if config.format == "hub":
        on_hub = [split for split in _split_names(config) if split not in config.held_out]
        return {split: str(load_hub(config, split)._fingerprint) for split in on_hub}
    paths = {split: local_paths(config, split) for split in config.files}
    return {
        f"{split}.{language}": file_sha256(path)
        for split, by_language in paths.items()
        for language, path in by_language.items()
    }


def _open_uncut(config: DataConfig, split: str) -> Table:
    table = open_table(config, split)
    problems = _problems(table)
    table = table.remove_columns("problem")
    return table.select((problems == 0).nonzero()[0]) if problems.any() else table


def _problems(table: Table) -> Any:
    """Return the column `problem` as a NumPy array."""
    return table.data.column("problem").to_numpy()
