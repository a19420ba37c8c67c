"""Every setting of the seed, through a running proxy: ``examples/seed.toml`` itself, its addresses and single lines
changed. ``docs/migrating.rst`` names the test of each line."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.support.async_test import async_test
from tests.support.client import Reply, fetch
from tests.support.configured import Configured
from tests.support.origin import Answer, Gate, Head, Request, ScriptedOrigin
from tests.support.proxy import later, settled, until
from tests.support.redis import RedisServer

Run = Callable[[str], Awaitable[Configured]]

EXAMPLE = Path(__file__).parents[2] / "examples/seed.toml"


def seed(origin: ScriptedOrigin, redis: str = "memory", **changes: str) -> str:
    """The example in front of ``origin``; ``changes`` are settings of its first route, as they are written. It is an
    hour's ttl that holds where a test says nothing else."""
    text = EXAMPLE.read_text()
    text = text.replace("http://127.0.0.1:9999", origin.url).replace("redis://127.0.0.1:6379", redis)
    for name, value in {"ttl": '"1h"', **changes}.items():
        text, found = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value}", text)
        if not found:
            text = text.replace("[[route]]\n", f"[[route]]\n{name} = {value}\n", 1)
    return text


def counting(origin: ScriptedOrigin, fields: Any = (), status: int = 200) -> None:
    """The first answer says 1, the next one 2."""
    numbers = iter(range(1, 1000))
    origin.handler = lambda request: Answer(status, fields, b"%d" % next(numbers))


async def get(proxy: Configured, target: str = "/api", *fields: tuple[str, str]) -> Reply:
    return await fetch(proxy.port, "GET", target, fields)


def said(reply: Reply) -> tuple[bytes, bytes | None, bytes | None]:
    """Body, X-Cache and X-Store."""
    return reply.body, reply.field("x-cache"), reply.field("x-store")


# -- what identifies an answer, how long it is fresh, how long stale ---------------------------------------------------


@async_test
async def test_cache_key_is_user_agent_and_path(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin))
    assert (await get(proxy, "/api?a", ("User-Agent", "x"))).body == b"1"
    assert (await get(proxy, "/api?b", ("User-Agent", "x"))).body == b"1"
    assert (await get(proxy, "/api?a", ("User-Agent", "y"))).body == b"2"
    # What is in the key goes to the origin, or its answer would be another's.
    assert [request.field("user-agent") for request in origin.requests] == [b"x", b"y"]


@async_test
async def test_exptime_is_ttl_and_stale_and_redis_is_told_their_sum(
    origin: ScriptedOrigin, configured: Run, one_redis_server: RedisServer
) -> None:
    counting(origin)
    proxy = await configured(seed(origin, one_redis_server.url, ttl="5"))
    await get(proxy)
    left = await expiry(one_redis_server)
    assert 100 < left <= 105


async def expiry(server: RedisServer) -> float:
    """The seconds that Redis keeps the one entry, once there is one."""
    await until(lambda: bool(server.command("KEYS", "*:e")))
    (name,) = server.command("KEYS", "*:e")
    return float(server.command("PTTL", name)) / 1000


@async_test
async def test_cache_ttl_an_answer_is_fresh_for_as_long_whatever_the_origin_says(
    origin: ScriptedOrigin, configured: Run
) -> None:
    counting(origin, [("Cache-Control", "max-age=0"), ("Expires", "0")])
    proxy = await configured(seed(origin, ttl='"10s"'))
    assert said(await get(proxy)) == (b"1", b"MISS", b"STORE")
    assert (await get(proxy)).field("x-cache") == b"HIT"
    proxy.age(11)
    assert (await get(proxy)).field("x-cache") == b"STALE"


@async_test
async def test_cache_stale_is_sent_at_once_and_refreshed_once(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin, ttl='"10s"'))
    await get(proxy)
    proxy.age(11)
    origin.handler = lambda request: [Gate("slow"), Head(200, [("Content-Length", "0")])]
    replies = await settled(*[fetch(proxy.port, "GET", "/api") for _ in range(5)])
    assert {said(reply)[:2] for reply in replies} == {(b"1", b"STALE")}
    await origin.at_gate("slow")
    origin.release("slow")
    await until(lambda: proxy.flights == 0)
    assert origin.hits("/api") == 2
    assert (await get(proxy)).body == b""


@async_test
async def test_past_ttl_and_stale_there_is_nothing_left(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin, ttl='"10s"', stale='"10s"'))
    await get(proxy)
    proxy.age(21)
    assert said(await get(proxy)) == (b"2", b"MISS", b"STORE")


# -- persist -----------------------------------------------------------------------------------------------------------

SHORT = {"ttl": '"10s"', "stale": '"20s"'}


@async_test
async def test_cache_persist_what_is_being_refreshed_does_not_expire_until_a_refresh_succeeds(
    origin: ScriptedOrigin, configured: Run, one_redis_server: RedisServer
) -> None:
    counting(origin)
    proxy = await configured(seed(origin, one_redis_server.url, **SHORT))
    await get(proxy)
    assert await expiry(one_redis_server) <= 30
    origin.handler = lambda request: [Gate("slow"), Head(503, [("Content-Length", "0")])]
    proxy.age(15)
    assert (await get(proxy)).field("x-cache") == b"STALE"
    await origin.at_gate("slow")
    for _ in range(500):
        if await expiry(one_redis_server) > 80_000:
            break
        await later(0.01)
    assert 80_000 < await expiry(one_redis_server) <= 86_400.3
    proxy.age(20)
    # Past ttl and stale, while the refresh takes its time, and after it has failed.
    assert said(await get(proxy))[:2] == (b"1", b"STALE")
    origin.release("slow")
    await until(lambda: proxy.flights == 0)
    assert said(await get(proxy))[:2] == (b"1", b"STALE")
    # The next refresh succeeds, once its back-off has passed; then it is as it was at first.
    counting(origin)
    origin.handler = Answer(200, [], b"new")
    for _ in range(400):
        if (await get(proxy)).body == b"new":
            break
        await later(0.02)
    assert (await get(proxy)).body == b"new"
    assert await expiry(one_redis_server) <= 30


@async_test
async def test_without_persist_what_is_being_refreshed_does_expire(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin, persist="false", **SHORT))
    await get(proxy)
    origin.handler = Answer(503, [], b"")
    proxy.age(15)
    assert (await get(proxy)).field("x-cache") == b"STALE"
    proxy.age(20)
    assert (await get(proxy)).status == 503


@async_test
async def test_persist_ends_with_keep_and_does_nothing_for_what_nobody_asks_for(
    origin: ScriptedOrigin, configured: Run
) -> None:
    counting(origin)
    proxy = await configured(seed(origin, ttl='"10s"', stale='"50s"', keep='"90s"'))
    await get(proxy, "/api/asked")
    await get(proxy, "/api/alone")
    origin.handler = Answer(503, [], b"")
    proxy.age(20)
    assert (await get(proxy, "/api/asked")).field("x-cache") == b"STALE"
    proxy.age(50)
    assert (await get(proxy, "/api/alone")).status == 503
    assert (await get(proxy, "/api/asked")).field("x-cache") == b"STALE"
    proxy.age(50)
    assert (await get(proxy, "/api/asked")).status == 503


# -- methods, statuses, sizes, fields, lifetimes --------------------------------------------------------------------


@async_test
async def test_cache_methods_are_answered_from_the_cache_and_no_others(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin))
    for _ in range(2):
        await get(proxy)
    assert (await fetch(proxy.port, "HEAD", "/api")).field("x-cache") == b"HIT"
    for _ in range(2):
        assert (await fetch(proxy.port, "POST", "/api", body=b"q")).field("x-cache") == b"BYPASS"
    wider = await configured(seed(origin, methods='["GET", "POST"]'))
    await fetch(wider.port, "POST", "/api", body=b"q")
    assert (await fetch(wider.port, "POST", "/api", body=b"q")).field("x-cache") == b"HIT"
    assert (await fetch(wider.port, "POST", "/api", body=b"r")).field("x-cache") == b"MISS"
    assert (await fetch(wider.port, "HEAD", "/api")).field("x-cache") == b"BYPASS"


@async_test
async def test_srcache_store_statuses(origin: ScriptedOrigin, configured: Run) -> None:
    origin.handler = lambda request: Answer(int(request.path[-3:]), [("Location", "/x")], b"")
    proxy = await configured(seed(origin, statuses="{ 404 = 60 }"))
    stored = {}
    for status in (200, 301, 302, 404, 403, 500):
        await get(proxy, f"/api/{status}")
        stored[status] = (await get(proxy, f"/api/{status}")).field("x-cache") == b"HIT"
    assert stored == {200: True, 301: True, 302: True, 404: True, 403: False, 500: False}


@async_test
async def test_srcache_store_max_size(origin: ScriptedOrigin, configured: Run) -> None:
    origin.handler = lambda request: Answer(200, [], b"x" * int(request.path[5:]))
    proxy = await configured(seed(origin, max_object='"1K"'))
    for size, second in ((1024, b"HIT"), (1025, b"MISS")):
        await get(proxy, f"/api/{size}")
        reply = await get(proxy, f"/api/{size}")
        assert (len(reply.body), reply.field("x-cache")) == (size, second)


@async_test
async def test_srcache_store_hide_and_pass_header(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin, [("X-Inner", "1"), ("X-Outer", "2"), ("Keep-Alive", "timeout=5")])
    proxy = await configured(seed(origin, hide='["X-Inner"]'))
    for cache in (b"MISS", b"HIT"):
        reply = await get(proxy)
        assert reply.field("x-cache") == cache
        assert [reply.field(name) for name in ("x-inner", "x-outer", "keep-alive")] == [None, b"2", None]


@async_test
async def test_srcache_default_expire_is_for_those_that_say_nothing(origin: ScriptedOrigin, configured: Run) -> None:
    origin.on("/api/silent", Answer(200, [], b""))
    origin.on("/api/says", Answer(200, [("Cache-Control", "max-age=0")], b""))
    text = re.sub(r"(?m)^(ttl|stale|persist) = .*$", "", seed(origin, default_ttl="60"))
    proxy = await configured(text)
    for _ in range(2):
        silent, says = await get(proxy, "/api/silent"), await get(proxy, "/api/says")
    assert (silent.field("x-cache"), says.field("x-cache")) == (b"HIT", b"MISS")


@async_test
async def test_srcache_max_expire_cuts_what_the_origin_says(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin, [("Cache-Control", "max-age=1000")])
    text = re.sub(r"(?m)^(ttl|stale|persist) = .*$", "", seed(origin, max_ttl="10"))
    proxy = await configured(text)
    await get(proxy)
    found = re.search(rb"ttl=(\d+)", (await get(proxy)).field("cache-status") or b"")
    assert found is not None and 8 <= int(found[1]) <= 10


@async_test
async def test_srcache_ignore_content_encoding_each_coding_is_a_variant(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = lambda request: Answer(
        200, [("Vary", "Accept-Encoding")], request.field("accept-encoding") or b"plain"
    )
    proxy = await configured(seed(origin, encodings='["gzip"]'))
    for _ in range(2):
        for accepts, body in (("br, gzip", b"gzip"), ("gzip;q=0.1", b"gzip"), ("br", b"plain")):
            assert (await get(proxy, "/api", ("Accept-Encoding", accepts))).body == body
    assert origin.hits() == 2


# -- what is not fetched from the cache, what is not stored ------------------------------------------------------------


@async_test
async def test_cache_skip_fetch_fetches_anew_and_stores(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin))
    await get(proxy)
    assert said(await get(proxy, "/api", ("X-Skip-Fetch", "TRUE"))) == (b"2", b"MISS", b"STORE")
    assert (await get(proxy)).body == b"2"
    assert (await get(proxy, "/api", ("X-Skip-Fetch", "FALSE"))).body == b"2"
    assert origin.requests[-1].field("x-skip-fetch") is None


@async_test
async def test_cache_skip_fetch_is_not_for_everybody(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin, trusted='["10.0.0.0/8"]', bypass='"X-Debug"'))
    for fields in ((), (("X-Skip-Fetch", "TRUE"),), (("X-Debug", "1"),)):
        assert (await get(proxy, "/api", *fields)).body == b"1"


@async_test
async def test_srcache_store_skip_stores_nothing(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin, bypass='"X-Debug"'))
    assert said(await get(proxy, "/api", ("X-Debug", "1"))) == (b"1", b"BYPASS", b"BYPASS")
    assert said(await get(proxy)) == (b"2", b"MISS", b"STORE")


@async_test
async def test_srcache_store_ranges_parts_are_answered_from_the_whole(origin: ScriptedOrigin, configured: Run) -> None:
    origin.handler = Answer(200, [], b"0123456789")
    proxy = await configured(seed(origin))
    for _ in range(2):
        reply = await get(proxy, "/api", ("Range", "bytes=2-4"))
        assert (reply.status, reply.body) == (206, b"234")
    assert (await get(proxy)).body == b"0123456789"
    assert [request.field("range") for request in origin.requests] == [None]


@async_test
async def test_srcache_request_cache_control_no_cache_and_no_store(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(seed(origin))
    assert (await get(proxy)).body == b"1"
    assert (await get(proxy, "/api", ("Cache-Control", "no-cache"))).body == b"2"
    assert (await get(proxy, "/api", ("Pragma", "no-cache"))).body == b"3"
    assert (await get(proxy)).body == b"3"
    assert (await get(proxy, "/api", ("Cache-Control", "no-store"))).body == b"4"
    assert (await get(proxy)).body == b"3"


@async_test
async def test_srcache_response_cache_control_store_private_and_no_store(
    origin: ScriptedOrigin, configured: Run
) -> None:
    def answer(request: Request) -> Answer:
        return Answer(200, [("Cache-Control", request.path[5:])], b"")

    origin.handler = answer
    stored = {}
    for honoured in ("true", "false"):
        proxy = await configured(seed(origin, honour_cache_control=honoured))
        for control in ("private", "no-store", "no-cache"):
            await get(proxy, f"/api/{control}")
            stored[control, honoured] = (await get(proxy, f"/api/{control}")).field("x-cache") == b"HIT"
    assert {which for which, hit in stored.items() if hit} == {("no-store", "false"), ("no-cache", "false")}


@async_test
async def test_x_cache_and_x_store_say_what_happened(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    shown, hidden = await configured(seed(origin)), await configured(seed(origin, show_outcome="false"))
    assert [said(await get(shown))[1:] for _ in range(2)] == [(b"MISS", b"STORE"), (b"HIT", b"BYPASS")]
    assert [said(await get(hidden))[1:] for _ in range(2)] == [(None, None)] * 2


# -- the lock times ----------------------------------------------------------------------------------------------------


def held(origin: ScriptedOrigin) -> None:
    """The first request is answered when the gate "first" is released, others at once."""
    numbers = iter(range(1, 1000))

    def answer(request: Request) -> Any:
        number = b"%d" % next(numbers)
        if number == b"1":
            return [Gate("first"), Head(200, [("Content-Length", "5")])]
        return Answer(200, [], number)

    origin.handler = answer


@async_test
async def test_srcache_locks_one_request_fetches_and_the_others_wait_for_it(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])]
    proxy = await configured(seed(origin))
    waiting = [fetch(proxy.port, "GET", "/api") for _ in range(20)]
    await origin.at_gate("go")
    await until(lambda: proxy.service._resource.registry.waiting == 20)
    origin.release("go")
    assert {reply.status for reply in await settled(*waiting)} == {200}
    assert origin.hits() == 1


@async_test
async def test_cache_lock_timeout_who_has_waited_that_long_gets_504_or_passes(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])]
    late = {"wait_deadline": '"200ms"', "leader_age": '"10s"'}
    proxy = await configured(seed(origin, **late))
    leader = fetch(proxy.port, "GET", "/api")
    await origin.at_gate("go")
    replies = await settled(*[fetch(proxy.port, "GET", "/api") for _ in range(3)])
    assert {reply.status for reply in replies} == {504}
    assert origin.hits() <= 2
    origin.release("go")
    assert (await leader).status == 200  # it did not wait for a lock
    origin.hold("go")
    passing = await configured(seed(origin, late='"pass"', **late))
    first = fetch(passing.port, "GET", "/api/p")
    await origin.at_gate("go")
    origin.handler = Answer(200, [], b"alone")
    assert (await fetch(passing.port, "GET", "/api/p")).body == b"alone"
    origin.release("go")
    await first


@async_test
async def test_cache_lock_exptime_a_fetch_without_progress_gets_one_rival(
    origin: ScriptedOrigin, configured: Run
) -> None:
    held(origin)
    proxy = await configured(seed(origin, leader_age='"100ms"', wait_deadline='"20s"'))
    # 5 s is what holds where nothing is said.
    replies = await settled(*[fetch(proxy.port, "GET", "/api", timeout=4) for _ in range(3)])
    assert {reply.body for reply in replies} == {b"2"}
    assert origin.hits() == 2
    origin.release("first")


@async_test
async def test_cache_lock_timeout_wait_who_has_waited_that_long_gets_what_is_stale(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = Answer(200, [("ETag", '"1"')], b"old")
    # Stale for those who wait, not for those who have just come.
    proxy = await configured(
        seed(
            origin,
            ttl='"10s"',
            stale="0",
            stale_if_error="100",
            wait_stale='"100ms"',
            wait_deadline='"30s"',
            leader_age='"30s"',
        )
    )
    await get(proxy)
    proxy.age(11)
    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])]
    reply = await fetch(proxy.port, "GET", "/api", timeout=10)
    assert said(reply)[:2] == (b"old", b"STALE")
    assert origin.hits() == 2
    origin.release("go")
    await until(lambda: proxy.flights == 0)


@async_test
async def test_cache_backend_lock_timeout_a_failed_refresh_is_not_tried_again_at_once(
    origin: ScriptedOrigin, configured: Run, one_redis_server: RedisServer
) -> None:
    counting(origin)
    proxy = await configured(seed(origin, one_redis_server.url, ttl='"10s"'))
    await get(proxy)
    proxy.age(11)
    origin.handler = Answer(503, [], b"")
    for _ in range(5):  # all within the second that the back-off lasts at least
        assert said(await get(proxy))[:2] == (b"1", b"STALE")
        await until(lambda: proxy.flights == 0)
    assert origin.hits() == 2
