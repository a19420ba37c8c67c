"""What a file says of the process and of limits is what happens: a proxy started from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.configured import Configured
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import until
from tests.support.redis import RedisServer

Run = Callable[[str], Awaitable[Configured]]


def in_front_of(origin: ScriptedOrigin, process: str) -> str:
    return f'{process}\n[upstream.www]\nservers = "{origin.url}"\n'


@async_test
async def test_its_name_its_memory_and_its_limits_are_those_it_was_told(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], b"x")
    process = (
        '[proxy]\nname = "edge-1"\nmemory = "2M"\nmax_upload = "1K"\n'
        '[limits]\nhead = "1K"\nfields = 20\nflights = 1\nretry_after = 7\n'
    )
    proxy = await configured(in_front_of(origin, process))
    answer = await fetch(proxy.port)
    assert (answer.field("cache-status") or b"").startswith(b"edge-1; fwd=uri-miss")
    assert b"edge-1" in (answer.field("via") or b"")
    assert b"edge-1" in (origin.requests[0].field("via") or b"")
    told = proxy.service.answers()
    assert told["status"]()["memory"]["limit"] == 2 * 1024 * 1024
    explained = await told["explain"]("http://localhost/", "GET", [["Via", "1.1 edge-1"]])
    assert (explained["verdict"], explained["why"]) == ("refuse", "loop")
    for size, status in ((1024, 200), (1025, 413)):
        assert (await fetch(proxy.port, "POST", "/", body=b"b" * size)).status == status
    assert (await fetch(proxy.port, fields=[("X", "y" * 1024)])).status == 431
    assert (await fetch(proxy.port, fields=[(f"X-{number}", "y") for number in range(21)])).status == 431
    await origin.stop_listening()
    down = await fetch(proxy.port, target="/down")
    assert (down.status, down.field("retry-after")) == (502, b"7")


@async_test
async def test_all_that_it_has_in_redis_begins_with_its_prefix_and_without_redis_it_does_as_it_was_told(
    origin: ScriptedOrigin, configured: Run, one_redis_server: RedisServer
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60"), ("Cache-Tag", "a")], b"x")
    redis = f'[redis]\nurl = "{one_redis_server.url}"\nprefix = "shop:"\nwhen_down = "protect"\n'
    proxy = await configured(in_front_of(origin, redis))
    assert (await fetch(proxy.port)).status == 200

    def names() -> list[Any]:
        return list(one_redis_server.command("KEYS", "*"))

    await until(lambda: any(name.endswith(b":e") for name in names()))
    assert all(name.startswith(b"shop:") for name in names())
    one_redis_server.kill()
    await until(lambda: proxy.service.answers()["status"]()["store"]["degraded"])
    refused = await fetch(proxy.port, target="/another")
    assert (refused.status, b"detail=protect" in (refused.field("cache-status") or b"")) == (503, True)
