"""A stale entry is sent and finished before the origin is even asked; the client's connection is free meanwhile."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from tests.support.client import connect, fetch
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import until
from txstalecache.http.rules import Rules

#: Stale from the first second: older than its lifetime, well inside its window.
STALE = [("Cache-Control", "max-age=5, stale-while-revalidate=60"), ("Age", "6")]


def second_is_held(first: list[Any], second: list[Any]) -> Any:
    """A script: the first answer at once, the next when ``go`` is released."""
    asked = 0

    def answer(_: Any) -> Any:
        nonlocal asked
        asked += 1
        if asked == 1:
            return Answer(200, first, b"old")
        return [Gate("go"), Head(200, [*second, ("Content-Length", "3")]), Chunk(b"new")]

    return answer


@pytest.mark.parametrize("redis", ["memory", "embedded"])
@pytest_twisted.ensureDeferred
async def test_stale_by_the_origins_word(origin: ScriptedOrigin, make_proxy: Any, redis: str) -> None:
    origin.on("/x", second_is_held(STALE, [("Cache-Control", "max-age=60")]))
    origin.on("/other", Answer(200, [], b"next request on the same connection"))
    proxy = await make_proxy(origin.url, redis=redis)
    await fetch(proxy.port, "GET", "/x")
    connection = await connect(proxy.port)
    reply = await connection.request("GET", "/x")
    assert reply.body == b"old" and int(reply.field("age") or 0) >= 6  # 7 where the machine took its time
    assert (await connection.request("GET", "/other")).body == b"next request on the same connection"
    await origin.at_gate("go")  # only now is the refresh known to have reached the origin, and it is still held
    assert (await connection.request("GET", "/x")).body == b"old"
    origin.release("go")
    await until(lambda: proxy.flights == 0)
    assert (await connection.request("GET", "/x")).body == b"new"
    assert origin.hits("/x") == 2
    await connection.close()
    assert [record.verdict for record in proxy.log if record.target == b"/x"] == ["miss", "stale", "stale", "fresh"]


@pytest_twisted.ensureDeferred
async def test_stale_by_forced_ttl_and_stale(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", second_is_held([], []))
    proxy = await make_proxy(origin.url, rules=Rules(ttl=10, stale=60))
    await fetch(proxy.port, "GET", "/x")
    proxy.age(11)
    reply = await fetch(proxy.port, "GET", "/x")
    assert reply.body == b"old"
    origin.release("go")
    await until(lambda: proxy.flights == 0)
    assert origin.hits("/x") == 2


@pytest_twisted.ensureDeferred
async def test_past_the_window_the_origin_is_asked_first(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", second_is_held([("Cache-Control", "max-age=5, stale-while-revalidate=10"), ("Age", "16")], []))
    proxy = await make_proxy(origin.url)
    origin.release("go")
    assert (await fetch(proxy.port, "GET", "/x")).body == b"old"
    assert (await fetch(proxy.port, "GET", "/x")).body == b"new"


@pytest.mark.parametrize("name", ["Cookie", "Authorization"])
@pytest_twisted.ensureDeferred
async def test_who_sends_no_credentials_gets_stale_at_once_where_answers_vary_by_them(
    origin: ScriptedOrigin, make_proxy: Any, name: str
) -> None:
    origin.on("/x", second_is_held([*STALE, ("Vary", name)], [("Cache-Control", "max-age=60"), ("Vary", name)]))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    reply = await fetch(proxy.port, "GET", "/x")
    assert (reply.body, proxy.log[-1].verdict, proxy.log[-1].role) == (b"old", "stale", "hit")
    await origin.at_gate("go")
    assert origin.requests[-1].field(name.lower()) is None
    origin.release("go")
    await until(lambda: proxy.flights == 0)
    assert (await fetch(proxy.port, "GET", "/x")).body == b"new"
