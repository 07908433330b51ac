"""`translator import`: files that people have are recognised, and every segment of them is read."""

import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from translator.config import DataConfig
from translator.data import opening
from translator.data.corpus import open_malformed, open_split
from translator.data.inspection import inspect
from translator.data.report import report_malformed
from translator.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from people_files import FILES, Maker, bombs


def as_found(data: dict[str, Any]) -> dict[str, Any]:
    """Return what was found besides the files, without the encoding if it is UTF-8."""
    return {
        key: value for key, value in data.items() if (key, value) != ("encoding", "utf-8") and key != "files"
    }


@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_every_segment_of_the_files_that_people_have_is_read(tmp_path: Path, make: Maker) -> None:
    people = make(tmp_path)
    [found] = inspect(people.paths, "fr", "en")
    assert as_found(found.data) == people.data
    config = DataConfig(**found.data, input_map=None, cache=str(tmp_path / "cache"))
    table = open_split(config, "train", seed=1)
    assert list(zip(table["source"], table["target"], strict=True)) == people.pairs
    report = report_malformed(len(table), open_malformed(config, "train")[""])
    assert report.left_out == people.malformed
    [other_way] = inspect(people.paths, "en", "fr")
    config = DataConfig(
        **other_way.data,
        source_language="en",
        target_language="fr",
        cache=str(tmp_path / "cache"),
        input_map=None,
    )
    table = open_split(config, "train", seed=1)
    assert sorted(zip(table["target"], table["source"], strict=True)) == sorted(people.pairs)


def test_bombs_are_refused_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opening.unpacked_limit(1) == 200_000_000
    assert opening.unpacked_limit(10_000_000) == 1_000_000_000
    monkeypatch.setattr(opening, "MAX_UNPACKED_BYTES", 1_000_000)

    def read(paths: list[Path]) -> None:
        [found] = inspect(paths, "fr", "en")
        config = DataConfig(**found.data, cache=str(tmp_path / "cache"))
        open_split(config, "train", seed=1)

    tried = 0
    for paths, message in bombs(tmp_path):
        with pytest.raises(DataError) as caught:
            read(paths)
        assert message in str(caught.value)
        assert str(caught.value).startswith(str(paths[0]))
        assert "\n" not in str(caught.value)
        tried += 1
    assert tried == 10


def test_text_files_of_one_column_are_paired_by_their_names(tmp_path: Path) -> None:
    paths = [tmp_path / f"part{i}.{language}" for language in ("fr", "en") for i in (1, 2)]
    for path in paths:
        path.write_text("un\n" if path.suffix == ".fr" else "one\n")
    assert [found.data["files"]["train"] for found in inspect(paths, "fr", "en")] == [
        {language: f"{tmp_path}/part{i}.{language}" for language in ("fr", "en")} for i in (1, 2)
    ]
    with pytest.raises(DataError, match=r"part1\.fr has one column, or none; give the file of the other"):
        inspect(paths[:1], "fr", "en")
    for missing in range(4):
        others = [*paths[:missing], *paths[missing + 1 :]]
        with pytest.raises(
            DataError, match=rf"part{missing % 2 + 1}\.(fr|en): no file of the other language"
        ):
            inspect(others, "fr", "en")
    (tmp_path / "part3.en").write_text("one\n")
    with pytest.raises(DataError, match=r"part1\.fr: no file of the other language"):
        inspect([paths[0], tmp_path / "part3.en", paths[1], paths[3]], "fr", "en")
    (tmp_path / "part1.fra").write_text("un\n")
    with pytest.raises(DataError, match="their names do not tell which two are a pair"):
        inspect([*paths, tmp_path / "part1.fra"], "fr", "en")
    with pytest.raises(DataError, match=r"part1\.fr: it cannot be told which text is fr and which en"):
        inspect(paths[:2], "fr", "en")


def test_an_archive_may_have_several_corpora(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("LICENSE", "a/readme.txt", "__MACOSX/._x.fr", "a/.DS_Store"):
            archive.writestr(name, "not a corpus")
        for name, text in {"x.fr": "un\n", "y.fr": "un\n", "x.en": "one\n", "y.en": "one\n"}.items():
            archive.writestr(f"license-free/{name}", text)
        archive.writestr("z.tsv", "fr\ten\nun\tone\n")
    assert [found.data["files"]["train"] for found in inspect([path], "fr", "en")] == [
        f"{path}/z.tsv",
        *({language: f"{path}/license-free/{name}.{language}" for language in ("fr", "en")} for name in "xy"),
    ]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("README", "not a corpus")
    with pytest.raises(DataError, match=r"a\.zip has no file with pairs; it has README"):
        inspect([path], "fr", "en")


_LONG = ("Le chat est dans la cour.", "The cat is in the yard.", "It is the one that you and she had.")


@pytest.mark.parametrize(
    ("header", "rows", "columns"),
    [
        ("Source,Target,Comment", _LONG, {"fr": "Source", "en": "Target"}),
        ("French,English,English comment", _LONG, {"fr": "French", "en": "English"}),
        ("French text,English text,English comment", _LONG, {"fr": "French text", "en": "English text"}),
        ("I speak French.,Je parle français.", (_LONG[1], _LONG[0]), {"fr": 2, "en": 1}),
        ("I’m French.,En avant !", (_LONG[1], _LONG[0]), {"fr": 2, "en": 1}),
        ("French.,En !", (_LONG[1], _LONG[0]), {"fr": 2, "en": 1}),
        ("English,anglais", (_LONG[1], _LONG[0]), {"fr": 2, "en": 1}),
        ("French,Eng", (_LONG[1], _LONG[0]), {"fr": 2, "en": 1}),
        ("Text in French (CA),Text in English (US)", _LONG[:2], None),
        ("fr,en,more", _LONG[:2], {"fr": "fr", "en": "en"}),
    ],
)
def test_columns_are_told_by_what_names_them_most_plainly(
    tmp_path: Path, header: str, rows: tuple[str, ...], columns: dict[str, Any] | None
) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("\n".join([header.replace(",", "\t"), *["\t".join(rows)] * 5]) + "\n")
    [found] = inspect([path], "fr", "en")
    named = dict(zip(("fr", "en"), header.split(","), strict=False))
    assert found.data["columns"] == (columns or named)


def test_splits_of_a_corpus_are_one_source(tmp_path: Path) -> None:
    names = ("train", "dev", "test")
    for name in names:
        for language, text in (("fr", "un\n"), ("en", "one\n")):
            (tmp_path / f"news.{name}.{language}").write_text(text)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "glossary.tsv").write_text("fr\ten\nun\tone\n")
    paths = [tmp_path / f"news.{name}.{language}" for language in ("en", "fr") for name in names]
    [found] = inspect(paths, "fr", "en")
    assert found.data["files"] == {
        split: {language: f"{tmp_path}/news.{name}.{language}" for language in ("fr", "en")}
        for split, name in zip(("train", "val", "test"), names, strict=True)
    }
    [alone] = inspect([tmp_path / "test" / "glossary.tsv"], "fr", "en")
    assert list(alone.data["files"]) == ["train"]
    other = tmp_path / "test_2016.tsv"
    other.write_text("fr\ten\nun\tone\n")
    [found] = inspect([*paths, other], "fr", "en")
    assert list(found.data["files"]) == ["train", "val", "test"]
    assert f"left out: {other}, a split test with no train file of its name and format" in found.reasons
    more = [path.rename(path.with_name(f"old{path.name}")) for path in paths if ".test." in path.name]
    [found] = inspect([*(path for path in paths if path.exists()), *more], "fr", "en")
    assert list(found.data["files"]) == ["train", "val"]


@pytest.mark.parametrize(
    ("text", "is_quoted"),
    [
        ('"un, deux"\tone\n', True),
        ('"un\tdeux"\tone\n', True),
        ('"un\ndeux"\tone\n', True),
        ('"un ""deux"\tone\n', True),
        ('"un"\tone\n', False),
        ('"un, deux" dit-il\tone\n', False),
    ],
)
def test_quotes_in_text_separated_by_tabs_are_those_of_excel(
    tmp_path: Path, text: str, is_quoted: bool
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("fr\ten\n" + "un\tone\n" * 20 + text)
    [found] = inspect([path], "fr", "en")
    assert found.data["format"] == ("csv" if is_quoted else "tsv")


def test_a_column_of_json_lines_may_be_called_translation(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": _LONG[0], "translation": _LONG[1]}) + "\n")
    [found] = inspect([path], "fr", "en")
    assert found.data["columns"] == {"fr": "text", "en": "translation"}
    for array in ("[{}]", "[\n{}]"):
        path.write_text(array)
        with pytest.raises(DataError, match=r"a\.jsonl is a JSON array; write one object a line"):
            inspect([path], "fr", "en")


def test_two_files_have_one_encoding(tmp_path: Path) -> None:
    paths = [tmp_path / "a.fr", tmp_path / "a.en"]

    def encoding(french: bytes, english: bytes) -> str | None:
        for path, content in zip(paths, (french, english), strict=True):
            path.write_bytes(content)
        return inspect(paths, "fr", "en")[0].data["encoding"]

    assert encoding("é\n".encode("cp1252"), b"e\n") == "cp1252"
    assert encoding("é\n".encode(), b"e\n") == "utf-8"
    assert encoding("œ\n".encode("iso8859-15"), "é\n".encode("iso8859-15")) == "iso8859-15"
    with pytest.raises(DataError, match=r"a\.fr is in cp1252 and .*a\.en in utf-8; convert one of them"):
        encoding("é\n".encode("cp1252"), "é\n".encode())
