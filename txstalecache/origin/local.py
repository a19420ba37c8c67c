"""A Twisted resource in this process as the origin: one's own site, cached in front of itself.

Must not know: what the resource does, what becomes of its answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import Request, Site
from zope.interface import implementer

from txstalecache.http import expect
from txstalecache.origin.honest import HonestRequest
from txstalecache.origin.http import PooledOrigin
from txstalecache.origin.limits import PoolLimits
from txstalecache.origin.pipe import ADDRESS, join

__all__ = ["LocalOrigin"]


class _Site(Site):
    """Serves ``resource`` as if it stood where its cache stands: in a tree, on a host and a port."""

    #: Places in a tree that are remembered; where each name leads to the same resource, there is no end to them.
    MOST: Final = 1000

    def __init__(self, resource: IResource, reactor: Any) -> None:
        super().__init__(resource, requestFactory=HonestRequest, timeout=None, reactor=reactor)
        self._places: dict[tuple[bytes, ...], None] = {}
        self._deepest = 0
        self._sites: dict[bool | None, Site] = {}

    def stands(self, place: Sequence[bytes], site: Site | None, secure: bool | None = None) -> None:
        """Requests below ``place`` are for the resource, as one that came that way shows, to ``site``: with or without
        TLS, or None, however it comes."""
        if site is not None and self._sites.get(secure) is not site:
            self._sites.pop(secure, None)
            self._sites[secure] = site
        known = tuple(place)
        self._places.pop(known, None)
        self._places[known] = None
        self._deepest = max(self._deepest, len(known))
        if len(self._places) > self.MOST:
            del self._places[next(iter(self._places))]

    def getResourceFor(self, request: Any) -> IResource:
        # The cache's clock says when the answer was made, unless the resource does.
        request.responseHeaders.removeHeader(b"Date")
        _addressed(request)
        request.site, request.sitepath = self._site(request.isSecure()), []
        depth = self._depth(request.postpath)
        request.prepath, request.postpath = request.postpath[:depth], request.postpath[depth:]
        return getChildForRequest(self.resource, request)  # type: ignore[no-any-return]

    def _site(self, secure: bool) -> Site:
        """Whose sessions there are: those of the site that a client asks, which is known once one has."""
        latest = next(reversed(self._sites.values()), self)
        return self._sites.get(secure, latest)

    def _depth(self, path: list[bytes]) -> int:
        """How many segments of ``path`` lead to the resource; none where no request has come that way yet."""
        for depth in range(min(self._deepest, len(path)), 0, -1):
            if tuple(path[:depth]) in self._places:
                return depth
        return 0


def _addressed(request: Request) -> None:
    """The scheme and the port are those of the URL that was asked for."""
    secure = request.getHeader(b"X-Forwarded-Proto") == b"https"
    host, _, port = (request.getHeader(b"Host") or b"").rpartition(b":")
    if not host or not port.isdigit():
        host, port = request.getHeader(b"Host") or b"", b"443" if secure else b"80"
    request.setHost(host, int(port), secure)
    request.host = IPv4Address("TCP", ADDRESS.host, int(port))


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
    deadlines, back-pressure) holds here. It sees what it would see in the place of its cache: below a path, its
    ``prepath``, as the first request that comes that way shows it, and in its site, with that one's sessions; the host,
    the scheme and the port of the URL. The client's address is in ``X-Forwarded-For``, not in
    ``request.getClientAddress()``. At most ``max_connections`` requests are in the resource at a time.
    """

    def __init__(self, reactor: Any, resource: IResource, *, max_connections: int = 256, queue: int = 10_000) -> None:
        expect.providing("resource", resource, IResource, "an IResource")
        # The factory is never started: all that would do is write an access log beside ours.
        site = _Site(resource, reactor)
        self.stands = site.stands
        """Called with where in a tree, and in which site, a request found the cache."""
        limits = PoolLimits(max_connections=max_connections, queue=queue)
        super().__init__(reactor, _Endpoint(reactor, site), b"localhost", limits, secure=False)
