"""An answer that another process fetches, read as it lands in Redis: to a flight it is a response like any other.

Must not know: Redis, who waits.
"""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from zope.interface import implementer

from txstalecache.http.messages import BODILESS
from txstalecache.origin.interfaces import Fault, Framing, IOriginResponse, OriginError, Sink
from txstalecache.store.relay import PAGE, SOME, Cut, Reception

__all__ = ["Relayed"]


@implementer(IOriginResponse)
class Relayed:
    """``reception`` as a response to ``method``. Owns what it waits for; ``abort`` ends it."""

    _log = Logger()

    def __init__(self, reception: Reception, method: bytes) -> None:
        self._reception = reception
        self.head = reception.told.head
        length = self.head.fields.get(b"content-length")
        empty = method == b"HEAD" or self.head.status in BODILESS
        self.framing = Framing.DELIMITED
        self.length = 0 if empty else int(length) if length is not None and length.isdigit() else None
        self._came = 0
        self._over = False
        self._paused = False
        self._reading: Deferred[list[bytes]] | None = None
        self._resumed: Deferred[None] | None = None

    def deliver(self, sink: Sink) -> None:
        Deferred.fromCoroutine(self._deliver(sink)).addErrback(
            lambda failure: self._log.failure("an answer of another process was not passed on", failure)
        )

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        resumed, self._resumed = self._resumed, None
        if resumed is not None:
            resumed.callback(None)

    def abort(self) -> None:
        if not self._over:
            self._reception.leave()
        self._over = True
        self.resume()
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()

    async def _deliver(self, sink: Sink) -> None:
        most = PAGE
        while not self._over:
            try:
                chunks = await self._more(most)
            except (Cut, CancelledError) as error:
                self._end(sink, OriginError(Fault.TRUNCATED, str(error)))
                return
            for chunk in chunks:
                self._write(sink, chunk)
            if not chunks:
                short = self.length is not None and self._came != self.length
                self._end(sink, OriginError(Fault.TRUNCATED) if short else None)
            # Who is held up says in small steps how far he is.
            most = SOME if self._paused else PAGE
            if self._paused and not self._over:
                self._resumed = Deferred()
                await self._resumed

    def _write(self, sink: Sink, chunk: bytes) -> None:
        if not self._over:
            self._came += len(chunk)
            sink.write(chunk)

    async def _more(self, most: int) -> list[bytes]:
        self._reading = Deferred.fromCoroutine(self._reception.more(most))
        try:
            return await self._reading
        finally:
            self._reading = None

    def _end(self, sink: Sink, error: OriginError | None) -> None:
        if self._over:
            return
        self._over = True
        if error is None:
            sink.complete(Framing.DELIMITED)
        else:
            sink.broken(error)
