"""A request body on its way to the origin, as it arrives or from where Twisted has put it.

Must not know: caching, HTTP semantics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import BinaryIO

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IConsumer, IPushProducer
from twisted.web.client import FileBodyProducer
from twisted.web.http import Request
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

__all__ = ["StreamedUpload", "request_body"]


@implementer(IBodyProducer, IPushProducer)
class StreamedUpload:
    """Bytes pushed in by the client's connection (``feed``, ``end``), pulled out by the origin's.

    ``pause`` and ``resume`` stop and start the client's connection. At most ``BUFFER`` bytes wait here.
    """

    BUFFER = 256 * 1024

    def __init__(self, length: int | None, pause: Callable[[], None], resume: Callable[[], None]) -> None:
        self.length: int | object = UNKNOWN_LENGTH if length is None else length
        self._pause = pause
        self._resume = resume
        self._waiting: list[bytes] = []
        self._held = 0
        self._consumer: IConsumer | None = None
        self._done: Deferred[None] | None = None
        self._paused = False
        self._stopped = False
        self._failed: BaseException | None = None
        self.ended = False

    def feed(self, data: bytes) -> None:
        """More has come from the client."""
        if self._stopped:
            return
        self._waiting.append(data)
        self._held += len(data)
        self._flow()
        if self._held >= self.BUFFER:
            self._pause()

    def end(self) -> None:
        """All has come."""
        self.ended = True
        self._flow()

    def fail(self, reason: BaseException) -> None:
        """The end will not come: the client has gone, or has its answer already."""
        done, self._done = self._done, None
        self._failed = reason
        self._stopped = True
        self._waiting.clear()
        if done is not None:
            done.errback(reason)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._failed is not None:
            return fail(self._failed)
        self._consumer = consumer
        done = self._done = Deferred(lambda _: self.stopProducing())
        self._flow()
        return done

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._flow()

    def stopProducing(self) -> None:
        """The origin wants no more: what still comes is dropped."""
        self._stopped = True
        self._done = None
        self._waiting.clear()
        self._held = 0
        self._resume()

    def _flow(self) -> None:
        consumer = self._consumer
        if consumer is None or self._paused or self._stopped:
            return
        waiting, self._waiting, self._held = self._waiting, [], 0
        for data in waiting:
            consumer.write(data)
        if self.ended:
            done, self._done = self._done, None
            self._stopped = True
            if done is not None:
                done.callback(None)
        else:
            self._resume()


@implementer(IBodyProducer)
class SpooledUpload(FileBodyProducer):
    """A body that a foreign ``Site`` has already read whole. The file stays the request's, which closes it."""

    def __init__(self, content: BinaryIO, length: int) -> None:
        super().__init__(_Unclosed(content))
        self.length = length


class _Unclosed:
    """A file as ``FileBodyProducer`` uses one, whose closing is somebody else's."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        pass


def request_body(request: Request) -> IBodyProducer | None:
    """The body that came, or is coming, with ``request``; None when there is none."""
    upload: StreamedUpload | None = getattr(request, "upload", None)
    if upload is not None:
        return upload
    content = request.content
    if content is None:
        return None
    length = content.seek(0, 2)
    content.seek(0)
    announced = request.requestHeaders.hasHeader(b"Content-Length") and request.method not in (b"GET", b"HEAD")
    return SpooledUpload(content, length) if length or announced else None
