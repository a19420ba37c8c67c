"""What a route's own code raises, or gives that makes no sense, costs its requests their place in the cache, no more:
each is answered, nobody waits for ever, no lease is left."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.test_chaos import leases
from tests.support.async_test import async_test
from tests.support.client import connect, fetch
from tests.support.origin import Answer, Gate, Head, ScriptedOrigin
from tests.support.proxy import settled, until
from tests.support.redis import RedisServer
from txstalecache import CacheResource, CacheSite
from txstalecache.flight.hooks import Hooks

KEPT = ("Cache-Control", "max-age=60")


class Broken(Exception):
    """What a hook may raise."""


def raises(*_: object) -> Any:
    raise Broken


def leaves(*_: object) -> Any:
    sys.exit(1)


def interrupts(*_: object) -> Any:
    raise TimeoutError


async def later(*_: object) -> Any:
    return False


HOOKS: dict[str, Hooks] = {
    "key": Hooks(key=raises),
    "key is no bytes": Hooks(key=lambda request: "text"),  # type: ignore[arg-type,return-value]
    "key is a number": Hooks(key=lambda request: 3),  # type: ignore[arg-type,return-value]
    "storable": Hooks(storable=raises),
    "storable has to be waited for": Hooks(storable=later),  # type: ignore[arg-type]
    "before_store is a Deferred": Hooks(before_store=lambda request, entry: Deferred()),  # type: ignore[arg-type,return-value]
    "ttl": Hooks(ttl=raises),
    "ttl is no number": Hooks(ttl=lambda request, response: "soon"),  # type: ignore[arg-type,return-value]
    "tags": Hooks(tags=raises),
    "tags are none": Hooks(tags=lambda request, response: 5),  # type: ignore[arg-type,return-value]
    "tags are one text": Hooks(tags=lambda request, response: "blue"),  # type: ignore[arg-type,return-value]
    "tags are one tag": Hooks(tags=lambda request, response: b"blue"),  # type: ignore[arg-type,return-value]
    "before_store": Hooks(before_store=raises),
    "before_store gives no entry": Hooks(before_store=lambda request, entry: 42),  # type: ignore[arg-type,return-value]
    "another kind of exception": Hooks(storable=interrupts),
    "wants to leave, before": Hooks(key=leaves),
    "wants to leave": Hooks(storable=leaves),
    "wants to leave, after": Hooks(before_store=leaves),
}


@pytest.mark.parametrize("hooks", HOOKS.values(), ids=HOOKS)
@async_test
async def test_a_hook_that_fails_leaves_everybody_answered_and_nothing_stored(
    hooks: Hooks, origin: ScriptedOrigin, make_proxy: Any, one_redis_server: RedisServer, logged_failures: Any
) -> None:
    origin.on("/x", [Gate("go"), Head(200, [KEPT, ("Content-Length", "0")])])
    origin.on("/other", Answer(200, [KEPT], b"fine"))
    proxy = await make_proxy(origin.url, redis=one_redis_server.url, hooks=hooks)
    crowd = [fetch(proxy.port, "GET", "/x") for _ in range(10)]
    await origin.arrived(1)
    origin.release("go")
    assert {reply.status for reply in await settled(*crowd)} == {200}
    before = origin.hits("/x")
    assert (await fetch(proxy.port, "GET", "/x")).status == 200
    assert origin.hits("/x") > before, "stored all the same"
    await until(lambda: not proxy.flights)
    assert not proxy.resource.registry.waiting and not proxy.resource.registry.held
    await until(lambda: not leases(one_redis_server), 3)
    assert (await fetch(proxy.port, "GET", "/other")).body == b"fine"
    assert logged_failures.flush(Broken, RuntimeError, TypeError, ValueError, TimeoutError)


@pytest.mark.parametrize("name", ["tags", "before_store"])
@async_test
async def test_a_hook_that_gives_something_else_is_told_apart_in_the_log(
    name: str, origin: ScriptedOrigin, make_proxy: Any, logged_failures: Any
) -> None:
    wrong: Any = {name: lambda *_: "blue"}
    origin.handler = Answer(200, [KEPT], b"fine")
    proxy = await make_proxy(origin.url, hooks=Hooks(**wrong))
    assert (await fetch(proxy.port, "GET", "/x")).body == b"fine"
    await until(lambda: not proxy.flights)
    (told,) = logged_failures.flush(TypeError)
    assert told.getErrorMessage().startswith(f"the {name} hook gave str")


@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "no fast lane"])
@async_test
async def test_a_log_that_raises_costs_nobody_an_answer(
    fast_lane: bool, origin: ScriptedOrigin, logged_failures: Any
) -> None:
    """Miss, hits on the same connection, what is refused, what passes."""
    from twisted.internet import reactor

    anything: Any = reactor
    origin.handler = Answer(200, [KEPT], b"fine")
    resource = CacheResource(origin.url, log=raises)
    site = CacheSite(resource, anything, refused=raises, fast_lane=fast_lane)
    listening = anything.listenTCP(0, site, interface="127.0.0.1")
    connection = await connect(listening.getHost().port)
    for _ in range(4):
        reply = await connection.request("GET", "/x")
        assert (reply.status, reply.body) == (200, b"fine")
    assert (await connection.request("POST", "/x", body=b"y")).status == 200
    assert (await connection.request("GET", "/x", [("Via", "1.1 txstalecache")])).status == 508
    connection.send(b"GET / HTTP/1.1\r\n\r\n")
    await connection.lost
    assert b"HTTP/1.1 400 " in bytes(connection.received)
    assert origin.hits("/x") == 2
    assert not resource.registry.flights and not resource.registry.waiting
    assert len(logged_failures.flush(Broken)) == 7
    await listening.stopListening()
    await resource.close()
