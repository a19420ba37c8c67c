"""A request body on its way to the origin, as it arrives.

Must not know: caching, HTTP semantics.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

__all__ = ["StreamedUpload"]


@implementer(IBodyProducer, IPushProducer)
class StreamedUpload:
    """Bytes pushed in by the client's connection (``feed``, ``end``), pulled out by the origin's.

    ``pause`` and ``resume`` stop and start the client's connection. At most ``BUFFER`` bytes wait here.
    """

    BUFFER = 256 * 1024

    def __init__(self, length: int | None, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.length: int | object = UNKNOWN_LENGTH if length is None else length
        self._pause = pause
        self._resume = resume
        self._waiting: deque[bytes] = deque()
        self._held = 0
        self._consumer: Any = None
        self._done: Deferred[None] | None = None
        self._paused = False
        self._stopped = False
        self._failed: BaseException | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        """More has come from the client."""
        if self._stopped:
            return
        self._waiting.append(data)
        self._held += len(data)
        self._flow()
        if self._held >= self.BUFFER:
            self._pause()

    def end(self) -> None:
        """All has come."""
        self.ended = True
        self._flow()

    def fail(self, reason: BaseException) -> None:
        """The end will not come: the client has gone, or has its answer already."""
        done, self._done = self._done, None
        self._failed = reason
        self._stopped = True
        self._waiting.clear()
        if done is not None:
            done.errback(reason)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._failed is not None:
            return fail(self._failed)
        self._consumer = consumer
        done = self._done = Deferred(lambda _: self.stopProducing())
        self._flow()
        return done

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._flow()

    def stopProducing(self) -> None:
        """The origin wants no more: what still comes is dropped."""
        self._stopped = True
        self._done = None
        self._waiting.clear()
        self._held = 0
        self._resume()

    def _flow(self) -> None:
        # Who takes a piece may stop, go on or have enough as he does.
        while self._flows and self._waiting:
            data = self._waiting.popleft()
            self._held -= len(data)
            self._consumer.write(data)
        if not self._flows:
            return
        if self.ended:
            done, self._done = self._done, None
            self._stopped = True
            if done is not None:
                done.callback(None)
        else:
            self._resume()

    @property
    def _flows(self) -> bool:
        return self._consumer is not None and not (self._paused or self._stopped)
