"""The service as a process: its socket, slow clients, and how it ends."""

import asyncio
import logging
import math
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from translator import console
from translator.errors import ServeError
from translator.serve.access import bare
from translator.serve.limits import Limits, within_open_files

#: Requests that a client may send before it has the answers; then its connection ends.
_MOST_AHEAD = 4

#: What is sent to a client that does not read; the system's own limit is megabytes of answers.
_SEND_BUFFER_BYTES = 65_536

#: A client that closes its side may wait for its answer or have gone; nothing tells which.
_HALF_CLOSED_SECONDS = 0.5

#: For a slice of work to end that nobody waits for, when the service ends, and for Python to end.
_LAST_SLICE_SECONDS, _EXIT_SECONDS = 3, 1


def open_socket(host: str, port: int) -> socket.socket:
    """Take an address, before anything that takes long; 0 is any free port.

    Raises:
        ServeError: it is in use, or not this machine's.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            bare(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ServeError(f"--host {host}: {error.strerror or error}") from None
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
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

    From then on it all takes no longer than a request may, or 3 seconds.

    Args:
        app: the application.
        listener: where to listen.
        limits: on slow clients and connections.
        when_ready: called once requests are answered, with a function that ends the service as a signal does.
    """
    for name in ("uvicorn", "python_multipart"):  # the answer says what is wrong
        logging.getLogger(name).setLevel(logging.CRITICAL)
    limits, backlog = within_open_files(limits)
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
        timeout_graceful_shutdown=max(1, int(limits.request_seconds) - _LAST_SLICE_SECONDS - _EXIT_SECONDS),
        backlog=backlog,
    )
    server = _Server(config, when_ready, seconds_to_end=max(2, limits.request_seconds - _EXIT_SECONDS))
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
    def __init__(
        self,
        config: uvicorn.Config,
        when_ready: Callable[[Callable[[], None]], None],
        *,
        seconds_to_end: float,
    ):
        super().__init__(config)
        self._when_ready = when_ready
        # A thread that computes without end would keep the process for good.
        self._last_resort = threading.Timer(seconds_to_end, _leave)
        self._last_resort.daemon = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            if not self.force_exit:  # then the threads are not waited for here
                self._last_resort.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._when_ready(self._end)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._last_resort.start()
        await super().shutdown(sockets)

    def _end(self) -> None:
        self.should_exit = True


def _leave() -> None:
    console.log("error: the model does not stop computing; ended without it")
    os._exit(1)


class _BoundedProtocol(H11Protocol):
    """A connection that is closed where the client does not get on: with its request, or taking its answer.

    Uvicorn times only the pause between two requests; a connection on which nothing comes, a header that
    never ends, or a client that does not read, it would keep for good. Where too many are open, the one that
    has kept us waiting longest makes room.
    """

    limits: Limits
    _deadline: asyncio.TimerHandle | None = None
    _n_ahead = 0  # requests that came before the answer to the one before
    _until = math.inf  # when it ends; inf where the client need do nothing

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._wait_for_client()
        if len(self.connections) > self.limits.max_connections:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        """Go on with a request; once it is there whole, the gate watches the time."""
        super().data_received(data)
        if self._is_ours and not self.flow.write_paused:
            self._stop_waiting()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Let a client that sends no more have an answer that is soon ready; it may as well be gone."""
        if not self._is_ours:
            return False
        self.cycle.keep_alive = False
        self._wait(_HALF_CLOSED_SECONDS)
        return True

    def pause_writing(self) -> None:
        """Begin to wait for the client to read."""
        super().pause_writing()
        self._wait_for_client()

    def resume_writing(self) -> None:
        """Go on, once the client has read."""
        super().resume_writing()
        self._wait_for_client()

    def on_response_complete(self) -> None:
        """Begin to wait for the next request, or for the rest of one that was refused."""
        self._wait_for_client()
        super().on_response_complete()  # and go on with a request that has come already
        if self._is_ours:
            self._wait_for_client()
            self._n_ahead += 1
            self.cycle.keep_alive &= self._n_ahead < _MOST_AHEAD

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Close those among the other connections whose clients have let us wait longest."""
        others = [one for one in self.connections if isinstance(one, _BoundedProtocol) and one is not self]
        still_open = [one for one in others if not one.transport.is_closing()]
        waiting = sorted((one for one in still_open if one._deadline), key=lambda one: one._until)
        for one in waiting[: max(0, len(still_open) + 1 - self.limits.max_connections)]:
            one.transport.abort()

    @property
    def _is_ours(self) -> bool:
        """Whether a request is there whole and not answered."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        """Give the client its time, if it is its turn."""
        seconds = self.limits.receive_seconds
        if self.flow.write_paused:
            self._wait(seconds)
        elif self._is_ours:
            self._stop_waiting()
        elif self.cycle is None:
            self._wait(seconds + 1)  # the gate answers 408 before, where there is something to answer
        else:
            self._wait(seconds + max(1.0, self.timeout_keep_alive))

    def _wait(self, seconds: float) -> None:
        self._stop_waiting()
        n_unsent = self.transport.get_write_buffer_size()
        self._until = self.loop.time() + seconds
        self._deadline = self.loop.call_at(self._until, self._time_is_up, n_unsent)

    def _time_is_up(self, n_unsent: int) -> None:
        if 0 < self.transport.get_write_buffer_size() < n_unsent:  # it reads, slowly
            self._wait(self.limits.receive_seconds)
        else:
            self.transport.abort()

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline, self._until = None, math.inf
