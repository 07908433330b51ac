"""The process of the service: its socket, its signal handling and its shutdown."""

import logging
import os
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from translator import console
from translator.errors import ServeError
from translator.serve.access import strip_brackets
from translator.serve.connection import KEEP_ALIVE_SECONDS, BoundedProtocol
from translator.serve.limits import Limits, within_open_files

#: Size of the send buffer of a connection. With the system's default size, the buffer could hold megabytes
#: for a client that does not read.
_SEND_BUFFER_BYTES = 65_536

#: Number of seconds that a shutdown reserves for finishing the batch in progress, and number of seconds that
#: it reserves for the exit of Python.
_LAST_BATCH_SECONDS, _EXIT_SECONDS = 3, 1


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address.

    The service opens the socket before it loads the model, so that an error is reported at once.

    Args:
        host: a host name or an address. An IPv6 address may be in square brackets.
        port: the port; 0 means any free port.

    Raises:
        ServeError: the host name is unknown, or the address is in use or does not belong to this machine.
    """
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(
            strip_brackets(host), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
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
            f"{host}:{port}: {error.strerror}; stop the program that uses it, or choose another --port "
            "(0: any free one)"
        ) from None
    return listener


def address_of(listener: socket.socket) -> str:
    """Return the base URL of the service that listens on a socket."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(
    app: ASGIApp, listener: socket.socket, *, limits: Limits, on_ready: Callable[[Callable[[], None]], None]
) -> None:
    """Answer requests until SIGTERM or Ctrl-C, then finish the requests in progress.

    The shutdown takes at most `limits.request_seconds` or 3 seconds, whichever is longer.

    Args:
        app: the application.
        listener: a listening socket.
        limits: limits on requests and connections.
        on_ready: function that is called as soon as the service accepts requests. Its argument is a
            function that shuts the service down.
    """
    # The log messages of these two libraries are not needed, because each error response says what is wrong
    # with the request.
    for name in ("uvicorn", "python_multipart"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    limits, backlog = within_open_files(limits)
    protocol = type("Protocol", (BoundedProtocol,), {"limits": limits, "open_connections": set()})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="none",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=max(1, int(limits.request_seconds) - _LAST_BATCH_SECONDS - _EXIT_SECONDS),
        backlog=backlog,
    )
    server = _Server(config, on_ready, shutdown_seconds=max(2, limits.request_seconds - _EXIT_SECONDS))
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        server.run(sockets=[listener])
        return
    # After a signal has shut down the server, uvicorn raises the same signal once more. The second signal is
    # ignored, because it would end the process with an error.
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
        on_ready: Callable[[Callable[[], None]], None],
        *,
        shutdown_seconds: float,
    ):
        super().__init__(config)
        self._on_ready = on_ready
        # A thread that never finishes would keep the process alive. The watchdog then ends the process.
        self._watchdog = threading.Timer(shutdown_seconds, _exit_now)
        self._watchdog.daemon = True

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            super().run(sockets)
        finally:
            # After a forced exit, the watchdog is still needed, because threads may still be computing.
            if not self.force_exit:
                self._watchdog.cancel()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._on_ready(self._stop)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._watchdog.start()
        await super().shutdown(sockets)

    def _stop(self) -> None:
        self.should_exit = True


def _exit_now() -> None:
    console.log("error: the model does not stop computing; ended without it")
    os._exit(1)
