"""``traceparent`` goes on to the origin as the W3C has it, is logged, and changes nobody's answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import Connection, connect, fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import settled, until

TRACE = b"0af7651916cd43dd8448eb211c80319c"


def parent(trace: bytes = TRACE, span: bytes = b"b7ad6b7169203331") -> list[tuple[str, bytes]]:
    return [("traceparent", b"00-%b-%b-01" % (trace, span)), ("tracestate", b"vendor=1")]


CACHED = Answer(200, [("Cache-Control", "max-age=60")], b"x")


@async_test
async def test_the_fetch_carries_the_leaders_trace_and_waiters_share_its_answer(
    origin: ScriptedOrigin, make_proxy: Callable[..., Any]
) -> None:
    from tests.support.origin import Gate, Head, Raw

    origin.on("/", [Gate("go"), Head(200, [("Cache-Control", "max-age=60"), ("Content-Length", "1")]), Raw(b"x")])
    proxy = await make_proxy(origin.url)
    traces = [b"%032x" % number for number in range(1, 6)]
    asked = [fetch(proxy.port, fields=parent(traces[0]))]
    await origin.arrived(1)
    asked += [fetch(proxy.port, fields=parent(trace)) for trace in traces[1:]]
    await until(lambda: proxy.resource.registry.waiting == 5)
    origin.release("go")
    replies = await settled(*asked)
    assert [reply.body for reply in replies] == [b"x"] * 5
    assert len(origin.requests) == 1
    sent = origin.requests[0].field("traceparent")
    assert sent is not None
    assert sent[3:35] == traces[0]
    assert sent[36:52] != b"b7ad6b7169203331"
    assert origin.requests[0].field("tracestate") == b"vendor=1"
    logged = {record.trace.trace_id: record for record in proxy.log if record.trace is not None}
    assert set(logged) == set(traces)
    # What the leader's request is called in the trace is what the origin was told.
    assert logged[traces[0]].trace is not None
    assert logged[traces[0]].trace.parent_id == sent[36:52]


@async_test
async def test_hits_are_logged_under_their_own_trace_and_ask_nobody(
    origin: ScriptedOrigin, make_proxy: Callable[..., Any]
) -> None:
    origin.on("/", CACHED)
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port)
    connection: Connection = await connect(proxy.port)
    for number in (1, 2):
        await connection.request("GET", "/", fields=parent(b"%032x" % number))
    await connection.close()
    await until(lambda: len(proxy.log) == 3)
    assert [record.trace and record.trace.trace_id for record in proxy.log] == [None, b"%032x" % 1, b"%032x" % 2]
    assert origin.requests[0].field("traceparent") is None
    assert len(origin.requests) == 1


@async_test
async def test_what_is_not_well_formed_goes_no_further(origin: ScriptedOrigin, make_proxy: Callable[..., Any]) -> None:
    origin.on("/", Answer(200, [("Cache-Control", "no-store")], b"x"))
    proxy = await make_proxy(origin.url)
    for bad in (b"00-0-0-0", b"ff-" + TRACE + b"-b7ad6b7169203331-01", b"x" * 500):
        await fetch(proxy.port, "POST", fields=[("traceparent", bad), ("tracestate", b"a=1")], body=b"y")
        assert origin.requests[-1].field("traceparent") is None
        assert origin.requests[-1].field("tracestate") is None
    await fetch(proxy.port, "POST", fields=parent(), body=b"y")
    sent = origin.requests[-1].field("traceparent")
    assert sent is not None
    assert sent[3:35] == TRACE


@pytest.mark.parametrize("route", [{}, {"bypass": ((b"x-never", None),)}, {"refresh_ahead": 1e9}])
@async_test
async def test_the_refresh_behind_an_answer_is_the_child_of_that_request(
    origin: ScriptedOrigin, make_proxy: Callable[..., Any], route: dict[str, Any]
) -> None:
    # By the fast lane, past it, and before the answer is stale.
    ahead = "refresh_ahead" in route
    control = "max-age=60" if ahead else "max-age=0, stale-while-revalidate=60"
    origin.on("/", Answer(200, [("Cache-Control", control)], b"x"))
    proxy = await make_proxy(origin.url, **route)
    await fetch(proxy.port)
    connection: Connection = await connect(proxy.port)
    await connection.request("GET", "/", fields=parent())
    await origin.arrived(2)
    await connection.close()
    await until(lambda: len(proxy.log) == 2 and not proxy.flights)
    record, sent = proxy.log[-1], origin.requests[-1].field("traceparent")
    assert (record.verdict, record.role) == ("fresh" if ahead else "stale", "hit")
    assert sent is not None
    assert record.trace is not None
    assert (record.trace.trace_id, record.trace.parent_id) == (sent[3:35], sent[36:52])
    assert record.trace.caller == b"b7ad6b7169203331"


@async_test
async def test_all_that_the_origin_is_asked_for_one_request_has_the_same_parent(
    origin: ScriptedOrigin, make_proxy: Callable[..., Any]
) -> None:
    origin.on("/", Answer(200, [("Cache-Control", "private")], b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, fields=[*parent(), ("Cookie", "a=b")])
    await until(lambda: len(proxy.log) == 1)
    # On everybody's behalf, and then alone.
    assert len(origin.requests) == 2
    assert len({request.field("traceparent") for request in origin.requests}) == 1
