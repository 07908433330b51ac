"""docs/notebook.ipynb runs as it is written, and what it shows is from such a run."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "docs/notebook.ipynb"


def outputs_of(path: Path) -> list[tuple[str, list[dict[str, Any]]]]:
    """The source and the outputs of each cell of code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [("".join(cell["source"]), cell["outputs"]) for cell in cells if cell["cell_type"] == "code"]


def text_of(outputs: list[dict[str, Any]]) -> str:
    text = "".join("".join(output.get("text", "")) for output in outputs)
    return text.replace("\r\n", "\n")  # of the terminal that a command is given


def check(cells: list[tuple[str, list[dict[str, Any]]]]) -> None:
    shown = [output for _, outputs in cells for output in outputs]
    assert {output["output_type"] for output in shown} <= {"stream", "display_data", "execute_result"}
    kinds = {kind for output in shown for kind in output.get("data", {})}
    assert kinds == {"text/plain", "text/html", "image/png"}
    text = text_of(shown)
    assert len(re.findall("^finished: runs/(?:toy|new)/model$", text, re.MULTILINE)) == 2
    assert "error" not in text.lower().replace("typing errors", "")
    bleu = [float(score) for score in re.findall(r"^BLEU +([\d.]+) ", text, re.MULTILINE)]
    assert min(bleu) > 80  # tests of both trainings, and `evaluate`
    assert len(bleu) == 3
    [before] = re.findall(r"^before, with runs/toy: BLEU ([\d.]+)$", text, re.MULTILINE)
    assert float(before) < min(bleu) - 10
    toy, new = text.strip().split("\n")[-2:]
    assert "owl" not in toy
    assert "owl" in new


def test_the_notebook_is_short_and_stores_a_real_run_without_paths_of_a_machine() -> None:
    cells = outputs_of(NOTEBOOK)
    check(cells)
    everything = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert 10 <= len(everything) <= 16
    texts = ["".join(cell["source"]) for cell in everything if cell["cell_type"] == "markdown"]
    assert max(len(text.split()) for text in texts) < 120
    assert not re.search(
        r"/(?:home|root|tmp|work|Users|usr|opt)\b", json.dumps([outputs for _, outputs in cells])
    )
    assert [source for source, _ in cells if "from translator." in source] == []  # that is private
    assert NOTEBOOK.stat().st_size < 150_000


def test_the_pages_link_to_it() -> None:
    for page in (ROOT / "README.md", ROOT / "docs/tour.md"):
        assert "notebook.ipynb)" in page.read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_notebook_runs_offline(tmp_path: Path) -> None:
    output = tmp_path / "notebook.ipynb"
    nowhere = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    done = subprocess.run(
        [sys.executable, "scripts/run_notebook.py", output], cwd=ROOT, capture_output=True, text=True,
        check=False, env={**os.environ, **nowhere, "OMP_NUM_THREADS": "1", "IPYTHONDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    cells = outputs_of(output)
    check(cells)
    assert [source for source, _ in cells] == [source for source, _ in outputs_of(NOTEBOOK)]


def test_control_an_untrained_model_is_noticed() -> None:
    cells = outputs_of(NOTEBOOK)
    cells.pop()
    with pytest.raises(AssertionError):
        check(cells)
