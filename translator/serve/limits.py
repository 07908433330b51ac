"""How much of anything a request may ask, and the answer to one that asks for more."""

from dataclasses import dataclass


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
