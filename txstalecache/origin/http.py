"""An upstream server that speaks HTTP/1.1.

Must not know: who asks, what is asked for.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from txstalecache.http import expect
from txstalecache.origin.address import Address
from txstalecache.origin.encode import encode_head
from txstalecache.origin.exchange import Exchange
from txstalecache.origin.interfaces import Fault, IOrigin, IOriginResponse, OriginError, OriginRequest
from txstalecache.origin.limits import PoolLimits
from txstalecache.origin.named import NamedEndpoint
from txstalecache.origin.pool import Pool
from txstalecache.origin.tls import TLS

__all__ = ["HttpOrigin", "PooledOrigin"]

# Longer than any limit of ours: the fetch's own connect deadline decides.
_ENDPOINT_TIMEOUT = 86400.0


@implementer(IOrigin)
class PooledOrigin:
    """What speaks HTTP/1.1 through an endpoint. Made by its subclasses, which say how; ``authority`` is the ``Host`` of
    requests that bring none."""

    def __init__(
        self, reactor: Any, endpoint: IStreamClientEndpoint, authority: bytes, limits: PoolLimits, *, secure: bool
    ) -> None:
        self._reactor = reactor
        self._authority = authority
        self._pool = Pool(reactor, endpoint, authority.decode("ascii"), limits, secure=secure)

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        """See ``IOrigin``. A request that cannot be sent as one well-formed HTTP/1.1 request is not sent: MALFORMED."""
        try:
            encoded = encode_head(request, self._authority)
        except ValueError as error:
            return fail(OriginError(Fault.MALFORMED, f"request not sent: {error}"))
        exchange = Exchange(self._reactor, request, encoded)
        self._pool.submit(exchange)
        return exchange.begun

    def close(self) -> Deferred[None]:
        """See ``IOrigin``. Fetches are still possible; their connections are not kept."""
        return self._pool.close()

    @property
    def connections(self) -> int:
        """Connections open or being opened."""
        return self._pool.size

    @property
    def idle_connections(self) -> int:
        """Connections kept for the next fetch."""
        return self._pool.idle_connections

    @property
    def waiting(self) -> int:
        """Fetches that wait for a connection."""
        return self._pool.waiting


class HttpOrigin(PooledOrigin):
    """One server behind ``url``: ``http://host[:port]``, ``https://host[:port]`` or ``unix:/path/of/socket``.

    At most ``max_connections`` at a time; ``queue`` fetches may wait ``queue_wait`` seconds for one, beyond that they
    fail as OVERLOADED. While any wait, those give way whose clients take or send less than ``min_rate`` bytes a second,
    as many as wait: they break off, or fail as OVERLOADED. Connections are kept ``idle`` seconds after their last
    exchange (below the 5 s after which many servers close theirs); 0 keeps none. None is used ``lifetime`` seconds
    after it was made: its name may lead elsewhere by then. A connection is used again only after an
    exchange that ended exactly where it said it would, and whose request had no body: an origin that reads bodies
    otherwise would answer what is in them. No redirects, no cookies, no decoding. Nothing is sent twice, but for an
    idempotent request without body whose kept connection turns out to have been closed: that goes out once more on a
    fresh one.

    Raises ValueError, in one line, for a URL or a TLS file that cannot be used.
    """

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        max_connections: int = 64,
        queue: int = 1000,
        queue_wait: float = 5.0,
        min_rate: int = 64 * 1024,
        idle: float = 4.0,
        lifetime: float = 60.0,
        tls: TLS | None = None,
    ) -> None:
        expect.of_kind("url", url, str, "a text")
        expect.of_kind("tls", tls, TLS | None, "TLS")
        self.address = address = Address.parse(url)
        secure = address.scheme == "https"
        if tls is not None and not secure:
            raise ValueError(f"origin {url!r}: TLS options need https://")
        limits = PoolLimits(
            max_connections=max_connections,
            queue=queue,
            queue_wait=queue_wait,
            min_rate=min_rate,
            idle=idle,
            lifetime=lifetime,
        )
        self.endpoint = endpoint = _endpoint(reactor, address, tls or TLS())
        """The way there."""
        super().__init__(reactor, endpoint, address.authority, limits, secure=secure)


def _endpoint(reactor: Any, address: Address, tls: TLS) -> IStreamClientEndpoint:
    """The way to ``address``. ValueError, in one line, for a TLS file that cannot be used."""
    endpoint: IStreamClientEndpoint
    if address.scheme == "unix":
        return UNIXClientEndpoint(reactor, address.path, timeout=_ENDPOINT_TIMEOUT)
    if isIPAddress(address.host):
        endpoint = TCP4ClientEndpoint(reactor, address.host, address.port, timeout=_ENDPOINT_TIMEOUT)
    elif isIPv6Address(address.host):
        endpoint = TCP6ClientEndpoint(reactor, address.host, address.port, timeout=_ENDPOINT_TIMEOUT)
    else:
        endpoint = NamedEndpoint(reactor, address.host, address.port, timeout=_ENDPOINT_TIMEOUT)
    if address.scheme == "https":
        endpoint = wrapClientTLS(tls.creator(address.host), endpoint)
    return endpoint
