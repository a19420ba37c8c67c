"""What happens, told as it happens: server-sent events for a few listeners.

Once a second how things stand (``status``), and each flight as it takes off and ends (``flight``). What is asked each
second serves all listeners, and nothing is while nobody listens.
Must not know: who listens and why, how a process is asked.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import implementer

from txstalecache.admin.flown import Flown
from txstalecache.admin.gate import Refused
from txstalecache.admin.inquiry import Inquiry, Silent

__all__ = ["Events"]


def _event(name: str, what: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(what, default=str)}\n\n".encode("ascii")


@implementer(IPushProducer)
class _Listener:
    """One stream. What a listener does not take in time is not kept for it."""

    def __init__(self, request: Request, gone: Callable[[_Listener], None]) -> None:
        self._request = request
        self._gone = gone
        self.behind = 0
        """Seconds for which it has taken nothing."""
        self._paused = False
        self._open = True
        request.notifyFinish().addBoth(lambda _: self.stopProducing())
        request.registerProducer(self, True)

    def tell(self, event: bytes) -> None:
        """Send it, unless the listener is behind."""
        if self._open and not self._paused:
            self._request.write(event)

    def tick(self) -> None:
        """A second has passed."""
        self.behind = self.behind + 1 if self._paused else 0

    def drop(self) -> None:
        """Cut it off."""
        transport: Any = self._request.transport
        self.stopProducing()
        if transport is not None:
            transport.abortConnection()

    def end(self) -> None:
        """Nothing more is told."""
        if self._open:
            self._open = False
            self._request.unregisterProducer()
            self._request.finish()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False

    def stopProducing(self) -> None:
        if self._open:
            self._open = False
            self._gone(self)


class Events:
    """The listeners, and what they are told; ``flight`` is to be called with each flight's event."""

    _log = Logger()

    #: Listeners at a time.
    MOST = 16
    #: Seconds that one may be behind.
    PATIENCE = 10
    #: Flights told of in a second, of all processes together.
    FLIGHTS = Flown.MOST

    def __init__(self, inquiry: Inquiry, clock: IReactorTime) -> None:
        self._inquiry = inquiry
        self._listeners: set[_Listener] = set()
        self._told = 0
        self._clock = clock
        self._loop: LoopingCall | None = None
        """While somebody listens; one that has stopped may still wait for its last answer, and is not used again."""

    @property
    def listening(self) -> int:
        """How many listen."""
        return len(self._listeners)

    def listen(self, request: Request) -> None:
        """Tell ``request`` from now on. Refused when too many listen already."""
        if len(self._listeners) >= self.MOST:
            raise Refused(503, f"{self.MOST} listen already", **{"Retry-After": "5"})
        request.setHeader(b"Content-Type", b"text/event-stream")
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.write(b"retry: 2000\n\n")
        self._listeners.add(_Listener(request, self._lost))
        if self._loop is None or not self._loop.running:
            self._loop = LoopingCall(self._tick)
            self._loop.clock = self._clock
            self._loop.start(1.0, now=True).addErrback(lambda failure: self._log.failure("events", failure))

    def flight(self, told: dict[str, Any]) -> None:
        """A flight took off or ended."""
        if self._listeners and self._told < self.FLIGHTS:
            self._told += 1
            self._tell(_event("flight", told))

    def close(self) -> None:
        """End every stream."""
        for listener in list(self._listeners):
            listener.end()
        self._listeners.clear()
        self._stop()

    def _tick(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._status())

    async def _status(self) -> None:
        self._told = 0
        for listener in list(self._listeners):
            listener.tick()
            if listener.behind >= self.PATIENCE:
                listener.drop()
        if not self._listeners:
            return
        try:
            await self._inquiry.watch()
            status = await self._inquiry.status()
        except Silent as silent:
            status = {"problem": str(silent)}
        self._tell(_event("status", status))

    def _tell(self, event: bytes) -> None:
        for listener in list(self._listeners):
            listener.tell(event)

    def _lost(self, listener: _Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            self._stop()

    def _stop(self) -> None:
        loop, self._loop = self._loop, None
        if loop is not None and loop.running:
            loop.stop()
