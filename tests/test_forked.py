"""A forked command finds what a started one does: `forked.py` changes nothing that tests look at."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from forked import Forked
from phrases import environment

SCRIPT = """
import json, os, signal, sys
print(json.dumps({
    "arguments": sys.argv,
    "folder": os.getcwd(),
    "variables": dict(os.environ),
    "path": [path for path in sys.path if "__editable__" not in path],
    "name": __name__,
    "parent": os.getppid(),
    "streams": [(s.mode, s.encoding, s.errors, s.isatty()) for s in (sys.stdin, sys.stdout)],
    "ours": sorted(name for name in sys.modules if name.startswith("translator")),
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
    "open": sorted(os.listdir("/proc/self/fd"))[:3],
    "input": sys.stdin.read(),
}))
print("an error", file=sys.stderr)
sys.exit(3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("start", [["script.py"], ["-m", "script"]], ids=" ".join)
def test_a_forked_command_is_like_one_that_is_started(tmp_path: Path, start: list[str]) -> None:
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")

    def outcome(by: type[subprocess.Popen[bytes]]) -> dict[str, object]:
        command = [sys.executable, *start, "one", "two words"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with by(command, env=environment(MINE="x"), cwd=tmp_path, **pipes) as process:
            said, errors = process.communicate("Où ?\n".encode(), timeout=60)
        return {**json.loads(said), "errors": errors, "code": process.returncode}

    expected = outcome(subprocess.Popen)
    assert (expected["code"], expected["input"]) == (3, "Où ?\n")
    assert outcome(Forked) == expected


@pytest.mark.slow
def test_a_forked_command_that_is_killed_says_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("import time; print('begun', flush=True); time.sleep(60)")
    with Forked([sys.executable, "script.py"], cwd=tmp_path, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n"
        assert process.poll() is None
        process.kill()
    assert process.returncode == -9
