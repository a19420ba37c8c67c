"""Two protocols joined in memory, as if by a socket: for an origin in the same process.

Must not know: what is said.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IProtocol, IPushProducer, IReactorTime, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["ADDRESS", "PipeEnd", "join"]

#: Bytes on their way to one end beyond which the other end's producer is paused.
HIGH = 65536

#: What both ends say they are: there is no port.
ADDRESS = IPv4Address("TCP", "127.0.0.1", 0)


@implementer(ITransport, IConsumer, IPushProducer)
class PipeEnd:
    """The transport of one of the two. Bytes arrive in a later turn of the reactor, never inside ``write``, so neither
    protocol is called from within itself; what one does not read (``pauseProducing``) holds the other's producer back.
    """

    def __init__(self, clock: IReactorTime, protocol: IProtocol) -> None:
        self._clock = clock
        self._protocol = protocol
        self._peer: PipeEnd | None = None
        self._incoming: deque[bytes] = deque()
        self._size = 0
        self._scheduled = False
        self._paused = False
        self._ended: Exception | None = None
        self._producer: Any = None
        self._streaming = False
        self._choked = False
        self._closing = False
        self.connected = True
        self.disconnecting = False

    # -- bytes towards us ----------------------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._scheduled and self.connected:
            self._scheduled = True
            self._clock.callLater(0, self._pump)

    def _pump(self) -> None:
        self._scheduled = False
        if self._incoming and not self._paused and self.connected and not self.disconnecting:
            data = b"".join(self._incoming) if len(self._incoming) > 1 else self._incoming[0]
            self._incoming.clear()
            self._size = 0
            self._protocol.dataReceived(data)
            if self._peer is not None:
                self._peer._relieve()
        if self._ended is not None and (self.disconnecting or not (self._incoming or self._paused)):
            self._lose(self._ended)

    def _lose(self, reason: Exception) -> None:
        if not self.connected:
            return
        self.connected = False
        self._incoming.clear()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        peer, self._peer = self._peer, None
        if peer is not None:
            peer._end(reason)
        self._protocol.connectionLost(Failure(reason))

    def _end(self, reason: Exception) -> None:
        """The other end is gone; what it has sent is still read first, unless it was cut."""
        self._peer = None
        if self._ended is None:
            self._ended = reason
        if isinstance(reason, ConnectionLost):
            self._incoming.clear()
            self._paused = False
        self._schedule()

    # -- ITransport ----------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send ``data``."""
        peer = self._peer
        if peer is None or self.disconnecting or not data:
            return
        peer._incoming.append(data)
        peer._size += len(data)
        peer._schedule()
        if peer._size > HIGH and self._producer is not None and self._streaming and not self._choked:
            self._choked = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send the parts."""
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close once everything is sent, and the producer has finished."""
        if self.connected and not self.disconnecting:
            if self._producer is not None:
                self._closing = True
                return
            self.disconnecting = True
            self._ended = ConnectionDone()
            self._schedule()

    def abortConnection(self) -> None:
        """Close now; what is on its way is lost."""
        if self.connected:
            self.disconnecting = True
            self._ended = ConnectionLost()
            self._schedule()

    def getPeer(self) -> IAddress:
        """127.0.0.1; there is no port."""
        return ADDRESS

    def getHost(self) -> IAddress:
        """127.0.0.1; there is no port."""
        return ADDRESS

    # -- IConsumer: somebody sends through us --------------------------------------------------------------------------

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See ``IConsumer``."""
        if self._producer is not None:
            raise RuntimeError("a producer is registered already")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer, self._streaming, self._choked = producer, streaming, False
        if not streaming:
            self._choked = True
            self._clock.callLater(0, self._relieve)

    def unregisterProducer(self) -> None:
        """See ``IConsumer``."""
        self._producer = None
        if self._closing:
            self._closing = False
            self.loseConnection()

    def _relieve(self) -> None:
        """The other end has taken what there was."""
        while self._choked and self._producer is not None and (self._peer is None or self._peer._size <= HIGH):
            self._choked = not self._streaming
            self._producer.resumeProducing()
            if not self._streaming:
                break

    # -- IPushProducer: our protocol reads -----------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """Give our protocol nothing for now."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Give it what there is."""
        self._paused = False
        self._schedule()

    def stopProducing(self) -> None:
        """Our protocol wants no more."""
        self.loseConnection()


def join(clock: IReactorTime, one: IProtocol, other: IProtocol) -> None:
    """Connect the two."""
    ends = PipeEnd(clock, one), PipeEnd(clock, other)
    ends[0]._peer, ends[1]._peer = ends[1], ends[0]
    other.makeConnection(ends[1])
    one.makeConnection(ends[0])
