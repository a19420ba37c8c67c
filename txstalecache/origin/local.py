"""A Twisted resource in this process as the origin: one's own site, cached in front of itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.resource import IResource
from twisted.web.server import Site
from zope.interface import implementer

from txstalecache.origin.http import PooledOrigin
from txstalecache.origin.pipe import ADDRESS, join

__all__ = ["LocalOrigin"]


@implementer(IStreamClientEndpoint)
class _Endpoint:
    """Connects to ``site`` without a socket."""

    def __init__(self, reactor: Any, site: Site) -> None:
        self._reactor = reactor
        self._site = site

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See ``IStreamClientEndpoint``."""
        client = protocolFactory.buildProtocol(ADDRESS)
        server = self._site.buildProtocol(ADDRESS)
        if client is None or server is None:
            return fail(ConnectError())
        join(self._reactor, client, server)
        return succeed(client)


class LocalOrigin(PooledOrigin):
    """Fetches from ``resource``, streaming both ways, without a socket. Any ``IResource``, so a ``WSGIResource`` too.

    It is served by a ``Site`` of its own over connections in memory: what holds for an ``HttpOrigin`` (framing, limits,
    deadlines, back-pressure) holds here. ``Host`` is the client's; its address is in ``X-Forwarded-For``, not in
    ``request.getClientAddress()``. At most ``max_connections`` requests are in the resource at a time.
    """

    def __init__(self, reactor: Any, resource: IResource, *, max_connections: int = 256, queue: int = 10_000) -> None:
        # The factory is never started: all that would do is write an access log beside ours.
        super().__init__(
            reactor,
            _Endpoint(reactor, Site(resource, timeout=None, reactor=reactor)),
            b"localhost",
            secure=False,
            max_connections=max_connections,
            queue=queue,
            queue_wait=5.0,
            idle=4.0,
        )
