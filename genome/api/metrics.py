"""Figures about the API, in Prometheus' words. Labels hold route templates and reason codes, never an id."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5)


class Metrics:
    """One registry for each app, so that two apps in one process (tests) do not add up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "genome_http_requests",
            "HTTP requests by route and status",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "genome_http_request_seconds",
            "Time from the first byte in to the last byte out",
            ["method", "route"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.decisions = Counter(
            "genome_decisions",
            "Decisions by placement and outcome (offered, or the reason of silence)",
            ["placement", "outcome"],
            registry=self.registry,
        )
        self.publication_age = Gauge(
            "genome_publication_age_seconds",
            "Age of the current publication by the platform's clock",
            ["group"],
            registry=self.registry,
        )

    def text(self) -> bytes:
        """All figures in the exposition format."""
        return generate_latest(self.registry)
