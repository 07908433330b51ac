"""Limits on requests and connections, and the error for a request that exceeds them."""

import sys
from dataclasses import dataclass, replace

#: Value to which the process raises its limit on the number of open files if that limit is lower. Connections
#: count as open files. By default, that limit is often 1,024.
_OPEN_FILES = 4096

#: Number of open files that are reserved for uses other than connections, such as libraries and the model.
_OTHER_FILES = 32

#: Backlog of the listening socket. It is also the number of connections that asyncio can accept in one
#: iteration of the event loop. Old connections are closed to make room for new ones, but this takes three
#: iterations. Until then, old and new connections together must stay below the limit on open files.
_BACKLOG = 256


@dataclass(frozen=True)
class Limits:
    """Limits on one request and on all requests together.

    Attributes:
        max_characters: maximum length of a text, in Unicode code points.
        max_texts: maximum number of texts in a request.
        max_body_bytes: maximum size of a request body.
        max_requests: maximum number of requests that are computed at the same time. Further requests are
            answered with status 503.
        max_alternatives: maximum number of alternatives for each text, in addition to the best translation.
        request_seconds: timeout for computing a response. It starts when the request is complete.
        receive_seconds: timeout for receiving a request.
        max_connections: maximum number of open connections, including idle connections.
    """

    max_characters: int = 5_000
    max_texts: int = 64
    max_body_bytes: int = 1_000_000
    max_requests: int = 128
    max_alternatives: int = 10
    request_seconds: float = 30.0
    receive_seconds: float = 15.0
    max_connections: int = 512


class RefusedError(Exception):
    """Raised to make the service refuse a request and answer it with an HTTP error.

    Attributes:
        status: the HTTP status code.
        message: the message for the client. The response body is `{"error": message}`.
        headers: additional response headers, such as Retry-After.
    """

    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


def within_open_files(limits: Limits) -> tuple[Limits, int]:
    """Raise this process's limit on open files, and lower `max_connections` to fit within that limit.

    If the limit is below `_OPEN_FILES`, it is raised to `_OPEN_FILES`, or as far as the system allows.

    Returns:
        The limits, with `max_connections` lowered if necessary, and the backlog of the listening socket.
    """
    if sys.platform == "win32":  # Windows has no such limit
        return limits, _BACKLOG
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if soft != unlimited and soft < _OPEN_FILES:
        soft = _OPEN_FILES if hard == unlimited else min(hard, _OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    free = _OPEN_FILES if soft == unlimited else max(0, soft - _OTHER_FILES)
    n_connections = max(1, min(limits.max_connections, free * 2 // 3))
    return replace(limits, max_connections=n_connections), max(1, min(_BACKLOG, free // 12))
