"""Prometheus metrics. Their labels never contain texts, client addresses or API keys."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

#: Paths that are used as values of the label `route`. All other paths are counted as `other`, so that clients
#: cannot create arbitrarily many label values.
_ROUTES = frozenset(
    {"/", "/translate", "/detect", "/languages", "/health", "/frontend/settings", "/metrics"}
    | {"/openapi.json", "/icon.svg", "/favicon.ico", "/page.css"}
    | {"/page.js", "/words.js", "/choices.js", "/source.js", "/watch.js"}
    | {"/api/translate", "/api/align", "/api/alternatives", "/api/explain"}
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The metrics of one service. Each service has its own Prometheus registry."""

    def __init__(self) -> None:
        """Create and register the metrics. All of them start at zero."""
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "passerelle_requests", "Requests answered.", ["route", "status"], registry=self.registry
        )
        self.seconds = Histogram(
            "passerelle_request_seconds",
            "From the first byte of a request to the end of the response.",
            ["route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "passerelle_requests_in_flight", "Requests in progress.", registry=self.registry
        )
        self.batches = Histogram(
            "passerelle_batch_texts", "Texts per batch.", buckets=_TEXTS, registry=self.registry
        )
        self.characters = Counter(
            "passerelle_source_characters", "Characters of translated texts.", registry=self.registry
        )
        self.waiting = Gauge("passerelle_texts_waiting", "Texts waiting for a batch.", registry=self.registry)

    def watch_queue(self, n_waiting: Callable[[], int]) -> None:
        """Set the function that returns the number of waiting texts. It is called when metrics are read."""
        self.waiting.set_function(n_waiting)

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """Count an answered request, and record how many seconds it took."""
        route = path if path in _ROUTES else "other"
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all metrics in the text format of Prometheus (`CONTENT_TYPE_LATEST`)."""
        return generate_latest(self.registry)
