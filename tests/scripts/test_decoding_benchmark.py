"""What the decoding benchmark times: whole passes, like lengths together, and the same work for everyone."""

import json
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from translator import Translator
from translator.building import build_model
from translator.config import Config
from translator.data.preparation import prepare
from translator.model_folder import save_weights, write_manifest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts" / "peers"))
import jobs
from decoding_case import UNTRAINED_LENGTH, fastest, write_untrained
from jobs import in_batches, measure_decoding

ROWS = [[5, 3], [7, 8, 9, 3], [6, 3], [4, 4, 3]]


@pytest.fixture
def job(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "sources.json").write_text(json.dumps(ROWS), encoding="utf-8")
    paths = {"sources": str(tmp_path / "sources.json"), "output": str(tmp_path / "output.json")}
    return {"batch_size": 2, **paths}


@pytest.mark.parametrize("alone", [False, True])
def test_a_round_is_whole_passes_that_take_at_least_its_seconds(
    job: dict[str, Any], alone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By this clock, a pass takes two seconds, and three of them take three seconds of CPU time."""
    clock = SimpleNamespace(perf_counter=count(0, 2).__next__, process_time=count(0, 3).__next__)
    monkeypatch.setattr(jobs, "time", clock)
    calls: list[list[list[int]]] = []

    def translate(sources: list[list[int]]) -> list[list[int]]:
        calls.append(sources)
        return [row[:-1] for row in sources]

    measured = measure_decoding(job | {"alone": alone, "seconds": 5}, translate)
    a_pass = [[row] for row in ROWS] if alone else [ROWS]
    assert calls[1:] == a_pass * 3  # the first call is not measured
    assert (measured["seconds"], measured["cpu_seconds"]) == (6, 3)
    assert (measured["sentences_per_second"], measured["cpu_ms"]) == (2, 250)
    assert json.loads(Path(job["output"]).read_text(encoding="utf-8")) == [row[:-1] for row in ROWS]


def test_without_seconds_there_is_one_pass(job: dict[str, Any]) -> None:
    calls: list[int] = []
    measure_decoding(job, lambda sources: calls.append(len(sources)) or sources)  # type: ignore[func-returns-value]
    assert calls == [4, 4]


def test_batches_hold_like_lengths_and_outputs_keep_the_order(job: dict[str, Any]) -> None:
    seen: list[list[list[int]]] = []

    def translate(batches: list[list[list[int]]]) -> list[list[int]]:
        seen.extend(batches)
        return [row[:-1] for batch in batches for row in batch]

    assert in_batches(job, translate)(ROWS) == [row[:-1] for row in ROWS]
    assert [[len(row) for row in batch] for batch in seen] == [[4, 3], [2, 2]]


def test_the_fastest_settings_keep_the_variables_of_a_baseline() -> None:
    start = {"threads": 1, "environment": {"PYTHONPATH": "there"}}
    groups = [[{"threads": 1}, {"threads": 2}], [{"environment": {}}, {"environment": {"MKL": "1"}}]]

    def speed(settings: dict[str, Any]) -> float:
        return float(settings["threads"] + len(settings["environment"]))

    expected = {"threads": 2, "environment": {"PYTHONPATH": "there", "MKL": "1"}}
    assert fastest(start, groups, speed) == expected
    assert fastest(start, groups, lambda settings: -speed(settings)) == start


def test_untrained_models_write_outputs_of_one_length(
    tiny_config: Callable[..., Config], tmp_path: Path
) -> None:
    config = tiny_config()
    tokenizer = prepare(config).tokenizer
    save_weights(
        tmp_path / "model", build_model(config.model, len(tokenizer)).state_dict(), tokenizer, config
    )
    write_manifest(tmp_path / "model", {})
    write_untrained(str(tmp_path / "model"), tmp_path / "wide", width=64)
    translator = Translator.load(tmp_path / "wide")
    sources = tokenizer.encode_batch(["Le chat dort.", "", "Où est ma clé ? Je ne sais pas."])
    for beam_size in (1, 5):
        results = translator.search(sources, translator.options(beam_size))
        # The last token is the end symbol.
        assert [len(result.hypotheses[0].ids) for result in results] == [UNTRAINED_LENGTH - 1] * 3
