"""A client of the admin interface: no cookies, no redirects, a deadline for every answer.

Must not know: command lines, what is printed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from io import BytesIO
from typing import Any
from urllib.parse import urlencode

import treq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as Late
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError, ConnectionLost, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseFailed
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from txstalecache import __version__
from txstalecache.cli.connection import Connection
from txstalecache.cli.exits import Failed, TokenRefused, Unreachable

__all__ = ["AdminClient"]

#: Bytes of an answer.
MOST = 64 * 1024 * 1024

#: What is said at its door, in a line of text, of more than it takes: bytes, or connections.
_TOO_MUCH = (413, 414, 431, 503)


@implementer(IAgentEndpointFactory)
class _Socket:
    """Whatever the URL says, one unix socket."""

    def __init__(self, reactor: Any, path: str) -> None:
        self._reactor = reactor
        self._path = path

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        return UNIXClientEndpoint(self._reactor, self._path)


class AdminClient:
    """Asks the admin interface at ``connection``."""

    def __init__(self, reactor: Any, connection: Connection) -> None:
        self._reactor = reactor
        self._connection = connection
        pool = HTTPConnectionPool(reactor, persistent=True)
        pool.retryAutomatically = False
        # Not treq's client: it takes the address in a URL for a name, and IPv6 has no such names.
        self._agent = (
            Agent(reactor, connectTimeout=connection.timeout, pool=pool)
            if connection.path is None
            else Agent.usingEndpointFactory(reactor, _Socket(reactor, connection.path), pool=pool)
        )

    async def get(self, path: str, expected: str, **query: object) -> dict[str, Any]:
        """What ``path`` says. ``expected`` is a name in every such answer: whoever leaves it out is somebody else."""
        return await self._ask("GET", path, expected, query={name: str(value) for name, value in query.items()})

    async def post(self, path: str, expected: str, said: Mapping[str, object]) -> dict[str, Any]:
        """What becomes of ``said``."""
        return await self._ask("POST", path, expected, body=json.dumps(said).encode("ascii"))

    async def delete(self, path: str, expected: str) -> dict[str, Any]:
        """Make an end of ``path``."""
        return await self._ask("DELETE", path, expected, body=b"{}")

    async def _ask(
        self, method: str, path: str, expected: str, *, query: Mapping[str, str] = {}, body: bytes | None = None
    ) -> dict[str, Any]:
        where = self._connection
        asking: Deferred[tuple[int, bytes]] = Deferred.fromCoroutine(self._exchange(method, path, query, body))
        asking.addTimeout(where.timeout, self._reactor)
        try:
            status, answer = await asking
        except Late:
            raise Unreachable(f"{where}: no answer within {where.timeout:g} s") from None
        except DNSLookupError:
            raise Unreachable(f"{where}: no such host") from None
        except ConnectError as error:
            raise Unreachable(f"{where}: {_reason(error)}; is the proxy running with --admin?") from None
        except (ConnectionLost, ResponseFailed):
            raise Unreachable(f"{where}: the connection was cut before the answer was complete") from None
        except (SchemeNotSupported, OSError, ValueError) as error:
            raise Unreachable(f"{where}: {_reason(error)}") from None
        if status in _TOO_MUCH and answer.startswith(b"%d " % status):
            raise Failed(answer[:200].decode("ascii", "replace").strip())
        try:
            said = json.loads(answer)
        except (ValueError, RecursionError):
            said = None
        if (
            not isinstance(said, dict)
            or (status < 400) is not (expected in said)
            or (status >= 400 and "error" not in said)
        ):
            raise Unreachable(f"{where}: that is not the admin interface of txstalecache (it said {status} to {path})")
        if status == 401:
            raise TokenRefused(
                f"{where}: the token is wrong"
                if where.token
                else f"{where}: a token is needed: --token-file FILE, or $TXSTALECACHE_ADMIN_TOKEN"
            )
        if status >= 400:
            raise Failed(str(said["error"]))
        return said

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        fields = Headers({"Accept": ["application/json"], "User-Agent": [f"txstalecache/{__version__}"]})
        if self._connection.token:
            fields.setRawHeaders("Authorization", [f"Bearer {self._connection.token}"])
        if body is not None:
            fields.setRawHeaders("Content-Type", ["application/json"])
        try:
            response = await self._request(method, path, query, fields, body)
        except ResponseFailed as failed:
            if any(reason.check(CancelledError) for reason in failed.reasons):
                # It was our doing: the connection tells only what that did to it.
                raise CancelledError from None
            raise
        parts: list[bytes] = []
        size = 0

        def keep(data: bytes) -> None:
            nonlocal size
            size += len(data)
            if size <= MOST:
                parts.append(data)

        await treq.collect(response, keep)
        if size > MOST:
            raise ValueError(f"an answer of more than {MOST} bytes")
        return response.code, b"".join(parts)

    def _request(
        self, method: str, path: str, query: Mapping[str, str], fields: Headers, body: bytes | None
    ) -> Deferred[Any]:
        url = self._connection.url + path + (f"?{urlencode(query)}" if query else "")
        sent = None if body is None else FileBodyProducer(BytesIO(body))
        return self._agent.request(method.encode("ascii"), url.encode("ascii"), fields, sent)


def _reason(error: BaseException) -> str:
    number = getattr(error, "osError", None)
    if isinstance(number, int):
        return os.strerror(number).lower()
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
