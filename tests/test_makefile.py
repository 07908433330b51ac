"""`make install` takes PyTorch for a CPU where there is no GPU, if PyTorch's index answers within seconds."""

import os
import platform
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        platform.system() != "Linux" or Path("/proc/driver/nvidia").exists() or Path("/dev/dxg").exists(),
        reason="on Linux without an NVIDIA GPU only",
    ),
]

#: Stands for Python: makes an environment whose Python writes down its arguments instead of installing.
PYTHON = """#!/bin/sh
if [ "$1" != -m ]; then exec {real} "$@"; fi
mkdir -p "$3/bin"
printf '#!/bin/sh\\necho "$@" > {said}\\n' > "$3/bin/python"
chmod +x "$3/bin/python"
"""


class Index(BaseHTTPRequestHandler):
    """An index that has torch."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/whl/cpu/torch/" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def answering() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Index) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@contextmanager
def silent() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def refusing() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    yield port


def install(folder: Path, index: str, *arguments: str) -> tuple[str, str, float]:
    """What pip is told, what make says, and the seconds that it takes."""
    python, said = folder / "python", folder / "said"
    python.write_text(PYTHON.format(real=sys.executable, said=said), encoding="utf-8")
    python.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE"))}
    started = time.monotonic()
    variables = (f"PYTHON={python}", f"VENV={folder / 'venv'}", f"TORCH_INDEX={index}")
    done = subprocess.run(
        ["make", "install", *variables, *arguments], cwd=ROOT,
        env={**kept, "no_proxy": "127.0.0.1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return said.read_text(encoding="utf-8"), done.stderr, time.monotonic() - started


def test_an_index_that_answers_is_used(tmp_path: Path) -> None:
    with answering() as port:
        index = f"http://127.0.0.1:{port}/whl/cpu"
        told, said, seconds = install(tmp_path, index)
    assert f"--extra-index-url {index} -c constraints.txt -e .[logs,dev,export,huggingface,serve]" in told
    assert said == f"PyTorch for a CPU, from {index}\n"
    assert seconds < 3


@pytest.mark.parametrize(("server", "least", "most"), [(silent, 3, 6), (refusing, 0, 3)])
def test_without_an_answer_pip_is_left_alone(
    tmp_path: Path, server: Callable[[], AbstractContextManager[int]], least: float, most: float
) -> None:
    with server() as port:
        index = f"http://127.0.0.1:{port}"
        told, said, seconds = install(tmp_path, index)
    assert "index-url" not in told
    assert said == f"{index} does not answer: PyTorch as pip finds it\n"
    assert least <= seconds < most


def test_an_index_without_torch_is_not_used(tmp_path: Path) -> None:
    with answering() as port:
        assert "index-url" not in install(tmp_path, f"http://127.0.0.1:{port}/other")[0]


def test_pip_args_override(tmp_path: Path) -> None:
    with answering() as port:
        told, said, _ = install(tmp_path, f"http://127.0.0.1:{port}/whl/cpu", "PIP_ARGS=--no-deps")
    assert "--no-deps -c constraints.txt" in told
    assert (said, "index-url" in told) == ("", False)
