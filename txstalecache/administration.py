"""The admin interface of a running proxy: its parts put together, listening, and gone again.

Must not know: how the proxy is built.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort

from txstalecache.admin.events import Events
from txstalecache.admin.facts import Facts
from txstalecache.admin.gate import Gate
from txstalecache.admin.inquiry import Ask, Inquiry
from txstalecache.admin.resource import AdminResource
from txstalecache.admin.warm import Jobs
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.listening import Endpoint

__all__ = ["Administration"]


class Administration:
    """Owns what the admin interface needs beside the proxy. ``ask`` reaches the processes that serve; ``covers`` is the
    word for them; ``ready`` says why the proxy is not, if it is not."""

    #: For what is in the answers of a moment when the proxy stops.
    FAREWELL = 2.0

    def __init__(
        self,
        reactor: Any,
        resource: CacheResource,
        facts: Facts,
        *,
        token: bytes,
        hosts: Collection[str],
        ask: Ask,
        covers: str,
        ready: Callable[[], str],
    ) -> None:
        self._reactor = reactor
        inquiry = Inquiry(ask, covers, facts.identity())
        self._events = Events(inquiry, reactor)
        self._jobs = Jobs(reactor, resource.warm)
        served = AdminResource(Gate(token, hosts), resource, inquiry, self._events, self._jobs, ready)
        # A URL of the length that clients may ask for, in a query, with every byte written as three.
        limits = EdgeLimits(head=64 * 1024, target=32 * 1024, body=2 * 1024 * 1024, connections=64)
        self._site = CacheSite(served, reactor, limits=limits)
        self._site.noisy = False
        self._port: IListeningPort | None = None

    def listen(self, endpoint: Endpoint) -> Deferred[IListeningPort]:
        """Listen on ``endpoint``."""

        def listening(port: IListeningPort) -> IListeningPort:
            self._port = port
            return port

        return endpoint.listen(self._site).addCallback(listening)

    def flew(self, told: dict[str, Any]) -> None:
        """A flight of a process that serves has taken off or ended."""
        self._events.flight(told)

    def close(self) -> Deferred[None]:
        """End the streams and jobs, then the connections; fires when they are gone."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._events.close()
        self._jobs.close()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        await self._site.drain().addTimeout(self.FAREWELL, self._reactor, lambda late, seconds: None)
