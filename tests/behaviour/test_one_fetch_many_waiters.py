"""A miss: one request fetches, everyone else on that key waits and gets the same response as it streams."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from tests.support.client import fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import settled, until

CACHEABLE = [("Cache-Control", "max-age=60"), ("Content-Type", "text/plain")]


@pytest_twisted.ensureDeferred
async def test_a_hundred_clients_on_a_cold_key_are_one_fetch_and_one_answer(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    body = b"the same for all " * 100
    origin.on("/cold", [Gate("go"), Head(200, [*CACHEABLE, ("Content-Length", str(len(body)))]), Chunk(body)])
    proxy = await make_proxy(origin.url)
    waiting = [fetch(proxy.port, "GET", "/cold") for _ in range(100)]
    await until(lambda: proxy.resource.registry.waiting == 100)
    origin.release("go")
    replies = await settled(*waiting)
    assert origin.hits("/cold") == 1
    assert {(reply.status, reply.body, reply.field("content-type")) for reply in replies} == {
        (200, body, b"text/plain")
    }
    roles = sorted(record.role for record in proxy.log)
    assert roles == ["leader"] + ["waiter"] * 99
    assert proxy.flights == 0


@pytest_twisted.ensureDeferred
async def test_leader_and_waiters_get_each_byte_before_the_origin_has_sent_the_next(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.on(
        "/slow",
        [Head(200, [*CACHEABLE, ("Content-Length", "6")]), Gate("1"), Chunk(b"one"), Gate("2"), Chunk(b"two")],
    )
    proxy = await make_proxy(origin.url)
    clients = [open_exchange(proxy.port, "GET", "/slow") for _ in range(5)]
    for client in clients:
        await client.begun  # the head is here while the origin holds back the body
    origin.release("1")
    for client in clients:
        assert (await client.received(3)).body == b"one"
    latecomer = open_exchange(proxy.port, "GET", "/slow")
    assert (await latecomer.received(3)).body == b"one"
    origin.release("2")
    replies = await settled(*[client.done for client in [*clients, latecomer]])
    assert {reply.body for reply in replies} == {b"onetwo"}
    assert origin.hits("/slow") == 1


@pytest_twisted.ensureDeferred
async def test_the_answer_after_the_flight_comes_from_the_store(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, CACHEABLE, b"hello"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    reply = await fetch(proxy.port, "GET", "/x")
    assert (reply.body, reply.field("age"), origin.hits("/x")) == (b"hello", b"0", 1)


@pytest_twisted.ensureDeferred
async def test_different_keys_do_not_wait_for_each_other(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/held", [Gate("never"), Head(200, [("Content-Length", "0")])])
    origin.on("/free", Answer(200, CACHEABLE, b"free"))
    proxy = await make_proxy(origin.url)
    held = open_exchange(proxy.port, "GET", "/held")
    await origin.at_gate("never")
    assert (await fetch(proxy.port, "GET", "/free")).body == b"free"
    origin.release("never")
    await held.done


@pytest.mark.parametrize("redis", ["memory", "embedded"])
@pytest_twisted.ensureDeferred
async def test_the_leaders_client_may_leave(origin: ScriptedOrigin, make_proxy: Any, redis: str) -> None:
    origin.on("/x", [Gate("go"), Head(200, [*CACHEABLE, ("Content-Length", "2")]), Chunk(b"ok")])
    proxy = await make_proxy(origin.url, redis=redis)
    leader = open_exchange(proxy.port, "GET", "/x")
    await origin.at_gate("go")
    waiters = [fetch(proxy.port, "GET", "/x") for _ in range(10)]
    await until(lambda: proxy.resource.registry.waiting == 11)
    leader.abort()
    await until(lambda: proxy.resource.registry.waiting == 10)
    origin.release("go")
    assert {reply.body for reply in await settled(*waiters)} == {b"ok"}
    assert origin.hits("/x") == 1
