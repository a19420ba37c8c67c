"""How a server leaves: it takes no new connections, and goes when the requests in progress have their answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import IResource
from zope.interface import implementer

__all__ = ["Turnstile"]


@implementer(IResource)
class Turnstile:
    """Counts the requests in progress below ``inner``, a leaf."""

    isLeaf = True
    server: Any = None

    def __init__(self, inner: IResource) -> None:
        self._inner = inner
        self._inside = 0
        self._emptied: Deferred[None] | None = None

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        """A leaf has no children."""
        raise RuntimeError("a leaf is not asked for children")

    def putChild(self, path: bytes, child: IResource) -> None:
        """A leaf has no children."""
        raise RuntimeError("a leaf takes no children")

    def render(self, request: Request) -> Any:
        """Let ``request`` in; while draining, its connection ends with its answer."""
        self._inside += 1
        request.notifyFinish().addBoth(self._out)
        channel = request.channel
        if self._emptied is not None and isinstance(channel, HTTPChannel):
            channel.persistent = False
            request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return self._inner.render(request)

    def drain(self, clock: IReactorTime, seconds: float) -> Deferred[None]:
        """Fires when no request is in progress, or after ``seconds`` whatever is. Call once."""
        emptied = self._emptied = Deferred()
        if not self._inside:
            emptied.callback(None)
            return emptied
        late = clock.callLater(seconds, emptied.callback, None)

        def stop(_: None) -> None:
            if late.active():
                late.cancel()

        return emptied.addCallback(stop)

    def _out(self, _: object) -> None:
        self._inside -= 1
        if not self._inside and self._emptied is not None and not self._emptied.called:
            self._emptied.callback(None)
