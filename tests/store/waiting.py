"""Waiting for what comes by itself, without guessing how long it takes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred

__all__ = ["pause", "until"]


def pause(seconds: float) -> Deferred[None]:
    """Fires after ``seconds``."""
    from twisted.internet import reactor

    waited: Deferred[None] = Deferred()
    reactor.callLater(seconds, waited.callback, None)
    return waited


async def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    """Returns once ``true()`` is; fails after ``seconds``."""
    from twisted.internet import reactor

    deadline = reactor.seconds() + seconds
    while not true():
        assert reactor.seconds() < deadline, "it does not come true"
        await pause(0.005)
