"""`translator import`: files that people have are recognised, and every segment of them is read."""

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
        inspect(paths[:3], "fr", "en")
    with pytest.raises(DataError, match=r"part1\.fr: it cannot be told which text is fr and which en"):
        inspect(paths[:2], "fr", "en")


def test_an_archive_may_have_several_corpora(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("LICENSE", "CC-BY")
        for name, text in {"x.fr": "un\n", "y.fr": "un\n", "x.en": "one\n", "y.en": "one\n"}.items():
            archive.writestr(name, text)
        archive.writestr("z.tsv", "fr\ten\nun\tone\n")
    assert [found.data["files"]["train"] for found in inspect([path], "fr", "en")] == [
        f"{path}/z.tsv",
        *({language: f"{path}/{name}.{language}" for language in ("fr", "en")} for name in "xy"),
    ]
