"""The hardened site: what stands between sockets and the resource.

Must not know: caching.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import IResource
from twisted.web.server import Site

from txstalecache.edge.channel import CacheChannel
from txstalecache.edge.contained import contained
from txstalecache.edge.exchange import Exchange
from txstalecache.edge.fastlane import FastLane, LaneChannel
from txstalecache.edge.limits import EdgeLimits, connection_cap
from txstalecache.edge.refused import canned
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.twistedweb import CacheRequest
from txstalecache.http import expect
from txstalecache.observe.accesslog import Record

__all__ = ["CacheSite"]


class _Full(Protocol):
    """A connection too many. One that does not take its answer (with TLS: that never shakes hands) is cut off after
    ``patience`` seconds."""

    def __init__(self, clock: IReactorTime, patience: float) -> None:
        self._clock = clock
        self._patience = patience

    def connectionMade(self) -> None:
        transport: Any = self.transport
        self._cut = self._clock.callLater(self._patience, transport.abortConnection)
        transport.write(canned(503, "too many connections", retry_after=1))
        transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._cut.active():
            self._cut.cancel()


class _Channel(LaneChannel):
    """A channel its site counts."""

    site: CacheSite

    def meet(self) -> None:
        super().meet()
        self.look_up()

    def look_up(self) -> None:
        """Find out who answers: what the site's resource is now."""
        self.served = self.site.served
        self.lane = self.site.lane(self._scheme, self.client)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.site.lost(self)


class CacheSite(Site):
    """A ``Site`` for a ``CacheResource`` (or a tree with some in it) that holds clients to ``limits``.

    ``refused`` is called with one ``Record`` per request that got no further than the site. The body of a request for a
    ``CacheResource`` streams; so it does, in ``request.upload``, for any other with ``streams = True``. For the rest it
    is read whole, into ``request.content`` and ``request.args``, once they are looked up.
    HTTP/1.1 alone is spoken, and offered by ALPN. Where ``resource`` is a ``CacheResource``, hits take its fast lane:
    the same answers, without a request object; ``fast_lane=False`` turns that off.
    """

    def __init__(
        self,
        resource: IResource,
        reactor: IReactorTime,
        *,
        limits: EdgeLimits = EdgeLimits(),
        refused: Callable[[Record], None] | None = None,
        fast_lane: bool = True,
    ) -> None:
        expect.providing("resource", resource, IResource, "an IResource")
        expect.of_kind("limits", limits, EdgeLimits, "EdgeLimits")
        self.channels: set[_Channel] = set()
        """The connections that stand."""
        self._refused = contained(refused)
        self._fast = fast_lane
        self._lanes: dict[tuple[bytes, bool], FastLane | None] = {}
        super().__init__(resource, requestFactory=CacheRequest, reactor=reactor)
        self.limits = limits
        self._cap = cap = connection_cap(limits)
        if limits.connections is not None and cap < limits.connections:
            Logger().warn(
                "{wanted} connections are more than the descriptors there are: no more than {cap} will be taken",
                wanted=limits.connections,
                cap=cap,
            )
        self._crowded = False
        self._drained: list[Deferred[None]] = []
        self._draining = False

    def buildProtocol(self, addr: IAddress | None) -> Protocol:  # type: ignore[override]
        if len(self.channels) >= self._cap:
            if not self._crowded:
                self._crowded = True
                Logger().warn("connection cap of {cap} reached: new clients get 503", cap=self._cap)
            return _Full(self.reactor, self.limits.linger)
        self._crowded = False
        channel: Any = _Channel(self.limits, self.reactor, self._refused)
        channel.factory = channel.site = self
        channel.callLater = self.reactor.callLater
        channel.requestFactory = self.requestFactory
        self.channels.add(channel)
        if self._draining:
            channel.persistent = False
        return channel  # type: ignore[no-any-return]

    @property
    def resource(self) -> IResource:
        """What answers. Another one may be put in its place at any time, and answers from the next request on."""
        return self._resource

    @resource.setter
    def resource(self, resource: IResource) -> None:
        self._resource = resource
        if isinstance(resource, CacheResource):
            resource.stands((), self)
        self._lanes.clear()
        for channel in self.channels:
            if channel.met:
                channel.look_up()

    @property
    def served(self) -> Callable[[Exchange], None] | None:
        """Who answers requests without ``twisted.web`` in between; None where that would pass somebody's own
        ``render``, ``getResourceFor`` or request class by."""
        resource: object = self.resource
        if not isinstance(resource, CacheResource) or not resource.renders or self.requestFactory is not CacheRequest:
            return None
        return resource.serve if type(self).getResourceFor is Site.getResourceFor else None

    def lane(self, scheme: bytes, client: str | None = None) -> FastLane | None:
        """What answers hits for a connection from ``client`` that carries ``scheme``."""
        resource: object = self.resource
        if not self._fast or self.served is None or not isinstance(resource, CacheResource):
            return None
        of = (scheme, resource.trusts(client))
        if of not in self._lanes:
            self._lanes[of] = resource.fast_lane(self.limits, *of)
        return self._lanes[of]

    def drain(self) -> Deferred[None]:
        """Let every connection end with its next answer, and those without a request soon. Fires when none stands;
        whoever calls this bounds the wait."""
        self._draining = True
        for channel in list(self.channels):
            channel.retire()
        drained: Deferred[None] = Deferred()
        self._drained.append(drained)
        self._drained_or_not()
        return drained

    def lost(self, channel: CacheChannel) -> None:
        """A channel's connection is gone."""
        self.channels.discard(channel)
        self._drained_or_not()

    def _drained_or_not(self) -> None:
        if not self.channels:
            waiting, self._drained = self._drained, []
            for drained in waiting:
                if not drained.called:
                    drained.callback(None)

    def acceptableProtocols(self) -> list[bytes]:
        """What is offered by ALPN: HTTP/2 has other limits than these."""
        return [b"http/1.1"]

    def log(self, request: object) -> None:
        """The resource writes its own access log."""
