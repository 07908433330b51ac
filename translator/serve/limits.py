"""How much of anything a request may ask, and the answer to one that asks for more."""

import sys
from dataclasses import dataclass, replace

#: Files that a process asks to have open at most, connections among them; many systems begin with 1,024.
_OPEN_FILES = 4096

#: Files beside the connections: the libraries' and the model's.
_OTHER_FILES = 32

#: Connections taken at once: new ones are there for three turns of the loop before old ones have made room.
_BACKLOG = 256


@dataclass(frozen=True)
class Limits:
    """What one request, and all together, may take.

    Attributes:
        max_characters: of one text, in Unicode code points.
        max_texts: in one request.
        max_body_bytes: of a request as it is sent.
        max_requests: that are being answered at once; whoever comes then is told to come again.
        max_alternatives: beside the best translation of a text.
        request_seconds: from the end of a request to the end of its answer.
        receive_seconds: for a request to come in whole.
        max_connections: open at once, whether or not anything is asked on them.
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
    """A request that is not answered as asked.

    Attributes:
        status: of HTTP.
        message: for the caller; the answer's body is `{"error": message}`.
        headers: of the answer, such as Retry-After.
    """

    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None):
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}


def within_open_files(limits: Limits) -> tuple[Limits, int]:
    """Raise how many files this process may have open, as far as it may.

    Returns:
        The limits, with no more connections than fit, and how many connections to take at once.
    """
    if sys.platform == "win32":  # has no such limit
        return limits, _BACKLOG
    import resource

    most, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = resource.RLIM_INFINITY
    if most != unlimited and most < _OPEN_FILES:
        most = _OPEN_FILES if hard == unlimited else min(hard, _OPEN_FILES)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    free = _OPEN_FILES if most == unlimited else max(0, most - _OTHER_FILES)
    n_connections = max(1, min(limits.max_connections, free * 2 // 3))
    return replace(limits, max_connections=n_connections), max(1, min(_BACKLOG, free // 12))
