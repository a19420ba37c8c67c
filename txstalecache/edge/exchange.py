"""One client's request and its one answer, whatever becomes of the client meanwhile.

Wraps a ``twisted.web`` request; after it has been finished or the client has left, nothing touches it.
Must not know: caching.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.http_headers import Headers

from txstalecache.edge.channel import CacheRequest
from txstalecache.edge.reasons import reason
from txstalecache.edge.reply import WHOLE, Reply, refusal
from txstalecache.flight.body import Body, Reader, Segment
from txstalecache.http.messages import Fields, ResponseHead

__all__ = ["Exchange", "headers_of"]


_NONE = Headers()


class Exchange:
    """A client waiting for one answer (``flight.body.Consumer``).

    ``done`` is called once, when the answer is complete or the client has gone; whoever serves sets it. The exchange
    owns the coroutine given to ``run`` and cancels it when the client leaves.
    """

    _log = Logger()

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self.request = request
        self.clock = clock
        self.began = clock.seconds()
        self.status = 0
        self.sent = 0
        """Bytes of body written."""
        self.open = True
        """Whether something can still be written."""
        self.complete = False
        """Whether the whole answer was written."""
        self.done: Callable[[], None] = lambda: None
        self._reader: Reader | None = None
        self._task: Deferred[None] | None = None
        request.notifyFinish().addErrback(self._left)

    def run(self, serving: Coroutine[Deferred[Any], Any, None]) -> None:
        """Serve the request with ``serving``; whatever it raises becomes a 500 or an aborted connection."""
        task = self._task = Deferred.fromCoroutine(serving)
        task.addErrback(self._crashed)

    def lighten(self) -> None:
        """The request is about to wait among many: what has gone into its head is not held twice."""
        if isinstance(self.request, CacheRequest):
            self.request.requestHeaders = _NONE

    # -- answering -----------------------------------------------------------------------------------------------

    def inform(self, head: ResponseHead) -> None:
        """Pass an informational response on, if this client can take one (RFC 9110 §15.2)."""
        request = self.request
        channel = request.channel if self.open else None
        if isinstance(channel, HTTPChannel) and request.clientproto == b"HTTP/1.1" and not request.startedWriting:
            channel.writeHeaders(b"HTTP/1.1", b"%d" % head.status, reason(head.status), headers_of(head.fields))

    def answer(self, reply: Reply) -> None:
        """Send ``reply`` as far as the client is still there: at once when it is short, else as it is taken."""
        if not self.open:
            return
        self._begin(reply.status, reply.fields)
        body, segments = reply.body, reply.segments
        if body is None or not segments:
            self._finish()
        elif body.ended and len(body.chunks) == 1 and tuple(segments) == WHOLE and body.length <= Body.COMPACT:
            self.write(body.chunks[0])
            self._finish()
        else:
            self._stream(body, segments)

    def _begin(self, status: int, fields: Fields) -> None:
        request = self.request
        self.status = status
        request.setResponseCode(status, reason(status))
        before = request.responseHeaders
        headers = request.responseHeaders = headers_of(fields)
        request.defaultContentType = None  # type: ignore[attr-defined]
        connection, date = before.getRawHeaders(b"Connection"), before.getRawHeaders(b"Date")
        if connection is not None:
            headers.setRawHeaders(b"Connection", connection)
        if date is not None and not headers.hasHeader(b"Date"):
            headers.setRawHeaders(b"Date", date)  # RFC 9110 §6.6.1: an answer of our own

    def _stream(self, body: Body, segments: Sequence[Segment]) -> None:
        # The head leaves now: the first byte of the body may be far off.
        self.request.write(b"")
        reader = self._reader = Reader(body, self, segments)
        self.request.registerProducer(reader, True)
        reader.start()

    def abort(self) -> None:
        """Cut the connection so that the client sees that something is missing."""
        if self.open:
            transport: Any = self.request.transport
            if transport is not None:
                transport.abortConnection()

    # -- Consumer ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.open:
            self.sent += len(data)
            self.request.write(data)

    def delivered(self) -> None:
        if self.open:
            self._finish()

    def cut(self) -> None:
        self.abort()

    # -- the end -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self.open = False
        self.complete = True
        if self._reader is not None:
            self._reader = None
            self.request.unregisterProducer()
        self.request.finish()
        self.done()

    def _left(self, _: Failure) -> None:
        """The client's connection is gone."""
        if not self.open:
            return
        self.open = False
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.stopProducing()
        if self._task is not None:
            self._task.cancel()
        self.done()

    def _crashed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._log.failure("request failed", failure=failure)
        if not self.open:
            return
        if self.request.startedWriting:
            self.abort()
        else:
            self.answer(refusal(500, "internal error"))


def headers_of(fields: Fields) -> Headers:
    """``fields`` as Twisted writes them."""
    headers = Headers()
    for name, value in fields:
        headers.addRawHeader(name, value)
    return headers
