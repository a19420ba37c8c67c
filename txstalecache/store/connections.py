"""Connections to Redis that are kept up: txredisapi's factory, with beginnings, pauses and endings of our own.

Import this module late: txredisapi imports the reactor. Must not know: what is said over them.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

import txredisapi
from twisted.application.internet import ClientService
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.logger import ILogObserver, LogEvent, Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txstalecache.store.commands import Command, ignored
from txstalecache.store.wire import Wire

if TYPE_CHECKING:
    from txstalecache.store.redis import RedisClient

__all__ = ["Connections", "Watched"]


@implementer(ILogObserver)
def _say_nothing(event: LogEvent) -> None:
    """That Redis is away is said once, by the client, and not with each attempt."""


class _Quiet(ClientService):
    """Keeps one connection up, without a word."""

    _log = Logger(observer=_say_nothing)


class Connections(txredisapi.RedisFactory):  # type: ignore[misc]
    """Keeps connections up, for ever: pauses between attempts stay short, and nothing but ``close`` ends it."""

    def __init__(self, client: RedisClient, protocol: Callable[[Connections], Wire] = Wire) -> None:
        super().__init__(None, None, 1, charset=None, convertNumbers=False)
        self.client = client
        self.live: set[Wire] = set()
        self.usable: list[Wire] = []
        self._protocol = protocol
        self._services: list[_Quiet] = []
        self._made = 0
        """Connections made since the last one that could be used."""
        # Nobody waits for the first complete pool, but its failure would be logged as unhandled.
        self.deferred.addErrback(ignored)

    def startConnecting(self, endpoint: IStreamClientEndpoint) -> None:
        service = _Quiet(endpoint, self, retryPolicy=self.retryDelay)
        self._services.append(service)
        service.startService()

    def stopTrying(self) -> Deferred[None]:
        return succeed(None)

    def retryDelay(self, attempt: int) -> float:
        attempt = max(attempt, self._made)
        return float(min(self.client.limits.retry, 0.05 * 2 ** min(attempt, 10)) * random.uniform(0.7, 1.0))

    def buildProtocol(self, addr: object) -> Wire:
        self._made += 1
        wire = self._protocol(self)
        # txredisapi's own pool is not used: it keeps lost connections in its queue until somebody asks for one.
        wire.factory = self
        return wire

    def handshake(self) -> list[Command]:
        """What a new connection says first."""
        return self.client.greeting()

    def greeted(self, wire: Wire, replies: list[object]) -> None:
        """``wire`` may be used."""
        self.keep(wire)
        self.client.came(self, wire)

    def keep(self, wire: Wire) -> None:
        """``wire`` is among those to be picked."""
        self._made = 0
        self.usable.append(wire)

    def lost(self, wire: Wire) -> None:
        """``wire`` may not be used any longer."""
        if wire in self.usable:
            self.usable.remove(wire)
        self.client.went(self)

    def unusable(self, why: str) -> None:
        """A connection was made and cannot be used."""
        self.client.failed(why)

    def pick(self) -> Wire | None:
        """The usable connection, if there is one."""
        return self.usable[0] if self.usable else None

    def close(self) -> Deferred[None]:
        """Close all connections at once: a server that hangs would not let go of those with something unsent."""
        for wire in list(self.live):
            wire.transport.abortConnection()
        done = DeferredList([service.stopService() for service in self._services], consumeErrors=True)
        return done.addCallback(lambda _: None)


@implementer(IStreamClientEndpoint)
class Watched:
    """An endpoint that tells the client why a connection could not be made."""

    def __init__(self, endpoint: IStreamClientEndpoint, client: RedisClient) -> None:
        self._endpoint = endpoint
        self._client = client

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(factory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            self._client.failed(f"cannot connect: {failure.getErrorMessage()}")
        return failure
