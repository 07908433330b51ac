"""The service as a process: its socket, slow clients, and how it ends."""

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from translator.errors import ServeError
from translator.serve.limits import Limits


def open_socket(host: str, port: int) -> socket.socket:
    """Take an address, before anything that takes long; 0 is any free port.

    Raises:
        ServeError: it is in use, or not this machine's.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"--host {host}: {error.strerror or error}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise ServeError(
            f"{host}:{port}: {error.strerror}; end what uses it, or choose another --port (0: any free one)"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Return where a socket listens, as the beginning of a URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: ASGIApp, listener: socket.socket, *, limits: Limits, when_ready: Callable[[Callable[[], None]], None]
) -> None:
    """Serve until SIGTERM or Ctrl-C; what has begun is finished first.

    Args:
        app: the application.
        listener: where to listen.
        limits: on slow clients and connections.
        when_ready: called once requests are answered, with a function that ends the service as a signal does.
    """
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # the gate answers and says what is wrong
    protocol = type("Protocol", (_BoundedProtocol,), {"limits": limits})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(limits.request_seconds + limits.receive_seconds) + 1,
    )
    server = _Server(config, when_ready)
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        server.run(sockets=[listener])
        return
    # Once it has shut down, uvicorn raises the signal again; it then means nothing more.
    before = {number: signal.signal(number, _ignore) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore(number: int, frame: Any) -> None: ...


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, when_ready: Callable[[Callable[[], None]], None]):
        super().__init__(config)
        self._when_ready = when_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._when_ready(self._end)

    def _end(self) -> None:
        self.should_exit = True


class _BoundedProtocol(H11Protocol):
    """A connection that is closed where the client does not get on with its request, or too many are open.

    Uvicorn times only the pause between two requests; a connection on which nothing comes, or a header that
    never ends, it would keep for good.
    """

    limits: Limits
    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.max_connections:
            transport.abort()
            return
        self._expect_request()

    def data_received(self, data: bytes) -> None:
        """Go on with a request; once it is there whole, the gate watches the time."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.more_body:
            self._stop_waiting()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or for the rest of one that was refused."""
        self._expect_request()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect_request(self) -> None:
        self._stop_waiting()
        # The gate answers 408 after `receive_seconds`; this closes where there is nothing to answer.
        seconds = self.limits.receive_seconds + max(1.0, self.timeout_keep_alive)
        if self.cycle is None:
            seconds = self.limits.receive_seconds + 1
        self._deadline = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
