"""How a server is, asked with a request of our own.

Must not know: who asks, how often, what follows from it.
"""

from __future__ import annotations

from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any, cast

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

__all__ = ["Probe"]

#: Bytes that an answer may have: a server that sends more is not read any further, and not well.
MOST = 64 * 1024


class _Wire(ProtocolWrapper):
    """A connection that may bring so much and no more."""

    taken = 0

    def dataReceived(self, data: bytes) -> None:
        self.taken += len(data)
        if self.taken > MOST:
            self.abortConnection()
        else:
            super().dataReceived(data)


class _Wires(WrappingFactory):
    """Makes them; ``protocols`` are those that stand."""

    protocol = _Wire
    noisy = False


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class _Once:
    """``endpoint``, whatever the URL says; connections through it are cut when all is said."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint
        self._wires: list[_Wires] = []

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        wires = _Wires(protocolFactory)
        # The agent's own factory would log that it starts, and that it stops.
        wires.wrappedFactory.noisy = False
        self._wires.append(wires)
        connecting: Deferred[Any] = self._endpoint.connect(cast(IProtocolFactory, wires))
        return connecting.addCallback(lambda wire: wire.wrappedProtocol)

    def cut(self) -> None:
        """Neither a body nor a long goodbye is waited for."""
        for wires in self._wires:
            for wire in list(wires.protocols):
                wire.abortConnection()


class Probe:
    """GET ``path`` through ``endpoint``, naming ``host``: by treq without cookies, redirects or kept connections."""

    def __init__(self, reactor: Any, endpoint: IStreamClientEndpoint, path: str, host: bytes) -> None:
        self._reactor = reactor
        self._endpoint = endpoint
        # TLS is the endpoint's affair. The path goes as it is written.
        self._url = EncodedURL.from_text(f"http://probed{path}")
        self._host = host

    async def __call__(self) -> str:
        """What it answers that is not 2xx or 3xx, else nothing. Raises what connecting and reading raise; cancelling
        cuts the connection."""
        once = _Once(self._endpoint)
        agent = Agent.usingEndpointFactory(self._reactor, once)
        # A jar for no domain: what a server sets is not kept.
        client = HTTPClient(agent, cast(Any, CookieJar(DefaultCookiePolicy(allowed_domains=()))))
        try:
            response = await client.get(
                self._url,
                headers=Headers({b"Host": [self._host], b"User-Agent": [b"txstalecache"]}),
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,
            )
        finally:
            once.cut()
        return "" if 200 <= int(response.code) < 400 else f"it answers {response.code}"
