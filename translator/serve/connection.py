"""HTTP connections that are closed if the client is too slow or if too many connections are open."""

import asyncio
import math

from uvicorn.protocols.http.h11_impl import H11Protocol

from translator.serve.limits import Limits

#: Maximum number of pipelined requests on a connection. A request is pipelined if it arrives before the
#: response to the previous request is complete. After this many pipelined requests, the connection is closed.
_MAX_PIPELINED = 4

#: Number of seconds within which a response must finish once the client has closed its sending side of the
#: connection. Such a client may still be reading.
_HALF_CLOSED_SECONDS = 0.5

KEEP_ALIVE_SECONDS = 30


class BoundedProtocol(H11Protocol):
    """A connection that is closed if the client is too slow to send its request or to read the response.

    Uvicorn only limits the time between two requests. It would keep a connection open forever if no request
    arrived, if the header of a request never ended, or if the client did not read. When too many connections
    are open, this class also closes the connection whose timeout would expire first.

    This class uses names that uvicorn does not document: the class `H11Protocol`, its attribute `cycle` and
    its method `on_response_complete`.
    """

    limits: Limits
    open_connections: "set[BoundedProtocol]"
    _transport: asyncio.Transport
    _timer: asyncio.TimerHandle | None = None
    _deadline = math.inf  # the time at which `_timer` fires; inf if there is no timer
    _is_paused = False  # whether the client reads more slowly than the server writes
    _n_pipelined = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start waiting for a request. If too many connections are now open, close other connections."""
        super().connection_made(transport)
        self._transport = transport
        self.open_connections.add(self)
        self._wait_for_client()
        if len(self.open_connections) > self.limits.max_connections:
            self._close_slowest()

    def data_received(self, data: bytes) -> None:
        """Parse a part of a request, and stop the timer once the request is complete."""
        super().data_received(data)
        if self._is_processing and not self._is_paused:
            self._stop_timer()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keep the connection open for a short time if a response is not complete.

        The client has stopped sending, but it may still be reading the response. The time is short because
        the client may also be gone.

        Returns:
            Whether the connection is kept open.
        """
        if not self._is_processing:
            return False
        self.cycle.keep_alive = False
        self._start_timer(_HALF_CLOSED_SECONDS)
        return True

    def pause_writing(self) -> None:
        """Start waiting for the client to read, because the write buffer is full."""
        super().pause_writing()
        self._is_paused = True
        self._wait_for_client()

    def resume_writing(self) -> None:
        """Stop waiting for the client to read, because the write buffer has room again."""
        super().resume_writing()
        self._is_paused = False
        self._wait_for_client()

    def on_response_complete(self) -> None:
        """Start waiting for the next request or, if the request was refused, for the rest of its body."""
        self._wait_for_client()
        super().on_response_complete()  # starts the next request if it has already arrived
        if self._is_processing:
            self._wait_for_client()
            self._n_pipelined += 1
            self.cycle.keep_alive &= self._n_pipelined < _MAX_PIPELINED

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer, and remove this connection from the open connections."""
        self._stop_timer()
        self.open_connections.discard(self)
        super().connection_lost(exc)

    def _close_slowest(self) -> None:
        """Close other connections until the limit is no longer exceeded.

        The connections whose timers would fire first are closed first. Connections without a timer are kept.
        """
        others = [c for c in self.open_connections - {self} if not c._transport.is_closing()]
        waiting = sorted((c for c in others if c._timer), key=lambda c: c._deadline)
        for connection in waiting[: max(0, len(others) + 1 - self.limits.max_connections)]:
            connection._transport.abort()

    @property
    def _is_processing(self) -> bool:
        """Whether a request has been received completely, but the response to it is not complete."""
        return self.cycle is not None and not self.cycle.more_body and not self.cycle.response_complete

    def _wait_for_client(self) -> None:
        """Restart the timer if the server is waiting for the client. Otherwise, stop the timer."""
        seconds = self.limits.receive_seconds
        if self._is_paused:
            self._start_timer(seconds)
        elif self._is_processing:
            self._stop_timer()
        elif self.cycle is None:
            # If the header of the request arrives at once but the body does not, the added second lets the
            # middleware answer with status 408 before the connection is closed.
            self._start_timer(seconds + 1)
        else:
            self._start_timer(seconds + KEEP_ALIVE_SECONDS)

    def _start_timer(self, seconds: float) -> None:
        self._stop_timer()
        loop, n_unsent = asyncio.get_running_loop(), self._transport.get_write_buffer_size()
        self._deadline = loop.time() + seconds
        self._timer = loop.call_at(self._deadline, self._on_timeout, n_unsent)

    def _on_timeout(self, n_unsent: int) -> None:
        if 0 < self._transport.get_write_buffer_size() < n_unsent:  # the client reads, but slowly
            self._start_timer(self.limits.receive_seconds)
        else:
            self._transport.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._deadline = None, math.inf
