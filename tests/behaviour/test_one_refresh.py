"""However many clients meet a stale entry, in however many processes: one refresh."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from tests.support.client import fetch
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import settled, until

STALE = [("Cache-Control", "max-age=5, stale-while-revalidate=60"), ("Age", "6"), ("ETag", '"v1"')]


@pytest_twisted.ensureDeferred
async def test_a_crowd_on_a_stale_entry_is_one_refresh(origin: ScriptedOrigin, make_proxy: Any) -> None:
    answers = iter([Answer(200, STALE, b"old")])
    origin.on("/x", lambda _: next(answers, [Gate("go"), Head(200, [("Content-Length", "3")]), Chunk(b"new")]))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(50)])
    assert {reply.body for reply in replies} == {b"old"}
    await origin.at_gate("go")
    assert proxy.flights == 1
    assert origin.hits("/x") == 2
    origin.release("go")
    await until(lambda: proxy.flights == 0)


@pytest_twisted.ensureDeferred
async def test_two_proxies_on_one_redis_refresh_once(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    answers = iter([Answer(200, STALE, b"old")])
    fresh = [Gate("go"), Head(200, [("Content-Length", "3"), ("Cache-Control", "max-age=60")]), Chunk(b"new")]
    origin.on("/x", lambda _: next(answers, fresh))
    one = await make_proxy(origin.url, redis=redis_server.url)
    two = await make_proxy(origin.url, redis=redis_server.url)
    await fetch(one.port, "GET", "/x")
    await one.backend.store.flush()
    ports = [one.port, two.port] * 10
    replies = await settled(*[fetch(port, "GET", "/x") for port in ports])
    assert {reply.body for reply in replies} == {b"old"}
    await origin.at_gate("go")
    await until(lambda: one.flights + two.flights == 1)
    assert origin.hits("/x") == 2
    origin.release("go")
    await until(lambda: one.flights + two.flights == 0)


@pytest_twisted.ensureDeferred
async def test_a_refresh_asks_whether_the_entry_holds_and_says_nothing_of_the_client(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    answers = iter([Answer(200, STALE, b"old"), Answer(304, [("Cache-Control", "max-age=60"), ("ETag", '"v1"')])])
    origin.on("/x", lambda _: next(answers))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    # A client with a Cookie may have an answer that the origin has declared to be for everybody.
    reply = await fetch(
        proxy.port, "GET", "/x", [("Cookie", "who=me"), ("Range", "bytes=0-0"), ("If-None-Match", '"other"')]
    )
    assert (reply.status, reply.body) == (206, b"o")
    await until(lambda: origin.hits("/x") == 2 and proxy.flights == 0)
    refresh = origin.requests[-1]
    assert refresh.field("if-none-match") == b'"v1"'
    assert not {b"cookie", b"range", b"authorization"} & {name.lower() for name, _ in refresh.fields}
    reply = await fetch(proxy.port, "GET", "/x")
    assert (reply.body, origin.hits("/x")) == (b"old", 2)


@pytest_twisted.ensureDeferred
async def test_a_failed_refresh_keeps_the_entry_and_backs_off(origin: ScriptedOrigin, make_proxy: Any) -> None:
    answers = iter([Answer(200, STALE, b"old")])
    origin.on("/x", lambda _: next(answers, Answer(503, [], b"sorry")))
    proxy = await make_proxy(origin.url)
    for _ in range(10):
        reply = await fetch(proxy.port, "GET", "/x")
        assert (reply.status, reply.body) == (200, b"old")
        await until(lambda: proxy.flights == 0)
    assert origin.hits("/x") == 2


@pytest_twisted.ensureDeferred
async def test_a_head_request_that_meets_a_stale_entry_has_the_whole_of_it_renewed(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    answers = iter([Answer(200, STALE, b"old")])
    origin.on("/x", lambda _: next(answers, Answer(200, [("Cache-Control", "max-age=60")], b"new")))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    reply = await fetch(proxy.port, "HEAD", "/x")
    assert (reply.status, reply.field("content-length")) == (200, b"3")
    await until(lambda: origin.hits("/x") == 2 and proxy.flights == 0)
    assert origin.requests[-1].method == b"GET"
    assert (await fetch(proxy.port, "GET", "/x")).body == b"new"


@pytest.mark.parametrize("redis", ["memory", "embedded"])
@pytest_twisted.ensureDeferred
async def test_what_is_known_not_to_be_shared_is_not_refreshed(
    origin: ScriptedOrigin, make_proxy: Any, redis: str
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "private")], b"for one"))
    proxy = await make_proxy(origin.url, redis=redis)
    await fetch(proxy.port, "GET", "/x")
    await proxy.resource.refresh(b"http://%b/x" % proxy.log[0].host)
    await until(lambda: proxy.flights == 0)
    assert origin.hits("/x") == 1
