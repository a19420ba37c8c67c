"""A request body on its way to the origin.

Must not know: whose it is, what the origin answers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IProducer, IPullProducer, IPushProducer, IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

__all__ = ["Upload"]


@implementer(IConsumer, IPushProducer)
class Upload:
    """Writes what a body producer gives to a transport, framed; the transport's back-pressure reaches the producer.

    ``ended`` is called once, with None when the whole body is written, or with a short text when it will not be; not
    after ``stop``. ``stalled`` is called when the origin takes no more for now (``stalled_at`` says since when). The
    Deferred of ``startProducing`` is owned here.
    """

    def __init__(
        self,
        clock: IReactorTime,
        body: IBodyProducer,
        transport: Any,
        ended: Callable[[str | None], None],
        stalled: Callable[[], None],
    ) -> None:
        self._clock = clock
        self._body = body
        self._transport = transport
        self._ended = ended
        self._stalled = stalled
        self._left: int | None = None if body.length is UNKNOWN_LENGTH else body.length
        self._source: IPushProducer | IPullProducer = body
        self._pulled = False
        self._running = False
        self.sent = 0
        """Bytes of body written."""
        self.stalled_at: float | None = None
        """Since when the origin takes no more (the clock's seconds); None while it does."""
        self._waited = 0.0
        self._taking_since = 0.0

    @property
    def waited(self) -> float:
        """For how many seconds the origin would have taken what there was not yet: the producer's time."""
        taking = self._running and self.stalled_at is None
        return self._waited + (self._clock.seconds() - self._taking_since if taking else 0.0)

    def start(self) -> None:
        """Start the producer; the head is written already."""
        self._running = True
        self._taking_since = self._clock.seconds()
        self._transport.registerProducer(self, True)
        try:
            done: Deferred[None] = self._body.startProducing(self)
        except Exception:
            self._finish("the request body could not be read")
            return
        done.addCallbacks(self._produced, self._failed)

    def stop(self) -> None:
        """Send no more; the origin does not want it or is gone. The connection is of no further use. Idempotent."""
        if self._detach():
            self._body.stopProducing()

    def _detach(self) -> bool:
        if not self._running:
            return False
        self._waited = self.waited
        self._running = False
        self.stalled_at = None
        self._transport.unregisterProducer()
        return True

    def _finish(self, error: str | None) -> None:
        if self._detach():
            self._ended(error)

    def _produced(self, _: object) -> None:
        if self._left:
            self._finish("the request body ended early")
        elif self._running:
            if self._left is None:
                self._transport.write(b"0\r\n\r\n")
            self._finish(None)

    def _failed(self, _: Failure) -> None:
        self._finish("the request body ended early")

    # -- IConsumer, for the body --------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Part of the body."""
        if not self._running or not data:
            return
        self.sent += len(data)
        if self._left is None:
            self._transport.writeSequence((b"%x\r\n" % len(data), data, b"\r\n"))
            return
        if len(data) > self._left:
            # Never sent: the origin would read the rest as the next request.
            self._body.stopProducing()
            self._finish("a request body longer than announced")
            return
        self._left -= len(data)
        self._transport.write(data)

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        """A body may name somebody else who is to be paused in its place."""
        self._source = producer  # type: ignore[assignment]
        self._pulled = not streaming
        if self._pulled and self._running:
            self._transport.unregisterProducer()
            self._transport.registerProducer(producer, False)

    def unregisterProducer(self) -> None:
        """That one has nothing more; the body's Deferred tells the end."""
        self._source = self._body
        if self._pulled and self._running:
            self._pulled = False
            self._transport.unregisterProducer()
            self._transport.registerProducer(self, True)

    # -- IPushProducer, for the transport -----------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The origin takes no more for now."""
        self._waited = self.waited
        self.stalled_at = self._clock.seconds()
        self._stalled()
        self._source.pauseProducing()  # type: ignore[union-attr]

    def resumeProducing(self) -> None:
        """It takes more."""
        self._waited = self.waited
        self._taking_since = self._clock.seconds()
        self.stalled_at = None
        self._source.resumeProducing()

    def stopProducing(self) -> None:
        """The connection is gone."""
        self.stop()
