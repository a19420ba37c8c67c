"""SIGTERM: whoever is being served gets the rest, what is to be written is written, the leases are given back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.safety.test_chaos import leases
from tests.safety.watched import Watched
from tests.support.async_test import async_test
from tests.support.client import NoReply, connect, fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import later, settled, until
from tests.support.redis import RedisServer

KEPT = ("Cache-Control", "max-age=60")


def entries(redis: RedisServer) -> list[bytes]:
    """The names of what is stored."""
    found: list[bytes] = redis.command("KEYS", "txsc:v1:*")
    return [name for name in found if b"}:l" not in name]


@pytest.mark.parametrize("redis", ["quick", "slow"])
@async_test
async def test_what_was_fetched_right_before_the_end_is_in_redis_after_it(
    redis: str, origin: ScriptedOrigin, watched: Any, one_redis_server: RedisServer
) -> None:
    body = b"x" * 700_000  # more than one chunk
    origin.on("/x", [Gate("go"), Head(200, [KEPT, ("Content-Length", str(len(body)))]), Chunk(body)])
    proxy: Watched = await watched("--origin", origin.url, "--redis", one_redis_server.url).ready()
    asked = fetch(proxy.port, "GET", "/x")
    await origin.at_gate("go")
    if redis == "slow":
        one_redis_server.pause()
    origin.release("go")
    assert (await asked).body == body
    proxy.signal("TERM")
    if redis == "slow":
        await later(0.3)
        one_redis_server.resume()
    await proxy.ended
    assert proxy.status == 0
    assert b"Traceback" not in proxy.errors, proxy.errors.decode()
    assert entries(one_redis_server) and not leases(one_redis_server)
    successor: Watched = await watched("--origin", origin.url, "--redis", one_redis_server.url).ready()
    reply = await fetch(successor.port, "GET", "/x")
    assert (reply.body, reply.field("x-cache"), origin.hits("/x")) == (body, b"HIT", 1)


@async_test
async def test_whoever_is_being_served_gets_the_rest_and_nobody_else_gets_in(
    origin: ScriptedOrigin, watched: Any, one_redis_server: RedisServer
) -> None:
    """Before the head and after it, leader and waiters, a pass, an upload; what hangs about does not hold it up."""
    head = Head(200, [KEPT, ("Content-Length", "6")])
    origin.on("/before", [Gate("go"), head, Chunk(b"before")])
    origin.on("/middle", [head, Chunk(b"mid"), Gate("go"), Chunk(b"dle")])
    origin.on(
        "/pass", [Gate("go"), Head(200, [("Cache-Control", "no-store"), ("Content-Length", "4")]), Chunk(b"pass")]
    )
    origin.on("/up", Answer(200, [], b"upload"))
    proxy: Watched = await watched("--origin", origin.url, "--redis", one_redis_server.url).ready()
    idle = await connect(proxy.port)
    uploading = await connect(proxy.port)
    upload = uploading.expect("POST")
    uploading.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 6\r\n\r\nabc")
    middle = open_exchange(proxy.port, "GET", "/middle")
    await middle.begun
    served = [
        *[fetch(proxy.port, "GET", "/before") for _ in range(10)],
        fetch(proxy.port, "POST", "/pass", body=b"x"),
        middle.done,
    ]
    await until(lambda: origin.hits("/before") == 1 and origin.hits("/pass") == 1)
    while (await proxy.ask())["waiting"] < 10:
        await later(0.01)
    proxy.signal("TERM")
    await idle.lost
    with pytest.raises(NoReply):
        await fetch(proxy.port, "GET", "/late")
    origin.release("go")
    uploading.send(b"def")
    replies = await settled(*served, upload.done)
    assert [reply.body for reply in replies] == [b"before"] * 10 + [b"pass", b"middle", b"upload"]
    assert not any(reply.truncated for reply in replies)
    await proxy.ended
    assert proxy.status == 0
    assert b"Traceback" not in proxy.errors, proxy.errors.decode()
    assert len(entries(one_redis_server)) >= 2 and not leases(one_redis_server)


@async_test
async def test_who_reads_along_in_another_process_gets_the_rest(
    origin: ScriptedOrigin, watched: Any, one_redis_server: RedisServer
) -> None:
    """Its own client has left, or it never had one: what it fetches is read elsewhere all the same."""
    origin.on(
        "/x", [Head(200, [KEPT, ("Content-Length", "6")]), Gate("read along"), Chunk(b"mid"), Gate("go"), Chunk(b"dle")]
    )
    options = ("--origin", origin.url, "--redis", one_redis_server.url)
    leaving, staying = watched(*options), watched(*options)
    await leaving.ready()
    await staying.ready()
    first = open_exchange(leaving.port, "GET", "/x")
    await origin.at_gate("read along")
    second = open_exchange(staying.port, "GET", "/x")
    await second.begun
    origin.release("read along")
    await second.received(3)
    first.done.addErrback(lambda _: None)
    first.abort()
    await until_alone(leaving)
    leaving.signal("TERM")
    await later(0.5)
    origin.release("go")
    reply = await second.done
    assert (reply.body, reply.truncated) == (b"middle", False)
    await leaving.ended
    assert leaving.status == 0
    assert b"Traceback" not in leaving.errors, leaving.errors.decode()
    assert origin.hits("/x") == 1 and not leases(one_redis_server)


@async_test
async def test_a_refresh_that_has_begun_to_come_is_stored_before_the_end(
    origin: ScriptedOrigin, watched: Any, one_redis_server: RedisServer
) -> None:
    stale = ("Cache-Control", "max-age=1, stale-while-revalidate=60")
    answers = iter(
        [Answer(200, [stale], b"old"), [Head(200, [KEPT, ("Content-Length", "3")]), Gate("go"), Chunk(b"new")]]
    )
    origin.on("/x", lambda _: next(answers))
    options = ("--origin", origin.url, "--redis", one_redis_server.url)
    proxy: Watched = await watched(*options).ready()
    assert (await fetch(proxy.port, "GET", "/x")).body == b"old"
    await later(2.1)
    assert (await fetch(proxy.port, "GET", "/x")).body == b"old"
    await origin.at_gate("go")
    await until_alone(proxy)
    proxy.signal("TERM")
    await later(0.5)
    origin.release("go")
    await proxy.ended
    assert proxy.status == 0
    successor: Watched = await watched(*options).ready()
    reply = await fetch(successor.port, "GET", "/x")
    assert (reply.body, reply.field("x-cache"), origin.hits("/x")) == (b"new", b"HIT", 2)


async def until_alone(proxy: Watched) -> None:
    """Returns once ``proxy`` has no client."""
    while (await proxy.ask())["connections"]:
        await later(0.01)
