"""Entries survive the proxy; a new Redis costs only misses."""

from __future__ import annotations

from typing import Any

import pytest_twisted

from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import until


@pytest_twisted.ensureDeferred
async def test_a_restart_of_the_proxy(origin: ScriptedOrigin, make_proxy: Any, redis_server: Any) -> None:
    small, large = b"small", b"large" * 400_000
    origin.on("/small", Answer(200, [("Cache-Control", "max-age=60"), ("X-Kept", "yes"), ("X-Kept", "both")], small))
    origin.on("/large", Answer(200, [("Cache-Control", "max-age=60")], large))
    before = await make_proxy(origin.url, redis=redis_server.url)
    await fetch(before.port, "GET", "/small")
    await fetch(before.port, "GET", "/large")
    await before.close()
    after = await make_proxy(origin.url, redis=redis_server.url)
    reply = await fetch(after.port, "GET", "/small")
    assert (reply.status, reply.body, reply.field("x-kept")) == (200, small, b"yes, both")
    assert (await fetch(after.port, "GET", "/large")).body == large
    assert {record.verdict for record in after.log} == {"fresh"}
    assert len(origin.requests) == 2


@pytest_twisted.ensureDeferred
async def test_a_restart_of_redis(origin: ScriptedOrigin, make_proxy: Any, redis_server: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    proxy = await make_proxy(origin.url, redis=redis_server.url)
    await fetch(proxy.port, "GET", "/x")
    redis_server.kill()
    assert (await fetch(proxy.port, "GET", "/x")).body == b"x"
    redis_server.start()

    async def hits_again() -> bool:
        await fetch(proxy.port, "GET", "/x")
        await proxy.backend.store.flush()
        return bool(redis_server.command("DBSIZE"))

    for _ in range(100):
        if await hits_again():
            break
        await until(lambda: True)
    assert {record.status for record in proxy.log} == {200}
