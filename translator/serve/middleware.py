"""What every request passes: who may ask, how much, how many at once and for how long.

It wraps the application, so that a request is refused before anything of it is read or computed, and so that
every answer, an error too, has the security headers and is counted.
"""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from translator import console
from translator.serve.access import Access
from translator.serve.limits import Limits, RefusedError
from translator.serve.metrics import Metrics

#: Of every answer; a page may set its own Content-Security-Policy.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST",
    "Access-Control-Allow-Headers": "Authorization, Content-Type",
    "Access-Control-Max-Age": "3600",
}


class Gate:
    """The application behind its limits, as an ASGI application."""

    def __init__(self, app: ASGIApp, *, access: Access, limits: Limits, metrics: Metrics):
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self._n_active = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # starting and stopping
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        answer = _Answer(scope, send, self._access)
        try:
            await self._pass(scope, receive, answer)
        except RefusedError as refusal:
            await answer.refuse(refusal)
            if refusal.status == 413 and "expect" not in Headers(scope=scope):
                await self._let_finish(receive)
            await answer.end()
        except Exception as error:  # a fault of ours; its message may hold text, so it is not printed
            console.log(f"error: {scope['path']!r}: {_place_of(error)}")
            await answer.refuse(RefusedError(500, "Internal error"))
            await answer.end()
        finally:
            self._metrics.answered(scope["path"], answer.status, time.perf_counter() - started)

    async def _pass(self, scope: Scope, receive: Receive, answer: "_Answer") -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        self._access.check_host(host)
        self._access.check_address(scope.get("query_string", b""))
        if origin is not None and not self._access.allows_origin(origin, host):
            raise RefusedError(403, "Pages of other origins may not use this service; see --allow-origin")
        if scope["method"] == "OPTIONS" and origin is not None:
            await answer.send_whole(204, _PREFLIGHT)
            return
        if scope["method"] != "POST":
            # HEAD is answered as GET is; what sends the answer leaves its body out.
            as_get = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            await self._app(as_get, receive, answer)
            return
        body = await self._read(headers, receive)
        # A slow sender takes no place: only a request that is there whole is counted.
        if self._n_active >= self._limits.max_requests:
            raise RefusedError(
                503,
                f"Slowdown: {self._limits.max_requests} requests are being answered",
                headers={"Retry-After": "1"},
            )
        self._n_active += 1
        self._metrics.in_flight.set(self._n_active)
        try:
            messages = await self._answer(scope, body, receive)
        finally:
            self._n_active -= 1
            self._metrics.in_flight.set(self._n_active)
        for message in messages:  # whoever is slow to take an answer takes no place
            await answer(message)

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        """The body, unless it is too long, whether it says so or not, or takes too long."""
        most = self._limits.max_body_bytes
        said = headers.get("content-length", "0")
        too_long = RefusedError(413, f"Invalid request: the body exceeds {most} bytes")
        if not said.isdecimal() or int(said[:20]) > most:
            raise too_long
        parts: list[bytes] = []
        n_bytes, more = 0, True
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "The connection was closed")
                    parts.append(message.get("body", b""))
                    n_bytes += len(parts[-1])
                    if n_bytes > most:
                        raise too_long
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RefusedError(
                408, "The request took too long to come in", headers={"Connection": "close"}
            ) from None
        return b"".join(parts)

    async def _let_finish(self, receive: Receive) -> None:
        """Throw away what still comes of a refused body.

        Many clients read the answer only once they have sent all; were the connection closed before, they
        would see that instead of the answer.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.receive_seconds):
                while (await receive()).get("more_body", False):
                    pass

    async def _answer(self, scope: Scope, body: bytes, receive: Receive) -> list[Message]:
        """Let the application work until it is done, the time is up, or nobody waits any more."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            if whole:
                return whole.pop()
            await asyncio.Event().wait()  # the gate itself watches for the end of the connection
            raise AssertionError

        async def gone() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        work = asyncio.ensure_future(self._app(scope, replay, keep))
        watch = asyncio.ensure_future(gone())
        try:
            done, _ = await asyncio.wait(
                {work, watch}, timeout=self._limits.request_seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for task in (work, watch):
                task.cancel()
            await asyncio.gather(work, watch, return_exceptions=True)
        if not done:
            raise RefusedError(
                503,
                f"The answer took more than {self._limits.request_seconds:g} seconds",
                headers={"Retry-After": "5"},
            )
        if work in done:
            work.result()
            return messages
        return []


class _Answer:
    """An answer on its way out: it gets the headers, and its status is kept."""

    def __init__(self, scope: Scope, send: Send, access: Access):
        self._scope, self._send, self._access = scope, send, access
        self.status = 499  # nobody was there to answer
        self._is_open = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            origin = Headers(scope=self._scope).get("origin")
            if origin is not None and self._access.is_foreign_guest(origin):
                headers["Access-Control-Allow-Origin"] = origin
                headers.add_vary_header("Origin")
        elif self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def send_whole(self, status: int, headers: dict[str, str]) -> None:
        """Send an answer without a body."""
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": status, "headers": raw})
        await self({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: RefusedError) -> None:
        """Send a refusal, if no answer has begun; `end` is still to come."""
        if self.status == 499:
            response = JSONResponse(
                {"error": refusal.message}, status_code=refusal.status, headers=refusal.headers
            )
            start = {"type": "http.response.start", "status": refusal.status, "headers": response.raw_headers}
            await self(start)
            await self({"type": "http.response.body", "body": response.body, "more_body": True})
            self._is_open = True

    async def end(self) -> None:
        """End a refusal that was sent."""
        if self._is_open:
            await self({"type": "http.response.body", "body": b""})


def _place_of(error: BaseException) -> str:
    """The kind of an error and the line that it comes from."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f" at {Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno}"
    return f"{type(error).__name__}{where}"
