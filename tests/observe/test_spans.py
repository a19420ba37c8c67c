"""Spans of OpenTelemetry, collected in memory and by a real process."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from tests.fleet.processes import Origin, Proxy, ask
from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.process import environment
from tests.support.proxy import until
from txstalecache.observe.spans import Spans

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def traced(flags: str = "01") -> list[tuple[str, str]]:
    return [("traceparent", f"00-{TRACE}-{PARENT}-{flags}"), ("User-Agent", "a browser")]


@async_test
async def test_each_request_becomes_a_span_of_its_clients_trace(
    origin: ScriptedOrigin, make_proxy: Callable[..., Any]
) -> None:
    collected = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(collected), ratio=0.0)
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    origin.on("/bad", Answer(502, [], b""))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, target="/x?a=1", fields=traced())
    await fetch(proxy.port, target="/x?a=1", fields=traced())
    await fetch(proxy.port, target="/bad", fields=traced())
    await fetch(proxy.port, target="/x?a=1", fields=traced("00"))  # not sampled
    await fetch(proxy.port, target="/x?a=1")  # no trace, and none is begun
    await until(lambda: len(proxy.log) == 5)
    for record in proxy.log:
        spans(record)
    miss, hit, bad = collected.get_finished_spans()
    for span, record in zip((miss, hit, bad), proxy.log, strict=False):
        assert span.context is not None
        assert span.parent is not None
        assert (span.name, span.kind) == ("GET", SpanKind.SERVER)
        assert f"{span.context.trace_id:032x}" == TRACE
        assert f"{span.parent.span_id:016x}" == PARENT
        assert span.attributes is not None
        assert span.attributes["user_agent.original"] == "a browser"
        assert span.attributes.get("txstalecache.age") == record.age
        assert span.start_time == pytest.approx(record.time * 1e9)
        assert span.end_time == pytest.approx((record.time + record.duration) * 1e9)
        assert span.resource.attributes["service.name"] == "txstalecache"
        assert span.instrumentation_scope is not None and span.instrumentation_scope.name == "txstalecache"
    # What the origin was told is the parent is the miss' span.
    sent = origin.requests[0].field("traceparent")
    assert sent is not None
    assert miss.context is not None
    assert sent.decode().split("-")[2] == f"{miss.context.span_id:016x}"
    assert [span.attributes and span.attributes["txstalecache.verdict"] for span in (miss, hit, bad)] == [
        "miss",
        "fresh",
        "miss",
    ]
    assert miss.attributes is not None
    assert (miss.attributes["url.path"], miss.attributes["url.query"]) == ("/x", "a=1")
    assert (hit.status.status_code, bad.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)


@async_test
async def test_a_request_without_a_trace_begins_one_as_often_as_wanted(
    origin: ScriptedOrigin, make_proxy: Callable[..., Any]
) -> None:
    collected = InMemorySpanExporter()
    spans = Spans(SimpleSpanProcessor(collected))
    origin.on("/", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port)
    await until(lambda: len(proxy.log) == 1)
    spans(proxy.log[0])
    spans(proxy.log[0])
    one, two = collected.get_finished_spans()
    assert one.parent is None
    assert one.context is not None
    assert two.context is not None
    assert one.context.trace_id != two.context.trace_id


def install(directory: Path, name: str, where: str) -> None:
    """A distribution with an entry point, as those of OpenTelemetry's exporters are."""
    (directory / "exporter-1.dist-info").mkdir()
    (directory / "exporter-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: exporter\nVersion: 1\n")
    (directory / "exporter-1.dist-info/entry_points.txt").write_text(
        f"[opentelemetry_traces_exporter]\n{name} = {where}\n"
    )


def test_an_exporter_that_lacks_something_is_said_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "lacking", "there_is_no_such_module:Exporter")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "lacking")
    with pytest.raises(ValueError, match="'lacking' cannot be loaded: No module named 'there_is_no_such_module'"):
        Spans.of_environment("1")


def test_a_collector_that_takes_nothing_keeps_no_process_from_ending(tmp_path: Path) -> None:
    (tmp_path / "deaf.py").write_text(
        "import time\nfrom opentelemetry.sdk.trace.export import SpanExporter\n"
        "class Deaf(SpanExporter):\n    def export(self, spans):\n        time.sleep(600)\n"
    )
    install(tmp_path, "deaf", "deaf:Deaf")
    told = {**environment(), "OTEL_TRACES_EXPORTER": "deaf", "PYTHONPATH": str(tmp_path)}
    with Proxy(tmp_path, "--origin", "http://127.0.0.1:9", "--redis", "memory", env=told) as proxy:
        assert ask(proxy.port)[0] == 502
        assert proxy.end(Spans.FAREWELL + 10) == 0
        assert "spans were not taken in time" in proxy.output


@pytest.mark.slow
def test_a_process_exports_them_as_the_environment_says(tmp_path: Path) -> None:
    origin = Origin()
    told = {**environment(), "OTEL_TRACES_EXPORTER": "console"}
    proxy = Proxy(tmp_path, "--origin", origin.url, "--redis", "memory", env=told)
    try:
        ask(proxy.port, "/x", traceparent=f"00-{TRACE}-{PARENT}-01")
        assert proxy.end() == 0
        # twistd puts a time before each line of standard output.
        lines = re.sub(r"(?m)^\S+ \[stdout#info\] ", "", proxy.output)
        (written,) = re.findall(r"^\{$.*?^\}$", lines, re.DOTALL | re.MULTILINE)
        span = json.loads(written)
        assert (span["context"]["trace_id"], span["parent_id"]) == (f"0x{TRACE}", f"0x{PARENT}")
    finally:
        proxy.close()
        origin.close()


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"OTEL_TRACES_EXPORTER": "nobody"}, "no exporter called 'nobody' is installed"),
        ({"OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER_ARG": "2"}, "expected a number from 0 to 1"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "http"}, "expected http/protobuf or grpc"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    told: dict[str, str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=says):
        Spans.of_environment("1")


@pytest.mark.parametrize(
    ("installed", "protocol", "found"),
    [
        ("otlp_proto_http", "", True),
        ("otlp_proto_grpc", "", True),
        ("otlp", "", True),
        ("otlp_proto_http", "http/protobuf", True),
        ("otlp_proto_http", "grpc", False),
    ],
)
def test_otlp_is_the_exporter_that_is_installed_for_the_protocol(
    installed: str, protocol: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, installed, "opentelemetry.sdk.trace.export:ConsoleSpanExporter")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
    if found:
        Spans.of_environment("1").close()
    else:
        with pytest.raises(ValueError, match="no exporter called 'otlp' is installed"):
            Spans.of_environment("1")


@pytest.mark.parametrize(("exporter", "started"), [("none", True), ("", True), ("console", False)])
def test_who_wants_no_spans_needs_nothing_to_make_them_with(exporter: str, started: bool, tmp_path: Path) -> None:
    (tmp_path / "opentelemetry").mkdir()
    (tmp_path / "opentelemetry/__init__.py").write_text("raise ImportError('not installed')")
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))
    told = {**environment(), "OTEL_TRACES_EXPORTER": exporter, "PYTHONPATH": path}
    with Proxy(tmp_path, "--origin", "http://127.0.0.1:9", "--redis", "memory", env=told) as proxy:
        if started:
            proxy.wait_for(r"listens on http://127")
        else:
            proxy.wait_for(r"spans need txstalecache\[otel\]")
