"""Response bodies from the wire: framing taken off, the end found, what follows it noticed.

Must not know: sockets, clocks, who wants the body.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from txstalecache.http.messages import BODILESS
from txstalecache.origin.heads import BodyKind, Malformed, ReceivedHead

__all__ = ["Body", "body_of"]

#: Bytes without any content (chunk sizes, extensions, trailers) after which an origin is held to be up to no good.
MAX_OVERHEAD = 16384


class Body:
    """A body of a known number of bytes, none included."""

    __slots__ = ("_left", "clean", "over")

    def __init__(self, length: int) -> None:
        self._left = length
        self.over = not length
        """The last byte has come."""
        self.clean = True
        """Once over: nothing came after the end but, at most, a stray CRLF was seen as such."""

    def feed(self, data: bytes) -> bytes:
        """The content in ``data``. Raises Malformed, also for bytes beyond the end that came along with it."""
        left = self._left
        if len(data) < left:
            self._left = left - len(data)
            return data
        self._left = 0
        self.over = True
        if len(data) == left:
            return data
        self._beyond(data[left:])
        return data[:left]

    def _beyond(self, data: bytes) -> None:
        # More than was announced: a smuggled second response, or a length that is wrong. Both make the first doubtful.
        # A CRLF too many is an old habit of old servers: harmless, but that connection is not used again.
        self.clean = False
        if data != b"\r\n":
            raise Malformed("bytes after the end of the response")

    def ended(self) -> bool:
        """The connection ended: was that the proper end of the body?"""
        return self.over


class _Bodiless(Body):
    """No body, whatever comes: some origins send one with HEAD all the same, or with 204. It is thrown away with its
    connection."""

    __slots__ = ()

    def _beyond(self, data: bytes) -> None:
        self.clean = False


class _UntilClose(Body):
    """A body that only the end of the connection ends (RFC 9112 §6.3 rule 8)."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(1)

    def feed(self, data: bytes) -> bytes:
        return data

    def ended(self) -> bool:
        return True


class _ChunkEvents:
    """What llhttp says while it reads one message."""

    __slots__ = ("beyond", "complete", "pieces")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.complete = False
        self.beyond = False

    def on_body(self, data: bytes) -> None:
        """Content without framing."""
        self.pieces.append(data)

    def on_message_begin(self) -> None:
        """The first byte of a message, or of one more."""
        self.beyond = self.complete

    def on_message_complete(self) -> None:
        """The last chunk and the trailers have come."""
        self.complete = True


class _Chunked(Body):
    """A chunked body (RFC 9112 §7.1), read by llhttp. Trailers are dropped (RFC 9110 §6.5.1 allows it)."""

    __slots__ = ("_events", "_overhead", "_parser", "_tail")

    def __init__(self, head: bytes) -> None:
        super().__init__(1)
        self._events = _ChunkEvents()
        self._parser = HttpResponseParser(self._events)
        self._parser.feed_data(head)
        self._overhead = 0
        self._tail = b""

    def feed(self, data: bytes) -> bytes:
        events = self._events
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            if events.complete:
                raise Malformed("bytes after the end of the response") from None
            raise Malformed(f"bad chunked coding: {error}") from None
        if events.beyond:
            raise Malformed("bytes after the end of the response")
        pieces = events.pieces
        if pieces:
            events.pieces = []
            self._overhead = 0
        else:
            self._overhead += len(data)
            if self._overhead > MAX_OVERHEAD:
                raise Malformed("endless chunk extensions or trailers")
        if events.complete:
            self.over = True
            # llhttp skips line ends between messages without a word: only an end that is exactly this is a clean one.
            self.clean = (self._tail + data[-5:])[-5:] == b"0\r\n\r\n"
        else:
            self._tail = (self._tail + data[-5:])[-5:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def body_of(received: ReceivedHead, method: bytes) -> Body:
    """Reads the body that follows ``received``."""
    match received.kind:
        case BodyKind.CHUNKED:
            return _Chunked(received.block)
        case BodyKind.UNTIL_CLOSE:
            return _UntilClose()
        case BodyKind.COUNTED:
            return Body(received.length or 0)
        case BodyKind.NONE:
            # Behind the last answer of a connection (RFC 9112 §9.6) there is none that could be taken for another's.
            last = received.head.status in BODILESS and not received.persistent
            return _Bodiless(0) if last or method == b"HEAD" else Body(0)
