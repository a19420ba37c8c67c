"""Parts and heads out of a flight in the air, late waiters, and what lies beyond the caps, over real sockets."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import reactor as installed

from tests.support.async_test import async_test
from tests.support.client import connect, fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Head, Request, Reset, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache.flight.clocks import Clocks, Late
from txstalecache.flight.limits import Limits
from txstalecache.flight.readers import Readers
from txstalecache.http.keys import DEFAULT_TEMPLATE
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.origin.holdups import Holdups
from txstalecache.origin.http import HttpOrigin
from txstalecache.store.interfaces import Purpose

MIB = 1024 * 1024
BODY = b"0123456789" * 10
SHARED = [("Cache-Control", "max-age=60"), ("ETag", '"1"'), ("Content-Length", str(len(BODY)))]


def held(origin: ScriptedOrigin, *, upto: int = 50) -> None:
    """``/x`` gives its head and ``upto`` bytes, then waits for the gate ``rest``."""
    origin.on("/x", [Gate("head"), Head(200, SHARED), Chunk(BODY[:upto]), Gate("rest"), Chunk(BODY[upto:])])


@async_test
async def test_a_part_comes_as_soon_as_it_has_arrived(origin: ScriptedOrigin, make_proxy: Any) -> None:
    held(origin)
    proxy = await make_proxy(origin.url)
    whole = open_exchange(proxy.port, "GET", "/x")
    await origin.at_gate("head")
    parts = [
        fetch(proxy.port, "GET", "/x", [("Range", wanted)])
        for wanted in ("bytes=10-19", "bytes=0-4,30-34", "bytes=0-0")
    ]
    origin.release("head")
    single, several, first = await settled(*parts)  # while the origin holds back the second half
    assert (single.status, single.body, single.field("content-range")) == (206, BODY[10:20], b"bytes 10-19/100")
    assert several.status == 206 and b"01234" in several.body
    assert first.body == b"0"
    late = await fetch(proxy.port, "GET", "/x", [("Range", "bytes=40-49")])
    assert (late.status, late.body) == (206, BODY[40:50])
    tail = open_exchange(proxy.port, "GET", "/x", [("Range", "bytes=-10")])
    assert (await tail.begun).status == 206
    origin.release("rest")
    assert ((await tail.done).body, (await whole.done).body) == (BODY[-10:], BODY)
    assert origin.hits("/x") == 1
    assert origin.requests[0].field("range") is None


@async_test
async def test_a_part_on_a_cold_key_fetches_the_whole_and_stores_it(origin: ScriptedOrigin, make_proxy: Any) -> None:
    held(origin)
    origin.release("head")
    proxy = await make_proxy(origin.url)
    reply = await fetch(proxy.port, "GET", "/x", [("Range", "bytes=0-9")])
    assert (reply.status, reply.body) == (206, BODY[:10])
    origin.release("rest")
    await until(lambda: proxy.flights == 0)  # its only client has long gone
    assert (await fetch(proxy.port, "GET", "/x")).body == BODY
    assert origin.hits("/x") == 1


@async_test
async def test_parts_out_of_order_of_a_body_that_is_not_kept_are_the_whole(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    fields = [("Cache-Control", "max-age=0"), ("Content-Length", str(len(BODY)))]
    origin.on("/x", [Gate("head"), Head(200, fields), Chunk(BODY[:50]), Gate("rest"), Chunk(BODY[50:])])
    proxy = await make_proxy(origin.url)
    asked = [
        open_exchange(proxy.port, "GET", "/x", [("Range", wanted)]) for wanted in ("bytes=90-99,0-1", "bytes=0-1,90-99")
    ]
    await until(lambda: proxy.resource.registry.waiting == 2)
    origin.release("head")
    await settled(*[exchange.begun for exchange in asked])  # what is here now is the first half
    origin.release("rest")
    backward, forward = await settled(*[exchange.done for exchange in asked])
    assert (backward.status, backward.body) == (200, BODY)
    assert forward.status == 206


@async_test
async def test_a_head_request_has_the_head_of_the_flight_in_the_air(origin: ScriptedOrigin, make_proxy: Any) -> None:
    held(origin)
    proxy = await make_proxy(origin.url)
    whole = open_exchange(proxy.port, "GET", "/x")
    await origin.at_gate("head")
    early = fetch(proxy.port, "HEAD", "/x")
    await until(lambda: proxy.resource.registry.waiting == 2)
    origin.release("head")
    replies = [await early, await fetch(proxy.port, "HEAD", "/x")]
    assert {(reply.status, reply.field("content-length"), reply.body) for reply in replies} == {(200, b"100", b"")}
    origin.release("rest")
    assert (await whole.done).body == BODY
    assert [request.method for request in origin.requests] == [b"GET"]


@async_test
async def test_conditions_are_answered_from_the_flight_and_never_ride_on_it(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    held(origin)
    origin.release("head")
    proxy = await make_proxy(origin.url)
    reply = await fetch(proxy.port, "GET", "/x", [("If-None-Match", '"1"'), ("Cookie", "a=b")])
    assert reply.status == 304
    assert origin.requests[0].field("if-none-match") is None
    assert origin.requests[0].field("cookie") is None
    origin.release("rest")
    await until(lambda: proxy.flights == 0)


@async_test
async def test_late_waiters_may_ask_on_their_own_four_at_a_time(origin: ScriptedOrigin, make_proxy: Any) -> None:
    numbers = iter(range(1_000_000))

    def script(_: Request) -> Any:
        gate = "shared" if next(numbers) < 2 else "alone"
        return [Gate(gate), Head(200, [("Content-Length", "2")]), Chunk(b"ok")]

    origin.on("/x", script)
    proxy = await make_proxy(origin.url, clocks=Clocks(leader_age=0.1, wait_deadline=0.5, late=Late.PASS))
    clients = [fetch(proxy.port, "GET", "/x") for _ in range(20)]
    await origin.at_gate("alone", 4)
    # One of the four that were answered would make room for another, whose deadline comes a moment later.
    await until(lambda: sum(client.called for client in clients) == 15)
    origin.release("alone")
    await until(lambda: sum(client.called for client in clients) == 19)
    # Who leads waits for nobody else's fetch.
    origin.release("shared")
    replies = await settled(*clients)
    assert sorted(reply.status for reply in replies) == [200] * 5 + [504] * 15
    assert origin.hits("/x") == 2 + 4


@pytest.mark.parametrize("late", Late)
@async_test
async def test_who_asks_alone_waits_for_the_origin_and_not_for_others(
    origin: ScriptedOrigin, make_proxy: Any, late: Late
) -> None:
    """How long is for the deadlines of the fetch to say: nobody else's fetch is waited for."""
    origin.on("/x", [Gate("slow"), Head(200, [("Content-Length", "2")]), Chunk(b"ok")])
    proxy = await make_proxy(origin.url, clocks=Clocks(leader_age=0.05, wait_deadline=0.1, late=late))
    client = fetch(proxy.port, "POST", "/x")
    await origin.at_gate("slow", 1)
    await later(0.4)
    origin.release("slow")
    reply = await client
    assert (reply.status, reply.body, origin.hits("/x")) == (200, b"ok", 1)


@pytest.mark.parametrize("limits", [Limits(waiters_per_key=5), Limits(waiters=5)])
@async_test
async def test_beyond_the_caps_it_is_503_at_once(origin: ScriptedOrigin, make_proxy: Any, limits: Limits) -> None:
    held(origin)
    proxy = await make_proxy(origin.url, limits=limits)
    inside = [fetch(proxy.port, "GET", "/x") for _ in range(5)]
    await until(lambda: proxy.resource.registry.waiting == 5)
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(5)])
    assert {(reply.status, reply.field("retry-after")) for reply in replies} == {(503, b"1")}
    origin.release("head")
    origin.release("rest")
    assert {reply.body for reply in await settled(*inside)} == {BODY}


@async_test
async def test_one_fetch_too_many_is_503_whoever_it_is_for_and_what_is_stale_is_not_renewed(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    held(origin)
    origin.on("/y", [Gate("head"), Head(200, SHARED), Chunk(BODY)])
    origin.on("/stale", Answer(200, [("Cache-Control", "max-age=0, stale-while-revalidate=60")], b"stale"))
    proxy = await make_proxy(origin.url, limits=Limits(flights=2))
    assert (await fetch(proxy.port, "GET", "/stale")).body == b"stale"
    inside = [fetch(proxy.port, "GET", path) for path in ("/x", "/x", "/y")]
    await until(lambda: proxy.flights == 2)
    for method, path in (("GET", "/z"), ("POST", "/z"), ("POST", "/x")):
        reply = await fetch(proxy.port, method, path)
        assert (reply.status, reply.field("retry-after")) == (503, b"1")
    # Who may not wait has not waited.
    assert next((record.why, record.role) for record in proxy.log if record.target == b"/z") == ("overflow", "-")
    assert (await fetch(proxy.port, "GET", "/stale")).body == b"stale"
    assert origin.hits("/stale") == 1 and proxy.flights == 2
    inside.append(fetch(proxy.port, "GET", "/y"))
    await until(lambda: proxy.resource.registry.waiting == 4)
    origin.release("head")
    origin.release("rest")
    assert {reply.body for reply in await settled(*inside)} == {BODY}


@async_test
async def test_beyond_the_caps_it_is_stale_where_that_is_permitted(origin: ScriptedOrigin, make_proxy: Any) -> None:
    answers = iter([Answer(200, [("Cache-Control", "max-age=5"), ("Age", "6"), ("ETag", '"1"')], b"old")])
    origin.on("/x", lambda _: next(answers, [Gate("go"), Head(304, [("ETag", '"1"'), ("Cache-Control", "max-age=9")])]))
    proxy = await make_proxy(origin.url, limits=Limits(waiters_per_key=1), clocks=Clocks(wait_stale=10))
    await fetch(proxy.port, "GET", "/x")
    inside = fetch(proxy.port, "GET", "/x")
    await until(lambda: proxy.resource.registry.waiting == 1)
    beyond = await fetch(proxy.port, "GET", "/x")
    assert (beyond.status, beyond.body) == (200, b"old")
    assert beyond.field("cache-status") == b"txstalecache; hit; ttl=-1; detail=overflow"
    assert (proxy.log[-1].why, proxy.log[-1].role) == ("overflow", "hit")
    origin.release("go")
    assert (await inside).body == b"old"


def lease_of_x() -> str:
    """What the lease for ``/x`` is called."""
    return DEFAULT_TEMPLATE.key(
        RequestHead(b"GET", b"/x", Fields([(b"Host", b"localhost")]), b"http", b"localhost")
    ).digest


#: How a flight may end, as the origin's script and whether its clients go first.
EXITS: dict[str, tuple[list[Any], bool]] = {
    "stored": ([Head(200, SHARED), Chunk(BODY)], False),
    "shared": ([Head(200, [("Cache-Control", "max-age=0"), ("Content-Length", "2")]), Chunk(b"ok")], False),
    "unshareable": ([Head(200, [("Cache-Control", "private"), ("Content-Length", "2")]), Chunk(b"ok")], False),
    "no head": ([Reset()], False),
    "an error": ([Head(503, [("Content-Length", "0")])], False),
    "cut after the head": ([Head(200, SHARED), Chunk(b"half"), Gate("more"), Reset()], False),
    "clients leave before the head": ([Gate("more"), Head(200, SHARED), Chunk(BODY)], True),
    "clients leave after the head": (
        [Head(200, [("Content-Length", "9")]), Chunk(b"half"), Gate("more"), Chunk(b"whole")],
        True,
    ),
    "shutdown": ([Gate("never")], False),
}


@pytest.mark.parametrize("exit", EXITS)
@pytest.mark.parametrize("redis", ["memory", "embedded"])
@async_test
async def test_every_way_out_leaves_nothing_behind(
    origin: ScriptedOrigin, make_proxy: Any, exit: str, redis: str
) -> None:
    script, leaving = EXITS[exit]
    origin.on("/x", [Gate("go"), *script])
    proxy = await make_proxy(origin.url, redis=redis)
    clients = [open_exchange(proxy.port, "GET", "/x") for _ in range(5)]
    for client in clients:
        client.done.addErrback(lambda _: None)
    await until(lambda: proxy.resource.registry.waiting == 5)
    await origin.at_gate("go")
    origin.release("go")
    if leaving:
        await origin.at_gate("more")
        for client in clients:
            client.abort()
    elif exit == "shutdown":
        await origin.at_gate("never")
        proxy.resource.registry.close()
    origin.release("more")
    await settled(*[client.done for client in clients])
    registry = proxy.resource.registry
    await until(lambda: not registry.flights)
    assert (registry.waiting, registry.held, dict(registry._groups), dict(registry._late)) == (0, 0, {}, {})
    # Descriptors and delayed calls: tests.conftest looks. The lease is free: whoever comes next does not wait for it.
    # It is given back on one connection and taken on another, which may be first: but long before it would run out.
    lease = None
    for _ in range(50):
        lease = await proxy.backend.leases.acquire(lease_of_x(), Purpose.FETCH)
        if lease is not None:
            break
        await later(0.02)
    assert lease is not None
    lease.release()


@async_test
async def test_slow_clients_do_not_hold_more_than_they_may_together(
    origin: ScriptedOrigin, make_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    large = b"x" * (8 * MIB)  # far more than sockets hold
    for number in range(4):
        origin.on(f"/{number}", Answer(200, [("Cache-Control", "max-age=60")], large))
    monkeypatch.setattr(Readers, "EVERY", 0.05)
    monkeypatch.setattr(Readers, "PATIENCE", 0.3)
    proxy = await make_proxy(origin.url, memory=MIB, limits=Limits(bytes_being_read=17 * MIB))
    slow = [open_exchange(proxy.port, "GET", f"/{number}") for number in range(4)]
    for client in slow:
        await client.begun
        client.pause()
    await until(lambda: len([record for record in proxy.log if not record.complete]) == 2)
    for client in slow:
        client.resume()
    whole = [(await client.done).body == large for client in slow]
    assert sorted(whole) == [False, False, True, True]


@async_test
async def test_slow_clients_of_long_answers_do_not_keep_all_connections_to_the_origin(
    origin: ScriptedOrigin, make_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Holdups, "PATIENCE", 0.5)
    origin.on("/long", Answer(200, [("Cache-Control", "no-store")], b"x" * (32 * MIB)))
    origin.on("/short", Answer(200, [("Cache-Control", "max-age=60")], b"short"))
    reactor: Any = installed
    proxy = await make_proxy(HttpOrigin(reactor, origin.url, max_connections=2))
    slow = [open_exchange(proxy.port, "GET", "/long") for _ in range(2)]
    for client in slow:
        await client.begun
        client.pause()
    assert (await fetch(proxy.port, "GET", "/short")).body == b"short"
    for client in slow:
        client.resume()
    # One had to go, and no more than that.
    assert sorted([(await client.done).truncated for client in slow]) == [False, True]


@async_test
async def test_slow_uploads_do_not_keep_all_connections_to_the_origin(
    origin: ScriptedOrigin, make_proxy: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Holdups, "PATIENCE", 0.5)
    origin.on("/short", Answer(200, [("Cache-Control", "max-age=60")], b"short"))
    reactor: Any = installed
    proxy = await make_proxy(HttpOrigin(reactor, origin.url, max_connections=1))
    connection = await connect(proxy.port)
    connection.send(b"POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\nslowly")
    await origin.when(lambda: bool(origin.connections))
    assert (await fetch(proxy.port, "GET", "/short")).body == b"short"
    refused = await connection.expect("POST").done
    assert (refused.status, refused.field("retry-after")) == (503, b"1")
    await connection.abort()
