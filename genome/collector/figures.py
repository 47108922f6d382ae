"""Figures about the collector, in Prometheus' words. Labels are routes, sources and channels; never a
person's.
"""

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest

from genome.collector import stream
from genome.collector.ledger import Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from genome.collector.commit import Committer

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Figures:
    """The figures of one process; the ledger beside them is the whole installation's."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "genome_collector_requests",
            "Requests by route and status",
            ["route", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "genome_collector_request_seconds",
            "From the request's head to its answer",
            ["route"],
            buckets=_SECONDS,
            registry=self._registry,
        )

    def request(self, route: str, status: int, seconds: float) -> None:
        """Count an answered request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, rows: list[Row], committer: "Committer", further: "Iterable[Metric]" = ()) -> bytes:
        """All figures in the exposition format; `further` are those of what reads the stream."""
        registry = CollectorRegistry()
        registry.register(_Ledger(rows, committer))
        registry.register(_Families(list(further)))
        return generate_latest(self._registry) + generate_latest(registry)


class _Families:
    # A registry calls `collect` and nothing else.

    def __init__(self, families: "list[Metric]") -> None:
        self._families = families

    def collect(self) -> "list[Metric]":
        return self._families


class _Ledger:
    # A registry calls `collect` and nothing else.

    def __init__(self, rows: list[Row], committer: "Committer") -> None:
        self._rows = rows
        self._committer = committer

    def collect(self) -> "Iterator[Metric]":
        events = CounterMetricFamily(
            "genome_collector_events",
            "Events by what became of them: received = accepted + quarantined + suppressed + duplicate",
            labels=["source", "channel", "outcome"],
        )
        for row in self._rows:
            for outcome in stream.OUTCOMES:
                events.add_metric([row.source, row.channel, outcome], getattr(row, outcome))
        yield events
        done = self._committer.figures
        for name, text, value in (
            ("commits", "Group commits, each under one fsync", done.commits),
            ("commit_events", "Events in them", done.events),
            ("commit_seconds", "Time spent in them", done.seconds),
            ("commit_failures", "Commits that failed; their senders got 503", done.failures),
            (
                "refused",
                "Requests turned away because the store was down or too much was waiting",
                done.refused,
            ),
            (
                "store_starts",
                "Times this process found the embedded store dead and started it",
                done.restarts,
            ),
        ):
            yield CounterMetricFamily(f"genome_collector_{name}", text, value=value)
        yield GaugeMetricFamily(
            "genome_collector_waiting_bytes",
            "Events waiting for the disk, in bytes",
            value=self._committer.waiting_bytes,
        )
        yield GaugeMetricFamily(
            "genome_collector_can_store",
            "1 where events can be stored now",
            value=0 if self._committer.problem else 1,
        )
