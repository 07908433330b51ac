"""`translator import`: files that people have are recognised, and every segment of them is read."""

import sys
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
