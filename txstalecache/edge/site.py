"""The hardened site: what stands between sockets and the resource.

Must not know: caching.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from txstalecache.edge.upload import StreamedUpload

__all__ = ["CacheSite"]


class CacheRequest(Request):
    """A request that is processed when its head is complete; its body streams."""

    upload: StreamedUpload | None = None
    _started = False

    def gotLength(self, length: int | None) -> None:
        if length == 0:
            super().gotLength(0)
            return
        super().gotLength(0)
        transport: Any = self.channel.transport
        self.upload = StreamedUpload(length, transport.pauseProducing, transport.resumeProducing)

    def begin(self, command: bytes, path: bytes, version: bytes) -> None:
        """The head is complete, the body is not: process the request now."""
        self._started = True
        super().requestReceived(command, path, version)

    def handleContentChunk(self, data: bytes) -> None:
        assert self.upload is not None
        self.upload.feed(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        if self.upload is not None:
            self.upload.end()
        if not self._started:
            super().requestReceived(command, path, version)

    def finish(self) -> None:
        if self.upload is not None and not self.upload.ended:
            # The rest of the body would be taken for the next request.
            cast("CacheChannel", self.channel).drop_rest()
        super().finish()

    def connectionLost(self, reason: object) -> None:
        if self.upload is not None and not self.upload.ended:
            self.upload.fail(ConnectionAbortedError("the client left"))
        super().connectionLost(reason)


class CacheChannel(HTTPChannel):
    """A server connection whose requests start when their head has come."""

    requestFactory = CacheRequest
    _dropping = False

    def allHeadersReceived(self) -> None:
        super().allHeadersReceived()
        request = self.requests[-1]
        if request.upload is not None:
            if self.timeOut:
                self._savedTimeOut = self.setTimeout(None)
            request.begin(self._command, self._path, self._version)

    def drop_rest(self) -> None:
        """Answer the current request, then close: its body is not wanted."""
        self.persistent = False
        self._dropping = True

    def rawDataReceived(self, data: bytes) -> None:
        if not self._dropping:
            super().rawDataReceived(data)


class CacheSite(Site):
    """A ``Site`` for a ``CacheResource`` (or a tree with some in it)."""

    def __init__(self, resource: IResource, reactor: IReactorTime, *, timeout: float = 15.0) -> None:
        super().__init__(resource, requestFactory=CacheRequest, parsePOSTFormSubmission=False, reactor=reactor)
        self.timeOut = timeout

    def buildProtocol(self, addr: IAddress | None) -> CacheChannel:  # type: ignore[override]
        channel: Any = CacheChannel()
        channel.factory = channel.site = self
        channel.timeOut = self.timeOut
        channel.callLater = self.reactor.callLater
        return cast(CacheChannel, channel)

    def log(self, request: object) -> None:
        """The resource writes its own access log."""
