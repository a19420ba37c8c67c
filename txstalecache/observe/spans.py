"""A span for each request, made after it was answered: OpenTelemetry, for those who have the extra ``otel``.

A request whose client named a trace becomes part of it; what was sent on to the origin as the parent is this span's id.
Nothing is made for requests whose trace is not sampled. Exporting is the processor's business, on a thread of its own.
Must not know: requests, sockets. Imported only where spans are wanted.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib.metadata import entry_points
from random import random
from threading import Thread
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags
from twisted.logger import Logger

from txstalecache.observe.accesslog import Record, text

__all__ = ["Spans"]

_SAMPLED: Final = TraceFlags(TraceFlags.SAMPLED)


class Spans:
    """Call it with a ``Record``. ``processor`` gets each span; ``ratio`` (0 to 1) of requests without a trace begin one
    of their own. The owner calls ``close``."""

    _log = Logger()
    #: Seconds that what is left is given to be exported.
    FAREWELL = 2.0

    def __init__(self, processor: SpanProcessor, ratio: float = 1.0, version: str = "") -> None:
        self._processor = processor
        self._ratio = ratio
        self._ids = RandomIdGenerator()
        self._resource = Resource.create({"service.name": os.environ.get("OTEL_SERVICE_NAME", "txstalecache")})
        self._scope = InstrumentationScope("txstalecache", version)

    @classmethod
    def of_environment(cls, version: str) -> Spans:
        """As OpenTelemetry's variables have it: ``OTEL_TRACES_EXPORTER`` names an exporter that is installed (``otlp``,
        ``console``), ``OTEL_TRACES_SAMPLER_ARG`` the ratio. ValueError in one line when they cannot be meant."""
        exporter = _exporter(os.environ["OTEL_TRACES_EXPORTER"])
        said = os.environ.get("OTEL_TRACES_SAMPLER_ARG", "1")
        try:
            ratio = float(said)
        except ValueError:
            ratio = -1.0
        if not 0 <= ratio <= 1:
            raise ValueError(f"OTEL_TRACES_SAMPLER_ARG: expected a number from 0 to 1, got {ascii(said)[:40]}")
        return cls(BatchSpanProcessor(exporter()), ratio, version)

    def __call__(self, record: Record) -> None:
        """A request was answered."""
        trace = record.trace
        if trace is None:
            if random() >= self._ratio:
                return
            trace_id, parent = self._ids.generate_trace_id(), None
        elif not trace.sampled:
            return
        else:
            trace_id = int(trace.trace_id, 16)
            parent = SpanContext(trace_id, int(trace.caller or trace.parent_id, 16), True, _SAMPLED)
        ours = int(trace.parent_id, 16) if trace is not None and trace.caller else self._ids.generate_span_id()
        self._processor.on_end(
            ReadableSpan(
                name=text(record.method),
                context=SpanContext(trace_id, ours, False, _SAMPLED),
                parent=parent,
                resource=self._resource,
                attributes=_attributes(record),
                kind=SpanKind.SERVER,
                instrumentation_scope=self._scope,
                # Of a server's span an error is the server's (HTTP semantic conventions).
                status=Status(StatusCode.ERROR if record.status >= 500 else StatusCode.UNSET),
                start_time=int(record.time * 1e9),
                end_time=int((record.time + record.duration) * 1e9),
            )
        )

    def close(self) -> None:
        """Export what is left; blocks until that is done, or has had time enough: a collector that takes nothing would
        be waited for until every attempt has timed out."""
        # Of those threads that nobody waits for when the process ends.
        ending = Thread(target=self._processor.shutdown, daemon=True)
        ending.start()
        ending.join(self.FAREWELL)
        if ending.is_alive():
            self._log.warn("the last spans were not taken in time, and are lost")


def _exporter(name: str) -> Callable[[], Any]:
    """Makes the exporter that is called so. ValueError when there is none."""
    installed = entry_points(group="opentelemetry_traces_exporter")
    for known in _otlp() if name == "otlp" else (name,):
        for one in installed.select(name=known):
            try:
                made: Callable[[], Any] = one.load()
            except Exception as error:  # whatever a module does when it is imported
                raise ValueError(f"OTEL_TRACES_EXPORTER: {ascii(name)[:40]} cannot be loaded: {error}") from None
            return made
    raise ValueError(f"OTEL_TRACES_EXPORTER: no exporter called {ascii(name)[:40]} is installed")


#: What exporters of OTLP are installed as, by the protocol they speak.
_PROTOCOLS: Final = {"http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}


def _otlp() -> tuple[str, ...]:
    """What ``otlp`` may be installed as: for the protocol that is asked for, or else for any."""
    said = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    if not said:
        return (*_PROTOCOLS.values(), "otlp")
    if said not in _PROTOCOLS:
        raise ValueError(f"OTEL_EXPORTER_OTLP_PROTOCOL: expected {' or '.join(_PROTOCOLS)}, got {ascii(said)[:40]}")
    return (_PROTOCOLS[said],)


def _attributes(record: Record) -> dict[str, str | int | float | bool]:
    path, mark, query = record.target.partition(b"?")
    found: dict[str, str | int | float | bool] = {
        "http.request.method": text(record.method),
        "url.scheme": text(record.scheme),
        "url.path": text(path),
        "server.address": text(record.host),
        "client.address": record.client,
        "http.response.status_code": record.status,
        "http.response.body.size": record.sent,
        "txstalecache.verdict": record.verdict,
        "txstalecache.why": record.why,
        "txstalecache.role": record.role,
        "txstalecache.wait": record.wait,
    }
    if mark:
        found["url.query"] = text(query)
    if record.user_agent is not None:
        found["user_agent.original"] = text(record.user_agent)
    if record.age is not None:
        found["txstalecache.age"] = record.age
    return found
