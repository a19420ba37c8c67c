"""The way to a server that is known by a name: which addresses it has, and which of these answers first.

Twisted's own endpoint asks anew for each connection, on one of ten threads that there are for everything: where a name
server is silent, connections to one name hold up those to all others. And where an address refuses it waits a while
before it tries the next.

Must not know: what is spoken over the connection.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["NamedEndpoint"]


@implementer(IStreamClientEndpoint)
class NamedEndpoint:
    """Port ``port`` of ``host``. Who connects while the name is being looked up waits for the same answer. Addresses
    are tried in the order the system gives them, one that has not answered lately after the others: the next one when
    one fails, or has not answered for a moment (RFC 8305 §5)."""

    #: Seconds that one address is given before the next is tried as well.
    HEAD_START = 0.3
    #: Seconds after which a lookup is not joined any more.
    PATIENCE = 10.0
    #: Seconds for which an address that did not answer comes after the others.
    LAST = 10.0

    def __init__(self, reactor: Any, host: str, port: int, timeout: float) -> None:
        self._reactor = reactor
        self._host = host
        self._port = port
        self._timeout = timeout
        self._lookup: _Lookup | None = None
        self._silent: dict[IAddress, float] = {}
        """Addresses that did not answer, and until when that counts."""

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        return self._addresses().addCallback(self._reach, protocolFactory)

    def _addresses(self) -> Deferred[Sequence[IAddress]]:
        now, lookup = self._reactor.seconds(), self._lookup
        if lookup is None or lookup.over or now - lookup.began > self.PATIENCE:
            lookup = self._lookup = _Lookup(now)
            self._reactor.nameResolver.resolveHostName(lookup, self._host, self._port)
        return lookup.wait()

    def _reach(self, addresses: Sequence[IAddress], factory: IProtocolFactory) -> Deferred[IProtocol]:
        if not addresses:
            raise DNSLookupError(f"no address for {self._host}")
        now = self._reactor.seconds()
        self._silent = {address: until for address, until in self._silent.items() if until > now}
        return _Race(self, sorted(dict.fromkeys(addresses), key=self._silent.__contains__), factory).won

    def to(self, address: IAddress) -> IStreamClientEndpoint:
        """The way to one of the addresses."""
        kind = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
        assert isinstance(address, IPv4Address | IPv6Address)
        return kind(self._reactor, address.host, address.port, timeout=self._timeout)

    def later(self, call: Any) -> IDelayedCall:
        """When the next address is to be tried."""
        delayed: IDelayedCall = self._reactor.callLater(self.HEAD_START, call)
        return delayed

    def silent(self, address: IAddress) -> None:
        """It did not answer, or not before another."""
        self._silent[address] = self._reactor.seconds() + self.LAST


@implementer(IResolutionReceiver)
class _Lookup:
    """One question to the system's resolver, and those who wait for the answer."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.over = False
        self._found: list[IAddress] = []
        self._waiting: deque[Deferred[Sequence[IAddress]]] = deque()

    def wait(self) -> Deferred[Sequence[IAddress]]:
        """The addresses, none where there is no such name. Cancelling is safe."""
        if self.over:
            return succeed(self._found)
        waiting: Deferred[Sequence[IAddress]] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See ``IResolutionReceiver``."""

    def addressResolved(self, address: IAddress) -> None:
        """See ``IResolutionReceiver``."""
        self._found.append(address)

    def resolutionComplete(self) -> None:
        """See ``IResolutionReceiver``."""
        self.over = True
        while self._waiting:
            self._waiting.popleft().callback(self._found)


class _Race:
    """One connection, to whichever of ``addresses`` answers first."""

    def __init__(self, endpoint: NamedEndpoint, addresses: Sequence[IAddress], factory: IProtocolFactory) -> None:
        self._endpoint = endpoint
        self._left = deque(addresses)
        self._factory = factory
        self._trying: dict[IAddress, Deferred[IProtocol]] = {}
        self._timer: IDelayedCall | None = None
        self.won: Deferred[IProtocol] = Deferred(lambda _: self._end())
        self._next()

    def _next(self) -> None:
        address = self._left.popleft()
        self._timer = self._endpoint.later(self._next) if self._left else None
        self._trying[address] = trying = self._endpoint.to(address).connect(self._factory)
        trying.addCallbacks(self._connected, self._failed, (address,), errbackArgs=(address,))

    def _connected(self, protocol: IProtocol, address: IAddress) -> None:
        del self._trying[address]
        for overtaken in self._trying:
            self._endpoint.silent(overtaken)
        self._end()
        self.won.callback(protocol)

    def _failed(self, failure: Failure, address: IAddress) -> None:
        if self._trying.pop(address, None) is None:
            return  # it is over
        self._endpoint.silent(address)
        if self._timer is not None:
            self._timer.cancel()
            self._next()
        elif not self._trying:
            self.won.errback(failure)

    def _end(self) -> None:
        """Try no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._trying:
            self._trying.popitem()[1].cancel()
