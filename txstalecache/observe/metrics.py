"""The metrics in Prometheus' text format, made from what processes tell about themselves when somebody asks.

Nothing is counted here. A label is a word of a closed set, the name of an upstream, the address of a server as it is
configured, or a worker's number: never a part of a request.
Must not know: where the counts come from, HTTP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypedDict

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from txstalecache.observe.histogram import Histogram

__all__ = ["CONTENT_TYPE", "Upstream", "exposition"]

#: Of what ``exposition`` makes.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Told = Mapping[str, Any]
"""What one process tells (``admin.facts.Facts.metrics``)."""
Sample = tuple[tuple[str, ...], float]


class Upstream(TypedDict):
    """An upstream and its servers: address, healthy, open, idle, waiting."""

    name: str
    servers: list[dict[str, Any]]


def exposition(processes: Sequence[Told]) -> bytes:
    """The metrics of ``processes``, each under its ``worker`` number where it has one: a worker that starts anew counts
    from nothing, and what is added up over workers would jump."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Told(processes))
    return generate_latest(registry)


class _Told(Collector):
    """The processes as a collector."""

    def __init__(self, processes: Sequence[Told]) -> None:
        self._processes = processes

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        workers = any(told["process"]["worker"] is not None for told in self._processes)
        first = ("worker",) if workers else ()

        def of(told: Told) -> tuple[str, ...]:
            return (str(told["process"]["worker"]),) if workers else ()

        processes = GaugeMetricFamily("txstalecache_processes", "Processes that answer requests, and that told of it.")
        processes.add_metric((), len(self._processes))
        yield processes
        for name, text, labels, read in _COUNTERS:
            counter = CounterMetricFamily(f"txstalecache_{name}", text, labels=(*first, *labels))
            for told in self._processes:
                for values, count in read(told):
                    counter.add_metric((*of(told), *values), count)
            yield counter
        for name, text, labels, read in _GAUGES:
            gauge = GaugeMetricFamily(f"txstalecache_{name}", text, labels=(*first, *labels))
            for told in self._processes:
                for values, value in read(told):
                    gauge.add_metric((*of(told), *values), value)
            yield gauge
        for name, text, labels, histograms in _HISTOGRAMS:
            family = HistogramMetricFamily(f"txstalecache_{name}", text, labels=(*first, *labels))
            for told in self._processes:
                for values, said in histograms(told):
                    one = Histogram()
                    one.merge(said["counts"], said["total"])
                    buckets = [(f"{bound:.12g}", float(count)) for bound, count in one.below()]
                    family.add_metric((*of(told), *values), [*buckets, ("+Inf", float(one.count))], one.total)
            yield family


def _requests(told: Told) -> Iterable[Sample]:
    return (((verdict, why, role, status), count) for verdict, why, role, status, count in told["requests"])


def _waiters(told: Told) -> Iterable[Sample]:
    yield (), sum(count for _, _, role, _, count in told["requests"] if role == "waiter")


def _figure(name: str) -> Any:
    def read(told: Told) -> Iterable[Sample]:
        if name in told["store"]:
            yield (), told["store"][name]

    return read


def _plain(name: str) -> Any:
    return lambda told: [((), told[name])]


def _by(name: str) -> Any:
    return lambda told: [((word,), count) for word, count in told[name].items()]


def _servers(name: str) -> Any:
    def read(told: Told) -> Iterable[Sample]:
        for upstream in told["upstreams"]:
            for server in upstream["servers"]:
                yield (upstream["name"], server["address"]), float(server[name])

    return read


def _ended(told: Told) -> Iterable[Sample]:
    return (((purpose, sharing, state), count) for purpose, sharing, state, count in told["ended"])


def _refreshes(told: Told) -> Iterable[Sample]:
    return (((state,), count) for purpose, _, state, count in told["ended"] if purpose == "refresh")


_COUNTERS: Final[Sequence[tuple[str, str, tuple[str, ...], Any]]] = (
    (
        "requests",
        "Requests by what was decided, why, the part they had in the fetch, and the class of the status sent.",
        ("verdict", "why", "role", "status"),
        _requests,
    ),
    ("sent_bytes", "Bytes of body sent to clients.", (), _plain("sent")),
    ("answers_cut", "Answers that did not reach their client whole.", (), _plain("cut")),
    ("coalesced_waiters", "Requests that waited for the fetch of another one.", (), _waiters),
    ("not_collapsed", "Requests that waited for an answer which was not for sharing, by why.", ("why",), _by("alone")),
    ("origin_saved", "Requests answered without a fetch of their own.", (), _plain("saved")),
    ("origin_requests", "Requests sent to an origin, or tried to be.", (), _plain("fetches")),
    ("origin_answers", "Answers of origins, by the class of their status; 304 by itself.", ("status",), _by("answers")),
    ("origin_faults", "Requests to an origin that got no answer, or not all of it, by why.", ("fault",), _by("faults")),
    (
        "flights_ended",
        "Fetches that are over, by what they were for, who could have the answer, and how they ended.",
        ("purpose", "sharing", "state"),
        _ended,
    ),
    ("refreshes", "Refreshes behind stale answers that are over, by how they ended.", ("state",), _refreshes),
    ("refresh_back_offs", "Refreshes that failed and are not tried again for a while.", (), _plain("back_offs")),
    ("redis_lookups", "Round trips to Redis to look something up.", (), _figure("redis_lookups_total")),
    ("redis_errors", "Commands that Redis did not answer, or refused.", (), _figure("redis_errors_total")),
    ("redis_unwritten", "Writes that did not reach Redis.", (), _figure("redis_unwritten_total")),
    ("redis_dropped", "Writes that were not even tried.", (), _figure("redis_dropped_total")),
    ("redis_corrupt", "Values in Redis that were not what they should be.", (), _figure("redis_corrupt_total")),
    ("memory_evicted", "Keys that had to leave the memory tier.", (), _figure("memory_evicted_total")),
)

_GAUGES: Final[Sequence[tuple[str, str, tuple[str, ...], Any]]] = (
    ("uptime_seconds", "Since the process began to serve.", (), _plain("uptime")),
    ("info", "Always 1; the version is in the label.", ("version",), lambda told: [((told["version"],), 1)]),
    ("flights", "Fetches in the air, by state.", ("state",), _by("flights")),
    ("waiting", "Requests that wait for a fetch.", (), _plain("waiting")),
    ("held_bytes", "Bytes of bodies that are held for those who read them.", (), _plain("held")),
    ("memory_bytes", "Bytes in the memory tier.", (), _figure("memory_bytes")),
    ("memory_limit_bytes", "Bytes that the memory tier may have.", (), _figure("memory_limit_bytes")),
    ("memory_keys", "Keys in the memory tier.", (), _figure("memory_keys")),
    ("purge_scopes", "Purges that are remembered.", (), _figure("purge_scopes")),
    ("redis_up", "Whether Redis is to be had.", (), _figure("redis_available")),
    ("redis_breaker_open", "Whether Redis is only tried once a second.", (), _figure("redis_breaker_open")),
    ("redis_tracking", "Whether Redis tells of what others change.", (), _figure("redis_tracking")),
    ("redis_waiting_bytes", "Bytes on their way to Redis.", (), _figure("redis_waiting_bytes")),
    ("upstream_healthy", "Whether the server is well.", ("upstream", "server"), _servers("healthy")),
    ("upstream_connections", "Connections to the server.", ("upstream", "server"), _servers("open")),
    ("upstream_queued", "Requests that wait for a connection.", ("upstream", "server"), _servers("waiting")),
)

_HISTOGRAMS: Final[Sequence[tuple[str, str, tuple[str, ...], Any]]] = (
    (
        "request_duration_seconds",
        "From a request's head to the end of its answer. Hits of the fast lane are timed one in 64.",
        ("verdict",),
        lambda told: [((verdict,), said) for verdict, said in told["durations"].items()],
    ),
    ("wait_seconds", "How long requests waited for a fetch.", (), lambda told: [((), told["waits"])]),
    (
        "origin_latency_seconds",
        "From a request to the origin to the head of its answer.",
        (),
        lambda told: [((), told["origin_latency"])],
    ),
    (
        "redis_latency_seconds",
        "From commands to Redis to the last of their replies.",
        (),
        lambda told: [] if told["redis_latency"] is None else [((), told["redis_latency"])],
    ),
)
