"""An origin in memory whose every answer the test gives by hand: for flights, whose timing is the point.

::

    origin = HeldOrigin()
    ...                                     # something calls origin.fetch(request)
    response = origin.answer(0, 200, [(b"Cache-Control", b"max-age=60")])
    response.send(b"body"); response.end()
    origin.fail(1, Fault.RESET)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.origin.interfaces import (
    Fault,
    Framing,
    IOrigin,
    IOriginResponse,
    OriginError,
    OriginRequest,
    Sink,
)

__all__ = ["HeldOrigin", "HeldResponse"]


@implementer(IOriginResponse)
@dataclass(eq=False)
class HeldResponse:
    """A response whose body comes when the test says so."""

    head: ResponseHead
    length: int | None = None
    framing: Framing = Framing.DELIMITED
    sink: Sink | None = None
    paused: bool = False
    aborted: bool = False
    _early: list[bytes] = field(default_factory=list)
    _ended: bool = False

    def deliver(self, sink: Sink) -> None:
        self.sink = sink
        for data in self._early:
            sink.write(data)
        if self._ended:
            self._complete(Framing.DELIMITED)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False

    def abort(self) -> None:
        self.aborted = True

    def send(self, data: bytes) -> None:
        if self.sink is None:
            self._early.append(data)
        elif not self.aborted:
            self.sink.write(data)

    def end(self, framing: Framing = Framing.DELIMITED) -> None:
        self._ended = True
        if self.sink is not None and not self.aborted:
            self._complete(framing)

    def _complete(self, framing: Framing) -> None:
        """Let go of the sink, as any response does: what it holds is not left to the garbage collector."""
        sink, self.sink = self.sink, None
        assert sink is not None
        sink.complete(framing)

    def cut(self) -> None:
        assert self.sink is not None
        if not self.aborted:
            self.sink.broken(OriginError(Fault.TRUNCATED))


@implementer(IOrigin)
class HeldOrigin:
    """See the module. ``cancelled`` are the numbers of the fetches nobody wanted any more."""

    def __init__(self) -> None:
        self.requests: list[OriginRequest] = []
        self.cancelled: list[int] = []
        self._waiting: list[Deferred[HeldResponse]] = []

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        number = len(self.requests)
        self.requests.append(request)
        waiting: Deferred[HeldResponse] = Deferred(lambda _: self.cancelled.append(number))
        self._waiting.append(waiting)
        return waiting  # type: ignore[return-value]

    def answer(
        self,
        number: int,
        status: int = 200,
        fields: Sequence[tuple[bytes, bytes]] = (),
        length: int | None = None,
        framing: Framing = Framing.DELIMITED,
    ) -> HeldResponse:
        response = HeldResponse(ResponseHead(status, Fields(fields)), length, framing)
        self._waiting[number].callback(response)
        return response

    def fail(self, number: int, fault: Fault) -> None:
        self._waiting[number].errback(OriginError(fault))

    def close(self) -> Deferred[None]:
        return succeed(None)
