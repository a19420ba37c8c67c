"""Waiting for what comes by itself, without guessing how long it takes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.redis import RedisServer

__all__ = ["heard", "pause", "until", "until_it_is"]


def pause(seconds: float) -> Deferred[None]:
    """Fires after ``seconds``."""
    from twisted.internet import reactor

    waited: Deferred[None] = Deferred()
    reactor.callLater(seconds, waited.callback, None)
    return waited


async def until(true: Callable[[], object], seconds: float = 20.0) -> None:
    """Returns once ``true()`` is; fails after ``seconds``."""
    from twisted.internet import reactor

    deadline = reactor.seconds() + seconds
    while not true():
        assert reactor.seconds() < deadline, "it does not come true"
        await pause(0.005)


async def until_it_is(true: Callable[[], Coroutine[Any, Any, bool]], seconds: float = 20.0) -> None:
    """Returns once ``true()`` is, asked again and again; fails after ``seconds``."""
    from twisted.internet import reactor

    deadline = reactor.seconds() + seconds
    while not await true():
        assert reactor.seconds() < deadline, "it does not come true"
        await pause(0.02)


async def heard(backend: Any, redis: RedisServer) -> None:
    """Returns once ``backend`` has had word of all that has changed in ``redis`` by now: words come in their order."""
    tracking = backend._tracking
    changed, names = tracking._changed, []

    def note(name: bytes | None) -> None:
        names.append(name)
        changed(name)

    tracking._changed = note
    last = tracking._layout.root + b"heard"
    redis.command("SET", last, "")
    await until(lambda: last in names)
    tracking._changed = changed
    redis.command("DEL", last)
