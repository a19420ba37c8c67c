"""Somebody sets the host's clock by an hour: ages stay true, and deadlines as long as they are."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import connect, fetch, open_exchange
from tests.support.origin import Answer, Gate, Head, ScriptedOrigin
from tests.support.proxy import later, settled
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow

HOUR = 3600.0
KEPT = ("Cache-Control", "max-age=60, stale-while-revalidate=60")


@pytest.mark.parametrize("step", [HOUR, -HOUR], ids=["ahead", "back"])
@async_test
async def test_a_clock_that_is_set_changes_no_age_and_no_deadline(
    step: float, origin: ScriptedOrigin, watched: Any, one_redis_server: RedisServer
) -> None:
    origin.on("/x", Answer(200, [KEPT], b"kept"))
    origin.on("/held", [Gate("go"), Head(200, [KEPT, ("Content-Length", "0")])])
    origin.on("/hung", [Gate("never"), Head(200, [("Content-Length", "0")])])
    proxy = await watched("--origin", origin.url, "--redis", one_redis_server.url, "--wait-deadline", "3").ready()
    await fetch(proxy.port, "GET", "/x")
    before = await proxy.ask()
    standing = await connect(proxy.port)
    await standing.request("GET", "/x")
    held = fetch(proxy.port, "GET", "/held")
    leader = open_exchange(proxy.port, "GET", "/hung")
    await origin.arrived(3)
    hung = fetch(proxy.port, "GET", "/hung")

    after = await proxy.ask(f"wall {step}")
    assert 0 <= after["now"] - before["now"] < 30
    origin.release("go")
    assert (await held).status == 200, "no deadline has passed because the clock was set"
    asked = time.monotonic()
    assert (await hung).status == 504, "and none has moved out of reach"
    leader.abort()
    assert time.monotonic() - asked < 20
    for reply in (await standing.request("GET", "/x"), await fetch(proxy.port, "GET", "/x")):
        assert (reply.status, reply.body) == (200, b"kept")
        assert 0 <= int(reply.field("age") or -1) < 30
        assert abs(parsedate_to_datetime((reply.field("date") or b"").decode()).timestamp() - time.time()) < 30
    assert origin.hits("/x") == 1
    await standing.close()
    assert await proxy.leave() == 0
    assert b"Traceback" not in proxy.errors


@async_test
async def test_hosts_whose_clocks_are_two_hours_apart_agree_on_what_is_stale(
    origin: ScriptedOrigin, watched: Any, one_redis_server: RedisServer
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=2, stale-while-revalidate=60")], b"kept"))
    ahead, behind = await settled(
        *[
            _ready(watched("--origin", origin.url, "--redis", one_redis_server.url, ceilings={"wall": shift}))
            for shift in (int(HOUR), -int(HOUR))
        ]
    )
    assert abs((await ahead.ask())["now"] - (await behind.ask())["now"]) < 1
    await fetch(ahead.port, "GET", "/x")
    stored = time.monotonic()
    while not origin.hits("/x") > 1 and time.monotonic() - stored < 10:
        for proxy in (ahead, behind):
            reply = await fetch(proxy.port, "GET", "/x")
            age = int(reply.field("age") or -1)
            assert reply.status == 200
            if origin.hits("/x") == 1:
                assert -0.1 <= age <= time.monotonic() - stored + 1
        await later(0.1)
    assert origin.hits("/x") > 1, "stale for nobody"
    assert time.monotonic() - stored > 1.5


def _ready(proxy: Any) -> Any:
    from twisted.internet.defer import Deferred

    return Deferred.fromCoroutine(proxy.ready())
