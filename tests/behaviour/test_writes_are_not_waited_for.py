"""Writes to Redis are asynchronous: no client waits for one, and a request right after sees the entry all the same."""

from __future__ import annotations

from typing import Any

import pytest_twisted

from tests.support.client import connect, fetch
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin


@pytest_twisted.ensureDeferred
async def test_while_redis_writes_nothing_the_new_entry_is_seen_all_the_same(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    fields = [("Cache-Control", "max-age=60"), ("Content-Length", "5")]
    origin.on("/x", [Gate("go"), Head(200, fields), Chunk(b"hello")])
    # No memory tier: what the second request sees is the write that has not happened yet.
    proxy = await make_proxy(origin.url, redis=redis_server.url, memory=0)
    connection = await connect(proxy.port)
    first = connection.request("GET", "/x")
    await origin.at_gate("go")
    redis_server.command("CLIENT", "PAUSE", "900", "WRITE")
    origin.release("go")
    assert (await first).body == b"hello"
    assert (await connection.request("GET", "/x")).body == b"hello"
    assert origin.hits("/x") == 1
    assert not [key for key in redis_server.command("KEYS", "*") if key.endswith(b":e")]
    await connection.close()


@pytest_twisted.ensureDeferred
async def test_a_frozen_redis_costs_hits_and_no_errors(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"hello"))
    proxy = await make_proxy(origin.url, redis=redis_server.url, memory=0)
    redis_server.pause()
    for _ in range(8):
        assert (await fetch(proxy.port, "GET", "/x")).body == b"hello"
    redis_server.resume()
