"""Commands whose input or output is closed, broken or silent end quickly, quietly and with the right code.

Each runs in a process of its own: what is tested is what happens at its exit.
"""

import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
from phrases import Trained, command, environment

pytest_plugins = ("trained",)
pytestmark = pytest.mark.slow


def shell(script: str, cwd: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["bash", "-c", script],
        cwd=cwd,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def translate(trained: Trained, *arguments: str) -> str:
    return shlex.join(command("translate", "--model", trained.model, *arguments))


@pytest.mark.parametrize(
    ("source", "reader"),
    [("yes Bonjour", "head -1"), ("echo un; echo deux; sleep 60", "true")],
    ids=["more to read", "waiting for more"],
)
def test_a_reader_that_goes_away_ends_it_while_the_input_is_open(
    trained: Trained, tmp_path: Path, source: str, reader: str
) -> None:
    code = tmp_path / "code"
    process = shell(f"({source}) | {{ {translate(trained)}; echo $? >code; }} | {reader}", tmp_path)
    try:
        until = time.monotonic() + 50
        while not code.exists() or not code.read_text():
            assert time.monotonic() < until, "it waits for its input instead"
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        _, stderr = process.communicate()
    assert code.read_text() == "141\n"  # 128 + SIGPIPE, as of other filters
    assert stderr == b""


def test_ctrl_c_ends_a_filter_that_waits_for_a_line(trained: Trained) -> None:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # background jobs of a shell ignore it
    with subprocess.Popen(
        command("translate", "--model", trained.model),
        bufsize=0,
        env=environment(),
        preexec_fn=heard,
        **pipes,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(b"Le chat dort.\n")
        assert process.stdout.readline().endswith(b"\n")  # it is running and waits for the next line
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert b"Traceback" not in (said := process.stderr.read())
        assert b"Fatal" not in said


def test_a_closed_standard_stream_is_an_empty_one(trained: Trained, tmp_path: Path) -> None:
    for script, closed in (
        (f"{translate(trained)} <&-", "stdin"),
        (f"echo un | {translate(trained)} >&-", "stdout"),
    ):
        process = shell(script, tmp_path)
        assert process.communicate(timeout=60) == (b"", b""), closed
        assert process.returncode == 0, closed
    # Control: with open streams it answers.
    assert shell(f"echo un | {translate(trained)}", tmp_path).communicate(timeout=60)[0] != b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux only")
def test_a_full_disk_is_one_line(trained: Trained, tmp_path: Path) -> None:
    process = shell(f"{translate(trained, 'Le chat dort.')} >/dev/full", tmp_path)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 1
    assert stderr == b"error: No space left on device\n"


#: The command, but between attempts to reach a server it does not wait, which takes half a minute.
WITHOUT_PAUSES = """
import sys
from huggingface_hub.utils import _http
from translator.cli import main
_http.time.sleep = lambda seconds: None
main(sys.argv[1:])
"""


def test_a_hub_that_cannot_be_reached_is_one_line(trained: Trained, tmp_path: Path) -> None:
    offline = {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HUB_OFFLINE": "0", "HF_HOME": str(tmp_path / "hub")}
    hub = (
        "data.format=hub",
        "data.dataset=none-such/corpus",
        "data.root=null",
        f"data.cache={tmp_path}/cache",
    )
    arguments = ["train", str(trained.config), *hub, f"run.root={tmp_path}/runs"]
    found = subprocess.run(
        [sys.executable, "-c", WITHOUT_PAUSES, *arguments], capture_output=True, env=environment(**offline)
    )
    assert (found.returncode, found.stdout) == (1, b"")
    [said, line] = found.stderr.decode().splitlines()
    assert said == "preparing …"
    assert line.startswith("error: data.dataset=none-such/corpus, split 'train.{lang}': cannot be loaded: ")
    assert "the network" in line
    assert not (tmp_path / "runs").exists()
    assert not list((tmp_path / "cache").rglob("partial-*"))
