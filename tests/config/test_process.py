"""What a file says of the process and of limits is what happens: a proxy started from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.logger import capturedLogs, formatEvent

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.configured import Configured
from tests.support.origin import Answer, Chunk, Gate, Head, Request, ScriptedOrigin
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


def checked(name: str, origin: ScriptedOrigin, more: str = "") -> str:
    """An upstream whose health is asked for: one that is not closed goes on asking, and leaves that behind."""
    return f'[upstream.{name}]\nservers = "{origin.url}"\nhealth_path = "/up"\nhealth_interval = "1h"\n{more}'


@async_test
async def test_what_is_read_again_holds_from_then_on_and_what_is_under_way_ends_as_it_began(
    make_origin: Any, configured: Run
) -> None:
    def says(body: bytes) -> Any:
        def answer(request: Request) -> Any:
            whole = [Head(200, [("Content-Length", "3")]), Chunk(body)]
            return [Gate("go"), *whole] if request.path == "/slow" else whole

        return answer

    old, new = await make_origin(says(b"old")), await make_origin(says(b"new"))
    proxy = await configured(checked("old", old))
    slow = fetch(proxy.port, target="/slow")
    await until(lambda: old.hits("/slow") == 1)
    proxy.write(
        f'[upstream.first]\nservers = "{old.url}"\n{checked("new", new)}[proxy]\nname = "other"\n'
        '[[route]]\nupstream = "new"\nrespond_with = { X-Of = "a" }\n'
    )
    with capturedLogs() as events:
        assert await proxy.service.reload()
        assert await proxy.service.reload()
    told = ["configuration reloaded: 1 routes", "not before a restart: proxy.name"]
    assert [formatEvent(event) for event in events if event["log_namespace"].endswith("ProxyService")] == told * 2
    answer = await fetch(proxy.port, target="/x")
    assert (answer.body, answer.field("x-of")) == (b"new", b"a")
    assert [one["name"] for one in proxy.service.answers()["status"]()["upstreams"]] == ["first", "new"]
    old.release("go")
    assert (await slow).body == b"old"
    await until(lambda: not old.open_connections)


@async_test
async def test_of_a_file_that_cannot_be_used_nothing_is_in_force_and_nothing_is_left(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = lambda request: Answer(200, [], b"x")
    proxy = await configured(checked("www", origin))
    # The second of them shows what is wrong when the first is open.
    proxy.write(
        checked("www", origin)
        + checked("new", origin)
        + f'[upstream.bad]\nservers = "https://h"\nca_file = "{proxy.path}"\n[[route]]\nupstream = "new"\n'
    )
    kept = proxy.service._upstreams
    with capturedLogs() as events:
        assert not await proxy.service.reload()
    assert [formatEvent(event).startswith("configuration not reloaded: ") for event in events] == [True]
    assert proxy.service._upstreams is kept
    assert (await fetch(proxy.port)).body == b"x"
