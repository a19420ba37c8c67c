"""One client's request and its one answer, whatever becomes of the client meanwhile.

The seam between the cache and whatever speaks HTTP to the client: ``edge.direct`` for a channel of ours, and
``edge.twistedweb`` for a request of any ``Site``. What both have in common is here; what they add only says how bytes
come and go. After the answer is complete or the client has left, nothing touches either.
Must not know: caching.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer

from txstalecache.config.routes import Route
from txstalecache.edge.refused import Refused
from txstalecache.edge.reply import Reply, refusal
from txstalecache.edge.serving import Serving
from txstalecache.flight.body import Body, Reader, Segment
from txstalecache.flight.readers import Readers
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead, ResponseHead

__all__ = ["Exchange", "Pairs"]

Pairs = Sequence[tuple[bytes, bytes]]


def _nothing() -> None: ...


class Exchange(ABC):
    """A client waiting for one answer (``flight.body.Consumer``).

    ``done`` is called once, when the answer is complete or the client has gone, unless the request was ``Refused``,
    which is logged elsewhere; whoever serves sets it. The exchange owns the coroutine given to ``run`` and cancels it
    when the client leaves.
    """

    _log = Logger()

    method: bytes
    target: bytes
    version: bytes
    """``HTTP/1.0`` or ``HTTP/1.1``."""
    scheme: bytes
    client: str | None
    """The peer's address; None for a peer without one (a unix socket)."""
    readers: Readers | None = None
    """Who is told of a client that does not take all of its answer at once."""
    place: tuple[Route, Key] | None = None
    """The route and the key of what is asked, where they have been looked up on the way here."""

    def __init__(self, clock: IReactorTime) -> None:
        self.began = clock.seconds()
        self.status = 0
        self.sent = 0
        """Bytes of body written."""
        self.open = True
        """Whether something can still be written."""
        self.complete = False
        """Whether the whole answer was written."""
        self.done: Callable[[], None] = _nothing
        self._reader: Reader | None = None
        self._task: Serving | None = None

    def run(self, serving: Coroutine[Deferred[Any], Any, None]) -> None:
        """Serve the request with ``serving``; whatever it raises becomes a 500 or an aborted connection."""
        task = Serving(serving, self._crashed)
        task.start()
        if self.open:
            self._task = task

    # -- the request ---------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def fields(self) -> Fields:
        """The fields as they came."""

    @abstractmethod
    def head(self) -> RequestHead:
        """The head, validated. Raises Rejected."""

    @abstractmethod
    def body(self) -> IBodyProducer | None:
        """The body that came, or is coming; None when there is none."""

    @abstractmethod
    def lighten(self) -> None:
        """The request is about to wait among many: what has gone into its head is not held twice."""

    # -- the answer ----------------------------------------------------------------------------------------------

    @abstractmethod
    def inform(self, head: ResponseHead) -> None:
        """Pass an informational response on, if this client can take one (RFC 9110 §15.2)."""

    def answer(self, reply: Reply) -> None:
        """Send ``reply`` as far as the client is still there: at once when it is short, else as it is taken."""
        if not self.open:
            return
        self.status = reply.status
        self._begin(reply.status, reply.fields, reply.more)
        body, segments = reply.body, reply.segments
        if body is None or not segments:
            self._finish()
        elif body.ended and len(body.chunks) == 1 and tuple(segments) == Reader.WHOLE and body.length <= Body.COMPACT:
            self.write(body.chunks[0])
            self._finish()
        else:
            self._stream(body, segments)

    def _stream(self, body: Body, segments: Sequence[Segment]) -> None:
        reader = self._reader = Reader(body, self, segments)
        self._register(reader)
        reader.start()
        if self.open:
            # The head leaves now: the first byte of the body may be far off.
            self._flush()
            if self.readers is not None:
                self.readers.add(reader)

    # -- Consumer ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        if self.open:
            self.sent += len(data)
            self._send(data)

    def delivered(self) -> None:
        if self.open:
            self._finish()

    def cut(self) -> None:
        """Cut the connection so that the client sees that something is missing."""
        if self.open:
            self._abort()

    # -- how bytes go --------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def started(self) -> bool:
        """Whether some of the answer has left."""

    @abstractmethod
    def _begin(self, status: int, fields: Fields, more: Pairs) -> None:
        """The answer has this head, with ``more`` lines behind ``fields``. It may leave with the first of the body."""

    @abstractmethod
    def _send(self, data: bytes) -> None:
        """More of the body."""

    @abstractmethod
    def _flush(self) -> None:
        """What there is of the answer is to leave."""

    @abstractmethod
    def _end(self) -> None:
        """That was all. Nothing more is called."""

    @abstractmethod
    def _abort(self) -> None:
        """Cut the connection."""

    @abstractmethod
    def _register(self, reader: Reader) -> None:
        """``reader`` is to pause while the client takes no more, until the end."""

    @abstractmethod
    def _unregister(self) -> None:
        """The reader is through."""

    # -- the end -------------------------------------------------------------------------------------------------

    def _finish(self) -> None:
        self.open = False
        self.complete = True
        if self._reader is not None:
            self._read()
            self._unregister()
        self._end()
        self._over()

    def _left(self, reason: Failure) -> None:
        """The client's connection is gone, or is going."""
        if not self.open:
            return
        if reason.check(Refused):
            self.done = _nothing
        self.open = False
        reader = self._read()
        if reader is not None:
            reader.stopProducing()
        if self._task is not None:
            self._task.cancel()
        self._over()

    def _read(self) -> Reader | None:
        """Nothing more is read: the reader there was."""
        reader, self._reader = self._reader, None
        if reader is not None and self.readers is not None:
            self.readers.discard(reader)
        return reader

    def _over(self) -> None:
        done, self.done, self._task = self.done, _nothing, None
        done()

    def _crashed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._log.failure("request failed", failure=failure)
        if not self.open:
            return
        if self.started:
            self.cut()
        else:
            self.answer(refusal(500, "internal error"))
