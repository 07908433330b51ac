"""Outcomes of faults are classified correctly, and a bug makes the script fail."""

import re
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
import trials

#: Runs one fault with few rounds, as it is and with a loader that is broken; on a smaller corpus, written by
#: hand, since the other splits take half a minute to generate.
CODE = """
import functools, sys
import damage, faults, trials
by_hand, pairs = {"train": "everyday", "val": "challenge", "test": "challenge"}, trials.phrasebook.pairs
trials.phrasebook.pairs = lambda split: pairs(by_hand[split])
faults.Trials = functools.partial(trials.Trials, n_pairs=300, steps=30)
sys.argv[1:] = ["--only", "damaged model", "--rounds", "4"]
if sys.stdin.read() == "broken":
    damage.load_model_folder = None
faults.main()
"""


@pytest.mark.parametrize(
    ("code", "said", "failure"),
    [
        (0, "fine", None),
        (0, "error: that is said by the way", None),
        (1, "run: x\nerror: no", "one line"),
        (130, "error: interrupted", "one line"),
        (1, "error: no\nand more", "NO WORD"),
        (1, "error: no\nerror: and no", "NO WORD"),
        (1, "", "NO WORD"),
        (1, "error: no\nTraceback (most recent call last):", "TRACEBACK"),
        (0, "Traceback (most recent call last):", "TRACEBACK"),
        (-11, "", "CRASH -11"),
        (None, "error: no", "HANG"),
    ],
)
def test_what_is_no_clear_end_is_in_capitals(
    tmp_path: Path, code: int | None, said: str, failure: str | None
) -> None:
    process = trials.Process.__new__(trials.Process)
    process.code, process._log = code, tmp_path / "log"
    process._log.write_text(f"{said}\n")
    assert process.failure() == failure


def test_damage_always_changes_a_file_and_never_makes_it_longer(tmp_path: Path) -> None:
    bench = trials.Trials.__new__(trials.Trials)
    bench.random = Random(1)
    path, whole = tmp_path / "x", bytes(3000) + Random(2).randbytes(3000)
    sizes, n_changed = set(), set()
    for _ in range(100):
        path.write_bytes(whole)
        bench.damage(path)
        content = path.read_bytes()
        assert content != whole
        sizes.add(len(content))
        n_changed.add(sum(a != b for a, b in zip(whole, content, strict=False)))
    assert max(sizes) == len(whole)
    assert {0, 1} < n_changed
    assert 0 in sizes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("state", "code", "came_of_it"), [("sound", 0, "4 one line"), ("broken", 1, "[0-9] TRACEBACK.*")]
)
def test_the_program_fails_where_the_fault_is_ours(state: str, code: int, came_of_it: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        cwd=Path(trials.__file__).parent,
        input=state,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == code
    assert re.search(rf"^\| damaged model folder, read \| 4 \| {came_of_it} \|$", done.stdout, re.MULTILINE)
    assert ("Traceback" in done.stderr) == (state == "broken")
