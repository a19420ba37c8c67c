"""Every line of the seed's synopsis, as a route."""

from __future__ import annotations

from typing import Any

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache.config.toml import Configuration

FILE = """
[upstream.www]
servers = ["{origin}"]

[[route]]
match = {{ prefix = "/api" }}
key = "$http_user_agent|$uri"
ttl = "{ttl}"
stale = 100
persist = "1h"
wait_deadline = 3
refresh = "X-Skip-Fetch: TRUE"
trusted = "127.0.0.1"
{more}
"""


def routed(origin: ScriptedOrigin, more: str = "", ttl: str = "60s") -> dict[str, Any]:
    """What ``make_proxy`` takes: the file's first route."""
    route = Configuration.parse(FILE.format(origin=origin.url, more=more, ttl=ttl)).routes[0]
    names = [name for name in type(route).__slots__ if name not in ("match", "name", "upstream")]
    return {name: getattr(route, name) for name in names}


def counting(origin: ScriptedOrigin, fields: Any = ()) -> None:
    numbers = iter(range(1, 1000))
    origin.handler = lambda request: Answer(200, fields, b"%d" % next(numbers))


@async_test
async def test_the_key_is_user_agent_and_path_and_the_ttl_is_forced(origin: ScriptedOrigin, make_proxy: Any) -> None:
    counting(origin)
    proxy = await make_proxy(origin.url, **routed(origin))
    one = await fetch(proxy.port, "GET", "/api?a", [("User-Agent", "x")])
    assert (one.body, one.field("x-cache"), one.field("x-store")) == (b"1", b"MISS", b"STORE")
    two = await fetch(proxy.port, "GET", "/api?b", [("User-Agent", "x")])
    assert (two.body, two.field("x-cache")) == (b"1", b"HIT")
    assert (await fetch(proxy.port, "GET", "/api?a", [("User-Agent", "y")])).body == b"2"
    assert origin.requests[0].field("user-agent") == b"x"


@async_test
async def test_stale_is_sent_at_once_and_refreshed_once(origin: ScriptedOrigin, make_proxy: Any) -> None:
    counting(origin)
    proxy = await make_proxy(origin.url, **routed(origin, ttl="50ms"))
    await fetch(proxy.port, "GET", "/api")
    await later(0.1)
    replies = await settled(*[fetch(proxy.port, "GET", "/api") for _ in range(5)])
    assert {reply.body for reply in replies} == {b"1"}
    assert {reply.field("x-cache") for reply in replies} == {b"STALE"}
    await until(lambda: proxy.flights == 0)
    assert origin.hits("/api") == 2


@async_test
async def test_who_is_trusted_skips_the_fetch_and_renews_the_entry(origin: ScriptedOrigin, make_proxy: Any) -> None:
    counting(origin)
    proxy = await make_proxy(origin.url, **routed(origin))
    await fetch(proxy.port, "GET", "/api")
    skipping = await fetch(proxy.port, "GET", "/api", [("X-Skip-Fetch", "TRUE")])
    assert (skipping.body, skipping.field("x-store")) == (b"2", b"STORE")
    assert (await fetch(proxy.port, "GET", "/api")).body == b"2"
    assert (await fetch(proxy.port, "GET", "/api", [("X-Skip-Fetch", "FALSE")])).body == b"2"
    assert origin.requests[-1].field("x-skip-fetch") is None


@async_test
async def test_who_is_not_trusted_skips_nothing(origin: ScriptedOrigin, make_proxy: Any) -> None:
    counting(origin)
    options = routed(origin)
    options["trusted"] = ()
    proxy = await make_proxy(origin.url, **options)
    await fetch(proxy.port, "GET", "/api")
    assert (await fetch(proxy.port, "GET", "/api", [("X-Skip-Fetch", "TRUE")])).body == b"1"


@async_test
async def test_a_bypass_stores_nothing(origin: ScriptedOrigin, make_proxy: Any) -> None:
    counting(origin)
    proxy = await make_proxy(origin.url, **routed(origin, 'bypass = "X-Debug"'))
    assert (await fetch(proxy.port, "GET", "/api", [("X-Debug", "1")])).field("x-store") == b"BYPASS"
    assert (await fetch(proxy.port, "GET", "/api")).body == b"2"


@async_test
async def test_persist_keeps_what_could_not_be_refreshed(origin: ScriptedOrigin, make_proxy: Any) -> None:
    counting(origin)
    options = routed(origin, ttl="30ms")
    proxy = await make_proxy(origin.url, **{**options, "rules": _with(options["rules"], stale=0.03)})
    await fetch(proxy.port, "GET", "/api")
    await later(0.15)
    await origin.close()
    reply = await fetch(proxy.port, "GET", "/api")
    assert (reply.status, reply.body) == (200, b"1")


def _with(rules: Any, **changes: Any) -> Any:
    from dataclasses import replace

    return replace(rules, **changes)
