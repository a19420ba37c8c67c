"""The admin interface of a running proxy: its parts put together, listening, and gone again.

Must not know: how the proxy is built.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort

from txstalecache.admin.events import Events
from txstalecache.admin.facts import Facts, flight_told
from txstalecache.admin.gate import Gate
from txstalecache.admin.inquiry import Ask, Inquiry
from txstalecache.admin.resource import AdminResource
from txstalecache.admin.warm import Jobs
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.flight.flight import Flight
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
        self._resource = resource
        self._facts = facts
        inquiry = Inquiry(ask, covers, facts.identity())
        self._events = Events(inquiry, reactor)
        self._jobs = Jobs(reactor, resource.warm)
        served = AdminResource(Gate(token, hosts), resource, inquiry, self._events, self._jobs, ready)
        # A URL of the length that clients may ask for, in a query, with every byte written as three.
        limits = EdgeLimits(head=64 * 1024, target=32 * 1024, body=2 * 1024 * 1024, connections=64)
        self._site = CacheSite(served, reactor, limits=limits)
        self._site.noisy = False
        self._port: IListeningPort | None = None
        resource.registry.watchers.append(self._flew)

    def listen(self, endpoint: Endpoint) -> Deferred[IListeningPort]:
        """Listen on ``endpoint``."""

        def listening(port: IListeningPort) -> IListeningPort:
            self._port = port
            return port

        return endpoint.listen(self._site).addCallback(listening)

    def close(self) -> Deferred[None]:
        """End the streams and jobs, then the connections; fires when they are gone."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        self._resource.registry.watchers.remove(self._flew)
        self._events.close()
        self._jobs.close()
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        await self._site.drain().addTimeout(self.FAREWELL, self._reactor, lambda late, seconds: None)

    def _flew(self, flight: Flight) -> None:
        """A flight of this process has begun or ended."""
        if not self._events.listening:
            return
        what = "began" if flight in self._resource.registry.flights else "ended"
        told = flight_told(flight, self._resource.registry.store.now())
        self._events.flight({"what": what, **told, "leader": self._facts.identity()})
