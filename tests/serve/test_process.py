"""`translator serve` as a process on loopback: clients, hostile requests, slow ones, and how it ends."""

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from libretranslatepy import LibreTranslateAPI
from phrases import Trained, command, environment, run_command

from translator.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.slow

TEXTS = ("Le chat dort à Lyon.", "La reine chante sous le pont.", "Mon voisin travaille au marché.")
KEY = "sixteen-letters!"


@dataclass
class Server:
    """A running service: its process, and where it listens."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def post(self, fields: object, *, timeout: float = 30, route: str = "/translate") -> tuple[int, object]:
        """Status and body of a JSON request."""
        body = json.dumps(fields).encode()
        request = urllib.request.Request(
            self.url + route, data=body, headers={"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, json.load(answer)
        except HTTPError as error:
            with error:
                return error.code, json.load(error)

    def translate(self, text: str) -> str:
        status, found = self.post({"q": text, "source": "fr", "target": "en"})
        assert status == 200
        assert isinstance(found, dict)
        return str(found["translatedText"])

    def talk(self, raw: bytes, *, timeout: float = 30) -> bytes:
        """What comes back on a connection until it is closed."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            connection.sendall(raw)
            parts = []
            while part := connection.recv(65536):
                parts.append(part)
            return b"".join(parts)


Start = Callable[..., Server]


@pytest.fixture
def start(trained: Trained) -> Iterator[Start]:
    """A function `(*options) -> Server` that starts a service on the tiny model and any free port."""
    servers = []

    def begin(*options: str | Path, **variables: str) -> Server:
        process = subprocess.Popen(
            command("serve", "--model", trained.model, "--port", "0", *options),
            stderr=subprocess.PIPE,
            env=environment(**variables),
        )
        assert process.stderr is not None
        line = process.stderr.readline().decode()
        assert line.startswith("serving fr → en at http"), line
        servers.append(process)
        return Server(process, line.split()[5])

    yield begin
    for process in servers:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def expected(trained: Trained) -> dict[str, str]:
    found = Translator.load(trained.model).translate(TEXTS)
    return {text: one.text for text, one in zip(TEXTS, found, strict=True)}


@pytest.fixture
def hold() -> Iterator[Callable[[socket.socket], socket.socket]]:
    """A function that keeps a connection, to be closed after the test."""
    with ExitStack() as held:
        yield held.enter_context


def test_an_unmodified_client_of_libretranslate(start: Start, expected: dict[str, str]) -> None:
    client = LibreTranslateAPI(start().url)
    assert {text: client.translate(text, "fr", "en") for text in TEXTS} == expected
    assert client.detect("Où est la gare ?")[0]["language"] == "fr"
    assert [language["code"] for language in client.languages()] == ["fr", "en"]
    with pytest.raises(HTTPError, match="400"):
        client.translate(TEXTS[0], "fr", "de")


def test_an_unmodified_client_with_a_key(start: Start, expected: dict[str, str]) -> None:
    server = start("--host", "0.0.0.0", PASSERELLE_API_KEY=KEY)
    url = f"http://127.0.0.1:{server.port}"
    assert LibreTranslateAPI(url, KEY).translate(TEXTS[0], "fr", "en") == expected[TEXTS[0]]
    with pytest.raises(HTTPError, match="403"):
        LibreTranslateAPI(url, KEY + "x").translate(TEXTS[0], "fr", "en")
    with pytest.raises(HTTPError, match="400"):
        LibreTranslateAPI(url).translate(TEXTS[0], "fr", "en")


def test_many_at_once_get_each_its_own_answer(start: Start, expected: dict[str, str]) -> None:
    server = start()
    asked = [TEXTS[i % len(TEXTS)] for i in range(64)]
    with ThreadPoolExecutor(64) as clients:
        assert list(clients.map(server.translate, asked)) == [expected[text] for text in asked]
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        lines = dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")
    assert float(lines["passerelle_batch_texts_sum"]) == 64
    assert float(lines["passerelle_batch_texts_count"]) < 64  # some were translated together


def test_hostile_requests_get_their_status_and_it_goes_on(
    start: Start, expected: dict[str, str], hold: Callable[[socket.socket], socket.socket]
) -> None:
    server = start("--receive-seconds", "2")
    beginnings = (b"", b"POST /translate HT", b"POST /translate HTTP/1.1\r\nHost: localhost\r\n")
    half_open = [hold(socket.create_connection(("127.0.0.1", server.port))) for _ in range(99)]
    for number, connection in enumerate(half_open):
        connection.sendall(beginnings[number % 3])
    post = b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    script = "<script>alert(1)</script><img src=x onerror=alert(1)>"
    status, found = server.post({"text": script}, route="/api/translate")
    assert status == 200
    assert isinstance(found, dict)
    assert "".join(piece for piece, _ in found["source"]) == script  # in JSON, which is no page
    assert server.post({"q": "x" * 10_000_000})[0] == 413
    raw = {
        b"413": post + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        + b"100000\r\n" + b"x" * 0x100000 + b"\r\n0\r\n\r\n",
        b"400": post + b"Content-Length: 8\r\nConnection: close\r\n\r\n" + b'{"q":"\xff\xfe',
        b"400 ": b"\x16\x03\x01 this is no HTTP\r\n\r\n",
        b"421": b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
        b"404": b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"408": post + b"Content-Length: 100\r\n\r\n{",
    }  # fmt: skip
    for status_line, request in raw.items():
        assert server.talk(request).startswith(b"HTTP/1.1 " + status_line.strip()), request[:100]
        assert server.translate(TEXTS[0]) == expected[TEXTS[0]]
    # Whoever says nothing is shown out; before that he kept nobody waiting.
    for connection in half_open:
        connection.settimeout(20)
        assert connection.recv(100) == b""
    assert server.process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_finishes_what_it_began(start: Start, number: signal.Signals) -> None:
    server = start()
    many = [TEXTS[0]] * 60
    lines = "\n".join(TEXTS * 40)
    with ThreadPoolExecutor(1) as client:
        asked = client.submit(server.post, {"q": [lines, *many], "source": "fr", "target": "en"}, timeout=60)
        time.sleep(0.2)
        server.process.send_signal(number)
        status, found = asked.result(60)
    assert status == 200
    assert isinstance(found, dict)
    assert len(found["translatedText"]) == 61
    assert server.process.wait(30) == 0
    assert server.process.stderr is not None
    assert server.process.stderr.read().decode() == "finished\n"
    with pytest.raises(URLError):
        server.post({"q": "a"})


def test_a_second_service_on_a_port_is_refused(start: Start, trained: Trained) -> None:
    server = start()
    done = run_command("serve", "--model", trained.model, "--port", str(server.port))
    assert (done.returncode, done.stdout) == (1, b"")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith(f"error: 127.0.0.1:{server.port}: ")
    assert "--port" in line


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--host", "0.0.0.0"), 1, "--api-key-file"),
        (("--host", "203.0.113.1", "--api-key-file", "KEY"), 1, "203.0.113.1"),
        (("--api-key-file", "none"), 1, "cannot be read"),
        (("--allow-origin", "example.org"), 2, "no origin"),
        (("--port", "70000"), 2, "65535"),
        (("--model", "none"), 1, "none"),
    ],
)
def test_it_does_not_start_as_asked(tmp_path: Path, options: tuple[str, ...], code: int, said: str) -> None:
    (tmp_path / "KEY").write_text(KEY)
    done = run_command("serve", "--port", "0", *options, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, b"")
    [line] = done.stderr.decode().splitlines()
    assert line.startswith("error: ")
    assert said in line
