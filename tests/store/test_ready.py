"""Waiting for a store to be ready: everybody is told once, whatever they do as they are."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.store.conftest import MakeStore
from tests.store.waiting import pause
from tests.support.async_test import async_test
from tests.support.redis import RedisServer


def gives_up(waiting: Deferred[None]) -> None:
    waiting.addErrback(lambda failure: failure.trap(CancelledError) and None)
    waiting.cancel()


@async_test
async def test_who_asks_again_as_he_is_told_that_there_is_no_redis_waits_for_more(make_store: MakeStore) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        backend = await make_store(f"redis://127.0.0.1:{nobody.getsockname()[1]}", ready=False)
    waiting: list[Deferred[Any]] = []
    most = 10

    def asks(_: None = None) -> None:
        if len(waiting) < most:
            waiting.append(backend.ready())
            waiting[-1].addCallback(asks)

    asks()
    await backend.ready()
    await pause(0)
    assert len(waiting) == 2
    most = 0
    gives_up(waiting[-1])
    assert not backend._client.when_down


@async_test
async def test_who_gives_up_another_wait_as_he_is_told_is_not_in_the_way(
    make_store: MakeStore, shared_redis: RedisServer
) -> None:
    backend = await make_store(shared_redis.url, ready=False)
    client, tracking = backend._client, backend._tracking
    for first, second in [[client.when_available() for _ in "12"], [tracking.when_active() for _ in "12"]]:
        first.addCallback(lambda _, given_up=second: gives_up(given_up))
        await first
        assert second.called
