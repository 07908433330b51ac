"""End to end: a few pairs are learnt until the test split is translated without a fault."""

import json
import math
from pathlib import Path

import pytest
from phrases import run_command, write_phrases

pytestmark = pytest.mark.slow


def test_a_few_pairs_are_learnt_to_bleu_100(tmp_path: Path) -> None:
    path = write_phrases(tmp_path)
    options = ("train.max_steps=160", "validation.every_steps=40")
    trained = run_command("train", path, *options, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr.decode()
    assert b"BLEU 100.00" in trained.stdout
    manifest = json.loads((tmp_path / "runs" / "phrases" / "model" / "manifest.json").read_text())
    assert math.isclose(manifest["scores"]["test"]["bleu"]["score"], 100, abs_tol=1e-6)

    # The newest finished run is found, and its test split, whose lines were not trained on.
    source, reference = (tmp_path / "corpus" / f"test.{language}" for language in ("fr", "en"))
    translated = run_command("translate", stdin=source.read_bytes(), cwd=tmp_path)
    assert translated.stdout == reference.read_bytes()
    assert translated.stderr.decode().splitlines() == ["model: runs/phrases/model"]
    # Control: sentences made of other words are not known.
    unknown = run_command("translate", stdin=b"Les oiseaux volent.\n", cwd=tmp_path)
    assert unknown.stdout != b"The birds are flying.\n"
