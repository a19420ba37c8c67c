"""The ten scenarios that flights are measured by (docs/flights.rst, bench/coalescing.py), over real sockets.

What the origin is asked is asserted exactly. Where a time is the promise, it is told from gates: what must not wait is
here while the origin still holds back what it would have waited for.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import Exchange, Reply, fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Hang, Head, Request, ScriptedOrigin
from tests.support.proxy import settled, until
from txstalecache.flight.clocks import Clocks
from txstalecache.flight.state import State
from txstalecache.origin.interfaces import Deadlines

CLIENTS = 50
SHARED = [("Cache-Control", "max-age=60")]


def crowd(proxy: Any, count: int = CLIENTS, fields: Any = ()) -> list[Exchange]:
    return [open_exchange(proxy.port, "GET", "/x", fields) for _ in range(count)]


async def answers(exchanges: list[Exchange]) -> list[Reply]:
    return list(await settled(*[exchange.done for exchange in exchanges]))


async def waiting(proxy: Any, count: int = CLIENTS) -> None:
    await until(lambda: proxy.resource.registry.waiting == count)


@async_test
async def test_s1_cold_and_cacheable_is_one_hit_for_everybody(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", [Gate("go"), Head(200, [*SHARED, ("Content-Length", "5")]), Chunk(b"hello")])
    proxy = await make_proxy(origin.url)
    clients = crowd(proxy)
    await waiting(proxy)
    origin.release("go")
    replies = await answers(clients)
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"hello")}
    assert origin.hits("/x") == 1


def _own(fields: list[tuple[str, str]]) -> Any:
    """An answer that differs each time, held at the gate ``first`` once, then at ``others``."""
    count = iter(range(1_000_000))

    def script(_: Request) -> Any:
        number = next(count)
        body = b"%04d" % number
        return [Gate("others" if number else "first"), Head(200, [*fields, ("Content-Length", "4")]), Chunk(body)]

    return script


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param([("Cache-Control", "private, no-store")], id="s2"),
        pytest.param([*SHARED, ("Set-Cookie", "who=me")], id="s2c"),
    ],
)
@async_test
async def test_s2_what_is_for_one_client_is_seen_by_no_other_and_all_are_sent_on_at_once(
    origin: ScriptedOrigin, make_proxy: Any, fields: Any
) -> None:
    origin.on("/x", _own(fields))
    proxy = await make_proxy(origin.url)
    clients = crowd(proxy)
    await waiting(proxy)
    origin.release("first")
    # All at once: each of the others is at the origin while none of them has been answered.
    await origin.at_gate("others", CLIENTS - 1)
    origin.release("others")
    replies = await answers(clients)
    assert len({reply.body for reply in replies}) == CLIENTS
    assert origin.hits("/x") == CLIENTS
    assert sum(b"collapsed=?0" in (reply.field("cache-status") or b"") for reply in replies) == CLIENTS - 1
    # S2b: the next ones do not wait for one another at all.
    origin.hold("others")
    again = crowd(proxy)
    await origin.at_gate("others", CLIENTS)
    origin.release("others")
    assert len({reply.body for reply in await answers(again)}) == CLIENTS


@pytest.mark.parametrize("redis", ["memory", "embedded"])
@async_test
async def test_s2_the_next_shareable_answer_takes_the_marker_away(
    origin: ScriptedOrigin, make_proxy: Any, redis: str
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "private")], b"mine"))
    proxy = await make_proxy(origin.url, redis=redis)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", Answer(200, [("Cache-Control", "public, max-age=0")], b"ours"))
    assert (await fetch(proxy.port, "GET", "/x")).field("x-cache") == b"BYPASS"
    origin.on("/x", [Gate("go"), Head(200, [*SHARED, ("Content-Length", "2")]), Chunk(b"ok")])
    clients = crowd(proxy, 10)
    await waiting(proxy, 10)
    await origin.at_gate("go")
    origin.release("go")
    await answers(clients)
    assert origin.hits("/x") == 3


@async_test
async def test_s3_a_lifetime_of_zero_answers_those_who_wait_and_nobody_later(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.on(
        "/x", [Gate("go"), Head(200, [("Cache-Control", "public, max-age=0"), ("Content-Length", "2")]), Chunk(b"ok")]
    )
    proxy = await make_proxy(origin.url)
    clients = crowd(proxy)
    await waiting(proxy)
    origin.release("go")
    assert {reply.body for reply in await answers(clients)} == {b"ok"}
    assert origin.hits("/x") == 1
    await fetch(proxy.port, "GET", "/x")
    assert origin.hits("/x") == 2


@async_test
async def test_s4_the_leaders_client_leaves_and_nobody_notices(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", [Gate("go"), Head(200, [*SHARED, ("Content-Length", "2")]), Gate("body"), Chunk(b"ok")])
    proxy = await make_proxy(origin.url)
    leader = open_exchange(proxy.port, "GET", "/x")
    await origin.at_gate("go")
    clients = crowd(proxy)
    await waiting(proxy, CLIENTS + 1)
    leader.abort()
    await waiting(proxy)
    origin.release("go")
    for client in clients:
        await client.begun
    clients.pop().abort()  # in the middle of the body as well
    origin.release("body")
    assert {reply.body for reply in await answers(clients)} == {b"ok"}
    assert origin.hits("/x") == 1


@pytest.mark.parametrize(
    "fields", [pytest.param([("Cache-Control", "no-store")], id="no-store"), pytest.param([], id="nothing-said")]
)
@pytest.mark.parametrize("asks", [pytest.param([], id="plain"), pytest.param([("Cookie", "a=b")], id="cookie")])
@async_test
async def test_s5_an_origin_that_always_fails_is_asked_twice_per_burst(
    origin: ScriptedOrigin, make_proxy: Any, fields: Any, asks: Any
) -> None:
    origin.on("/x", [Gate("go"), Head(503, [*fields, ("Content-Length", "5")]), Chunk(b"sorry")])
    proxy = await make_proxy(origin.url)
    clients = crowd(proxy, fields=asks)
    await waiting(proxy)
    origin.release("go")
    replies = await answers(clients)
    assert {reply.status for reply in replies} == {503}
    assert origin.hits("/x") == 2
    assert [reply.field("retry-after") for reply in replies].count(b"1") >= len(replies) - 1  # not what is the leader's
    # The next burst, within a second, is answered by what is known.
    known = await answers(crowd(proxy, 10))
    assert {(reply.status, reply.field("retry-after")) for reply in known} == {(503, b"1")}
    assert origin.hits("/x") == 2


@async_test
async def test_s6_who_joins_late_has_at_once_what_has_come(origin: ScriptedOrigin, make_proxy: Any) -> None:
    piece = b"x" * 100_000
    origin.on(
        "/x",
        [
            Head(200, [*SHARED, ("Content-Length", str(10 * len(piece)))]),
            Chunk(piece * 3),
            Gate("rest"),
            Chunk(piece * 7),
        ],
    )
    proxy = await make_proxy(origin.url)
    first = open_exchange(proxy.port, "GET", "/x", keep=False)
    await first.received(3 * len(piece))
    late = open_exchange(proxy.port, "GET", "/x", keep=False)
    reply = await late.received(3 * len(piece))
    assert reply.length == 3 * len(piece)  # while the origin holds back the rest
    origin.release("rest")
    assert [reply.length for reply in await answers([first, late])] == [10 * len(piece)] * 2
    assert origin.hits("/x") == 1


@async_test
async def test_s7_inside_the_stale_window_nobody_waits_and_one_refresh_runs(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    stale = [("Cache-Control", "max-age=5, stale-while-revalidate=60"), ("Age", "6")]
    answer = iter([Answer(200, stale, b"old")])
    origin.on("/x", lambda _: next(answer, [Gate("go"), Head(200, [*SHARED, ("Content-Length", "3")]), Chunk(b"new")]))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    assert {reply.body for reply in await answers(crowd(proxy))} == {b"old"}  # the origin still holds back the new one
    origin.release("go")
    await until(lambda: proxy.flights == 0)
    assert (await fetch(proxy.port, "GET", "/x")).body == b"new"
    assert origin.hits("/x") == 2


@pytest.mark.parametrize("redis", ["memory", "embedded"])
@async_test
async def test_s8_stale_if_error_hides_a_503_and_leaves_the_origin_alone_for_a_while(
    origin: ScriptedOrigin, make_proxy: Any, redis: str
) -> None:
    stale = [("Cache-Control", "max-age=5, stale-if-error=600"), ("Age", "6")]
    answer = iter([Answer(200, stale, b"old")])
    origin.on("/x", lambda _: next(answer, Answer(503, [], b"sorry")))
    proxy = await make_proxy(origin.url, redis=redis)
    await fetch(proxy.port, "GET", "/x")
    for _ in range(5):
        replies = await answers(crowd(proxy, 10))
        assert {(reply.status, reply.body) for reply in replies} == {(200, b"old")}
    assert origin.hits("/x") == 2  # the one that filled the cache, and one try


@async_test
async def test_s8_the_back_off_holds_when_what_is_known_of_the_error_is_forgotten(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    stale = [("Cache-Control", "max-age=5, stale-if-error=600"), ("Age", "6")]
    answer = iter([Answer(200, stale, b"old")])
    origin.on("/x", lambda _: next(answer, Answer(503, [], b"sorry")))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    await fetch(proxy.port, "GET", "/x")
    for shelf in proxy.backend.store.memory:
        shelf.advice = None
    reply = await fetch(proxy.port, "GET", "/x")
    assert (reply.status, reply.body, origin.hits("/x")) == (200, b"old", 2)


@async_test
async def test_s9_an_origin_that_hangs_is_asked_twice_then_everybody_is_told(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.on("/x", [Hang()])
    proxy = await make_proxy(
        origin.url,
        clocks=Clocks(wait_stale=0.1, leader_age=0.2, wait_deadline=1.0),
        deadlines=Deadlines(first_byte=1.5),
    )
    clients = crowd(proxy, 10)
    await waiting(proxy, 10)
    await origin.arrived(2)
    replies = await answers(clients)
    assert {reply.status for reply in replies} == {504}
    assert {reply.field("retry-after") for reply in replies} == {b"1"}
    assert all(reply.seconds > 0.9 for reply in replies)
    assert origin.hits("/x") == 2


@async_test
async def test_s9_with_a_stale_entry_nobody_waits_for_the_deadline(origin: ScriptedOrigin, make_proxy: Any) -> None:
    stale = [("Cache-Control", "max-age=5, stale-if-error=60"), ("Age", "6"), ("ETag", '"1"')]
    answer = iter([Answer(200, stale, b"old")])
    origin.on("/x", lambda _: next(answer, [Hang()]))
    proxy = await make_proxy(origin.url, clocks=Clocks(wait_stale=0.1))
    await fetch(proxy.port, "GET", "/x")
    replies = await answers(crowd(proxy, 10))
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"old")}
    assert max(reply.seconds for reply in replies) < 4  # the first clock, not the second or the third
    assert origin.hits("/x") == 2


@async_test
async def test_s10_a_vary_surprise_costs_one_flight_for_each_variant(origin: ScriptedOrigin, make_proxy: Any) -> None:
    languages = ("de", "en", "fr", "it")
    fields = [("Cache-Control", "max-age=5"), ("Age", "4"), ("Vary", "Accept-Language"), ("ETag", '"1"')]
    numbers = iter(range(1_000_000))

    def script(request: Request) -> Any:
        language = request.field("accept-language") or b""
        gate = "first" if not next(numbers) else "others"
        return [Gate(gate), Head(200, [*fields, ("Content-Length", "2")]), Chunk(language)]

    origin.on("/x", script)
    proxy = await make_proxy(origin.url)

    def ask() -> list[Exchange]:
        return [client for lang in languages for client in crowd(proxy, 10, [("Accept-Language", lang)])]

    clients = ask()
    await waiting(proxy, 40)
    origin.release("first")
    await origin.at_gate("others", 3)  # the three others at once
    pending = [flight for flight in proxy.resource.registry.flights if flight.state is State.PENDING]
    assert [flight.plan.again for flight in pending] == [True] * 3  # what is stored by now they looked at themselves
    origin.release("others")
    replies = await answers(clients)
    assert [reply.body for reply in replies] == [lang.encode() for lang in languages for _ in range(10)]
    assert origin.hits("/x") == 4
    # Once known, they are four flights from the start.
    await until(lambda: proxy.flights == 0)
    origin.hold("others")
    proxy.age(2)  # the entries are stale
    again = ask()
    await origin.at_gate("others", 4)
    await waiting(proxy, 40)
    origin.release("others")
    assert [reply.body for reply in await answers(again)] == [lang.encode() for lang in languages for _ in range(10)]
    assert origin.hits("/x") == 8
