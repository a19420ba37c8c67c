"""A request of a channel of ours, answered on the channel itself: no request object of ``twisted.web`` in between.

Must not know: caching, sockets.
"""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer

from txstalecache.edge.exchange import Exchange, Pairs
from txstalecache.edge.heads import ReceivedRequest
from txstalecache.edge.reply import head_bytes
from txstalecache.edge.upload import StreamedUpload
from txstalecache.flight.body import Reader
from txstalecache.http.fields import format_date
from txstalecache.http.messages import BODILESS, Fields, RequestHead, ResponseHead

if TYPE_CHECKING:
    from txstalecache.edge.channel import CacheChannel

__all__ = ["DirectExchange"]


class DirectExchange(Exchange):
    """An exchange over a ``CacheChannel``, which has validated the head and owns it until it is answered."""

    def __init__(self, channel: CacheChannel, clock: IReactorTime, served: Callable[[Exchange], None]) -> None:
        super().__init__(clock)
        self._channel = channel
        self._served = served
        self.upload: StreamedUpload | None = None
        self.startedWriting = False
        """What Twisted calls it."""
        self._unsent = b""
        """The head of the answer, until it leaves."""
        self._bodyless = self._chunked = False
        self._announced: list[bytes] = []

    def serve(self, received: ReceivedRequest) -> None:
        """What was asked for is ``received``: have it answered. ``upload`` is set before."""
        head = self._head = received.head
        self.method, self.target, self.version = head.method, head.target, received.version
        self.scheme, self.client = head.scheme, self._channel.client
        self._served(self)

    def connectionLost(self, reason: Failure) -> None:
        """The channel's connection is gone."""
        # First who answers learns that nobody listens any more; then the origin, that the body stays a part.
        self._left(reason)
        if self.upload is not None and not self.upload.ended:
            self.upload.fail(ConnectionAborted())

    # -- the request ---------------------------------------------------------------------------------------------

    @property
    def fields(self) -> Fields:
        return self._head.fields

    def head(self) -> RequestHead:
        return self._head

    def body(self) -> IBodyProducer | None:
        return self.upload

    def lighten(self) -> None:
        """The head is the one that is served; there is no other."""

    # -- the answer ----------------------------------------------------------------------------------------------

    def inform(self, head: ResponseHead) -> None:
        if self.open and self.version == b"HTTP/1.1" and not self.startedWriting:
            self._channel.write(head_bytes(b"HTTP/1.1", head.status, head.fields))

    @property
    def started(self) -> bool:
        return self.startedWriting

    def _begin(self, status: int, fields: Fields, more: Pairs) -> None:
        self._bodyless = self.method == b"HEAD" or status in BODILESS
        lengths = self._announced = fields.get_all(b"content-length")
        if b"date" not in fields:
            more = (*more, (b"Date", format_date(time())))  # RFC 9110 §6.6.1: an answer of our own
        if self._channel.announces():
            more = (*more, (b"Connection", b"close"))
        if not lengths and not self._bodyless and self.version == b"HTTP/1.1":
            self._chunked = True
            more = (*more, (b"Transfer-Encoding", b"chunked"))
        self._unsent = head_bytes(self.version, status, fields, more)

    def _send(self, data: bytes) -> None:
        if self._bodyless or not data:
            return
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        if self.startedWriting:
            self._channel.write(data)
        else:
            self.startedWriting = True
            self._channel.answer(self._unsent, (data,), len(data))
            self._unsent = b""

    def _flush(self) -> None:
        if not self.startedWriting:
            self.startedWriting = True
            self._channel.answer(self._unsent, (), 0)
            self._unsent = b""

    def _end(self) -> None:
        self._flush()
        if self._chunked:
            self._channel.write(b"0\r\n\r\n")
        elif self._announced and not self._bodyless and self._announced != [b"%d" % self.sent]:
            # Of another length than announced: the connection is out of step.
            self._channel.cut()
            return
        self._channel.requestDone(self)

    def _abort(self) -> None:
        self._channel.cut()

    def _register(self, reader: Reader) -> None:
        self._channel.registerProducer(reader, True)

    def _unregister(self) -> None:
        self._channel.unregisterProducer()
