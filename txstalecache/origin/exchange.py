"""One request and its response: states, deadlines, and the body on its way to a sink.

Must not know: sockets, where its connection comes from.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txstalecache.http.messages import ResponseHead
from txstalecache.http.values import enumeration
from txstalecache.origin.bodies import Body, body_of
from txstalecache.origin.heads import MAX_HEAD, BodyKind, Malformed, ReceivedHead, check_partial_head, read_head
from txstalecache.origin.interfaces import Fault, Framing, IOriginResponse, OriginError, OriginRequest, Sink
from txstalecache.origin.upload import Upload

if TYPE_CHECKING:
    from txstalecache.origin.connection import Connection

__all__ = ["Exchange"]

#: 1xx heads before the final one. More is an origin that never comes to the point.
MAX_INFORMATIONAL = 32

#: Requests that may be sent again when an idle connection turns out to be dead (RFC 9110 §9.2.2, RFC 9112 §9.3.1).
IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})

#: No field of an informational response: it has no body (RFC 9110 §8.6), and sets nothing.
_FINAL = (b"content-length", b"set-cookie", b"set-cookie2")

_EMPTY = ResponseHead(0, None)  # type: ignore[arg-type]


@enumeration
class Phase(Enum):
    """How far an exchange has come."""

    WAITING = "waiting"
    """For a connection."""
    HEAD = "head"
    """Sent, at least in part; no final head yet."""
    BODY = "body"
    """The head is handed over; the body is coming, or has come and is not all delivered."""
    OVER = "over"


@implementer(IOriginResponse)
class Exchange:
    """One fetch. Its connection, while it has one, feeds it bytes and asks it for its next deadline.

    Deadlines: ``first_byte`` runs from the request's last byte (or the last 1xx) to the end of the final head;
    ``between_bytes`` while a delivered body is coming and is not paused, and while the origin takes no more of a
    request body; ``total`` from the fetch on, standing still while the body is paused, which is the reader's time, and
    while the origin would take more of a request body than there is, which is the time of whoever sends it.
    """

    phase = Phase.WAITING
    head: ResponseHead = _EMPTY
    length: int | None = None
    framing = Framing.DELIMITED
    withdraw: Callable[[Exchange], None] | None = None
    """While WAITING: what the pool is to be told when nobody wants this any more."""
    _connection: Connection | None = None
    _upload: Upload | None = None
    _buffer: bytearray | None = None
    """A head of which something is missing."""
    _scanned = 0
    _informational = 0
    _body: Body | None = None
    _persistent = False
    _keep_alive: float | None = None
    _since = 0.0
    _sink: Sink | None = None
    _delivered = False
    _held = b""
    _ended: Framing | OriginError | None = None
    _paused_at: float | None = None
    _moved = 0
    """Bytes of body that have come, or gone in an upload that has ended."""

    def __init__(self, clock: IReactorTime, request: OriginRequest, encoded: bytes) -> None:
        self._clock = clock
        self.request = request
        self.encoded = encoded
        """The request's head, ready to be sent."""
        self.begun: Deferred[IOriginResponse] = Deferred(self._cancelled)
        """What the caller of ``fetch`` got."""
        self._total_due: float = clock.seconds() + request.deadlines.total

    # -- the request --------------------------------------------------------------------------------------------------

    @property
    def _has_body(self) -> bool:
        body = self.request.body
        return body is not None and body.length != 0

    @property
    def held_up(self) -> bool:
        """Whether it waits for its client: to send, or to take."""
        if self._upload is not None:
            return self._upload.stalled_at is None
        return self._paused_at is not None

    @property
    def moved(self) -> int:
        """Bytes of bodies that have gone either way."""
        return self._moved if self._upload is None else self._moved + self._upload.sent

    def give_way(self) -> None:
        """Others wait for the connection, and the client hardly moves."""
        self._give_up(OriginError(Fault.OVERLOADED, "a slow client gave way to others"))

    @property
    def repeatable(self) -> bool:
        """Nothing of a response has come, and sending the request again does no harm."""
        return (
            self.phase is Phase.HEAD
            and not self._informational
            and not self._buffer
            and self.request.body is None
            and self.request.head.method in IDEMPOTENT
        )

    def start(self, connection: Connection) -> None:
        """``connection`` is this exchange's from now until it is over."""
        self.phase = Phase.HEAD
        self.withdraw = None
        self._connection = connection
        self._since = self._clock.seconds()
        body = self.request.body
        if body is None or not self._has_body:
            connection.send(self.encoded, last=True)
            return
        connection.send(self.encoded, last=False)
        transport = connection.transport
        assert transport is not None
        self._upload = upload = Upload(self._clock, body, transport, self._uploaded, connection.watch)
        upload.start()

    def again(self) -> None:
        """The connection was dead before it carried anything: back to the pool, for one that is not."""
        self.phase = Phase.WAITING
        self._connection = None

    def _uploaded(self, error: str | None) -> None:
        if self._upload is not None:
            self._total_due += self._upload.waited
            self._moved, self._upload = self.moved, None
        self._since = self._clock.seconds()
        if self._connection is None:
            return
        if error is not None:
            self._give_up(OriginError(Fault.CANCELLED, error))
        else:
            self._connection.watch()

    def _stop_upload(self) -> None:
        upload = self._upload
        if upload is not None:
            self._moved, self._upload = self.moved, None
            self._persistent = False
            self._total_due += upload.waited
            upload.stop()

    # -- deadlines ----------------------------------------------------------------------------------------------------

    def due(self) -> float:
        """When this has taken too long, in the clock's seconds."""
        limits, total = self.request.deadlines, self.total_due
        upload, step = self._upload, inf
        if upload is not None:
            if upload.stalled_at is not None:
                step = upload.stalled_at + limits.between_bytes
        elif self.phase is Phase.HEAD:
            step = self._since + limits.first_byte
        if self.phase is Phase.BODY and self._delivered and self._paused_at is None:
            step = min(step, self._since + limits.between_bytes)
        return step if step < total else total

    @property
    def total_due(self) -> float:
        """When the whole of it has taken too long; inf while its time stands still."""
        upload = self._upload
        if self._paused_at is not None or (upload is not None and upload.stalled_at is None):
            return inf
        return self._total_due + (0.0 if upload is None else upload.waited)

    def expire(self) -> None:
        """``due`` has come."""
        if self._clock.seconds() >= self.total_due:
            detail = f"not done in {self.request.deadlines.total:g} s"
        elif self.phase is Phase.HEAD and self._upload is None:
            detail = f"no response head in {self.request.deadlines.first_byte:g} s"
        else:
            detail = f"no progress in {self.request.deadlines.between_bytes:g} s"
        self._give_up(OriginError(Fault.TIMEOUT, detail))

    # -- ends that are not good ---------------------------------------------------------------------------------------

    def _cancelled(self, _: object) -> None:
        withdraw, self.withdraw = self.withdraw, None
        self.phase = Phase.OVER
        self._cut()
        if withdraw is not None:
            withdraw(self)

    def _cut(self) -> None:
        """Part from the connection, which is of no further use."""
        connection, self._connection = self._connection, None
        self._stop_upload()
        if connection is not None:
            connection.abort()

    def _give_up(self, error: OriginError) -> None:
        self._cut()
        self.fail(error)

    def fail(self, error: OriginError) -> None:
        """There is no (more) response."""
        if self.phase is Phase.BODY:
            if self._ended is None:
                self._ended = error
                self._flush()
        elif self.phase is not Phase.OVER:
            self.phase = Phase.OVER
            self.withdraw = None
            self.begun.errback(error)

    def lost(self, clean: bool, detail: str) -> None:
        """The connection ended: with a FIN after all that was sent (``clean``), or otherwise."""
        self._connection = None
        self._stop_upload()
        if self.phase is not Phase.BODY:
            self.fail(OriginError(Fault.RESET, detail))
        elif clean and self._body is not None and self._body.ended():
            self._ended = Framing.CLOSE
            self._flush()
        else:
            self.fail(OriginError(Fault.TRUNCATED, detail))

    # -- the response -------------------------------------------------------------------------------------------------

    def received(self, data: bytes) -> None:
        """Bytes from the origin."""
        try:
            if self.phase is Phase.BODY:
                self._since = self._clock.seconds()
                self._take(data)
            else:
                self._receive_head(data)
        except Malformed as error:
            self._give_up(OriginError(Fault.MALFORMED, str(error)))

    def _receive_head(self, data: bytes) -> None:
        buffer: bytes | bytearray = data
        if self._buffer is not None:
            buffer, self._buffer = self._buffer, None
            buffer += data
        while True:
            end = buffer.find(b"\r\n\r\n", max(self._scanned - 3, 0)) + 4
            if end < 4:
                check_partial_head(buffer, self._scanned)
                self._buffer = buffer if isinstance(buffer, bytearray) else bytearray(buffer)
                self._scanned = len(buffer)
                return
            if end > MAX_HEAD:
                raise Malformed(f"a response head of more than {MAX_HEAD} bytes")
            received = read_head(bytes(buffer[:end]), self.request.head.method)
            rest = bytes(buffer[end:])
            if received.head.status >= 200:
                self._begin(received, rest)
                return
            buffer, self._scanned = rest, 0
            self._inform(received.head)
            if self.phase is Phase.OVER or not rest:
                return

    def _inform(self, head: ResponseHead) -> None:
        self._informational += 1
        if self._informational > MAX_INFORMATIONAL:
            raise Malformed(f"more than {MAX_INFORMATIONAL} informational responses")
        self._since = self._clock.seconds()
        if head.status != 100 and self.request.informational is not None:
            self.request.informational(ResponseHead(head.status, head.fields.without(*_FINAL)))

    def _begin(self, received: ReceivedHead, rest: bytes) -> None:
        self.head, self.length = received.head, received.length
        if received.kind is BodyKind.UNTIL_CLOSE:
            self.framing = Framing.CLOSE
        self._body = body = body_of(received, self.request.head.method)
        # After a body nobody knows where the origin thinks that the next request begins (request smuggling, "CL.0").
        self._persistent = received.persistent and not self._has_body
        self._keep_alive = received.keep_alive
        if rest:
            self._held = body.feed(rest)
        self.phase = Phase.BODY
        self._since = self._clock.seconds()
        # RFC 9112 §9.5: an answer that is no success means that the rest of the request is not wanted. A success may
        # be one that is made while the request is read (an echo): go on sending, but never past the response's end.
        if self._upload is not None and received.head.status >= 300:
            self._stop_upload()
        if body.over:
            self._received_all(body)
        if self.phase is Phase.OVER:
            return  # whoever sent the rest of the request has left as it was stopped
        self.begun.callback(self)
        if not self._delivered and self._connection is not None:
            self._connection.pause()
        if self._connection is not None:
            self._connection.watch()

    def _take(self, data: bytes) -> None:
        body = self._body
        assert body is not None
        self._moved += len(data)
        content = body.feed(data)
        if body.over:
            # The connection first: whoever gets the body may want to fetch the next thing.
            self._received_all(body)
        if not content:
            self._flush()
        elif self._sink is None or self._paused_at is not None or self._held:
            # Decrypted, or read, before the pause took hold: at most what one read brings.
            self._held += content
            self._flush()
        else:
            self._sink.write(content)
            if self._ended is not None:
                self._flush()

    def _received_all(self, body: Body) -> None:
        self._stop_upload()
        self._ended = Framing.DELIMITED
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finished(self._persistent and body.clean, self._keep_alive)

    def _flush(self) -> None:
        """Give the sink what it may have now: bytes held back, then the end."""
        sink = self._sink
        if sink is None or self._paused_at is not None:
            return
        if self._held:
            held, self._held = self._held, b""
            sink.write(held)
        ended = self._ended
        if ended is None or self._held or self._paused_at is not None or self._sink is None:
            return
        self._sink = None
        self.phase = Phase.OVER
        if isinstance(ended, Framing):
            sink.complete(ended)
        else:
            sink.broken(ended)

    # -- IOriginResponse ----------------------------------------------------------------------------------------------

    def deliver(self, sink: Sink) -> None:
        """See ``IOriginResponse``."""
        if self._delivered:
            raise RuntimeError("a response is delivered once")
        self._delivered = True
        if self.phase is not Phase.BODY:
            return
        self._sink = sink
        self._since = self._clock.seconds()
        self._flush()
        self._read_on()

    def pause(self) -> None:
        """See ``IOriginResponse``."""
        if self._paused_at is None and self.phase is Phase.BODY:
            self._paused_at = self._clock.seconds()
            if self._connection is not None:
                self._connection.pause()

    def resume(self) -> None:
        """See ``IOriginResponse``."""
        if self._paused_at is None:
            return
        now = self._clock.seconds()
        self._total_due += now - self._paused_at
        self._since = now
        self._paused_at = None
        self._flush()
        self._read_on()

    def _read_on(self) -> None:
        connection = self._connection
        if connection is not None and self._delivered and self._paused_at is None:
            connection.resume()
            connection.watch()

    def abort(self) -> None:
        """See ``IOriginResponse``."""
        if self.phase is Phase.BODY:
            self.phase = Phase.OVER
            self._sink = None
            self._held = b""
            self._delivered = True
            self._cut()
