"""A sink that keeps what it gets, and a short way to fetch through an ``IOrigin``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.iweb import IBodyProducer

from tests.support.wire import pairs, to_bytes
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.origin.interfaces import (
    Deadlines,
    Framing,
    IOrigin,
    IOriginResponse,
    OriginError,
    OriginRequest,
)

__all__ = ["KeepingSink", "Kept", "fetch_from", "origin_request"]


class KeepingSink:
    """Keeps the body and how it ended; ``ended`` fires with the sink itself, for good or ill."""

    def __init__(self, keep: bool = True) -> None:
        self.pieces: list[bytes] = []
        self.length = 0
        self.framing: Framing | None = None
        self.error: OriginError | None = None
        self.ended: Deferred[KeepingSink] = Deferred()
        self.on_write: Callable[[bytes], None] | None = None
        self._keep = keep
        self._marks: list[tuple[int, Deferred[None]]] = []

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def received(self, length: int) -> Deferred[None]:
        """Fires when ``length`` bytes have come."""
        mark: Deferred[None] = Deferred()
        if self.length >= length:
            mark.callback(None)
        else:
            self._marks.append((length, mark))
        return mark

    def write(self, data: bytes) -> None:
        assert data, "an empty write"
        assert not self.ended.called, "a write after the end"
        self.length += len(data)
        if self._keep:
            self.pieces.append(data)
        due = [mark for length, mark in self._marks if length <= self.length]
        self._marks = [pair for pair in self._marks if pair[0] > self.length]
        if self.on_write is not None:
            self.on_write(data)
        for mark in due:
            mark.callback(None)

    def complete(self, framing: Framing) -> None:
        self.framing = framing
        self.ended.callback(self)

    def broken(self, error: OriginError) -> None:
        self.error = error
        self.ended.callback(self)


class Kept:
    """A response fetched to its end."""

    def __init__(self, response: IOriginResponse, sink: KeepingSink, informational: list[ResponseHead]) -> None:
        self.head: ResponseHead = response.head
        self.length: int | None = response.length
        self.body = sink.body
        self.framing = sink.framing
        self.error = sink.error
        self.informational = informational

    @property
    def status(self) -> int:
        return self.head.status


def origin_request(
    method: str | bytes = "GET",
    target: str | bytes = "/",
    fields: Any = (),
    body: IBodyProducer | None = None,
    *,
    informational: Callable[[ResponseHead], None] | None = None,
    **deadlines: float,
) -> OriginRequest:
    """``origin_request("GET", "/x", total=1.0)``."""
    head = RequestHead(to_bytes(method), to_bytes(target), Fields(pairs(fields)))
    return OriginRequest(head, body, informational, Deadlines(**deadlines))


async def fetch_from(
    origin: IOrigin,
    method: str | bytes = "GET",
    target: str | bytes = "/",
    fields: Any = (),
    body: IBodyProducer | None = None,
    **deadlines: float,
) -> Kept:
    """Fetch and take the whole body in. Raises OriginError when there is no head."""
    informational: list[ResponseHead] = []
    request = origin_request(method, target, fields, body, informational=informational.append, **deadlines)
    response = await origin.fetch(request)
    sink = KeepingSink()
    response.deliver(sink)
    await sink.ended
    return Kept(response, sink, informational)
