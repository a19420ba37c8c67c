"""Requests as ``twisted.web`` has them: for a cache somewhere in a tree of resources, or in a ``Site`` of any kind.

``CacheSite`` has checked the raw bytes before (``edge.heads``); behind another ``Site`` what is checked here is all
there is, and what its parser has mended, merged or thrown away is not seen (RFC 9112 §3, RFC 9110 §7.2).
Must not know: caching.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, BinaryIO, cast

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.client import FileBodyProducer
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from twisted.web.resource import IResource
from zope.interface import implementer

from txstalecache.edge.exchange import Exchange, Pairs
from txstalecache.edge.heads import ReceivedRequest, Rejected, authority, body_kind, origin_form
from txstalecache.edge.phrases import phrase
from txstalecache.edge.reply import SERVER
from txstalecache.edge.upload import StreamedUpload
from txstalecache.flight.body import Reader
from txstalecache.http.fields import TOKEN, VALUE
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.origin.honest import HonestRequest

__all__ = ["CacheRequest", "TwistedExchange"]

_NONE = Headers()


class CacheRequest(HonestRequest):
    """A request whose resource is looked up when its head is complete. One that ``streams`` is asked at once, and finds
    the body in ``upload`` as it comes; any other once the body is whole, in ``content`` and ``args``."""

    upload: StreamedUpload | None = None
    """None without a body, and once it is whole."""
    _answer: Callable[[], None] | None = None
    """Have the resource that was found answer, now that the body is whole."""

    def serve(self, received: ReceivedRequest) -> None:
        """What was asked for is ``received``: have it answered. ``upload`` is set before."""
        head = received.head
        for name, value in head.fields:
            self.requestHeaders.addRawHeader(name, value)
        self.parseCookies()
        self.gotLength(0)
        self.requestReceived(head.method, head.target, received.version)

    def process(self) -> None:
        if self._answer is None:
            super().process()
        else:
            self._answer()

    def render(self, resrc: IResource) -> None:
        self.responseHeaders.setRawHeaders(b"Server", [SERVER])
        if self.upload is None or getattr(resrc, "streams", False):
            super().render(resrc)
            return
        length = self.upload.length
        self.gotLength(None if length is UNKNOWN_LENGTH else length)
        whole = self.upload.startProducing(cast(IConsumer, self.content))
        whole.addCallback(self._whole, resrc).addErrback(self._failed)

    def _whole(self, _: None, resource: IResource) -> None:
        """The body is in ``content``: have Twisted read the form, if it is one. What the way to ``resource`` has made
        of the rest stays."""
        uri, args = self.uri, self.args

        def answer() -> None:
            self.uri, self.args = uri, {**args, **self.args}
            self.render(resource)

        self.upload, self._answer = None, answer
        self.requestReceived(self.method, self.path, self.clientproto)

    def _failed(self, failure: Failure) -> None:
        # Where it is cut off, nobody waits for an answer.
        if not failure.check(ConnectionAborted):
            self.processingFailed(failure)

    def broken_off(self, channel: Any) -> None:
        channel.cut()

    def connectionLost(self, reason: Failure) -> None:
        # First who answers learns that nobody listens any more; then the origin, that the body stays a part.
        super().connectionLost(reason)
        if self.upload is not None and not self.upload.ended:
            self.upload.fail(ConnectionAborted())


class TwistedExchange(Exchange):
    """An exchange over a ``twisted.web`` request."""

    def __init__(self, request: http.Request, clock: IReactorTime) -> None:
        super().__init__(clock)
        self._request = request
        self.method, self.target, self.version = request.method, request.uri, request.clientproto
        self.scheme = b"https" if request.isSecure() else b"http"
        self.client = getattr(request.client, "host", None)
        request.notifyFinish().addErrback(self._left)

    # -- the request ---------------------------------------------------------------------------------------------

    @property
    def fields(self) -> Fields:
        lines = self._request.requestHeaders.getAllRawHeaders()
        return Fields((name, value) for name, values in lines for value in values)

    def head(self) -> RequestHead:
        method, version, fields = self.method, self.version, self.fields
        if not TOKEN.fullmatch(method):
            raise Rejected(400, "method is not a token")
        if method in (b"CONNECT", b"TRACE"):
            raise Rejected(405, "method not allowed")
        for name, value in fields:
            if not (TOKEN.fullmatch(name) and VALUE.fullmatch(value)):
                raise Rejected(400, "malformed header field")
        host = authority(fields.get_all(b"host"), version)
        target = origin_form(method, self.target, self.scheme, host)
        body_kind(fields.get_all(b"content-length"), fields.get_all(b"transfer-encoding"), version)
        return RequestHead(method, target, fields, self.scheme, host)

    def body(self) -> IBodyProducer | None:
        request = self._request
        upload: StreamedUpload | None = getattr(request, "upload", None)
        if upload is not None:
            return upload
        content = request.content
        if content is None:
            return None
        length = content.seek(0, 2)
        content.seek(0)
        announced = request.requestHeaders.hasHeader(b"Content-Length") and self.method not in (b"GET", b"HEAD")
        return SpooledUpload(content, length) if length or announced else None

    def lighten(self) -> None:
        if isinstance(self._request, CacheRequest):
            self._request.requestHeaders = _NONE

    # -- the answer ----------------------------------------------------------------------------------------------

    def inform(self, head: ResponseHead) -> None:
        channel = self._request.channel if self.open else None
        if isinstance(channel, http.HTTPChannel) and self.version == b"HTTP/1.1" and not self.started:
            channel.writeHeaders(b"HTTP/1.1", b"%d" % head.status, phrase(head.status), _headers(head.fields.pairs))

    @property
    def started(self) -> bool:
        return bool(self._request.startedWriting)

    def _begin(self, status: int, fields: Fields, more: Pairs) -> None:
        request = self._request
        request.setResponseCode(status, phrase(status))
        before = request.responseHeaders
        headers = request.responseHeaders = _headers((*fields, *more))
        request.defaultContentType = None  # type: ignore[attr-defined]
        connection, date = before.getRawHeaders(b"Connection"), before.getRawHeaders(b"Date")
        if connection is not None:
            headers.setRawHeaders(b"Connection", connection)
        if date is not None and not headers.hasHeader(b"Date"):
            headers.setRawHeaders(b"Date", date)  # RFC 9110 §6.6.1: an answer of our own

    def _send(self, data: bytes) -> None:
        self._request.write(data)

    def _flush(self) -> None:
        if not self.started:
            self._request.write(b"")

    def _end(self) -> None:
        self._request.finish()

    def _abort(self) -> None:
        transport: Any = self._request.transport
        if transport is not None:
            transport.abortConnection()

    def _register(self, reader: Reader) -> None:
        self._request.registerProducer(reader, True)

    def _unregister(self) -> None:
        self._request.unregisterProducer()


def _headers(pairs: Pairs) -> Headers:
    headers = Headers()
    for name, value in pairs:
        headers.addRawHeader(name, value)
    return headers


@implementer(IBodyProducer)
class SpooledUpload(FileBodyProducer):
    """A body that a foreign ``Site`` has already read whole. The file stays the request's, which closes it."""

    def __init__(self, content: BinaryIO, length: int) -> None:
        super().__init__(cast(BinaryIO, _Unclosed(content)))
        self.length = length


class _Unclosed:
    """A file as ``FileBodyProducer`` uses one, whose closing is somebody else's."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        pass
