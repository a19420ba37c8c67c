"""The admin interface: purge and status, for whoever knows the token.

::

    POST  /purge    {"scope": "tag", "value": "blue", "mode": "soft"}
    PURGE /a/path   Host: example.org                                   one URL; Purge-Mode: soft, refresh
    GET   /status

Every answer is JSON. To be served on an endpoint of its own, never on the public one.
Must not know: what a flight is, how purges are recorded, clients of the proxy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Mapping
from hashlib import sha256
from hmac import compare_digest
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txstalecache.admin.orders import BadOrder, Mode, Order
from txstalecache.store.purges import Hardness, Scope

__all__ = ["AdminResource", "IPurger"]


class IPurger(Protocol):
    """What a ``CacheResource`` does for the admin interface."""

    def purge(self, scope: Scope, hardness: Hardness = ...) -> Deferred[bool]:
        """Fires with whether the whole fleet will know."""

    def refresh(self, url: bytes) -> Deferred[None]:
        """Purge softly and fetch anew."""


class _Refused(Exception):
    """An answer of 4xx."""

    def __init__(self, status: int, problem: str, **fields: str) -> None:
        super().__init__(problem)
        self.status = status
        self.fields = fields


class _Whole:
    """A body as it comes (IConsumer, as far as a body's producer uses one)."""

    #: Bytes of an order.
    MOST = 64 * 1024

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        if len(self.data) <= self.MOST:
            self.data += data

    def registerProducer(self, producer: object, streaming: bool) -> None:
        pass

    def unregisterProducer(self) -> None:
        pass


class AdminResource(Resource):
    """``token`` is compared in constant time and shown nowhere; ``status`` says what ``GET /status`` shows."""

    isLeaf = True
    _log = Logger()

    def __init__(self, purger: IPurger, token: bytes, status: Callable[[], Mapping[str, object]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        if not token:
            raise ValueError("an admin interface without a token is none")
        self._purger = purger
        self._token = sha256(token).digest()
        self._status = status

    def render(self, request: Request) -> int:
        """Any method; the answer comes later."""
        answering: Deferred[None] = Deferred.fromCoroutine(self._serve(request))
        request.notifyFinish().addErrback(lambda _: answering.cancel())

        def crashed(failure: Failure) -> None:
            if failure.check(CancelledError):
                return
            self._log.failure("an admin request failed", failure)
            _answer(request, 500, {"error": "internal error"})

        answering.addErrback(crashed)
        return NOT_DONE_YET

    async def _serve(self, request: Request) -> None:
        fields: Mapping[str, str] = {}
        try:
            self._admit(request)
            status, said = await self._dispatch(request)
        except _Refused as refused:
            status, said, fields = refused.status, {"error": str(refused)}, refused.fields
        except BadOrder as error:
            status, said = 400, {"error": str(error)}
        _answer(request, status, said, fields)

    def _admit(self, request: Request) -> None:
        lines = request.requestHeaders.getRawHeaders(b"authorization") or []
        scheme, _, token = (lines[0] if len(lines) == 1 else b"").partition(b" ")
        # Of equal length whatever was sent, so that not even the token's length can be timed.
        known = compare_digest(sha256(token.strip()).digest(), self._token)
        if scheme.lower() != b"bearer" or not known:
            raise _Refused(401, "the token is missing or wrong", **{"WWW-Authenticate": "Bearer"})

    def _dispatch(self, request: Request) -> Coroutine[Any, Any, tuple[int, Mapping[str, object]]]:
        path, method = request.uri.partition(b"?")[0], request.method
        if method == b"PURGE":
            return self._purge_url(request)
        if path == b"/purge":
            _allow(request, b"POST")
            return self._purge(request)
        if path == b"/status":
            _allow(request, b"GET", b"HEAD")
            return self._tell()
        raise _Refused(404, "there is /purge and /status")

    async def _tell(self) -> tuple[int, Mapping[str, object]]:
        return 200, self._status()

    async def _purge(self, request: Request) -> tuple[int, Mapping[str, object]]:
        body = await _body(request)
        if len(body) > _Whole.MOST:
            raise _Refused(413, f"more than {_Whole.MOST} bytes")
        return await self._obey(Order.read(body))

    async def _purge_url(self, request: Request) -> tuple[int, Mapping[str, object]]:
        host = request.requestHeaders.getRawHeaders(b"host", [b""])[0]
        mode = request.requestHeaders.getRawHeaders(b"purge-mode", [b"hard"])[0]
        url = request.uri if not request.uri.startswith(b"/") else b"http://" + host + request.uri
        return await self._obey(Order.of("url", url.decode("latin-1"), mode.decode("latin-1").lower()))

    async def _obey(self, order: Order) -> tuple[int, Mapping[str, object]]:
        # Also before a refresh: that one's purge is the same, and whether the fleet knows is told by this.
        known = await self._purger.purge(order.scope, order.mode.hardness)
        refreshing = order.mode is Mode.REFRESH and order.url is not None
        if refreshing and order.url is not None:
            await self._purger.refresh(order.url)
        said = {"purged": True, "everywhere": known, "refreshing": refreshing}
        # Accepted: it holds here, and is told to Redis when that is back.
        return (200 if known else 202), said


def _allow(request: Request, *methods: bytes) -> None:
    if request.method not in methods:
        allowed = b", ".join(methods).decode()
        raise _Refused(405, f"expected {allowed}", Allow=allowed)


async def _body(request: Request) -> bytes:
    """The body of ``request``, streamed or read already."""
    upload: Any = getattr(request, "upload", None)
    if upload is None:
        return b"" if request.content is None else request.content.read(_Whole.MOST + 1)
    whole = _Whole()
    await upload.startProducing(whole)
    return whole.data


def _answer(request: Request, status: int, said: Mapping[str, object], fields: Mapping[str, str] = {}) -> None:
    body = json.dumps(said, default=str).encode("ascii") + b"\n"
    request.setResponseCode(status)
    for name, value in {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Content-Length": str(len(body)),
        **fields,
    }.items():
        request.setHeader(name.encode("ascii"), value.encode("ascii"))
    if request.method != b"HEAD":
        request.write(body)
    request.finish()
