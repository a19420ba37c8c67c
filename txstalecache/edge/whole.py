"""A request body read whole, because what it says is part of the key; and sent as often as it takes.

Must not know: keys, caching.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["KeptBody", "whole"]


@implementer(IConsumer)
class _Collector:
    """Keeps what is written."""

    def __init__(self, limit: int) -> None:
        self.pieces: list[bytes] = []
        self._left = limit

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Producers start by themselves here."""

    def unregisterProducer(self) -> None:
        """Nothing to forget."""

    def write(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            raise ValueError("more than was announced")
        self.pieces.append(data)


async def whole(body: IBodyProducer, limit: int) -> bytes | None:
    """What ``body`` brings; None, and nothing is read, when its length is not known to be within ``limit`` bytes."""
    length: object = body.length
    if not isinstance(length, int) or length > limit:
        return None
    collector = _Collector(length)
    reading: Deferred[None] = body.startProducing(cast(IConsumer, collector))
    await reading
    return b"".join(collector.pieces)


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
