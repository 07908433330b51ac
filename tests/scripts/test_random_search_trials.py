"""Random search trials pass, and see a search that is another one."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from native_models import needs_library

from translator.engine.torch_search import TorchDecoder
from translator.search.result import Result, SearchOptions

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import random_search_trials as trials


@needs_library
def test_c_and_the_readable_search_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert trials.main(["--models", "3"]) == 0
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == ["| float32", "| bfloat16", "| int8"]
    assert sum(int(row[1]) + int(row[2]) for row in rows) > 5
    assert all(row[3] == "0" for row in rows)


@needs_library
def test_control_a_search_with_other_options_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    search = TorchDecoder.search

    def other(self: TorchDecoder, sources: Sequence[list[int]], **given: Any) -> list[Result]:
        options: SearchOptions = given.pop("options")
        return search(self, sources, options=replace(options, forbidden=[*options.forbidden, 5]), **given)

    monkeypatch.setattr(TorchDecoder, "search", other)
    assert trials.main(["--models", "6"]) == 1
    assert "is searched in another way" in capsys.readouterr().err
