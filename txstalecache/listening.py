"""Where the proxy listens: from what an operator writes to a port, and the certificate there, which can be renewed.

Must not know: what is served.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import (
    IAddress,
    IListeningPort,
    IOpenSSLContextFactory,
    IProtocolFactory,
    IStreamServerEndpoint,
)
from twisted.internet.protocol import Factory
from zope.interface import implementer

__all__ = ["BACKLOG", "Endpoint", "one_line"]

#: Connections that may wait to be accepted; endpoint descriptions default to 50.
BACKLOG = 1024

#: What is spoken at the kinds of endpoints that are known to be spoken to without more ado.
_SCHEMES = {"tcp": "http", "tcp6": "http", "systemd": "http", "ssl": "https"}


class Endpoint:
    """A Twisted server endpoint, as ``description`` has it. Nothing is opened before ``listen``."""

    def __init__(self, reactor: Any, description: str) -> None:
        """ValueError in one line when the description means nothing, or its certificate cannot be used."""
        self.description = description
        self._kind = description.removeprefix("haproxy:").partition(":")[0]
        takes = self._kind in ("tcp", "tcp6", "ssl", "unix") and ":backlog=" not in description
        self._whole = f"{description}:backlog={BACKLOG}" if takes else description
        self._tls = _Certificate()
        self._endpoint = self._described(_UnderOurs(reactor, self._tls) if self.secure else reactor)
        self.renew()

    def _described(self, reactor: Any) -> IStreamServerEndpoint:
        try:
            endpoint: IStreamServerEndpoint = serverFromString(reactor, self._whole)
        except Exception as error:  # each kind of endpoint has its own ways to say no
            missing = self._kind == "systemd" and isinstance(error, LookupError)
            raise ValueError("no such socket was passed on to this process" if missing else _unusable(error)) from None
        return endpoint

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken here, under a certificate that ``renew`` reads again."""
        return self._kind == "ssl"

    def listen(self, factory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen, as an endpoint does."""
        listening: Deferred[IListeningPort] = self._endpoint.listen(factory)
        return listening.addCallback(_as_told)

    def renew(self) -> None:
        """Read certificate and key again, where there are any: connections that are made from now on are under these.
        ValueError in one line when they cannot be used, and nothing has changed then."""
        if not self.secure:
            return
        looking = _Looking()
        self._described(looking).listen(Factory())
        try:
            # Made once, when it is first wanted: what is wrong with it is to be said now.
            looking.found.getContext()
        except Exception as error:  # OpenSSL's errors are of many types
            raise ValueError(_unusable(error)) from None
        self._tls.current = looking.found

    def where(self, address: IAddress) -> str:
        """What a client on this host would be told to ask at ``address``, as far as there is a URL for it."""
        if not isinstance(address, IPv4Address | IPv6Address):
            return str(address)
        everywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}
        host = everywhere.get(address.host, address.host)
        at = f"[{host}]:{address.port}" if ":" in host else f"{host}:{address.port}"
        kind = self.description.partition(":")[0]
        scheme = _SCHEMES.get(kind)
        return f"{at} ({kind})" if scheme is None else f"{scheme}://{at}"


@implementer(IOpenSSLContextFactory)
class _Certificate:
    """What TLS is spoken with: what is ``current`` when a connection is made."""

    current: Any

    def getContext(self) -> Any:
        return self.current.getContext()


class _UnderOurs:
    """A reactor that speaks TLS with ``certificate``, whatever it is told to; else the one it stands for."""

    def __init__(self, reactor: Any, certificate: _Certificate) -> None:
        self._reactor = reactor
        self._certificate = certificate

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **how: Any) -> IListeningPort:
        listening: IListeningPort = self._reactor.listenSSL(port, factory, self._certificate, **how)
        return listening


class _Looking:
    """A reactor that opens nothing: ``found`` is what it was to speak TLS with."""

    found: Any = None

    def listenSSL(self, port: int, factory: Any, contextFactory: Any, **how: Any) -> None:
        self.found = contextFactory


def _unusable(error: Exception) -> str:
    """Why an endpoint cannot be made, in one line."""
    if not type(error).__module__.startswith("OpenSSL."):
        return one_line(error)
    told = ", ".join(str(one[-1]) for one in error.args[0]) if error.args else ""
    return f"not a certificate and its key, in PEM, that OpenSSL takes: {told or type(error).__name__}"


def one_line(error: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(error, CannotListenError) and isinstance(error.socketError, OSError):
        error = error.socketError
    if isinstance(error, OSError) and error.strerror:
        # Of two names the first is what the second was to lead to: the process' number, for the lock of a unix socket.
        named = error.filename2 or error.filename
        return f"{error.strerror}: {os.fsdecode(named)}" if named else error.strerror
    return " ".join(str(error).split()) or type(error).__name__


def _as_told(port: IListeningPort) -> IListeningPort:
    """``port``; ValueError where its socket was passed on to this process (systemd) and is of another domain than was
    said: the addresses that are read from it then are whatever lies in memory."""
    told = getattr(port, "socket", None)
    if told is not None:
        with socket.socket(fileno=os.dup(told.fileno())) as passed:
            if passed.family != told.family:
                raise ValueError(f"the socket that was passed on needs domain={passed.family.name.removeprefix('AF_')}")
    return port
