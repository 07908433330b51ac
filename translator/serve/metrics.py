"""Counts and durations for Prometheus. No text, no address and no key is ever a label."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

#: Requests to anything else are counted as `other`, so that nobody can make up labels.
_ROUTES = frozenset(
    {"/", "/translate", "/detect", "/languages", "/health", "/frontend/settings", "/metrics"}
    | {"/openapi.json", "/page.js", "/page.css", "/icon.svg", "/favicon.ico"}
    | {"/api/translate", "/api/align", "/api/alternatives", "/api/explain"}
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one service, in a registry of their own."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "passerelle_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "passerelle_request_seconds",
            "From the first byte of a request to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "passerelle_requests_in_flight", "Requests being answered.", registry=self.registry
        )
        self.batches = Histogram(
            "passerelle_batch_texts", "Texts translated together.", buckets=_TEXTS, registry=self.registry
        )
        self.characters = Counter(
            "passerelle_source_characters", "Characters of translated texts.", registry=self.registry
        )
        self.waiting = Gauge("passerelle_texts_waiting", "Texts not begun yet.", registry=self.registry)

    def watch_queue(self, n_waiting: Callable[[], int]) -> None:
        """Ask a function for the number of waiting texts whenever the metrics are read."""
        self.waiting.set_function(n_waiting)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request."""
        route = path if path in _ROUTES else "other"
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all of it in Prometheus' text format, of `CONTENT_TYPE_LATEST`."""
        return generate_latest(self.registry)
