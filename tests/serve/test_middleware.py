"""Access control, limits, health and response headers."""

import asyncio
import os
import re
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from phrases import Trained
from serve_case import SENTENCE
from starlette.testclient import TestClient

from translator.cli import main
from translator.errors import ServeError, UsageError
from translator.search.result import Hypothesis, Result
from translator.serve.access import KEY_VARIABLE, Access, access_for, is_loopback, read_key
from translator.serve.limits import Limits
from translator.serve.metrics import Metrics
from translator.serve.middleware import SECURITY_HEADERS, ServiceMiddleware
from translator.serve.page_routes import FILES
from translator.serve.server import address_of, open_socket
from translator.serve.service import Service
from translator.translation.inference import Translator

pytest_plugins = ("trained",)

KEY = "sixteen-letters!"
PAIR = {"source": "fr", "target": "en"}


class Slow(Translator):
    """The tiny model; its searches wait until the test releases them."""

    def __init__(self, model: Translator):
        super().__init__(model.model, model.tokenizer, model.config)
        self.go, self.begun = threading.Event(), threading.Event()

    def search(self, *sources: Any, **options: Any) -> list[Result]:
        self.begun.set()
        assert self.go.wait(20)
        return super().search(*sources, **options)


@pytest.fixture
def slow(model: Translator) -> Iterator[Slow]:
    translator = Slow(model)
    yield translator
    translator.go.set()


# -- access control ------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:5000", "", "localhost.evil.example", "[::2]"])
def test_another_name_for_this_machine_is_refused(client: TestClient, host: str) -> None:
    answer = client.get("/health", headers={"Host": host})
    assert answer.status_code == 421
    assert "localhost" in answer.json()["error"]


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "LOCALHOST:5000", "127.0.0.1:1", "[::1]:5000", "[::1]", "localhost:", "localhost."),
        *("localhost.:5000", "127.0.0.2:5000", "[::ffff:127.0.0.1]"),
    ],
)
def test_names_of_this_machine_are_not(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"Host": host}).status_code == 200


def test_pages_of_other_origins_may_not_ask_unless_named(serve: Any) -> None:
    closed, opened = serve(), serve(access=Access(origins=("https://friend.example",)))
    fields = PAIR | {"q": SENTENCE}
    for origin, client, status in [
        ("https://evil.example", closed, 403),
        ("null", closed, 403),
        ("http://localhost", closed, 200),
        ("https://evil.example", opened, 403),
        ("https://friend.example", opened, 200),
    ]:
        answer = client.post("/translate", data=fields, headers={"Origin": origin})
        assert answer.status_code == status, origin
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        assert allowed == (origin if "friend" in origin else None)
    ask = {"Origin": "https://friend.example", "Access-Control-Request-Method": "POST"}
    assert opened.options("/translate", headers=ask).headers["Access-Control-Allow-Methods"] == "GET, POST"
    assert closed.options("/translate", headers=ask).status_code == 403


def test_the_key_is_asked_for_by_every_route_that_computes(serve: Any) -> None:
    client = serve(access=Access(api_key=KEY, local_only=False))
    fields = PAIR | {"q": SENTENCE, "text": SENTENCE, "translation": "The cat.", "word": 1}
    for route in ("/translate", "/detect", "/api/translate", "/api/align", "/api/alternatives"):
        assert client.post(route, json=fields).status_code == 400
        wrong = client.post(route, json=fields | {"api_key": KEY + "x"})
        assert (wrong.status_code, wrong.json()) == (403, {"error": "Invalid API key"})
        assert client.post(route, json=fields | {"api_key": KEY}).status_code == 200
        assert client.post(route, json=fields, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert client.post("/api/explain", json=fields).status_code == 400
    assert client.get("/metrics").status_code == 400
    assert client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert client.get("/frontend/settings").json()["keyRequired"] is True
    assert [client.get(route).status_code for route in ("/", "/health", "/languages")] == [200] * 3


def test_a_key_of_another_kind_is_a_wrong_key(serve: Any) -> None:
    client = serve(access=Access(api_key=KEY))
    for shown in (7, ["x"], {"a": 1}, "\ud800", "é"):
        answer = client.post("/detect", content=_ascii({"q": "a", "api_key": shown}), headers=JSON)
        assert answer.status_code == 403


JSON = {"Content-Type": "application/json"}


def _ascii(fields: Any) -> bytes:
    import json

    return json.dumps(fields).encode("ascii")


def test_other_addresses_demand_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PASSERELLE_API_KEY", raising=False)
    assert access_for("127.0.0.1", key_file=None, origins=()) == Access()
    with pytest.raises(ServeError, match=r"--host 0\.0\.0\.0 .*--api-key-file"):
        access_for("0.0.0.0", key_file=None, origins=())
    path = tmp_path / "key"
    path.write_text(f"{KEY}\n")
    assert access_for("0.0.0.0", key_file=path, origins=()) == Access(api_key=KEY, local_only=False)
    monkeypatch.setenv("PASSERELLE_API_KEY", "short")
    with pytest.raises(ServeError, match="5 characters"):
        access_for("::", key_file=None, origins=())
    with pytest.raises(ServeError, match="cannot be read"):
        access_for("::", key_file=tmp_path / "none", origins=())
    with pytest.raises(UsageError, match="not an origin"):
        access_for("::1", key_file=path, origins=("example.org/page",))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"\ufeff{KEY}\r\n".encode(), None),
        (f"{KEY}\n{KEY}\n".encode(), "not one line of printable ASCII"),
        (f"{KEY}\0".encode(), "not one line of printable ASCII"),
        (f"é{KEY}".encode(), "not one line of printable ASCII"),
        (f"{KEY}\ufeff".encode(), "not one line of printable ASCII"),
        (f"{KEY}\x1b[2J".encode(), "not one line of printable ASCII"),
        (b"\xff" + KEY.encode(), "UTF-8|printable ASCII"),
        (KEY.encode("utf-16"), "UTF-8|printable ASCII"),
    ],
)
def test_a_key_is_one_line_of_printable_ascii(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str | None
) -> None:
    (tmp_path / "key").write_bytes(content)
    monkeypatch.setattr(os, "environ", {KEY_VARIABLE: content.decode("utf-8", "surrogateescape")})
    for path in (tmp_path / "key", None):
        if message is None:
            assert read_key(path) == KEY
        else:
            with pytest.raises(ServeError, match=message) as refused:
                read_key(path)
            assert KEY not in str(refused.value)
            assert "\n" not in str(refused.value)


def test_loopback_is_what_only_this_machine_reaches() -> None:
    names = ("127.0.0.1", "127.9.9.9", "::1", "localhost", "0.0.0.0", "::", "192.168.1.2", "example.org")
    assert [is_loopback(name) for name in names] == [True] * 4 + [False] * 4
    others = ("[::1]", "::ffff:127.0.0.1", "LOCALHOST.", "[::]", "::ffff:10.0.0.1", "localhost.example.org")
    assert [is_loopback(name) for name in others] == [True] * 3 + [False] * 3
    with open_socket("[::1]", 0) as listener:
        assert address_of(listener).startswith("http://[::1]:")


@pytest.mark.parametrize(
    "host", ["http://localhost", "a b", "", "localhost:5000", "[localhost]", "a/b", "::1]"]
)
def test_a_host_is_a_name_or_an_address(host: str) -> None:
    with pytest.raises(UsageError, match=r"--host .* is not a host name or address; give one like"):
        access_for(host, key_file=None, origins=())


def test_an_origin_is_compared_as_browsers_send_it(serve: Any) -> None:
    given = ("HTTPS://Friend.example:443", "http://[::1]:8080", "http://plain.example:80")
    access = access_for("::1", key_file=None, origins=given, public_hosts=("t.example",))
    assert access.origins == ("https://friend.example", "http://[::1]:8080", "http://plain.example")
    for origin, is_allowed in [
        ("https://friend.example", True),
        ("https://friend.example:8443", False),
        ("http://friend.example", False),
        ("https://t.example:8443", True),  # the proxy's
        ("https://T.example", True),
        ("https://t.example.evil", False),
        ("https://t.example@evil", False),
        ("https://evil.t.example:8443", False),
    ]:
        assert access.allows_origin(origin, "localhost:5000") is is_allowed, origin
    for wrong in (
        "https://a.example/",
        "https://a:b",
        "https://u@a.example",
        "https://a b",
        "https://a:99999",
    ):
        with pytest.raises(UsageError, match="not an origin"):
            access_for("::1", key_file=None, origins=(wrong,))


@pytest.mark.parametrize(
    "origin",
    [
        "http://[::1",
        "http://[x]",
        "http://a]",
        "",
        "://",
        "http:",
        "http://localhost.evil",
    ],
)
def test_an_origin_that_is_none_is_another_origin(client: TestClient, origin: str) -> None:
    answer = client.post("/translate", data=PAIR | {"q": "a"}, headers={"Origin": origin.encode("latin-1")})
    assert (answer.status_code, set(answer.json())) == (403, {"error"})
    with pytest.raises(UsageError, match="not an origin"):
        access_for("::1", key_file=None, origins=(origin,) if "local" not in origin else ("http://[::1",))


def test_names_that_a_proxy_gives_are_answered_to(serve: Any) -> None:
    access = access_for("::1", key_file=None, origins=(), public_hosts=("Translate.example.org", "t.example"))
    client = serve(access=access)
    for host, status in [
        ("translate.example.org", 200),
        ("TRANSLATE.example.org:8443", 200),
        ("t.example", 200),
        ("localhost", 200),
        ("example.org", 421),
        ("evil.translate.example.org", 421),
    ]:
        assert client.get("/health", headers={"Host": host}).status_code == status, host
    # A proxy may send its own address as Host header, while the Origin has the public name.
    for origin, status in [("https://translate.example.org", 200), ("https://example.org", 403)]:
        answer = client.post("/detect", data={"q": "a"}, headers={"Origin": origin})
        assert answer.status_code == status


@pytest.mark.parametrize(
    "name", ["https://a.example", "a.example/", "a.example:80", "", "a b", "*", "é.fr", "[::1"]
)
def test_a_public_host_is_a_name(name: str) -> None:
    with pytest.raises(UsageError, match=r"--public-host .* is not a host name; give one like"):
        access_for("::1", key_file=None, origins=(), public_hosts=(name,))


@pytest.mark.parametrize(
    "address", ["?api_key=KEY", "?a=1&api%5Fkey=KEY", "?Api_Key=", "?%FF=\u00e9&api_key"]
)
@pytest.mark.parametrize("key", [None, KEY])
def test_a_key_in_the_address_is_refused(serve: Any, address: str, key: str | None) -> None:
    client = serve(access=Access(api_key=key))
    address = address.replace("KEY", KEY)
    for answer in [
        client.get("/metrics" + address),
        client.post("/translate" + address, json=PAIR | {"q": "a", "api_key": KEY}),
        client.post("/api/align" + address, headers={"Authorization": f"Bearer {KEY}"}),
    ]:
        assert answer.status_code == 400
        assert "not accepted in the URL" in answer.json()["error"]
        assert KEY not in answer.text


# -- limits --------------------------------------------------------------------------------------------


def test_limits_of_a_request(serve: Any) -> None:
    client = serve(limits=Limits(max_characters=30, max_texts=2, max_body_bytes=300))
    for q, status in [
        ("x" * 30, 200),
        ("x" * 31, 400),
        (["a", "b"], 200),
        (["a", "b", "c"], 400),
        (["a", "x" * 31], 400),
        ("x" * 300, 413),
    ]:
        answer = client.post("/translate", json=PAIR | {"q": q})
        assert answer.status_code == status, q
        if status != 200:
            assert "exceeds" in answer.json()["error"]


def test_a_long_body_is_refused_before_it_is_read() -> None:
    async def endless() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"x" * 100, "more_body": True}

    for length, n_reads in [(b"1000000000", 0), (b"-1", 0), (b"many", 0), (None, 11)]:
        headers = [] if length is None else [(b"content-length", length)]
        assert asyncio.run(_through_middleware(endless, headers=headers)) == (413, n_reads)


def test_a_body_that_does_not_come_is_given_up() -> None:
    async def never() -> dict[str, Any]:
        await asyncio.sleep(60)
        raise AssertionError

    assert asyncio.run(_through_middleware(never)) == (408, 1)


async def _through_middleware(body: Any, *, headers: Any = ()) -> tuple[int, int]:
    """Send a POST with a body from a function; return the status and the number of calls before it."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    n_reads, answers = 0, []

    async def receive() -> Any:
        nonlocal n_reads
        n_reads += 1
        return await body()

    async def send(message: Any) -> None:
        answers.append((message.get("status"), n_reads))

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/translate",
        "headers": [(b"host", b"localhost"), *headers],
    }
    limits = Limits(max_body_bytes=1000, receive_seconds=0.05)
    await ServiceMiddleware(app, access=Access(), limits=limits, metrics=Metrics())(scope, receive, send)
    return answers[0]


def test_beyond_the_limit_of_requests_one_is_told_to_come_again(serve: Any, slow: Slow) -> None:
    client = serve(translator=slow, limits=Limits(max_requests=1))
    fields, found = PAIR | {"q": SENTENCE}, []
    first = threading.Thread(target=lambda: found.append(client.post("/translate", json=fields)))
    first.start()
    assert slow.begun.wait(20)
    refused = client.post("/translate", json=fields)
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert client.get("/health").status_code == 200
    slow.go.set()
    first.join(20)
    assert found[0].status_code == 200
    assert client.post("/translate", json=fields).status_code == 200  # the slot is free again


def test_an_answer_that_takes_too_long_is_given_up(serve: Any, slow: Slow) -> None:
    client = serve(translator=slow, limits=Limits(request_seconds=0.05))
    answer = client.post("/translate", json=PAIR | {"q": SENTENCE})
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    slow.go.set()


def test_a_fault_of_ours_says_nothing_of_the_text(
    serve: Any, model: Translator, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken(Slow):
        def search(self, *sources: Any, **options: Any) -> list[Result]:
            raise ValueError(f"cannot translate {sources}: le chat")

    client = serve(translator=Broken(model))
    answer = client.post("/translate", json=PAIR | {"q": SENTENCE})
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal error"})
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert "chat" not in said


def test_an_answer_that_is_not_taken_takes_no_place() -> None:
    async def ask() -> None:
        async def app(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"answer"})

        async def receive() -> Any:
            return (
                {"type": "http.request", "body": b"", "more_body": False} if more.pop() else await gone.wait()
            )

        async def send(message: Any) -> None:
            sent.append(message)
            await taken.wait()

        more, sent = [False, True, False, True], []
        gone, taken = asyncio.Event(), asyncio.Event()
        middleware = ServiceMiddleware(app, access=Access(), limits=Limits(max_requests=1), metrics=Metrics())
        scope = {"type": "http", "method": "POST", "path": "/translate", "headers": [(b"host", b"localhost")]}
        answers = []
        for n_sent in (1, 2):
            answers.append(asyncio.create_task(middleware(scope, receive, send)))
            while len(sent) < n_sent:
                await asyncio.sleep(0)
        assert [message.get("status") for message in sent] == [200, 200]
        taken.set()
        await asyncio.gather(*answers)

    asyncio.run(asyncio.wait_for(ask(), 20))


# -- health --------------------------------------------------------------------------------------------


class Ill(Translator):
    """The tiny model with given scores, or with an error to raise."""

    def __init__(self, model: Translator):
        super().__init__(model.model, model.tokenizer, model.config)
        self.found: Any = None

    def search(self, *sources: Any, **options: Any) -> list[Result]:
        if isinstance(self.found, Exception):
            raise self.found
        found = super().search(*sources, **options)
        return found if self.found is None else [self.found for _ in found]


@pytest.mark.parametrize(
    ("found", "status", "reason"),
    [
        (Result([Hypothesis([4], torch.nan, torch.nan)]), 503, "scores that are not finite"),
        (Result([Hypothesis([4], -torch.inf, -torch.inf)]), 503, "scores that are not finite"),
        (Result([]), 503, "scores that are not finite"),
        (RuntimeError("CUDA error: le chat"), 500, "The model fails: RuntimeError"),
    ],
)
def test_health_says_what_is_wrong_with_a_model_at_rest_and_when_it_is_well_again(
    serve: Any, model: Translator, found: Any, status: int, reason: str
) -> None:
    client = serve(translator=(ill := Ill(model)))
    ask = PAIR | {"q": SENTENCE}
    for ill.found in (None, found, None):
        health, answer = client.get("/health"), client.post("/translate", json=ask)
        if ill.found is None:
            assert (health.status_code, health.json(), answer.status_code) == (200, {"status": "ok"}, 200)
        else:
            assert (health.status_code, answer.status_code) == (503, status)
            assert reason in health.json()["error"]
            assert "chat" not in health.text


def test_health_says_that_the_model_does_not_answer(serve: Any, slow: Slow) -> None:
    client = serve(translator=slow, limits=Limits(request_seconds=0.1))
    for _ in range(2):  # first by the timeout of the probe, then by the time since it started
        health = client.get("/health")
        assert slow.begun.wait(20)
        time.sleep(0.1)
        assert (health.status_code, health.json()) == (
            503,
            {"error": "The model has not answered for 0.05 seconds"},
        )
    slow.go.set()


def test_health_does_not_keep_a_model_at_work_from_working(serve: Any, slow: Slow) -> None:
    client, found = serve(translator=slow), []
    asked = threading.Thread(
        target=lambda: found.append(client.post("/translate", json=PAIR | {"q": SENTENCE}))
    )
    asked.start()
    assert slow.begun.wait(20)
    assert client.get("/health").json() == {"status": "ok"}  # it does not wait in the queue
    slow.go.set()
    asked.join(20)
    assert found[0].status_code == 200


def test_health_says_that_nothing_is_translated_any_more(model: Translator) -> None:
    service = Service(model, limits=Limits(), metrics=Metrics())
    assert asyncio.run(service.health_problem()) == "The batcher has stopped"


# -- responses -----------------------------------------------------------------------------------------


def test_every_answer_has_the_security_headers(client: TestClient) -> None:
    for answer in [
        client.get("/"),
        client.get("/page.js"),
        client.get("/nowhere"),
        client.get("/health", headers={"Host": "evil.example"}),
        client.post("/translate", content=b"{", headers=JSON),
        client.post("/translate", json=PAIR | {"q": SENTENCE}),
    ]:
        own = {"Referrer-Policy": "same-origin"} if answer.request.url.path == "/" else {}
        assert {name: answer.headers[name] for name in SECURITY_HEADERS} == SECURITY_HEADERS | own
    policy = SECURITY_HEADERS["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "frame-src 'self'" in policy


def test_the_page_asks_for_nothing_from_elsewhere_and_has_no_script_in_itself(client: TestClient) -> None:
    page = client.get("/").text
    asked = re.findall(r'(?:src|href|action)="([^"]*)"', page)
    assert {f"/{path}" for path in FILES.values()} == {"/index.html", *asked} - {"/api/explain"}
    assert [client.get(path).status_code for path in FILES] == [200] * len(FILES)
    assert re.findall(r"<script(?! src=)|<style| style=| on\w+=", page) == []
    script = "".join(client.get(path).text for path in FILES if path.endswith(".js"))
    assert re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|https?:", script) == []


@pytest.mark.parametrize("log_text", [False, True])
def test_text_is_printed_only_if_asked(
    serve: Any, log_text: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(log_text=log_text).post("/translate", json=PAIR | {"q": SENTENCE + "\x1b[2J"})
    said = capsys.readouterr().err
    assert ("chat" in said) == log_text
    assert "\x1b" not in said


def test_head_is_answered_wherever_get_is(client: TestClient) -> None:
    described = client.get("/openapi.json").json()["paths"]
    paths = [path for path, operations in described.items() if "get" in operations] + [
        "/openapi.json",
        "/nowhere",
    ]
    assert {"/", "/health", "/languages", "/metrics", "/page.js", "/frontend/settings"} < set(paths)
    for path in paths:
        head, got = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (got.status_code, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        if path != "/metrics":  # its content includes both requests
            assert head.headers["Content-Length"] == got.headers["Content-Length"]
    refused = client.head("/translate")
    assert (refused.status_code, refused.headers["Allow"]) == (405, "POST")
    assert client.post("/health").headers["Allow"] == "GET, HEAD"


def test_metrics_count_requests_and_name_no_text(serve: Any, trained: Trained) -> None:
    client = serve()
    for text in trained.lines("test.fr")[:3]:
        client.post("/translate", json=PAIR | {"q": text})
    client.get("/made/up")
    found = client.get("/metrics").text
    assert 'passerelle_requests_total{route="/translate",status="200"} 3.0' in found
    assert 'passerelle_requests_total{route="other",status="404"} 1.0' in found
    assert "passerelle_batch_texts_count 3.0" in found
    assert "made" not in found


@pytest.mark.parametrize("option", ["--request-seconds", "--receive-seconds"])
@pytest.mark.parametrize("seconds", ["inf", "1e30", "86401", "nan", "0", "-inf"])
def test_seconds_have_bounds(option: str, seconds: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["serve", option, seconds])
    [line] = capfd.readouterr().err.splitlines()
    assert option in line
    assert ("0.1" if seconds in ("0", "-inf") else "86400") in line


def test_without_the_extra_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "translator.serve.server", raising=False)
    with pytest.raises(SystemExit, match="1"):
        main(["serve"])
    [line] = capfd.readouterr().err.splitlines()
    assert line == "error: serving needs uvicorn; install it: pip install 'passerelle[serve]'"
