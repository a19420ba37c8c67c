"""An HttpOrigin without sockets: the test is the network and the clock."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from tests.support.sink import KeepingSink, origin_request
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import Fault, IOriginResponse, OriginError

__all__ = ["MemoryOrigin", "Outcome", "Wire"]

OK = b"HTTP/1.1 200 OK\r\n"


class Wire(StringTransport):
    """One connection, seen from the network. Ends asynchronously, as real transports do."""

    def __init__(self, reactor: MemoryReactorClock, protocol: Any) -> None:
        super().__init__()
        self.reactor = reactor
        self.protocol = protocol
        self.cuts = 0
        self.gone = False
        self.deaf = False
        """Whether a ``loseConnection`` goes unanswered."""

    def aborted(self) -> bool:
        """Whether we have cut it."""
        return self.cuts > 0

    def closing(self) -> bool:
        """Whether we have begun to close it."""
        return bool(self.disconnecting)

    def send(self, data: bytes) -> None:
        """The origin sends ``data``."""
        self.protocol.dataReceived(data)

    def end(self, clean: bool = True) -> None:
        """The connection ends."""
        if not self.gone:
            self.gone = True
            self.protocol.connectionLost(Failure(ConnectionDone() if clean else ConnectionLost()))

    def loseConnection(self) -> None:
        self.disconnecting = True
        if not self.deaf:
            self.reactor.callLater(0, self.end)

    def abortConnection(self) -> None:
        self.cuts += 1
        self.reactor.callLater(0, self.end, False)


class Outcome:
    """What has become of a fetch."""

    def __init__(self, deferred: Any) -> None:
        self.response: IOriginResponse | None = None
        self.error: OriginError | None = None
        self.other: Failure | None = None
        self.deferred = deferred
        deferred.addCallbacks(self._began, self._failed)

    def _began(self, response: IOriginResponse) -> None:
        self.response = response

    def _failed(self, failure: Failure) -> None:
        if isinstance(failure.value, OriginError):
            self.error = failure.value
        else:
            self.other = failure

    @property
    def fault(self) -> Fault | None:
        return self.error.fault if self.error is not None else None

    @property
    def pending(self) -> bool:
        return self.response is None and self.error is None and self.other is None

    def deliver(self) -> KeepingSink:
        """Deliver the response into a new sink."""
        sink = KeepingSink()
        assert self.response is not None
        self.response.deliver(sink)
        return sink


class MemoryOrigin:
    """``memory.fetch()``, ``wire = memory.connect()``, ``wire.send(b"HTTP/1.1 …")``, ``memory.clock.advance(1)``."""

    def __init__(self, url: str = "http://127.0.0.1:80", **options: Any) -> None:
        self.clock = MemoryReactorClock()
        self.origin = HttpOrigin(self.clock, url, **options)
        self.made = 0

    def fetch(self, *arguments: Any, **deadlines: Any) -> Outcome:
        """Start a fetch; arguments of ``origin_request``."""
        return Outcome(self.origin.fetch(origin_request(*arguments, **deadlines)))

    def connect(self) -> Wire:
        """Complete the oldest attempt to connect that is not yet complete."""
        factory = self.clock.tcpClients[self.made][2]
        self.made += 1
        protocol: Any = factory.buildProtocol(None)
        wire = Wire(self.clock, protocol)
        protocol.makeConnection(wire)
        return wire

    def refuse(self, reason: Exception) -> None:
        """Let the oldest attempt fail."""
        factory = self.clock.tcpClients[self.made][2]
        connector = self.clock.connectors[self.made]
        self.made += 1
        factory.clientConnectionFailed(connector, Failure(reason))

    @property
    def delayed_calls(self) -> int:
        """How many calls the clock holds for us."""
        return len(self.clock.getDelayedCalls())
