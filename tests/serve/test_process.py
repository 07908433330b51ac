"""`translator serve` as a process on loopback: clients, hostile and slow requests, and shutdown."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from libretranslatepy import LibreTranslateAPI
from phrases import Trained, command, environment, run_command

from translator.translation.inference import Translator

pytest_plugins = ("trained",)
pytestmark = pytest.mark.slow

TEXTS = ("Le chat dort à Lyon.", "La reine chante sous le pont.", "Mon voisin travaille au marché.")
KEY = "sixteen-letters!"


@dataclass
class Server:
    """A running service: its process and its URL."""

    process: subprocess.Popen[bytes]
    url: str

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def post(self, fields: object, *, timeout: float = 30, route: str = "/translate") -> tuple[int, object]:
        """Send a JSON request; return status and body."""
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
        """Send raw bytes; return what is received until the connection is closed."""
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
    found = Translator.load(trained.model).translate(list(TEXTS))
    return {text: one.text for text, one in zip(TEXTS, found, strict=True)}


@pytest.fixture
def hold() -> Iterator[Callable[[socket.socket], socket.socket]]:
    """A function that keeps a connection open until the end of the test."""
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


def test_more_idle_connections_than_files(trained: Trained, hold: Callable[..., socket.socket]) -> None:
    words = command("serve", "--model", trained.model, "--port", "0")
    process = subprocess.Popen(
        ["bash", "-c", 'ulimit -n 80; exec "$@"', "-", *map(str, words)],
        stderr=subprocess.PIPE,
        env=environment(),
    )
    try:
        assert process.stderr is not None
        server = Server(process, process.stderr.readline().decode().split()[5])
        for _ in range(120):
            hold(socket.create_connection(("127.0.0.1", server.port), timeout=10))
        assert server.translate(TEXTS[0])
        process.send_signal(signal.SIGTERM)
        assert process.stderr.read().decode() == "finished\n"
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.communicate()


def test_a_log_that_nobody_reads_ends_nothing(start: Start, expected: dict[str, str]) -> None:
    server = start("--log-text")
    assert server.process.stderr is not None
    server.process.stderr.close()
    assert [server.translate(text) for text in TEXTS] == list(expected.values())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0


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
    assert (
        "".join(piece for piece, _ in found["source"]) == script
    )  # unescaped, since JSON is not rendered as HTML
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
    # Silent clients are disconnected; until then they have not delayed others.
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


def raw(fields: object) -> bytes:
    """Return the bytes of a request to /translate."""
    body = json.dumps(fields).encode()
    head = "POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


#: The largest request allowed; it takes much longer than any test waits.
LARGE = {"q": [" ".join(TEXTS * 60)[:5000]] * 64, "source": "fr", "target": "en"}

#: A request whose response is as long as itself and needs no computation.
ECHO = {"q": ["x" * 5000] * 40, "source": "en", "target": "en"}


def metric(server: Server, name: str) -> float:
    with urllib.request.urlopen(server.url + "/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return float(next(line.rsplit(" ", 1)[1] for line in lines if line.startswith(f"{name} ")))


def test_a_large_request_keeps_nobody_waiting_and_ends_with_its_client(
    start: Start, expected: dict[str, str]
) -> None:
    server = start()
    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(raw(LARGE))
        while metric(server, "passerelle_texts_waiting") < 1000:
            time.sleep(0.05)
        for text in TEXTS * 2:
            asked = time.monotonic()
            assert server.translate(text) == expected[text]
            assert time.monotonic() - asked < 2
        assert metric(server, "passerelle_texts_waiting") > 500  # the large request was still being computed
    time.sleep(1)
    assert metric(server, "passerelle_texts_waiting") == 0
    n_batches = metric(server, "passerelle_batch_texts_count")
    time.sleep(0.5)
    assert metric(server, "passerelle_batch_texts_count") == n_batches


@pytest.mark.parametrize("state", ["a large request", "a slow request", "idle", "not reading"])
def test_it_ends_within_the_limit_of_a_request(
    start: Start, hold: Callable[[socket.socket], socket.socket], state: str
) -> None:
    server = start("--request-seconds", "5", "--receive-seconds", "20")
    sent = {
        "a large request": raw(LARGE),
        "a slow request": raw(ECHO)[:-9],
        "idle": b"",
        "not reading": raw(ECHO),
    }
    for _ in range(5):
        connection = hold(socket.create_connection(("127.0.0.1", server.port)))
        connection.sendall(sent[state])
    if state == "not reading":
        connection.setblocking(False)
        with suppress(BlockingIOError):
            while True:
                connection.send(sent[state])
    time.sleep(0.5)
    told = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(30) == 0
    assert time.monotonic() - told < 5


def test_it_ends_although_the_model_computes_without_end(trained: Trained) -> None:
    script = f"""
import time
from translator.translation.inference import Translator
class Endless(Translator):
    def search(self, *sources, **options):
        while True:
            time.sleep(0.01)
Translator.load = classmethod(lambda cls, *a, load=Translator.load.__func__, **k: load(Endless, *a, **k))
from translator.cli import main
main(["serve", "--model", {str(trained.model)!r}, "--port", "0", "--request-seconds", "3"])
"""
    with subprocess.Popen(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, env=environment()
    ) as process:
        try:
            assert process.stderr is not None
            server = Server(process, process.stderr.readline().decode().split()[5])
            assert server.post({"q": TEXTS[0], "source": "fr", "target": "en"})[0] == 503
            with pytest.raises(HTTPError, match="503") as refused:
                urllib.request.urlopen(server.url + "/health", timeout=20)
            with refused.value as answer:
                assert json.load(answer) == {"error": "The model has not answered for 1.5 seconds"}
            told = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 1
            assert time.monotonic() - told < 3
            said = process.stderr.read().decode()
        finally:
            process.kill()
    assert said == "error: the model does not stop computing; ended without it\n"


@pytest.mark.parametrize("kind", ["idle", "kept alive", "half a request", "not reading", "sending ahead"])
def test_clients_that_do_nothing_shut_nobody_out(
    start: Start, expected: dict[str, str], hold: Callable[[socket.socket], socket.socket], kind: str
) -> None:
    server = start()
    get = b"GET /page.js HTTP/1.1\r\nHost: localhost\r\n"
    sent = {
        "idle": b"",
        "kept alive": get + b"\r\n",
        "half a request": get,
        "not reading": raw(ECHO),
        "sending ahead": (get + b"\r\n") * 100,
    }
    for _ in range(600):
        connection = hold(socket.create_connection(("127.0.0.1", server.port), timeout=20))
        connection.setblocking(False)
        with suppress(BlockingIOError):
            connection.send(sent[kind])
    asked = time.monotonic()
    for text in TEXTS:
        while (found := server.post({"q": text, "source": "fr", "target": "en"}))[0] == 503:
            time.sleep(1)  # as Retry-After says
        assert found == (200, {"translatedText": expected[text]})
    assert time.monotonic() - asked < 12


def test_a_client_that_closes_its_side_gets_its_answer(start: Start, expected: dict[str, str]) -> None:
    server = start()
    server.translate(TEXTS[0])  # the first one takes longer
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
        connection.sendall(raw({"q": TEXTS[0], "source": "fr", "target": "en"}))
        connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
    answer = b"".join(parts)
    assert answer.startswith(b"HTTP/1.1 200")
    assert expected[TEXTS[0]].encode() in answer


def test_answers_to_requests_sent_ahead_come_in_order(start: Start) -> None:
    get = "GET {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n"
    sent = (
        get.format("/health", "")
        + get.format("/nowhere", "")
        + get.format("/languages", "Connection: close\r\n")
    )
    answer = start().talk(sent.encode())
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


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
        (("--allow-origin", "example.org"), 2, "not an origin"),
        (("--public-host", "https://example.org"), 2, "not a host name"),
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
