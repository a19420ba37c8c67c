"""A request body read whole, because what it says is part of the key; and sent as often as it takes.

Must not know: keys, caching.
"""

from __future__ import annotations

from collections import deque
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IConsumer
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["KeptBody", "whole"]


@implementer(IConsumer, IBodyProducer)
class _Beginning:
    """Keeps what ``body`` brings until all has come, or more than ``limit`` bytes; then it is that body, from its
    beginning, for whoever wants it."""

    def __init__(self, body: IBodyProducer, limit: int) -> None:
        self.length = body.length
        self.pieces: deque[bytes] = deque()
        self.settled: Deferred[bool] = Deferred(lambda _: body.stopProducing())
        """Fires with whether all has come; fails when that cannot be any more."""
        self._body = body
        self._left = limit
        self._consumer: IConsumer | None = None
        self._paused = False
        self._failure: Failure | None = None
        self._done: Deferred[None] = Deferred(lambda _: body.stopProducing())
        body.startProducing(cast(IConsumer, self)).addCallbacks(self._ended, self._failed)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Producers start by themselves here."""

    def unregisterProducer(self) -> None:
        """Nothing to forget."""

    def write(self, data: bytes) -> None:
        if self._consumer is not None and not self.pieces:
            self._consumer.write(data)
            return
        self.pieces.append(data)
        self._left -= len(data)
        if self._left < 0 and not self.settled.called:
            self._body.pauseProducing()
            self.settled.callback(False)

    def _ended(self, _: object) -> None:
        if not self.settled.called:
            self.settled.callback(True)
        elif not self._done.called:
            self._done.callback(None)

    def _failed(self, failure: Failure) -> None:
        if not self.settled.called:
            self.settled.errback(failure)
        elif self._consumer is None:
            self._failure = failure
        elif not self._done.called:
            self._done.errback(failure)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._failure is not None:
            return fail(self._failure)
        self._consumer = consumer
        self.resumeProducing()
        return self._done

    def pauseProducing(self) -> None:
        self._paused = True
        self._body.pauseProducing()

    def resumeProducing(self) -> None:
        self._paused = False
        assert self._consumer is not None
        while self.pieces and not self._paused:
            self._consumer.write(self.pieces.popleft())
        if not self._paused:
            self._body.resumeProducing()

    def stopProducing(self) -> None:
        self._body.stopProducing()


async def whole(body: IBodyProducer, limit: int) -> bytes | IBodyProducer:
    """What ``body`` brings, when that is at most ``limit`` bytes; else the body to go on with in its place."""
    if isinstance(body.length, int) and body.length > limit:
        return body
    beginning = _Beginning(body, limit)
    return b"".join(beginning.pieces) if await beginning.settled else beginning


@implementer(IBodyProducer)
class KeptBody:
    """A body in memory; unlike others it may be produced more than once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length = len(data)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._data:
            consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None:
        pass

    def resumeProducing(self) -> None:
        pass

    def stopProducing(self) -> None:
        pass
