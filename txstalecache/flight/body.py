"""One body, many readers: an append-only list of chunks with a cursor per reader.

Chunks are shared, never copied per reader. While the body is *retained* (it may be stored, and latecomers may replay
it from the start) nothing is dropped. Otherwise, once a ``window`` of bytes is held, what every reader has passed is
dropped, and the source is paused while the slowest reader still holds back that much.

Must not know: HTTP, keys, stores.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Protocol

from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from zope.interface import implementer

__all__ = ["Body", "Consumer", "Reader", "Segment"]

#: A part of what a reader delivers: literal bytes, or the window ``(start, stop)`` of the body; stop None: to the end.
Segment = bytes | tuple[int, int | None]

#: Bytes written before looking again whether the transport wants more.
PIECE = 64 * 1024


class Consumer(Protocol):
    """Where a reader delivers to. One of ``delivered`` and ``cut`` is called, once and last."""

    def write(self, data: bytes) -> None:
        """The next bytes."""

    def delivered(self) -> None:
        """Every segment has been written."""

    def cut(self) -> None:
        """The body broke; what was written is not all."""


class Body:
    """The bytes of one response. ``drained`` is called when readers have caught up with a full window."""

    _log = Logger()

    COMPACT = 64 * 1024
    """A whole body up to this size is worth joining into one chunk."""

    passing = False
    """Whether it is to be released as soon as those who wait have been let in."""
    length = 0
    """Bytes that have come so far, dropped ones included."""
    ended = False
    broken = False
    skipped = False
    """Whether it is read for its end alone: nothing of it is kept."""
    drained: Callable[[], None] | None = None
    abandoned: Callable[[], None] | None = None
    """Called when the last reader has left before the end."""

    def __init__(self, *, retained: bool = True, window: int = 256 * 1024, chunks: Sequence[bytes] = ()) -> None:
        self.retained = retained
        self.window = window
        self.chunks: list[bytes] = list(chunks)
        self.starts: list[int] = []
        """Offset of each chunk in ``chunks``."""
        self.readers: dict[Reader, None] = {}
        self._slowest: list[Reader] = []
        """Those who wanted the first chunk when all were last looked at; some may have moved on since."""
        for chunk in chunks:
            self.starts.append(self.length)
            self.length += len(chunk)

    @classmethod
    def of(cls, chunks: Sequence[bytes]) -> Body:
        """A complete body."""
        body = cls(chunks=chunks)
        body.ended = True
        return body

    @property
    def first(self) -> int:
        """Offset of the first byte still here."""
        return self.starts[0] if self.starts else self.length

    @property
    def held(self) -> int:
        """Bytes in memory."""
        return self.length - self.first

    @property
    def full(self) -> bool:
        """Whether the source should pause: not retained, and a window's worth is unread."""
        return not self.retained and self.held >= self.window

    def append(self, data: bytes) -> None:
        """More has come: hand it to every reader that can take it."""
        if self.skipped:
            self.length += len(data)
            return
        self.starts.append(self.length)
        self.chunks.append(data)
        self.length += len(data)
        if self.readers:
            self._pump_all()
            self._drop()

    def end(self) -> None:
        """All has come."""
        self.ended = True
        if self.readers:
            self._pump_all()

    def forget(self) -> None:
        """The source is gone: nobody is told of anything any more."""
        self.drained = self.abandoned = None

    def cut(self) -> None:
        """No more will come though some is missing: every reader's consumer is told."""
        self.broken = True
        for reader in list(self.readers):
            reader.fail()

    def release(self) -> None:
        """Stop retaining: from now on only what somebody has yet to read is kept. A reader that will want earlier bytes
        than it is at cannot be served out of that: it is cut."""
        self.retained = False
        self.passing = True
        if self.readers:
            if not self.ended:
                for reader in list(self.readers):
                    if not reader.ascending:
                        reader.fail()
            self._drop()

    def skip(self) -> None:
        """Nobody reads it, nor will: what is here is dropped, and what comes."""
        self.skipped = True
        self.chunks.clear()
        self.starts.clear()

    def piece(self, offset: int, limit: int) -> bytes | memoryview:
        """Bytes from ``offset``, at least one, at most ``limit`` and never past one chunk."""
        at = bisect_right(self.starts, offset) - 1
        chunk = self.chunks[at]
        begin = offset - self.starts[at]
        if begin == 0 and len(chunk) <= limit:
            return chunk
        return memoryview(chunk)[begin : begin + limit]

    def passed(self) -> None:
        """A reader has moved on or left."""
        if self.full:
            self._drop()
            if self.held < self.window and self.drained is not None:
                self.drained()

    def leave(self, reader: Reader) -> None:
        """``reader`` wants no more."""
        self.lose(reader)
        self.passed()
        if not self.readers and not self.ended and not self.broken and self.abandoned is not None:
            self.abandoned()

    def lose(self, reader: Reader) -> None:
        """``reader`` gets no more."""
        self.readers.pop(reader, None)
        if not self.readers:
            self._slowest.clear()  # they know the body, too

    def _pump_all(self) -> None:
        for reader in list(self.readers):
            try:
                reader.pump()
            except Exception:
                # One client's fault is not the others'.
                self._log.failure("a reader failed")
                reader.fail()

    def _drop(self) -> None:
        # Only when there is something to gain: with many readers, looking at all is not cheap. They are looked at once
        # for each time that the last of the slowest has moved on.
        if not self.full or not self.readers:
            return
        slowest = self._slowest
        while slowest:
            if slowest[-1] in self.readers and slowest[-1].low < self._second:
                return
            slowest.pop()
        low = min(reader.low for reader in self.readers)
        drop = len(self.chunks) if low >= self.length else bisect_right(self.starts, low) - 1
        if drop > 0:
            del self.chunks[:drop], self.starts[:drop]
        second = self._second
        self._slowest = [reader for reader in self.readers if reader.low < second]

    @property
    def _second(self) -> int:
        """Offset of what comes behind the first chunk."""
        return self.starts[1] if len(self.starts) > 1 else self.length


@implementer(IPushProducer)
class Reader:
    """One consumer's way through a body, as a push producer for the consumer's transport.

    Owned by whoever made it; it leaves the body by itself when it has delivered everything, when the body breaks, or
    when it is stopped.
    """

    __slots__ = ("__weakref__", "_at", "_busy", "body", "consumer", "offset", "paused", "read", "segments")

    _log = Logger()

    #: What is asked for most: all of it.
    WHOLE: tuple[Segment, ...] = ((0, None),)

    def __init__(self, body: Body, consumer: Consumer, segments: Sequence[Segment] = WHOLE) -> None:
        self.body = body
        self.consumer = consumer
        self.segments = segments
        self._at = 0
        self.offset = self._start()
        self.read = 0
        """Bytes delivered."""
        self.paused = False
        self._busy = False

    @property
    def ascending(self) -> bool:
        """Whether it wants the body front to back."""
        if self.segments is Reader.WHOLE:
            return True
        starts = [segment[0] for segment in self.segments if not isinstance(segment, bytes)]
        return all(before <= after for before, after in pairwise(starts))

    @property
    def low(self) -> int:
        """The first byte it may still want."""
        if self._at + 1 >= len(self.segments):
            return self.offset
        later = [segment[0] for segment in self.segments[self._at + 1 :] if not isinstance(segment, bytes)]
        return min(self.offset, *later) if later else self.offset

    def start(self) -> None:
        """Join the body and deliver what is there."""
        if self.body.broken:
            self.consumer.cut()
            return
        self.body.readers[self] = None
        self.pump()
        self.body.passed()

    def pump(self) -> None:
        """Deliver until the transport or the body has had enough."""
        if self._busy or self.paused:
            return
        self._busy = True
        try:
            while not self.paused and self in self.body.readers:
                if self._at == len(self.segments):
                    self.body.leave(self)
                    self.consumer.delivered()
                    return
                if not self._step():
                    break
        finally:
            self._busy = False

    def _step(self) -> bool:
        segment = self.segments[self._at]
        if isinstance(segment, bytes):
            self._next_segment()
            self._deliver(segment)
            return True
        stop = segment[1]
        body = self.body
        end = body.length if stop is None else min(stop, body.length)
        if self.offset < end:
            data = body.piece(self.offset, min(PIECE, end - self.offset))
            self.offset += len(data)
            self._deliver(bytes(data))
            return True
        if body.ended or self.offset == stop:
            self._next_segment()
            return True
        return False

    def _deliver(self, data: bytes) -> None:
        self.read += len(data)
        self.consumer.write(data)

    def _next_segment(self) -> None:
        self._at += 1
        self.offset = self._start()

    def _start(self) -> int:
        """Where the next window begins; literals do not hold bytes back."""
        for segment in self.segments[self._at :]:
            if not isinstance(segment, bytes):
                return segment[0]
        return self.body.length

    def lags(self) -> None:
        """It holds up others who want more than it takes."""
        self.fail()

    def fail(self) -> None:
        """The body broke."""
        if self in self.body.readers:
            self.body.lose(self)
            try:
                self.consumer.cut()
            except Exception:
                # The others are still to be told.
                self._log.failure("a reader could not be cut off")

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self.pump()
        self.body.passed()

    def stopProducing(self) -> None:
        self.paused = True
        self.body.leave(self)
