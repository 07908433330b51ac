"""ASGI middleware: access control, limits, timeouts, security headers and metrics for every request.

The middleware wraps the whole application. It can therefore refuse a request before reading its body, and it
can add the security headers to error responses, too.
"""

import asyncio
import time
import traceback
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from translator import console
from translator.serve.access import Access
from translator.serve.limits import Limits, RefusedError
from translator.serve.metrics import Metrics

#: Headers that are added to every response. A header that the response already has is left as it is.
SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
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


class ServiceMiddleware:
    """ASGI middleware that enforces the access rules and limits of a service."""

    def __init__(self, app: ASGIApp, *, access: Access, limits: Limits, metrics: Metrics):
        self._app, self._access, self._limits, self._metrics = app, access, limits, metrics
        self._slots = asyncio.Semaphore(limits.max_requests)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":  # startup or shutdown, not a request
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        response = _Response(scope, send, self._access)
        try:
            await self._handle(scope, receive, response)
        except RefusedError as refusal:
            await response.refuse(refusal)
            if refusal.status == 413 and "expect" not in Headers(scope=scope):
                await self._drain(receive)
            await response.end()
        except Exception as error:
            # This is a bug. The message of the error is not logged, because it may contain a client's text.
            console.log(f"error: {scope['path']!r}: {_place_of(error)}")
            await response.refuse(RefusedError(500, "Internal error"))
            await response.end()
        finally:
            self._metrics.observe_request(scope["path"], response.status, time.perf_counter() - started)

    async def _handle(self, scope: Scope, receive: Receive, response: "_Response") -> None:
        headers = Headers(scope=scope)
        host, origin = headers.get("host", ""), headers.get("origin")
        self._access.check_host(host)
        self._access.check_address(scope.get("query_string", b""))
        if origin is not None and not self._access.allows_origin(origin, host):
            raise RefusedError(403, "Pages of other origins may not use this service; see --allow-origin")
        if scope["method"] == "OPTIONS" and origin is not None:
            await response.send_empty(204, _PREFLIGHT)
            return
        if scope["method"] != "POST":
            # The application receives a HEAD request as GET, and `_Response` removes the body of the answer.
            as_get = {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope
            await self._app(as_get, receive, response)
            return
        body = await self._read_body(headers, receive)
        # A request occupies a slot only while it is computed, so that slow clients do not occupy slots.
        if self._slots.locked():
            raise RefusedError(
                503,
                f"Slowdown: {self._limits.max_requests} requests are in progress",
                headers={"Retry-After": "1"},
            )
        async with self._slots:
            with self._metrics.in_flight.track_inprogress():
                messages = await self._compute(scope, body, receive)
        for message in messages:
            await response(message)

    async def _read_body(self, headers: Headers, receive: Receive) -> bytes:
        """Receive the request body.

        Raises:
            RefusedError: with status 413 if the body is too long, with 408 if receiving it takes too long, or
                with 400 if the connection is closed.
        """
        max_bytes = self._limits.max_body_bytes
        declared = headers.get("content-length", "0")
        too_long = RefusedError(413, f"Invalid request: the body exceeds {max_bytes} bytes")
        if not declared.isdecimal() or int(declared[:20]) > max_bytes:
            raise too_long
        body, more = bytearray(), True
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise RefusedError(400, "The connection was closed")
                    body += message.get("body", b"")
                    if len(body) > max_bytes:
                        raise too_long
                    more = message.get("more_body", False)
        except TimeoutError:
            raise RefusedError(
                408, "Timeout while receiving the request", headers={"Connection": "close"}
            ) from None
        return bytes(body)

    async def _drain(self, receive: Receive) -> None:
        """Receive the rest of the body of a refused request, and discard it.

        Many clients read the response only after they have sent the whole body. If the connection were
        closed before then, such clients would report a connection error instead of the response.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.receive_seconds):
                while (await receive()).get("more_body", False):
                    pass

    async def _compute(self, scope: Scope, body: bytes, receive: Receive) -> list[Message]:
        """Run the application until it finishes, the timeout expires, or the client disconnects.

        Returns:
            The messages of the response, or an empty list if the client disconnected.

        Raises:
            RefusedError: with status 503, if the timeout expired.
        """
        sent: list[Message] = []
        pending: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def collect(message: Message) -> None:
            sent.append(message)

        async def replay() -> Message:
            if pending:
                return pending.pop()
            # Wait until cancelled. The disconnect message is left to `disconnected`.
            await asyncio.Event().wait()
            raise AssertionError

        async def disconnected() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass

        work = asyncio.ensure_future(self._app(scope, replay, collect))
        watch = asyncio.ensure_future(disconnected())
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
                f"The response took more than {self._limits.request_seconds:g} seconds",
                headers={"Retry-After": "5"},
            )
        if work in done:
            work.result()  # raises the error of the application, if any
            return sent
        return []


class _Response:
    """An ASGI `send` callable that adds headers to a response, stores its status, and handles HEAD."""

    def __init__(self, scope: Scope, send: Send, access: Access):
        self._scope, self._send, self._access = scope, send, access
        self.status = 499  # kept if the client disconnects before the response, as in nginx
        self._is_open = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            origin = Headers(scope=self._scope).get("origin")
            if origin is not None and self._access.is_allowed_origin(origin):
                headers["Access-Control-Allow-Origin"] = origin
                headers.add_vary_header("Origin")
        elif self._scope["method"] == "HEAD":
            message = {**message, "body": b""}
        await self._send(message)

    async def send_empty(self, status: int, headers: dict[str, str]) -> None:
        """Send a response without a body."""
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self({"type": "http.response.start", "status": status, "headers": raw})
        await self({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: RefusedError) -> None:
        """Send an error response, which `end` must complete. If a response has started, do nothing."""
        if self.status == 499:
            response = JSONResponse(
                {"error": refusal.message}, status_code=refusal.status, headers=refusal.headers
            )
            start = {"type": "http.response.start", "status": refusal.status, "headers": response.raw_headers}
            await self(start)
            await self({"type": "http.response.body", "body": response.body, "more_body": True})
            self._is_open = True

    async def end(self) -> None:
        """Complete the error response that `refuse` has sent. If it has sent none, do nothing."""
        if self._is_open:
            await self({"type": "http.response.body", "body": b""})


def _place_of(error: BaseException) -> str:
    """Return an error's class name, and the file name and line number where the error was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{where}"
