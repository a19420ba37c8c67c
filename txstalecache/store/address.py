"""Where a Redis is: ``redis://[user:password@]host[:port][/db]``, ``rediss://…`` (TLS), ``unix:///path[?db=n]``,
``redis+sentinel://[user:password@]host[:port][,host…]/master[/db]``, ``rediss+sentinel://…`` (TLS to all of them).

``rediss`` verifies the servers' certificates and names; ``?ca=/file.pem`` trusts that authority, not the system's, as
it is in the file when a connection is made.
Must not know: the Redis protocol.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from twisted.internet import endpoints
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.logger import Logger
from zope.interface import implementer

from txstalecache.store.sentinel import SentinelEndpoint

__all__ = ["Address", "parse"]

#: What is found where a password has ended early may be its rest, and is not shown.
_ESCAPED = "in a password write / ? # @ : % as %2F %3F %23 %40 %3A %25"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One Redis. ``shown`` is what may be logged: it has no credentials."""

    shown: str
    host: str = ""
    port: int = 6379
    path: str = ""
    tls: bool = False
    ca: str = ""
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    """What the Sentinels call it."""
    sentinel_auth: tuple[str, ...] = field(default=(), repr=False)
    """What the Sentinels are told to prove who we are: a password, or a user and a password."""
    db: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    def endpoint(self, reactor: IReactorTime, timeout: float) -> IStreamClientEndpoint:
        """How to connect, in at most ``timeout`` seconds. ValueError when the certificate authority cannot be read."""
        if self.path:
            return endpoints.UNIXClientEndpoint(reactor, self.path, timeout=timeout)
        way = self._way(reactor, timeout)
        if self.sentinels:
            return SentinelEndpoint(reactor, self.sentinels, self.master, timeout, way, self.sentinel_auth)
        return way(self.host, self.port)

    def _way(self, reactor: IReactorTime, timeout: float) -> Callable[[str, int], IStreamClientEndpoint]:
        """How to connect to a host and port."""

        def plain(host: str, port: int) -> IStreamClientEndpoint:
            return endpoints.HostnameEndpoint(reactor, host, port, timeout=timeout)

        if not self.tls:
            return plain
        from twisted.internet.ssl import optionsForClientTLS

        if self.ca:
            authority = _Authority(self.ca)
            return lambda host, port: _Verified(host, authority, plain(host, port))

        def secured(host: str, port: int) -> IStreamClientEndpoint:
            return endpoints.wrapClientTLS(optionsForClientTLS(host), plain(host, port))

        return secured


class _Authority:
    """The certificates in the file ``path``, read again for each connection: they are renewed while the proxy runs."""

    _log = Logger()

    def __init__(self, path: str) -> None:
        """ValueError when they cannot be read."""
        self._path = path
        self._known = self._read()
        self._trouble = ""

    def trusted(self) -> Any:
        """What is to be trusted now: what was read before, while nothing can be read."""
        try:
            self._known, trouble = self._read(), ""
        except ValueError as error:
            trouble = str(error)
        if trouble and trouble != self._trouble:
            self._log.warn("{trouble}; what was read before is trusted", trouble=trouble)
        self._trouble = trouble
        return self._known

    def _read(self) -> Any:
        from twisted.internet.ssl import Certificate, trustRootFromCertificates

        try:
            with open(self._path, "rb") as file:
                found = _CERTIFICATE.findall(file.read())
            if not found:
                raise ValueError("no certificate in it")
            return trustRootFromCertificates([Certificate.loadPEM(one) for one in found])
        except Exception as error:
            raise ValueError(f"cannot read the certificate authority {self._path!r}: {error}") from None


@implementer(IStreamClientEndpoint)
class _Verified:
    """``endpoint`` with TLS, to ``host`` as ``authority`` has it when a connection is made."""

    def __init__(self, host: str, authority: _Authority, endpoint: IStreamClientEndpoint) -> None:
        self._host = host
        self._authority = authority
        self._endpoint = endpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        from twisted.internet.ssl import optionsForClientTLS

        options = optionsForClientTLS(self._host, trustRoot=self._authority.trusted())
        secured = endpoints.wrapClientTLS(options, self._endpoint)
        connecting: Deferred[IProtocol] = secured.connect(protocolFactory)
        return connecting


def parse(url: str) -> Address:
    """The address in ``url``; ValueError with one line, free of credentials, when there is none."""
    scheme, mark, _ = url.partition("://")
    if mark and scheme in ("redis+sentinel", "rediss+sentinel"):
        return _sentinel(url, scheme)
    if not mark or scheme not in ("redis", "rediss", "unix"):
        raise ValueError(
            "a Redis URL begins with redis://, rediss://, unix://, redis+sentinel:// or rediss+sentinel://"
        )
    try:
        split = urlsplit(url)
        port = split.port
    except ValueError:
        raise ValueError(f"not a {scheme}:// URL: bad host or port") from None
    username = unquote(split.username) if split.username else None
    password = unquote(split.password) if split.password is not None else None
    if username is not None and password is None:
        raise ValueError("a Redis URL with a user needs a password: redis://user:password@host")
    options = _options(split, "db", "ca")
    wanted = options.get("db", "")
    if scheme == "unix":
        path = unquote(split.path)
        if split.hostname or not path.startswith("/"):
            raise ValueError("a unix:// URL has three slashes and an absolute path: unix:///run/redis.sock")
        return Address(shown=f"unix://{path}", path=path, db=_db(wanted), username=username, password=password)
    if not split.hostname:
        raise ValueError(f"no host in the {scheme}:// URL")
    path = split.path.strip("/")
    if path and wanted:
        raise ValueError("the Redis database is given twice")
    port = 6379 if port is None else port
    if not 0 < port < 65536:
        raise ValueError("the Redis port must be from 1 to 65535")
    if options.get("ca") and scheme != "rediss":
        raise ValueError("?ca= is for rediss:// only")
    db = _db(path or wanted)
    host = f"[{split.hostname}]" if ":" in split.hostname else split.hostname
    return Address(
        shown=f"{scheme}://{host}:{port}" + (f"/{db}" if db else ""),
        host=split.hostname,
        port=port,
        tls=scheme == "rediss",
        ca=options.get("ca", ""),
        db=db,
        username=username,
        password=password,
    )


def _sentinel(url: str, scheme: str) -> Address:
    split = urlsplit(url)
    credentials, _, hosts = split.netloc.rpartition("@")
    username, colon, password = credentials.partition(":")
    if credentials and not colon:
        raise ValueError(f"a Redis URL with a user needs a password: {scheme}://user:password@host")
    options = _options(split, "sentinel_user", "sentinel_password", "ca")
    if options.get("ca") and scheme != "rediss+sentinel":
        raise ValueError("?ca= is for rediss+sentinel:// only")
    auth = tuple(options[name] for name in ("sentinel_user", "sentinel_password") if name in options)
    if "sentinel_user" in options and "sentinel_password" not in options:
        raise ValueError("?sentinel_user= needs ?sentinel_password=")
    sentinels = []
    for one in hosts.split(","):
        try:
            each = urlsplit(f"//{one}")
            host, port = each.hostname, 26379 if each.port is None else each.port
        except ValueError:
            host, port = None, 0
        if not host or not 0 < port < 65536:
            raise ValueError(f"a {scheme}:// URL lists its Sentinels: {scheme}://host1:26379,host2/master")
        sentinels.append((host, port))
    master, _, db = split.path.strip("/").partition("/")
    if not master or "@" in master:
        raise ValueError(f"a {scheme}:// URL names the master: {scheme}://host:26379/master; {_ESCAPED}")
    number = _db(db)
    return Address(
        shown=f"{scheme}://{hosts}/{master}" + (f"/{number}" if number else ""),
        sentinels=tuple(sentinels),
        master=master,
        sentinel_auth=auth,
        tls=scheme == "rediss+sentinel",
        ca=options.get("ca", ""),
        db=number,
        username=unquote(username) or None,
        password=unquote(password) if colon else None,
    )


def _options(split: SplitResult, *known: str) -> dict[str, str]:
    """What follows the ``?``: options that are ``known``, and nothing behind them. ValueError."""
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    if set(options) - set(known):
        raise ValueError(f"unknown option in the Redis URL (known: {', '.join(known)}); {_ESCAPED}")
    if split.fragment:
        raise ValueError(f"a Redis URL has no fragment; {_ESCAPED}")
    return options


def _db(text: str) -> int:
    if not text:
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 5:
        raise ValueError(f"the Redis database must be a number; {_ESCAPED}")
    return int(text)
