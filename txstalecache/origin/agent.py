"""Any ``IAgent`` as an origin: an application's own, or one in memory for tests.

Must not know: how the agent connects.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.error import TimeoutError as ConnectTimeout
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IResponse
from zope.interface import implementer

from txstalecache.http.fields import TOKEN, VALUE, end_to_end
from txstalecache.http.messages import BODILESS, Fields, ResponseHead
from txstalecache.origin.address import Address
from txstalecache.origin.encode import encode_head, sent_fields
from txstalecache.origin.heads import MAX_FIELDS, MAX_HEAD
from txstalecache.origin.interfaces import (
    Deadlines,
    Fault,
    Framing,
    IOrigin,
    IOriginResponse,
    OriginError,
    OriginRequest,
    Sink,
)

__all__ = ["AgentOrigin"]


@implementer(IOrigin)
class AgentOrigin:
    """Fetches through ``agent`` from ``base_url`` (``http://host[:port]`` or ``https://…``).

    For embedders who have an agent of their own and for tests in memory; ``HttpOrigin`` is stricter, faster and tells
    more: through an agent there are no 1xx, names of fields are re-cased and grouped by name, and what makes a head
    doubtful (two lengths, a bare line feed) has been smoothed over before it can be seen. Heads are still checked as
    far as they can be. Connections, pools and TLS are the agent's affair, and so are redirects: give it one that does
    not follow them. With ``clock``, deadlines are kept (``connect`` and ``first_byte`` together until the head, then
    ``between_bytes``); without, none is, and a head is waited for as long as its flight has patience (``Clocks``; for
    one client alone ``connect`` and ``total`` together).
    """

    def __init__(self, agent: IAgent, base_url: str, *, clock: IReactorTime | None = None) -> None:
        self.address = Address.parse(base_url)
        if self.address.scheme == "unix":
            raise ValueError(f"origin {base_url!r}: an agent needs http:// or https://")
        self._agent = agent
        self._clock = clock
        self._base = str(self.address).encode("ascii")

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        """See ``IOrigin``."""
        try:
            encode_head(request, self.address.authority)
        except ValueError as error:
            return fail(OriginError(Fault.MALFORMED, f"request not sent: {error}"))
        head = request.head
        headers = Headers()
        for name, value in sent_fields(head.fields):
            headers.addRawHeader(name, value)
        target = b"" if head.target == b"*" else head.target
        asked: Deferred[IResponse] = self._agent.request(head.method, self._base + target, headers, request.body)
        late = _Late(self._clock, request.deadlines.connect + request.deadlines.first_byte, asked)
        return asked.addBoth(late.over).addCallbacks(
            self._began, self._failed, callbackArgs=(request,), errbackArgs=(late,)
        )

    def _began(self, response: Any, request: OriginRequest) -> IOriginResponse:
        taken = _Response(response, self._clock, request.deadlines)
        fault = _doubt(response.code, taken.head.fields)
        if fault is not None:
            taken.abort()
            raise OriginError(Fault.MALFORMED, fault)
        length = response.length if isinstance(response.length, int) else None
        if request.head.method == b"HEAD" or response.code in BODILESS:
            length = 0
        elif length is not None and b"content-length" not in taken.head.fields:
            taken.head = ResponseHead(response.code, taken.head.fields.adding(b"Content-Length", b"%d" % length))
        taken.length = length
        return taken

    def _failed(self, failure: Failure, late: _Late) -> Failure:
        error = failure.value
        if late.expired:
            return Failure(OriginError(Fault.TIMEOUT, "no response head in time"))
        if isinstance(error, ConnectTimeout):
            return Failure(OriginError(Fault.CONNECT_TIMEOUT, "timed out"))
        if isinstance(error, CancelledError):
            return failure
        if not isinstance(error, ResponseFailed):
            return Failure(OriginError(Fault.UNREACHABLE, type(error).__name__))
        if any(isinstance(reason.value, CancelledError) for reason in error.reasons):
            return Failure(CancelledError())
        malformed = not all(isinstance(reason.value, (ConnectionDone, ConnectionLost)) for reason in error.reasons)
        words = ", ".join(type(reason.value).__name__ for reason in error.reasons)
        return Failure(OriginError(Fault.MALFORMED if malformed else Fault.RESET, words))

    def close(self) -> Deferred[None]:
        """See ``IOrigin``. The agent's connections are its owner's."""
        return succeed(None)


def _doubt(status: int, fields: Fields) -> str | None:
    if not 200 <= status <= 599:
        return "a status out of range"
    if len(fields) > MAX_FIELDS or sum(len(name) + len(value) for name, value in fields) > MAX_HEAD:
        return "a response head too large"
    if not all(TOKEN.fullmatch(name) and VALUE.fullmatch(value) for name, value in fields):
        return "bad syntax in the response head"
    return None


class _Late:
    """Cancels what takes too long."""

    def __init__(self, clock: IReactorTime | None, seconds: float, waiting: Deferred[Any]) -> None:
        self.expired = False
        self._waiting = waiting
        self._call: IDelayedCall | None = clock.callLater(seconds, self._expire) if clock is not None else None

    def _expire(self) -> None:
        self.expired = True
        self._waiting.cancel()

    def over(self, result: Any) -> Any:
        if self._call is not None and self._call.active():
            self._call.cancel()
        return result


@implementer(IOriginResponse)
class _Response(Protocol):
    """A response of an agent's; also the protocol that its body is delivered to."""

    framing = Framing.DELIMITED  # an agent does not tell before the end

    def __init__(self, response: Any, clock: IReactorTime | None, deadlines: Deadlines) -> None:
        pairs = [(name, value) for name, values in response.headers.getAllRawHeaders() for value in values]
        self.head = ResponseHead(response.code, end_to_end(Fields(pairs)))
        self.length: int | None = None
        self._response = response
        self._sink: Sink | None = None
        self._delivered = False
        self._ended: Framing | OriginError | None = None
        self._held = b""
        self._paused = False
        self._clock = clock
        self._between = deadlines.between_bytes
        self._timer: IDelayedCall | None = None

    def deliver(self, sink: Sink) -> None:
        """See ``IOriginResponse``."""
        if self._delivered:
            raise RuntimeError("a response is delivered once")
        self._delivered = True
        self._sink = sink
        self._wait()
        self._response.deliverBody(self)

    def _wait(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()
        if self._clock is not None and self._sink is not None and self._ended is None and not self._paused:
            self._timer = self._clock.callLater(self._between, self._expire)

    def _expire(self) -> None:
        self._ended = OriginError(Fault.TIMEOUT, f"no progress in {self._between:g} s")
        self._cut()
        self._flush()

    def dataReceived(self, data: bytes) -> None:
        """Part of the body."""
        if self._sink is None or self._ended is not None:
            return
        if self._paused:
            self._held += data
            return
        self._wait()
        self._sink.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end of the body."""
        if self._ended is None:
            if reason.check(ResponseDone):
                self._ended = Framing.DELIMITED
            elif reason.check(PotentialDataLoss):
                self._ended = Framing.CLOSE
            else:
                self._ended = OriginError(Fault.TRUNCATED, type(reason.value).__name__)
        self._wait()
        self._flush()

    def _flush(self) -> None:
        if self._paused or self._sink is None:
            return
        if self._held:
            held, self._held = self._held, b""
            self._sink.write(held)
        ended, sink = self._ended, self._sink
        if ended is None or self._paused or sink is None:
            return
        self._sink = None
        if isinstance(ended, Framing):
            sink.complete(ended)
        else:
            sink.broken(ended)

    def pause(self) -> None:
        """See ``IOriginResponse``."""
        if not self._paused:
            self._paused = True
            self._wait()
            if self._ended is None:
                self._tell("pauseProducing")

    def resume(self) -> None:
        """See ``IOriginResponse``."""
        if self._paused:
            self._paused = False
            self._wait()
            self._flush()
            if self._ended is None and not self._paused:
                self._tell("resumeProducing")

    def abort(self) -> None:
        """See ``IOriginResponse``."""
        self._sink = None
        self._held = b""
        self._wait()
        if not self._delivered:
            # twisted #5488: a response whose body nobody takes holds its connection for ever.
            self._delivered = True
            self._response.deliverBody(self)
        self._cut()

    def _cut(self) -> None:
        if self._ended is None or isinstance(self._ended, OriginError):
            self._tell("stopProducing")

    def _tell(self, method: str) -> None:
        # What an agent gives as transport has no interface: a proxy of one, a fake, nothing.
        told = getattr(self.transport, method, None)
        if told is not None:
            told()
