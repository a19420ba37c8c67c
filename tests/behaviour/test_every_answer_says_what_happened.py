"""``Cache-Status`` (RFC 9211), ``Age``, the seed's ``X-Cache``/``X-Store`` and the access log agree on each answer."""

from __future__ import annotations

from typing import Any

import pytest_twisted

from tests.support.client import fetch
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import settled, until
from txstalecache.http.rules import Rules
from txstalecache.store import Scope

STALE = [("Cache-Control", "max-age=5, stale-while-revalidate=60"), ("Age", "6")]


def told(reply: Any) -> tuple[bytes | None, bytes | None, bytes | None, bytes | None]:
    return reply.field("cache-status"), reply.field("x-cache"), reply.field("x-store"), reply.field("age")


@pytest_twisted.ensureDeferred
async def test_a_miss_then_a_hit(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    proxy = await make_proxy(origin.url)
    assert told(await fetch(proxy.port, "GET", "/x")) == (
        b"txstalecache; fwd=uri-miss; fwd-status=200; stored", b"MISS", b"STORE", None
    )  # fmt: skip
    reply = await fetch(proxy.port, "GET", "/x")
    status, *others = told(reply)
    assert status in (b"txstalecache; hit; ttl=60", b"txstalecache; hit; ttl=59")
    assert others == [b"HIT", b"BYPASS", b"0"]
    assert [(r.verdict, r.why, r.role) for r in proxy.log] == [("miss", "miss", "leader"), ("fresh", "hit", "hit")]
    assert proxy.log[0].wait > 0
    assert proxy.log[1].age is not None


@pytest_twisted.ensureDeferred
async def test_a_stale_answer(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, STALE, b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    status, cache, _, age = told(await fetch(proxy.port, "GET", "/x"))
    assert (status, cache, age) in (
        (b"txstalecache; hit; ttl=-1; detail=swr", b"STALE", b"6"),
        (b"txstalecache; hit; ttl=-2; detail=swr", b"STALE", b"6"),
    )
    await until(lambda: proxy.flights == 0)


@pytest_twisted.ensureDeferred
async def test_an_answer_that_has_only_just_gone_stale_is_told_as_stale(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=5, stale-while-revalidate=60"), ("Age", "5")], b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    status, cache, *_ = told(await fetch(proxy.port, "GET", "/x"))
    assert status is not None and status.startswith(b"txstalecache; hit; ttl=-") and status.endswith(b"; detail=swr")
    assert cache == b"STALE"
    await until(lambda: proxy.flights == 0)


@pytest_twisted.ensureDeferred
async def test_waiters_are_collapsed(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", [Gate("go"), Head(200, [("Cache-Control", "max-age=60"), ("Content-Length", "1")]), Chunk(b"x")])
    proxy = await make_proxy(origin.url)
    waiting = [fetch(proxy.port, "GET", "/x") for _ in range(3)]
    await until(lambda: proxy.resource.registry.waiting == 3)
    origin.release("go")
    statuses = sorted(reply.field("cache-status") for reply in await settled(*waiting))
    assert statuses == [
        b"txstalecache; fwd=uri-miss; fwd-status=200; stored",
        b"txstalecache; fwd=uri-miss; fwd-status=200; stored; collapsed",
        b"txstalecache; fwd=uri-miss; fwd-status=200; stored; collapsed",
    ]


@pytest_twisted.ensureDeferred
async def test_waiters_that_could_not_share_say_why(origin: ScriptedOrigin, make_proxy: Any) -> None:
    private = [Head(200, [("Cache-Control", "private"), ("Content-Length", "1")]), Chunk(b"x")]
    asked = iter([[Gate("go"), *private]])
    origin.on("/x", lambda _: next(asked, private))
    proxy = await make_proxy(origin.url)
    waiting = [fetch(proxy.port, "GET", "/x") for _ in range(3)]
    await until(lambda: proxy.resource.registry.waiting == 3)
    origin.release("go")
    statuses = sorted(reply.field("cache-status") for reply in await settled(*waiting))
    assert statuses == [
        b"txstalecache; fwd=bypass; fwd-status=200; collapsed=?0; detail=private",
        b"txstalecache; fwd=bypass; fwd-status=200; collapsed=?0; detail=private",
        b"txstalecache; fwd=uri-miss; fwd-status=200; detail=private",
    ]
    assert origin.hits("/x") == 3


@pytest_twisted.ensureDeferred
async def test_a_validated_entry(origin: ScriptedOrigin, make_proxy: Any) -> None:
    answers = iter([Answer(200, [("Cache-Control", "no-cache"), ("ETag", '"1"')], b"x")])
    origin.on("/x", lambda _: next(answers, Answer(304, [("ETag", '"1"')])))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    reply = await fetch(proxy.port, "GET", "/x")
    assert reply.body == b"x"
    assert reply.field("cache-status") == b"txstalecache; fwd=stale; fwd-status=304; ttl=0; stored"


@pytest_twisted.ensureDeferred
async def test_ours_comes_after_what_caches_before_us_wrote(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60"), ("Cache-Status", "other; hit")], b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    reply = await fetch(proxy.port, "GET", "/x")
    assert (reply.field("cache-status") or b"").startswith(b"other; hit, txstalecache; hit; ttl=")


@pytest_twisted.ensureDeferred
async def test_passing_and_refusing(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, [], b"x"))
    proxy = await make_proxy(origin.url)
    assert told(await fetch(proxy.port, "POST", "/x"))[:3] == (
        b"txstalecache; fwd=method; fwd-status=200; detail=method", b"BYPASS", b"BYPASS"
    )  # fmt: skip
    reply = await fetch(proxy.port, "GET", "/none", [("Cache-Control", "only-if-cached")])
    assert (reply.status, reply.field("cache-status")) == (504, b"txstalecache; detail=only-if-cached")
    assert origin.hits("/none") == 0


@pytest_twisted.ensureDeferred
async def test_what_was_purged_while_it_was_fetched_is_not_said_to_be_stored(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.on("/x", [Gate("go"), Head(200, [("Cache-Control", "max-age=60"), ("Content-Length", "1")]), Chunk(b"x")])
    proxy = await make_proxy(origin.url)
    waiting = [fetch(proxy.port, "GET", "/x") for _ in range(2)]
    await until(lambda: proxy.resource.registry.waiting == 2)
    proxy.resource.purge(Scope.of_url(b"/x"))
    origin.release("go")
    statuses = sorted(reply.field("cache-status") for reply in await settled(*waiting))
    assert statuses == [
        b"txstalecache; fwd=uri-miss; fwd-status=200; collapsed; detail=kept-out",
        b"txstalecache; fwd=uri-miss; fwd-status=200; detail=kept-out",
    ]


@pytest_twisted.ensureDeferred
async def test_what_is_too_long_to_be_stored_is_not_said_to_be(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"long"))
    proxy = await make_proxy(origin.url, rules=Rules(max_object=3))
    reply = await fetch(proxy.port, "GET", "/x")
    assert reply.field("cache-status") == b"txstalecache; fwd=uri-miss; fwd-status=200; detail=long"
