"""The origin's faults, one by one, through the whole proxy: what the table of faults says must show."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import NoReply, fetch, open_exchange
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Answer, Chunk, Gate, Head, Request, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Deadlines

STALE = ("Cache-Control", "max-age=1, stale-while-revalidate=60, stale-if-error=60")
KEPT = ("Cache-Control", "max-age=60")
CHUNKED = ("Transfer-Encoding", "chunked")
SOON = Deadlines(connect=0.5, first_byte=0.5, between_bytes=0.5, total=3)
#: What "at once" may take on a machine with other things to do; measured on an idle one it is a few milliseconds.
AT_ONCE = 0.5


async def refuse(wire: FaultProxy) -> None:
    await wire.refuse()


async def reset(wire: FaultProxy) -> None:
    wire.down.cut_at = 0
    wire.cut()


async def hang(wire: FaultProxy) -> None:
    wire.hold()


async def garble(wire: FaultProxy) -> None:
    wire.down.corrupt_at = 3
    wire.cut()


@pytest.mark.parametrize("break_it", [refuse, reset, hang, garble], ids=lambda fault: fault.__name__)
@async_test
async def test_inside_the_stale_window_no_fault_of_the_origin_is_seen(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any, break_it: Any
) -> None:
    origin.handler = Answer(200, [STALE], b"kept")
    wire = await make_fault_proxy(origin.port)
    proxy = await make_proxy(f"http://127.0.0.1:{wire.port}", deadlines=SOON)
    await fetch(proxy.port, "GET", "/x")
    await later(1.1)
    await break_it(wire)
    hits = origin.hits()
    for _ in range(3):
        replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(20)])
        assert {(reply.status, reply.body) for reply in replies} == {(200, b"kept")}
        assert max(reply.seconds for reply in replies) < AT_ONCE
        await later(0.2)
    assert origin.hits() - hits <= 2
    await until(lambda: not proxy.flights)


@pytest.mark.parametrize(
    ("break_it", "status"),
    [(refuse, 502), (reset, 502), (hang, 504), (garble, 502)],
    ids=lambda one: getattr(one, "__name__", one),
)
@async_test
async def test_without_anything_stored_everybody_is_told_in_time(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any, break_it: Any, status: int
) -> None:
    origin.handler = Answer(200, [STALE], b"never seen")
    wire = await make_fault_proxy(origin.port)
    proxy = await make_proxy(f"http://127.0.0.1:{wire.port}", deadlines=SOON)
    await break_it(wire)
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(50)])
    assert {reply.status for reply in replies} == {status}
    assert max(reply.seconds for reply in replies) < 5
    assert not proxy.flights


@async_test
async def test_an_origin_that_always_fails_is_asked_twice_for_fifty_clients(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.handler = Answer(503, [], b"down")
    proxy = await make_proxy(origin.url)
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(50)])
    assert {reply.status for reply in replies} == {503}
    assert origin.hits() <= 2


@async_test
async def test_an_origin_that_flaps_is_seen_by_nobody_and_tried_once_a_second(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    began = time.monotonic()
    tried: list[float] = []

    def flap(request: Request) -> Answer:
        tried.append(time.monotonic())
        up = int((time.monotonic() - began) / 0.5) % 2 == 0
        return Answer(200, [STALE], b"up") if up else Answer(500, [], b"down")

    origin.handler = flap
    proxy = await make_proxy(origin.url)
    statuses = set()
    while time.monotonic() < began + 3:
        reply = await fetch(proxy.port, "GET", "/x")
        statuses.add(reply.status)
        await later(0.02)
    assert statuses == {200}
    assert len(tried) <= 5


@async_test
async def test_a_body_cut_on_the_way_is_never_whole_and_never_kept(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any
) -> None:
    body = b"0123456789" * 1000
    for framing in ("length", "chunked"):
        origin.on(f"/{framing}", Answer(200, [("Cache-Control", "max-age=60")], body, framing))
    wire = await make_fault_proxy(origin.port)
    proxy = await make_proxy(f"http://127.0.0.1:{wire.port}", deadlines=SOON)
    for with_ in ("rst", "fin"):
        wire.down.cut_with = with_
        for framing in ("length", "chunked"):
            for at in (5000, 9000, 10_100):
                wire.down.cut_at = at
                wire.cut()
                try:
                    reply = await fetch(proxy.port, "GET", f"/{framing}")
                except NoReply:
                    continue
                assert reply.truncated or reply.status == 502 or reply.body == body
            wire.down.cut_at = None
            wire.cut()
            await later(1.2)  # the burst that failed is over
            whole = await fetch(proxy.port, "GET", f"/{framing}")
            assert (whole.status, whole.body, whole.truncated) == (200, body, False)


@async_test
async def test_bytes_too_many_reach_no_other_request(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "no-store")], request.target)
    wire = await make_fault_proxy(origin.port)
    wire.down.extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    proxy = await make_proxy(f"http://127.0.0.1:{wire.port}")
    for number in range(20):
        reply = await fetch(proxy.port, "GET", f"/{number}")
        assert reply.status == 502 or reply.body == b"/%d" % number


@pytest.mark.parametrize("why", ["invalidated", "too large"])
@async_test
async def test_what_is_no_longer_to_be_stored_is_fetched_for_nobody(
    origin: ScriptedOrigin, make_proxy: Any, why: str
) -> None:
    """All clients have left; the fetch went on because its answer was to be stored."""
    begun = [Head(200, [KEPT, CHUNKED]), Chunk(b"x" * 1000), Gate("go")]
    origin.handler = lambda request: (
        Answer(204) if request.method == b"DELETE" else [*begun, *[Chunk(b"x" * 100_000)] * 30]
    )
    proxy = await make_proxy(origin.url, rules=Rules(max_object=2_000_000))
    exchange = open_exchange(proxy.port, "GET", "/x")
    exchange.done.addErrback(lambda failure: failure.trap(NoReply) and None)
    await exchange.received(1000)
    exchange.abort()
    await exchange.done
    assert proxy.flights == 1
    if why == "invalidated":
        await fetch(proxy.port, "DELETE", "/x")
    origin.release("go")
    await until(lambda: not proxy.flights)
    assert (await fetch(proxy.port, "HEAD", "/x")).status == 200
    assert origin.hits("/x") > 1
