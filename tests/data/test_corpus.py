"""The corpus: every source yields the same rows, and rejected input leaves no files behind."""

import gzip
import json
import os
import socket
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any

import datasets
import huggingface_hub
import pytest
from datasets.table import MemoryMappedTable

from translator.config import DataConfig
from translator.data import phrasebook, readers, tables
from translator.data.corpus import fingerprints, open_malformed, open_split, split_names
from translator.data.input_map import map_input
from translator.data.lines import COLUMNS as COLUMNS_DIFFER
from translator.data.lines import NO_TEXT, QUOTE, UTF8
from translator.data.oddities import INVISIBLE
from translator.errors import DataError

# Pairs that some tools would change; see the controls below.
PAIRS = [
    ("Bonjour, le monde.", "Hello, world."),
    ("ligne\u2028suite", "line\u2028more"),
    ("avant\u0085après", "before\u0085after"),
    ("retour\rchariot", "carriage\rreturn"),
    ("\x0b\x0c\x1c\x1d\x1e", "other\u2029ends"),
    ("a\0b", "NUL\0"),
    ("NA", "NA"),
    ("null", "None"),
    ("012", "1e3"),
    ('Il dit "oui', 'He says "yes"'),
    ('"', '""'),
    ("", "a blank side"),
    ("  deux  espaces ", "two  spaces "),
    ("😀 🇫🇷 👩‍👩‍👧", "emoji"),
    ("مرحبا بالعالم", "שלום"),
    ("e\u0301te\u0301", "NFD stays NFD"),
    ("« Œuf »\u00a0!\u202f?", "l’œuf d'or"),
    ("\u2581x", "\ufeffnot at the start"),
    ("C:\\nom", "\\t \\u00e9 #x // %"),
]


def write_lines(path: Path, lines: list[str]) -> None:
    data = "".join(line + "\n" for line in lines).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_parquet(path: Path, columns: dict[str, list[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    datasets.Dataset.from_dict(columns).to_parquet(str(path))


def write_text(folder: Path, pairs: list[tuple[str, str]], name: str = "a", end: str = "") -> None:
    for side, language in enumerate(("fr", "en")):
        write_lines(folder / f"{name}.{language}{end}", [pair[side] for pair in pairs])


def csv_line(pair: tuple[str, ...]) -> str:
    return ",".join('"' + text.replace('"', '""') + '"' for text in pair)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., DataConfig]:
    """Return a function that builds a configuration with its cache in `tmp_path` and no input map."""
    return partial(DataConfig, cache=str(tmp_path / "cache"), root=str(tmp_path), input_map=None)


def pairs_of(config: DataConfig, split: str = "train", seed: int = 1) -> list[tuple[str, str]]:
    table = open_split(config, split, seed=seed)
    return list(zip(table["source"], table["target"], strict=True))


def refusal(config: DataConfig, split: str = "train") -> str:
    """Return the message for a rejected corpus, which must leave only lock files in the cache."""
    with pytest.raises(DataError) as caught:
        open_split(config, split, seed=1)
    assert "\n" not in str(caught.value)
    assert left_behind(config) == []
    return str(caught.value)


def left_behind(config: DataConfig) -> list[Path]:
    """Return the contents of the cache, without lock files and their folders."""
    return [
        path
        for path in Path(config.cache).rglob("*")
        if (path.is_file() and path.suffix != ".lock") or "incomplete" in path.suffix
    ]


# How each format is written into a folder, and the fields of its configuration.
def text(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_text(folder, pairs)
    return {"format": "text", "files": {"train": "a.{lang}"}}


def two_names(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_text(folder, pairs)
    return {"format": "text", "files": {"train": {"fr": "a.fr", "en": "a.en"}}}


def zipped(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_text(folder, pairs, end=".gz")
    return {"format": "text", "files": {"train": "a.{lang}.gz"}}


def tsv(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_lines(folder / "a.tsv", ["fr\ten", *map("\t".join, pairs)])
    return {"format": "tsv", "files": {"train": "a.tsv"}}


def tsv_by_place(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_lines(folder / "a.tsv", [f"{en}\t{fr}\t5" for fr, en in pairs])
    return {"format": "tsv", "files": {"train": "a.tsv"}, "columns": {"fr": 2, "en": 1}}


def csv(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_lines(folder / "a.csv.gz", ["French,English", *map(csv_line, pairs)])
    columns = {"fr": "French", "en": "English"}
    return {"format": "csv", "files": {"train": "a.csv.gz"}, "columns": columns}


def jsonl(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_lines(folder / "a.jsonl", [json.dumps({"fr": fr, "en": en}) for fr, en in pairs])
    return {"format": "jsonl", "files": {"train": "a.jsonl"}}


def parquet(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    write_parquet(folder / "a.parquet", {"x": [en for _, en in pairs], "y": [fr for fr, _ in pairs]})
    return {"format": "parquet", "files": {"train": "a.parquet"}, "columns": {"fr": "y", "en": "x"}}


def hub_translation(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    rows = [{"en": en, "fr": fr} for fr, en in pairs]
    write_parquet(folder / "hub/en-fr/train-00000-of-00001.parquet", {"translation": rows})
    return {"format": "hub", "dataset": str(folder / "hub"), "subset": "en-fr"}


def hub_columns(folder: Path, pairs: list[tuple[str, str]]) -> dict[str, Any]:
    columns = {"fr": [fr for fr, _ in pairs], "en": [en for _, en in pairs], "n": list(range(len(pairs)))}
    write_parquet(folder / "hub/train.parquet", columns)
    return {"format": "hub", "dataset": str(folder / "hub")}


SOURCES = [
    text,
    two_names,
    zipped,
    tsv,
    tsv_by_place,
    csv,
    jsonl,
    parquet,
    hub_translation,
    hub_columns,
]


@pytest.mark.parametrize("write", SOURCES)
def test_every_source_gives_the_same_rows(
    tmp_path: Path, make: Callable[..., DataConfig], write: Callable[..., dict[str, Any]]
) -> None:
    config = make(**write(tmp_path, PAIRS))
    table = open_split(config, "train", seed=1)
    assert list(zip(table["source"], table["target"], strict=True)) == PAIRS
    first = 2 if write in (tsv, csv) else 1  # below a header line
    assert table["line"][:] == list(range(first, first + len(PAIRS)))
    odd = {"\u2581x": INVISIBLE, 'Il dit "oui': 0}
    assert table["notes"][:] == [odd.get(fr, 0) for fr, _ in PAIRS]
    assert table.features == tables.COLUMNS
    swapped = config.model_copy(update={"source_language": "en", "target_language": "fr"})
    assert pairs_of(swapped) == [(en, fr) for fr, en in PAIRS]
    mapped = config.model_copy(update={"input_map": 1})
    assert pairs_of(mapped) == [(map_input(fr), en) for fr, en in PAIRS] != PAIRS


@pytest.mark.parametrize("write", SOURCES)
def test_a_source_is_memory_mapped_from_the_cache(
    tmp_path: Path, make: Callable[..., DataConfig], write: Callable[..., dict[str, Any]]
) -> None:
    table = open_split(make(**write(tmp_path, PAIRS)), "train", seed=1)
    assert isinstance(table.data, MemoryMappedTable)
    cache = tmp_path / "cache"
    assert [Path(file["filename"]).is_relative_to(cache) for file in table.cache_files] == [True]
    assert not isinstance(datasets.Dataset.from_dict({"source": ["un"]}).data, MemoryMappedTable)


def test_a_file_is_read_once_for_each_content(
    tmp_path: Path, make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(**text(tmp_path, PAIRS))
    read = readers.read_parallel
    reads: list[Path] = []

    def noted(source: Path, target: Path, encoding: str) -> Iterator[readers.Row]:
        reads.append(source)
        return read(source, target, encoding)

    monkeypatch.setattr(readers, "read_parallel", noted)
    assert pairs_of(config) == pairs_of(config) == PAIRS
    assert len(reads) == 1
    text(tmp_path, PAIRS[:3])
    assert pairs_of(config) == PAIRS[:3]
    assert len(reads) == 2


def test_rows_of_several_batches_are_all_written(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    for n in (1000, 2500):
        rows = [(f"phrase {i}", f"sentence {i}") for i in range(n)]
        table = open_split(make(**text(tmp_path, rows)), "train", seed=1)
        assert list(zip(table["source"], table["target"], strict=True)) == rows
        assert table["line"][:] == list(range(1, n + 1))


def test_the_builders_of_datasets_would_change_these_rows(tmp_path: Path) -> None:
    """The control of the test above: why files come in through `readers`."""
    text(tmp_path, PAIRS)
    cache = str(tmp_path / "control")
    lines = datasets.load_dataset("text", data_files=str(tmp_path / "a.fr"), split="train", cache_dir=cache)
    assert lines["text"][:] != [fr for fr, _ in PAIRS]
    plain = [pair for pair in PAIRS if "\0" not in pair[0]]
    write_lines(tmp_path / "b.csv", ["fr,en", *map(csv_line, plain)])
    table = datasets.load_dataset("csv", data_files=str(tmp_path / "b.csv"), split="train", cache_dir=cache)
    read = dict(zip(table["en"], table["fr"], strict=True))
    assert (read[None], read["1e3"]) == (None, "012")  # NA became nothing


def test_the_phrasebook_gives_the_rows_of_its_files(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    pairs = [(pair["fr"], pair["en"]) for pair in phrasebook.pairs("challenge")]
    write_text(tmp_path, pairs)
    written = make(format="text", files={"train": "a.{lang}"})
    assert pairs_of(make(), "challenge") == pairs_of(written) == pairs
    assert split_names(make()) == ["train", "val", "test", "test_compositional", "challenge", "everyday"]
    assert pairs_of(make(source_language="en", target_language="fr"), "challenge")[0] == pairs[0][::-1]
    assert refusal(make(source_language="de", cache=str(tmp_path / "new")), "challenge") == (
        "phrasebook: no column 'de'; there are: fr, en; set data.columns to two of them"
    )


def test_a_plain_name_finds_a_gz_file_and_the_other_way_round(
    tmp_path: Path, make: Callable[..., DataConfig]
) -> None:
    write_text(tmp_path, PAIRS[:3], "plain")
    write_text(tmp_path, PAIRS[3:], "packed", end=".gz")
    assert pairs_of(make(format="text", files={"train": "plain.{lang}.gz"})) == PAIRS[:3]
    assert pairs_of(make(format="text", files={"train": "packed.{lang}"})) == PAIRS[3:]


def test_splits_have_the_names_of_the_configuration(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    for name in ("train", "val", "news"):
        write_text(tmp_path, [(name, name)], name)
    names = ("train", "val", "news")
    config = make(format="text", files={name: f"{name}.{{lang}}" for name in names})
    assert split_names(config) == list(names)
    assert [pairs_of(config, name) for name in names] == [[(name, name)] for name in names]
    assert refusal(config.model_copy(update={"cache": str(tmp_path / "new")}), "test") == (
        "no split 'test'; the data has: train, val, news"
    )


def test_hub_splits_have_the_hubs_names(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    for name in ("train", "validation", "test", "extra"):
        path = tmp_path / f"hub/data/{name}-00000-of-00001.parquet"
        write_parquet(path, {"fr": [name], "en": [name]})
    config = make(format="hub", dataset=str(tmp_path / "hub"))
    assert split_names(config) == ["train", "val", "test"]
    assert [pairs_of(config, name)[0][0] for name in split_names(config)] == ["train", "validation", "test"]
    config = make(format="hub", dataset=str(tmp_path / "hub"), files={"train": "train", "val": "extra"})
    assert split_names(config) == ["train", "val"]
    assert pairs_of(config, "val") == [("extra", "extra")]
    wrong = config.model_copy(update={"files": {"train": "no"}})
    with pytest.raises(DataError) as caught:
        open_split(wrong, "train", seed=1)
    assert str(caught.value) == (
        f"data.dataset={tmp_path / 'hub'}, split 'no': cannot be loaded: Unknown split \"no\". Should be "
        "one of ['train', 'validation', 'test', 'extra']; check the name, the network and data.files "
        "(split → the data set's own name for it)"
    )


# Rejected input: the function that writes it → the message, with the folder as F.
def bad_utf8(folder: Path) -> dict[str, Any]:
    (folder / "a.fr").write_bytes(b"d\xe9j\xc3\xa0\nd\xe9j\xc3\xa0\n")
    (folder / "a.en").write_bytes(b"one\nyet\n")
    return {"format": "text", "files": {"train": "a.{lang}"}}


def bad_counts(folder: Path) -> dict[str, Any]:
    write_lines(folder / "a.fr", ["un", "deux", "trois"])
    write_lines(folder / "a.en", ["one", "two"])
    return {"format": "text", "files": {"train": "a.{lang}"}}


def bad_gzip(folder: Path) -> dict[str, Any]:
    write_text(folder, PAIRS, end=".gz")
    whole = (folder / "a.en.gz").read_bytes()
    (folder / "a.en.gz").write_bytes(whole[:-5])
    return {"format": "text", "files": {"train": "a.{lang}.gz"}}


def bad_column(folder: Path) -> dict[str, Any]:
    write_lines(folder / "a.tsv", ["fr\tde", "un\teins"])
    return {"format": "tsv", "files": {"train": "a.tsv"}}


def bad_quote(folder: Path) -> dict[str, Any]:
    write_lines(folder / "a.csv", ["fr,en", 'un,"one'])
    return {"format": "csv", "files": {"train": "a.csv"}}


def bad_type(folder: Path) -> dict[str, Any]:
    write_parquet(folder / "a.parquet", {"fr": [b"un"], "en": ["one"]})
    return {"format": "parquet", "files": {"train": "a.parquet"}}


def bad_parquet(folder: Path) -> dict[str, Any]:
    (folder / "a.parquet").write_bytes(b"PAR1 and no more")
    return {"format": "parquet", "files": {"train": "a.parquet"}}


def no_parquet_column(folder: Path) -> dict[str, Any]:
    write_parquet(folder / "a.parquet", {"fr": ["un"], "de": ["eins"]})
    return {"format": "parquet", "files": {"train": "a.parquet"}}


def only_a_header(folder: Path) -> dict[str, Any]:
    write_lines(folder / "a.tsv", ["fr\ten", ""])
    return {"format": "tsv", "files": {"train": "a.tsv"}}


def no_table(folder: Path) -> dict[str, Any]:
    write_lines(folder / "a.tsv", [])
    return {"format": "tsv", "files": {"train": "a.tsv"}}


def a_folder(folder: Path) -> dict[str, Any]:
    (folder / "a.fr").mkdir()
    return {"format": "text", "files": {"train": "a.{lang}"}}


def a_device(folder: Path) -> dict[str, Any]:
    os.mkfifo(folder / "a.fr")
    return {"format": "text", "files": {"train": "a.{lang}"}}


def an_archive(folder: Path) -> dict[str, Any]:
    for language in ("fr", "en"):
        with zipfile.ZipFile(folder / f"a.{language}", "w") as archive:
            archive.writestr("a.txt", "un")
    return {"format": "text", "files": {"train": "a.{lang}"}}


def no_pairs(folder: Path) -> dict[str, Any]:
    write_text(folder, [])
    return {"format": "text", "files": {"train": "a.{lang}"}}


def no_file(folder: Path) -> dict[str, Any]:
    return {"format": "text", "files": {"train": "a.{lang}"}}


def mixed_columns(folder: Path) -> dict[str, Any]:
    return {"format": "tsv", "files": {"train": "a.tsv"}, "columns": {"fr": 1}}


def places_for_names(folder: Path) -> dict[str, Any]:
    return {"format": "jsonl", "files": {"train": "a.tsv"}, "columns": {"fr": 1, "en": 2}}


REFUSED = {
    bad_utf8: "F/a.fr:1: byte 2 of the line (0xe9) is not valid UTF-8; convert the file to UTF-8, or for a "
    "corpus set data.encoding; cp1252 or iso8859-15 can decode it (nor is any "
    "other of the 2 rows a pair)",
    bad_counts: "F/a.fr has 3 lines and F/a.en has 2; line n of one must translate line n of the other, "
    "so find the missing line",
    bad_gzip: "F/a.en.gz:20: damaged gzip file: Compressed file ended before the end-of-stream marker was "
    "reached; fetch it again",
    bad_column: "F/a.tsv:1: no column 'en'; the header has fr, de; set data.columns to two of them, or to "
    "numbers from 1 if the file has no header",
    bad_quote: "F/a.csv:2: the quote opened here is never closed; quote the whole field and write a quote in "
    'it as ""',
    bad_type: "F/a.parquet, row 1: column 'fr' holds \"b'un'\", not text; fix the row",
    no_parquet_column: "F/a.parquet: no column 'en'; there are: fr, de; set data.columns to two of them",
    no_pairs: "F/a.fr is empty; name a file that has pairs in data.files.train",
    only_a_header: "F/a.tsv has no pairs, only blank lines or a header; name a file that has pairs in "
    "data.files.train",
    no_table: "F/a.tsv is empty; name a file that has pairs",
    a_folder: "F/a.fr is a folder; name a file in it, in data.files",
    a_device: "F/a.fr is a pipe or a device, and a corpus is read more than once; write it into a file and "
    "name that",
    an_archive: "F/a.fr is a zip archive, not text in UTF-8; name a file in it, as in NAME.zip/FILE",
    no_file: "F/a.fr: no such file, nor a.fr.gz; check data.root and data.files",
    mixed_columns: "data.columns mixes a name and a number; give two names, or two numbers from 1",
    places_for_names: "data.columns: numbers are for tsv, csv and xlsx; data.format=jsonl has names",
    bad_parquet: "F/a.parquet: cannot be loaded: Parquet magic bytes not found in footer. Either the file is "
    "corrupted or this is not a parquet file; fix or replace the file",
}


@pytest.mark.parametrize("write", REFUSED)
def test_refused_input_gives_one_line_and_leaves_nothing(
    tmp_path: Path,
    make: Callable[..., DataConfig],
    write: Callable[..., dict[str, Any]],
    capfd: pytest.CaptureFixture[str],
) -> None:
    config = make(**write(tmp_path))
    with pytest.raises(DataError) as caught:
        open_split(config, "train", seed=1)
    assert str(caught.value).replace(str(tmp_path), "F") == REFUSED[write]
    # `datasets` keeps its copy of the Parquet table; our table must not exist.
    left = {path.name for path in left_behind(config) if not path.name.startswith("parquet-train")}
    assert left <= ({"dataset_info.json"} if config.format == "parquet" else set())
    assert capfd.readouterr() == ("", "")


# For each format: write rows of which the third is malformed; return its line and problem, too.
GOOD, AFTER = [("un", "one"), ("deux", "two")], [("quatre", "four"), ("cinq", "five")]


def bytes_in_text(folder: Path) -> tuple[dict[str, Any], int, int]:
    fields = text(folder, [*GOOD, ("trois", "three"), *AFTER])
    path = folder / "a.en"
    path.write_bytes(path.read_bytes().replace(b"three", b"thr\xe9e"))
    return fields, 3, UTF8


def column_in_tsv(folder: Path) -> tuple[dict[str, Any], int, int]:
    fields = tsv(folder, [*GOOD, ("trois", "three\tand more"), *AFTER])
    return fields, 4, COLUMNS_DIFFER


def quote_in_csv(folder: Path) -> tuple[dict[str, Any], int, int]:
    write_lines(folder / "a.csv", ["fr,en", *map(csv_line, GOOD), '"trois,three', *map(csv_line, AFTER)])
    return {"format": "csv", "files": {"train": "a.csv"}}, 4, QUOTE


def number_in_jsonl(folder: Path) -> tuple[dict[str, Any], int, int]:
    fields = jsonl(folder, [*GOOD, ("trois", 3), *AFTER])  # type: ignore[list-item]
    return fields, 3, NO_TEXT


def null_in_parquet(folder: Path) -> tuple[dict[str, Any], int, int]:
    fields = parquet(folder, [*GOOD, ("trois", None), *AFTER])  # type: ignore[list-item]
    return fields, 3, NO_TEXT


def bytes_in_parquet(folder: Path) -> tuple[dict[str, Any], int, int]:
    """Write a column with bytes that are not marked as text, as Spark and others do."""
    fields = parquet(folder, [*GOOD, ("trois", "thrXe"), *AFTER])
    path = folder / "a.parquet"
    path.write_bytes(path.read_bytes().replace(b"thrXe", b"thr\xffe"))
    return fields, 3, NO_TEXT


def null_in_hub_translation(folder: Path) -> tuple[dict[str, Any], int, int]:
    return hub_translation(folder, [*GOOD, ("trois", None), *AFTER]), 3, NO_TEXT  # type: ignore[list-item]


MALFORMED = [
    bytes_in_text,
    column_in_tsv,
    quote_in_csv,
    number_in_jsonl,
    null_in_parquet,
    bytes_in_parquet,
    null_in_hub_translation,
]


@pytest.mark.parametrize("write", MALFORMED)
def test_a_malformed_row_is_told_apart_and_read_past(
    tmp_path: Path, make: Callable[..., DataConfig], write: Callable[..., tuple[dict[str, Any], int, int]]
) -> None:
    fields, line, problem = write(tmp_path)
    config = make(**fields)
    assert pairs_of(config) == [*GOOD, *AFTER]
    assert open_split(config, "train", seed=1)["line"][:] == [n + line - 3 for n in (1, 2, 4, 5)]
    malformed = open_malformed(config, "train")[""]
    assert (malformed["line"][:], malformed["problem"][:]) == ([line], [problem])
    if config.format != "hub":
        held = config.model_copy(update={"held_out": {"test": 2}})
        assert len(pairs_of(held, "test")) == 2
        assert sorted(pairs_of(held, "test") + pairs_of(held)) == sorted([*GOOD, *AFTER])
        n_malformed = [len(open_malformed(held, split)[""]) for split in ("train", "test")]
        assert n_malformed == [1, 0]


def test_a_relative_name_that_is_not_there_says_where_it_was_looked_for(
    tmp_path: Path, make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for root, path, said in (
        ("data", "data/a.fr", "data.root=data"),
        (None, "a.fr", "data.root is not set"),
    ):
        assert refusal(make(**no_file(tmp_path), root=root)) == (
            f"{path}: no such file, nor a.fr.gz; {said}, and a relative path starts at the working folder, "
            f"so it was {tmp_path / path}; check data.root and data.files"
        )


def test_an_interrupted_reading_leaves_nothing(
    tmp_path: Path, make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(**text(tmp_path, PAIRS))

    def interrupted(source: Path, target: Path, encoding: str) -> Iterator[readers.Row]:
        yield readers.Row(1, "un", "one", 0)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(readers, "read_parallel", interrupted)
        with pytest.raises(KeyboardInterrupt):
            open_split(config, "train", seed=1)
    assert left_behind(config) == []
    assert pairs_of(config) == PAIRS
    assert left_behind(config) != []


@pytest.mark.parametrize("write", [text, csv, parquet])
@pytest.mark.parametrize("change", ["flipped", "truncated", "zeroed", "missing"])
def test_a_damaged_table_is_read_anew_with_a_note(
    tmp_path: Path,
    make: Callable[..., DataConfig],
    capsys: pytest.CaptureFixture[str],
    write: Callable[..., dict[str, Any]],
    change: str,
) -> None:
    config = make(**write(tmp_path, PAIRS))
    expected = pairs_of(config)
    [path] = [path for path in left_behind(config) if path.suffix == ".arrow"]
    content = path.read_bytes()
    at = content.index(b"Bonjour")
    damaged = {
        "flipped": content[:at] + b"b" + content[at + 1 :],
        "truncated": content[:at],
        "zeroed": content[:at] + bytes(1000) + content[at + 1000 :],
    }
    path.unlink()
    if change in damaged:
        path.write_bytes(damaged[change])
    capsys.readouterr()
    assert pairs_of(config) == expected
    said = capsys.readouterr().err
    assert said == f"{path.parent}: damaged, or written by a version without checksums; it is created again\n"
    assert pairs_of(config) == expected
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("write", [text, tsv, jsonl, parquet])
def test_changed_content_is_read_again(
    tmp_path: Path, make: Callable[..., DataConfig], write: Callable[..., dict[str, Any]]
) -> None:
    config = make(**write(tmp_path, [("un", "one"), ("deux", "two")]))
    assert pairs_of(config)[0] == ("un", "one")
    times = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir() if path.is_file()}
    write(tmp_path, [("UN", "one"), ("deux", "two")])
    for path, time in times.items():  # a copy that keeps its time, of the same size
        os.utime(path, ns=(time, time))
    assert pairs_of(config)[0] == ("UN", "one")


def test_unchanged_content_is_read_once(
    tmp_path: Path, make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make(**text(tmp_path, PAIRS))
    assert pairs_of(config) == PAIRS
    monkeypatch.setattr(readers, "read_parallel", None)  # calling it would fail
    assert pairs_of(config) == PAIRS


def test_a_fingerprint_follows_the_content_alone(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        text(tmp_path / name, PAIRS)
    here = make(format="text", files={"train": "a.{lang}"}, root=str(tmp_path / "here"))
    there = here.model_copy(update={"root": str(tmp_path / "there"), "cache": "elsewhere"})
    assert list(fingerprints(here)) == ["train.fr", "train.en"]
    assert fingerprints(here) == fingerprints(there)
    with (tmp_path / "there/a.en").open("a") as file:
        file.write("\n")
    changed = fingerprints(there)
    assert changed["train.fr"] == fingerprints(here)["train.fr"]
    assert changed["train.en"] != fingerprints(here)["train.en"]
    assert list(fingerprints(make())) == ["phrasebook"]


# Held-out splits.
def numbered(n: int) -> list[tuple[str, str]]:
    return [(f"phrase {i}", f"sentence {i}") for i in range(n)]


@pytest.mark.parametrize("write", [text, hub_columns])
def test_held_out_splits_are_cut_disjoint_and_in_order(
    tmp_path: Path, make: Callable[..., DataConfig], write: Callable[..., dict[str, Any]]
) -> None:
    fields = write(tmp_path, numbered(40)) | {"held_out": {"val": 5, "test": 7}}
    if write is hub_columns:
        fields["files"] = {"train": "train"}
    config = make(**fields)
    assert split_names(config) == ["train", "val", "test"]
    splits = {name: pairs_of(config, name) for name in split_names(config)}
    assert {name: len(pairs) for name, pairs in splits.items()} == {"train": 28, "val": 5, "test": 7}
    assert sorted(chain.from_iterable(splits.values())) == sorted(numbered(40))
    for pairs in splits.values():
        assert pairs == sorted(pairs, key=numbered(40).index)
    assert {name: pairs_of(config, name) for name in split_names(config)} == splits
    assert pairs_of(config, "val", seed=2) != splits["val"]
    swapped = config.model_copy(update={"source_language": "en", "target_language": "fr"})
    assert pairs_of(swapped, "test") == [pair[::-1] for pair in splits["test"]]
    assert all(not name.startswith(("val", "test")) for name in fingerprints(config))


def test_blank_pairs_are_not_held_out(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    pairs = [*numbered(20), *[("", "blank")] * 10, *[("blanc", "\u00a0 ")] * 10]
    config = make(**text(tmp_path, pairs), held_out={"test": 20})
    assert pairs_of(config, "test") == numbered(20)
    assert pairs_of(config, "train") == pairs[20:]
    more = make(**text(tmp_path, [*pairs, *pairs[20:]]), held_out={"test": 21})
    with pytest.raises(DataError, match=r"^data\.held_out takes 21 pairs and only 20 are not blank$"):
        open_split(more, "test", seed=1)


def test_at_most_half_is_held_out(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    fields = text(tmp_path, numbered(11))
    assert len(pairs_of(make(**fields, held_out={"val": 2, "test": 3}), "train")) == 6
    with pytest.raises(DataError) as caught:
        open_split(make(**fields, held_out={"val": 3, "test": 3}), "train", seed=1)
    assert str(caught.value) == (
        "data.held_out takes 6 of 11 pairs; at most half may be held out, so lower its numbers"
    )


# Files behind an address.
class Handler(SimpleHTTPRequestHandler):
    """Serves a folder, with an ETag as GitHub does."""

    def log_message(self, *_: Any) -> None:
        pass

    def end_headers(self) -> None:
        path = Path(self.translate_path(self.path))
        if path.is_file():
            self.send_header("ETag", f'"{hash(path.read_bytes())}"')
        super().end_headers()


@contextmanager
def served(folder: Path) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_files_behind_an_address(
    tmp_path: Path, make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_text(tmp_path, PAIRS, "packed", end=".gz")
    write_text(tmp_path, PAIRS[:4], "plain")
    with served(tmp_path) as address:
        packed = make(format="text", root=f"{address}/", files={"train": "packed.{lang}.gz"})
        assert pairs_of(packed) == PAIRS
        local = packed.model_copy(update={"root": str(tmp_path)})
        assert fingerprints(packed) == fingerprints(local)
        plain = make(format="text", root=None, files={"train": f"{address}/plain.{{lang}}"})
        assert pairs_of(plain) == PAIRS[:4]
        write_text(tmp_path, PAIRS[4:], "plain")
        assert pairs_of(plain) == PAIRS[4:]
        missing = make(format="text", root=address, files={"train": "no.{lang}"}, cache=str(tmp_path / "x"))
        assert refusal(missing) == (
            f"{address}/no.fr: cannot be fetched (404, message='File not found', url='{address}/no.fr'); "
            "check the address and the network, or put the files into a folder and give data.root=FOLDER"
        )


def test_what_was_fetched_serves_without_a_network(
    tmp_path: Path,
    make: Callable[..., DataConfig],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_text(tmp_path, PAIRS, "plain")
    with served(tmp_path) as address:
        config = make(format="text", root=None, files={"train": f"{address}/plain.{{lang}}"})
        assert pairs_of(config) == PAIRS
    capfd.readouterr()
    assert pairs_of(config) == PAIRS  # the server is gone
    assert "cannot be reached; using the copy fetched before" in capfd.readouterr().err
    elsewhere = config.model_copy(update={"cache": str(tmp_path / "other")})
    assert "cannot be fetched" in refusal(elsewhere)


@pytest.mark.parametrize("change", ["flipped", "truncated", "empty"])
def test_what_was_damaged_since_it_was_fetched_is_fetched_again(
    tmp_path: Path,
    make: Callable[..., DataConfig],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    change: str,
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    write_text(tmp_path, PAIRS, "plain")
    content = (tmp_path / "plain.fr").read_bytes()
    damaged = {"flipped": content.replace(b"B", b"C", 1), "truncated": content[:-9], "empty": b""}[change]
    with served(tmp_path) as address:
        config = make(format="text", root=None, files={"train": f"{address}/plain.{{lang}}"})
        before = fingerprints(config)
        downloads = [path for path in (tmp_path / "cache" / "downloads").iterdir() if path.is_file()]
        [fetched] = [path for path in downloads if path.read_bytes() == content]
        fetched.write_bytes(damaged)
        capfd.readouterr()
        assert fingerprints(config) == before
        assert f"damaged since it was fetched; fetching {address}/plain.fr again" in capfd.readouterr().err
        assert pairs_of(config) == PAIRS
        assert capfd.readouterr().err == ""
        fetched.write_bytes(damaged)
    with pytest.raises(DataError, match=r"plain\.fr: cannot be fetched"):
        open_split(config, "train", seed=1)


def test_a_refused_connection_gives_one_line(
    make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with socket.socket() as taken:  # bound and not listening: nobody else gets this port
        taken.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        message = refusal(make(format="text", root=address, files={"train": "a.{lang}.gz"}))
    assert message.startswith(f"{address}/a.fr.gz: cannot be fetched (Cannot connect to host 127.0.0.1")
    assert message.endswith("put the files into a folder and give data.root=FOLDER")
    assert capfd.readouterr() == ("", "")


def test_no_hub_gives_one_line(make: Callable[..., DataConfig], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    assert refusal(make(format="hub", dataset="nobody/nothing", subset="en-fr")) == (
        "data.dataset=nobody/nothing, split 'train': cannot be loaded: Couldn't reach 'nobody/nothing' on "
        "the Hub (OfflineModeIsEnabled); check the name, the network and data.files "
        "(split → the data set's own name for it)"
    )


def test_a_cache_that_cannot_be_made_is_named(tmp_path: Path, make: Callable[..., DataConfig]) -> None:
    (tmp_path / "taken").write_text("a file")
    config = make(**text(tmp_path, PAIRS), cache=str(tmp_path / "taken"))
    with pytest.raises(DataError, match=r"^data\.cache=.*/taken: cannot be made: Not a directory$"):
        open_split(config, "train", seed=1)
