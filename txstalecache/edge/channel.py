"""One client's connection: strict requests in, answers out, every wait bounded.

Twisted's channel gives the way out (writing, producers, TLS); the way in is ours. Its parser never sees a byte: it
takes requests that two recipients read in two ways. A connection goes through these phases::

    IDLE ── byte ──→ HEAD ── no body ──→ ANSWER ── answered ──→ IDLE
                      │└──── body ──→ BODY ── its end ──→ ANSWER
                      │                └── answered before its end ──→ DRAIN ── its end ──→ IDLE
                      └── rejected (here, in BODY or DRAIN) ──→ LINGER ──→ closed

Must not know: caching, resources.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any, Protocol

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IDelayedCall, IReactorTime, ISSLTransport, ITCPTransport
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.http_headers import Headers

from txstalecache.edge.deadline import Deadline
from txstalecache.edge.direct import DirectExchange
from txstalecache.edge.exchange import Exchange
from txstalecache.edge.framing import Chunked, Counted, framing
from txstalecache.edge.heads import ReceivedRequest, Rejected, examine
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.outlet import Outlet
from txstalecache.edge.refused import Refused, canned, glimpsed, refused
from txstalecache.edge.reply import options
from txstalecache.edge.twistedweb import CacheRequest
from txstalecache.edge.upload import StreamedUpload
from txstalecache.http.values import enumeration
from txstalecache.observe.accesslog import Record

__all__ = ["CacheChannel", "Served"]


@enumeration
class Phase(Enum):
    """See the module."""

    IDLE = "idle"
    HEAD = "head"
    BODY = "body"
    ANSWER = "answer"
    DRAIN = "drain"
    LINGER = "linger"
    CLOSED = "closed"


class Served(Protocol):
    """A request of a channel, until it is answered; it then says so by ``requestDone``."""

    upload: StreamedUpload | None
    startedWriting: Any
    """Whether some of its answer has left."""

    def serve(self, received: ReceivedRequest) -> None:
        """What was asked for is ``received``: have it answered."""

    def connectionLost(self, reason: Failure) -> None:
        """Nothing more can be said, nor will be heard."""


class CacheChannel(HTTPChannel):
    """A server connection under ``limits``. ``refused`` is told of each request that gets no further."""

    requestFactory = CacheRequest
    #: Requests that are taken in one turn of the reactor: a client may send thousands in one go, and is not alone.
    A_TURN = 32

    timeOut = None  # Twisted's own deadline: ours tell apart what is waited for

    def __init__(
        self, limits: EdgeLimits, clock: IReactorTime, refused: Callable[[Record], None] | None = None
    ) -> None:
        super().__init__()
        self._limits = limits
        self._clock = clock
        self._deadline = Deadline(clock, self._overdue)
        self._refused = refused
        self.phase = Phase.IDLE
        self.persistent = True
        """Whether the connection outlives the answer in progress, or the next one."""
        self._announced = False
        """Whether the last answer has said that the connection ends with it."""
        self.client: str | None = None
        """The peer's address; None for a peer without one (a unix socket)."""
        self.asked: ReceivedRequest | None = None
        """What is being answered."""
        self._received = bytearray()
        """What has come and was not yet taken apart."""
        self._scanned = 0
        self._taken = 0
        """Requests taken from what came last."""
        self._turn: IDelayedCall | None = None
        """When the next ones are, or more of a body."""
        self._began = 0.0
        self._body: Counted | Chunked | None = None
        self._body_length = 0
        self._owes_continue = False
        self._reading = True
        self._body_wanted = True
        self._stalled = False
        self._advancing = False
        self._blank_lines = 1
        self._held_since = 0.0
        self._stall: IDelayedCall | None = None
        self._untaken = 0
        """Bytes that waited for a slow client when it was last looked at."""
        # Twisted's channel: never pause reading by yourself, we do.
        self._handlingRequest = True

    # -- life ----------------------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        super().connectionMade()
        self._scheme = b"https" if self.isSecure() else b"http"
        self._outlet = Outlet(self.transport)
        self._deadline.set(self._limits.idle)

    def meet(self) -> None:
        """Find out who the client is, now that something comes from it: with PROXY, that has been said by then, and no
        sooner."""
        self.client = getattr(self._wire.getPeer(), "host", None)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.phase = Phase.CLOSED
        self._deadline.end()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        self._unstall()
        self._received.clear()
        self._outlet.close()
        super().connectionLost(reason)

    @property
    def _wire(self) -> Any:
        """The transport, with all that one for TCP or TLS can do."""
        return self.transport

    def cut(self) -> None:
        """End the connection so that the client sees that something is missing."""
        self.phase = Phase.CLOSED
        self._wire.abortConnection()

    def retire(self) -> None:
        """Close with the answer in progress where it can still say so, else with the next one: a request may be on its
        way to us. Without one, after ``linger``."""
        self.persistent = False
        if self.phase is Phase.IDLE:
            self._deadline.set(self._limits.linger)

    def _close(self) -> None:
        """Close once all is written; a client that does not take it is cut off."""
        lingered, self.phase = self.phase is Phase.LINGER, Phase.CLOSED
        self._received.clear()
        self._unstall()
        # First: where the way out is closed already, the connection is gone at once.
        self._deadline.set(self._limits.idle)
        if lingered:
            self._wire.loseConnection()
        else:
            self.loseConnection()
        self._untaken = self._outlet.waiting
        if self._untaken:
            self._deadline.set(self._limits.stall)

    # -- the way in ----------------------------------------------------------------------------------------------

    @property
    def vacant(self) -> bool:
        """Whether nothing is going on, and nothing has come that is not answered."""
        return self.phase is Phase.IDLE and bool(self.persistent) and not (self._received or self._stalled)

    def take(self, received: ReceivedRequest) -> None:
        """A request, no less and no more, that was read from what came elsewhere, while the channel was vacant."""
        self._began = self._clock.seconds()
        self._begin(received)

    def dataReceived(self, data: bytes) -> None:
        if self.phase is Phase.CLOSED:
            return
        if self.phase is Phase.LINGER:
            self._linger(len(data))
            return
        self._received += data
        self._taken = 0
        self._advance()

    def _go_on(self) -> None:
        """It is this client's turn again."""
        self._turn = None
        self._taken = 0
        self._advance()

    def _advance(self) -> None:
        """Take apart what has come, as far as it may go."""
        if self._advancing:
            return
        self._advancing = True
        try:
            while self._step():
                pass
        except Rejected as rejected:
            self._reject(rejected)
        finally:
            self._advancing = False
        self._read_or_not()

    def _step(self) -> bool:
        match self.phase:
            case Phase.IDLE | Phase.HEAD:
                return self._take_head()
            case Phase.BODY | Phase.DRAIN:
                return self._take_body()
            case _:
                return False

    def _take_head(self) -> bool:
        received = self._received
        if not received or self._stalled or self._turn is not None:
            return False
        if self._taken >= self.A_TURN:
            self._turn = self._clock.callLater(0, self._go_on)
            return False
        if self.phase is Phase.IDLE:
            # RFC 9112 §2.2: one empty line before a request is forgiven.
            if self._blank_lines and received[:2] == b"\r\n":
                self._blank_lines = 0
                del received[:2]
                return True
            if received == b"\r":
                return False
            self.phase = Phase.HEAD
            self._began = self._clock.seconds()
            self._scanned = 0
            self._deadline.set(self._limits.head_deadline)
        head = examine(received, self._limits, self._scheme, self._scanned)
        if head is None:
            self._scanned = len(received)
            return False
        del received[: head.end]
        self._taken += 1
        self._begin(head)
        return True

    def opened(self, received: ReceivedRequest) -> Served:
        """What is to stand for the request ``received``."""
        if received.head.target == b"*":
            return DirectExchange(self, self._clock, self._answer_for_itself)
        request: CacheRequest = self.requestFactory(self)
        return request

    def _answer_for_itself(self, exchange: Exchange) -> None:
        """It was asked about the server as such, whatever that serves (RFC 9110 §9.3.7). Twisted would say its
        version."""
        self._log_refusal(Rejected(200, "options"), self.asked, 0)
        exchange.answer(options())

    def _begin(self, received: ReceivedRequest) -> None:
        """A request is here: process it, its body may still be coming."""
        self.persistent = self.persistent and received.persistent
        self.asked = received
        request = self.opened(received)
        self.requests.append(request)
        self._blank_lines = 1
        self._body = framing(received, self._limits.body)
        self._body_wanted = True
        if self._body is None:
            self.phase = Phase.ANSWER
            self._deadline.set(self._limits.request)
        else:
            self.phase = Phase.BODY
            self._body_length = 0
            self._owes_continue = received.expects
            length = received.length if isinstance(self._body, Counted) else None
            request.upload = StreamedUpload(length, self._hold_body, self._want_body)
            self._wait_for_body()
        request.serve(received)

    def _take_body(self) -> bool:
        body, received = self._body, self._received
        assert body is not None
        if self._turn is not None or (self.phase is Phase.BODY and not self._body_wanted):
            return False
        data = body.take(received)
        if body.behind:
            self._turn = self._clock.callLater(0, self._go_on)
        self._body_length += len(data)
        if self.phase is Phase.BODY:
            upload = self.requests[0].upload
            if data:
                self._wait_for_body()
                upload.feed(data)  # which may hold the body, and the deadline with it
            if body.ended and self.phase is Phase.BODY:
                self.phase = Phase.ANSWER
                if not self.requests[0].startedWriting:
                    self._deadline.set(self._limits.request)
                else:
                    self._deadline.lift()
                upload.end()
            return body.ended
        if self._body_length > self._limits.linger_bytes:
            self._give_up()
        elif body.ended:
            self._next()
        return self.phase is Phase.IDLE

    def _hold_body(self) -> None:
        """The origin takes no more for now."""
        if self.phase is Phase.BODY and self._body_wanted:
            self._body_wanted = False
            self._held_since = self._clock.seconds()
            self._deadline.lift()
            self._read_or_not()

    def _want_body(self) -> None:
        """The origin takes the body, or more of it."""
        if self.phase is not Phase.BODY:
            return
        if self._owes_continue:
            self._owes_continue = False
            if not self._received and not self.requests[0].startedWriting:
                self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self._body_wanted:
            self._body_wanted = True
            self._began += self._clock.seconds() - self._held_since
            self._wait_for_body()
            self._advance()

    # -- the way out ---------------------------------------------------------------------------------------------

    def requestDone(self, request: Served) -> None:
        """Called by a request when all of its answer is written."""
        if request is not self.requests[0]:
            raise ValueError("answered out of order")
        del self.requests[0]
        self.asked = None
        if self.phase is Phase.ANSWER:
            self._next()
        elif self.phase is Phase.BODY:
            upload = request.upload
            assert upload is not None
            upload.fail(ConnectionAborted())
            if self._owes_continue or (self._announced and not self.persistent):
                # Whether a body will follow is the client's choice: nobody can tell what comes next.
                self._give_up()
            else:
                self.phase = Phase.DRAIN
                self._body_length = 0
                self._deadline.set(self._limits.linger)
                self._advance()

    def _next(self) -> None:
        """The exchange is over."""
        if not self.persistent and self._announced:
            # What came after the last request is not looked at; unread, it would turn the close into a RST.
            if self._received:
                self._give_up()
            else:
                self._close()
            return
        self.phase = Phase.IDLE
        self._deadline.set(self._limits.idle if self.persistent else self._limits.linger)
        if self._received:
            self._advance()
        else:
            self._read_or_not()

    def announces(self) -> bool:
        """Whether the answer whose head is made now is the last one, and is to say so."""
        self._announced = not self.persistent
        return self._announced

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        if not self._mute:
            if code[:1] != b"1":
                if self.phase is Phase.ANSWER:
                    self._deadline.lift()  # from here on, ``stall`` bounds it
                if self.announces():
                    headers.setRawHeaders(b"Connection", [b"close"])
            super().writeHeaders(version, code, reason, headers)

    def answer(self, head: bytes, body: tuple[bytes, ...], length: int) -> None:
        """Write the head of an answer and what there is of its body, of ``length`` bytes, without waiting for more."""
        if not self._mute:
            if self.phase is Phase.ANSWER:
                self._deadline.lift()
            self._outlet.put(head, body, length)

    def write(self, data: bytes) -> None:
        if not self._mute:
            super().write(data)

    def writeSequence(self, iovec: list[bytes]) -> None:
        if not self._mute:
            super().writeSequence(iovec)

    @property
    def _mute(self) -> bool:
        """Whether all that is to be said has been."""
        return self.phase is Phase.LINGER or self.phase is Phase.CLOSED

    def pauseProducing(self) -> None:
        """The client takes no more for now."""
        self._stalled = True
        super().pauseProducing()
        if self._stall is None:
            self._untaken = self._outlet.waiting
            self._stall = self._clock.callLater(self._limits.stall, self._stalled_too_long)
        self._read_or_not()

    def resumeProducing(self) -> None:
        """The client has taken what was written."""
        self._stalled = False
        self._unstall()
        super().resumeProducing()
        if self.phase in (Phase.IDLE, Phase.HEAD) and self._received:
            self._advance()
        else:
            self._read_or_not()

    def _stalled_too_long(self) -> None:
        if self._takes():
            self._stall = self._clock.callLater(self._limits.stall, self._stalled_too_long)
        else:
            self._stall = None
            self.cut()

    def _unstall(self) -> None:
        """Whether the client takes anything is of no account for now."""
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _takes(self) -> bool:
        """Whether the client has taken some of what waits for it, and not all, since it was last looked at."""
        before, self._untaken = self._untaken, self._outlet.waiting
        return 0 < self._untaken < before

    def _read_or_not(self) -> None:
        """Read from the client what there is a use for, and stop reading else."""
        match self.phase:
            case Phase.IDLE | Phase.HEAD:
                wanted = not self._stalled and self._turn is None
            case Phase.BODY:
                wanted = self._body_wanted and self._turn is None
            case Phase.ANSWER:
                # Reading on shows when the client leaves.
                wanted = len(self._received) < self._limits.pipeline
            case Phase.DRAIN:
                wanted = self._turn is None
            case Phase.LINGER:
                wanted = True
            case Phase.CLOSED:
                return
        if wanted is not self._reading:
            self._reading = wanted
            if wanted:
                self._wire.resumeProducing()
            else:
                self._wire.pauseProducing()

    # -- giving up -----------------------------------------------------------------------------------------------

    def _reject(self, rejected: Rejected) -> None:
        """Tell the client, as far as it can still be told, and have done with it."""
        if self.phase is Phase.DRAIN:
            # Its request has been answered.
            self._give_up()
            return
        asked = self.asked or glimpsed(self._received, self._scheme)
        if self.requests:
            request: Served = self.requests.pop()
            self.phase = Phase.CLOSED  # whatever the request still says is not heard
            if request.startedWriting:
                request.connectionLost(Failure(ConnectionAborted()))
                self.cut()
                return
            request.connectionLost(Failure(Refused()))
        answer = canned(rejected.status, rejected.why, asked.head.method if asked else b"-")
        self._log_refusal(rejected, asked, len(answer.partition(b"\r\n\r\n")[2]))
        self._wire.write(answer)
        self._give_up()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """What Twisted's requests do with a form that is none."""
        self._reject(Rejected(400, "malformed form"))

    def _give_up(self) -> None:
        """Nothing more is said. What still comes is dropped for a while: closing over it would turn into a RST, and
        that may destroy the answer before the client has read it (RFC 9112 §9.6)."""
        transport = self._wire
        if not ITCPTransport.providedBy(transport) or ISSLTransport.providedBy(transport):
            self._close()
            return
        self.phase = Phase.LINGER
        self._body_length = 0
        self._received.clear()
        self._wire.unregisterProducer()
        transport.loseWriteConnection()
        self._deadline.set(self._limits.linger)
        self._read_or_not()

    def _linger(self, length: int) -> None:
        self._body_length += length
        if self._body_length > self._limits.linger_bytes:
            self._close()

    def _log_refusal(self, rejected: Rejected, asked: ReceivedRequest | None, sent: int) -> None:
        if self._refused is not None:
            duration = self._clock.seconds() - self._began if self._began else 0.0
            self._refused(refused(rejected, asked, self.client, duration, sent))

    # -- deadlines -----------------------------------------------------------------------------------------------

    def _wait_for_body(self) -> None:
        limits = self._limits
        whole = self._began + limits.body_deadline + self._body_length / limits.body_rate
        self._deadline.set(max(0.0, whole - self._clock.seconds()))

    def _overdue(self) -> None:
        match self.phase:
            case Phase.IDLE if self._stalled:
                # It has yet to take what it was answered: that is bounded by ``stall``.
                self._deadline.set(self._limits.idle)
            case Phase.IDLE | Phase.LINGER:
                self._close()
            case Phase.HEAD:
                self._reject(Rejected(408, "the request took too long"))
            case Phase.BODY:
                self._reject(Rejected(408, "the body took too long"))
            case Phase.ANSWER:
                self._reject(Rejected(504, "the answer took too long"))
            case Phase.DRAIN:
                self._give_up()
            case Phase.CLOSED if self._takes():
                self._deadline.set(self._limits.stall)
            case Phase.CLOSED:
                self._wire.abortConnection()
