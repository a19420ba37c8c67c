"""Writes to Redis are asynchronous: no client waits for one, and a request right after sees the entry all the same."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from tests.support.client import connect, fetch
from tests.support.origin import Answer, ScriptedOrigin


@pytest_twisted.ensureDeferred
async def test_a_frozen_redis_delays_no_answer_beyond_its_read_limit_and_hides_no_new_entry(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"hello"))
    # No memory tier: what the second request sees is the pending write.
    proxy = await make_proxy(origin.url, redis=redis_server.url, memory=0)
    await fetch(proxy.port, "GET", "/warm-up")
    redis_server.pause()
    connection = await connect(proxy.port)
    assert (await connection.request("GET", "/x")).body == b"hello"
    assert (await connection.request("GET", "/x")).body == b"hello"
    redis_server.resume()
    await connection.close()
    assert origin.hits("/x") == 1
