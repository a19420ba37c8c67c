"""What is explained is what is done next; socket to socket."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import Reply, fetch
from tests.support.origin import Answer, Chunk, Close, Gate, Head, Request, ScriptedOrigin, Step
from tests.support.proxy import settled, until
from tests.support.redis import RedisServer
from txstalecache.edge.explain import Explainer
from txstalecache.edge.limits import EdgeLimits
from txstalecache.flight.limits import Limits
from txstalecache.http.rules import Ranges, Rules
from txstalecache.store import Scope

FRESH = ("Cache-Control", "max-age=60")


async def explained(proxy: Any, target: str, *fields: tuple[str, str], method: bytes = b"GET") -> dict[str, Any]:
    resource = proxy.resource
    explainer = Explainer(resource._routes, proxy.backend, resource.registry, EdgeLimits())
    given = [(name.encode(), value.encode()) for name, value in fields]
    return await explainer.explain(f"http://localhost{target}".encode(), method, given)


async def done(proxy: Any, target: str, *fields: tuple[str, str]) -> tuple[Reply, str, str]:
    reply: Reply = await fetch(proxy.port, "GET", target, list(fields))
    record = proxy.log[-1]
    return reply, record.verdict, record.why


def media(request: Request) -> Answer:
    numbers = ("Content-Range", "bytes 10-19/100")
    return Answer(206, [FRESH, ("ETag", '"1"'), numbers], b"0123456789")


@pytest.mark.parametrize("wanted", ["bytes=10-19", "bytes=12-13", "bytes=10-29"])
@async_test
async def test_a_part_that_is_stored_is_told_of(origin: ScriptedOrigin, make_proxy: Any, wanted: str) -> None:
    origin.handler = media
    proxy = await make_proxy(origin.url, rules=Rules(ranges=Ranges.PART))
    await fetch(proxy.port, "GET", "/film", [("Range", "bytes=10-19")])
    await until(lambda: not proxy.flights)
    said = await explained(proxy, "/film", ("Range", wanted))
    hits = len(origin.requests)
    _, verdict, why = await done(proxy, "/film", ("Range", wanted))
    assert (said["verdict"], said["why"]) == (verdict, why)
    assert (verdict == "fresh") == (len(origin.requests) == hits)


@async_test
async def test_what_is_refused_while_redis_is_away_is_told_of(
    origin: ScriptedOrigin, make_proxy: Any, one_redis_server: RedisServer
) -> None:
    origin.on("/x", Answer(200, [FRESH], b"x"))
    proxy = await make_proxy(origin.url, redis=one_redis_server.url)
    proxy.backend.mode = "protect"
    await fetch(proxy.port, "GET", "/x")
    one_redis_server.kill()
    await until(lambda: proxy.backend.protecting)
    for target, fields in (("/never", ()), ("/x", ()), ("/x", (("Cache-Control", "no-cache"),))):
        said = await explained(proxy, target, *fields)
        reply, verdict, why = await done(proxy, target, *fields)
        assert (said["verdict"], said["why"]) == (verdict, why), (target, fields)
        assert (reply.status == 503) == (said["steps"][-1]["outcome"] == "answered 503")
        assert not [step for step in said["steps"] if step["step"] == "flight"]
        assert b"fwd" not in (reply.field("cache-status") or b"")


@async_test
async def test_a_fetch_in_the_air_is_told_of_where_it_would_be_waited_for(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    def handler(request: Request) -> Answer | list[Step]:
        spoken = request.field("Accept-Language")
        told = [FRESH, ("Vary", "Accept-Language"), ("Content-Length", "2")]
        return Answer(200, told, b"de") if spoken == b"de" else [Gate("head"), Head(200, told), Chunk(b"en")]

    async def outcome(*fields: tuple[str, str]) -> str:
        return str((await explained(proxy, "/x", *fields))["steps"][-1]["outcome"])

    origin.handler = handler
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x", [("Accept-Language", "de")])
    english = fetch(proxy.port, "GET", "/x", [("Accept-Language", "en")])
    await origin.at_gate("head")
    assert await outcome(("Accept-Language", "en")) == "would wait with 1 others for a fetch in the air"
    assert await outcome(("Accept-Language", "fr")) == "would lead a fetch of its own that others may join"
    reload = ("Accept-Language", "en"), ("Cache-Control", "no-cache")
    assert await outcome(*reload) == "would lead a fetch of its own that others may join"
    origin.release("head")
    await settled(english)


@async_test
async def test_where_no_more_may_wait_that_is_told(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", [Gate("go"), Head(200, [FRESH, ("Content-Length", "1")]), Chunk(b"x")])
    proxy = await make_proxy(origin.url, limits=Limits(waiters_per_key=1))
    inside = fetch(proxy.port, "GET", "/x")
    await origin.at_gate("go")
    said = await explained(proxy, "/x")
    reply, verdict, why = await done(proxy, "/x")
    assert (said["verdict"], said["why"]) == (verdict, why) == ("miss", "overflow")
    assert f"answered {reply.status}" == steps(said)["flight"]
    origin.release("go")
    await inside


def steps(said: dict[str, Any]) -> dict[str, str]:
    return {step["step"]: step["outcome"] for step in said["steps"]}


@async_test
async def test_an_answer_that_was_not_stored_is_told_of_until_one_is(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "no-store")], b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    assert steps(await explained(proxy, "/x"))["last answer"].endswith("not stored: no-store")
    origin.on("/x", Answer(200, [FRESH], b"x"))
    await fetch(proxy.port, "GET", "/x")
    assert "last answer" not in steps(await explained(proxy, "/x"))
    await proxy.resource.purge(Scope.everything())
    assert "last answer" not in steps(await explained(proxy, "/x"))


@pytest.mark.parametrize(
    ("rules", "script", "why"),
    [
        (Rules(min_size=10), [Head(200, [FRESH, ("Transfer-Encoding", "chunked")]), Chunk(b"x")], "kept-out"),
        (Rules(), [Head(200, [FRESH, ("Content-Length", "10")]), Chunk(b"x"), Close()], "truncated"),
    ],
)
@async_test
async def test_what_was_not_stored_after_all_is_told_of(
    origin: ScriptedOrigin, make_proxy: Any, rules: Rules, script: list[Step], why: str
) -> None:
    origin.on("/x", script)
    proxy = await make_proxy(origin.url, rules=rules)
    await fetch(proxy.port, "GET", "/x")
    await until(lambda: not proxy.flights)
    assert steps(await explained(proxy, "/x"))["last answer"].endswith(f"not stored: {why}")


@async_test
async def test_a_body_that_is_announced_is_told_of(origin: ScriptedOrigin, make_proxy: Any) -> None:
    proxy = await make_proxy(origin.url, rules=Rules(methods=frozenset({b"GET", b"HEAD", b"POST"})))
    said = await explained(proxy, "/x", ("Content-Length", "1"))
    await fetch(proxy.port, "GET", "/x", [], b"x")
    assert (said["verdict"], said["why"]) == (proxy.log[-1].verdict, proxy.log[-1].why) == ("pass", "body")
    assert "body" in steps(await explained(proxy, "/x", method=b"POST"))
    assert "body" not in steps(await explained(proxy, "/x"))


@async_test
async def test_a_refresh_that_is_not_begun_after_one_that_failed_is_told_of(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=5, stale-while-revalidate=10, stale-if-error=60")], b"x"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", Answer(500))
    proxy.age(6)
    assert "behind" not in steps(await explained(proxy, "/x"))
    await fetch(proxy.port, "GET", "/x")
    await until(lambda: not proxy.flights)
    assert steps(await explained(proxy, "/x"))["behind"].startswith("not begun: a refresh has failed")
    proxy.age(20)
    said = await explained(proxy, "/x")
    hits = len(origin.requests)
    reply, verdict, why = await done(proxy, "/x")
    assert (said["verdict"], said["why"]) == (verdict, why) == ("stale", "error")
    assert len(origin.requests) == hits
    # Nothing went forward.
    assert (reply.field("cache-status") or b"").startswith(b"txstalecache; hit; ttl=-")
    assert proxy.log[-1].role == "hit"
