"""Request bodies from the wire: where they end, and their bytes without chunk framing (RFC 9112 §6, §7.1).

Must not know: sockets, requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from txstalecache.edge.heads import BodyKind, ReceivedRequest, Rejected, is_decisive
from txstalecache.http.fields import TOKEN, VALUE

__all__ = ["Chunked", "Counted", "framing"]


class Counted:
    """A body of ``length`` bytes."""

    behind = False
    """See ``Chunked``."""

    def __init__(self, length: int) -> None:
        self._left = length
        self.ended = not length

    def take(self, buffer: bytearray) -> bytes:
        """The bytes of body at the start of ``buffer``, which are removed from it."""
        data = bytes(buffer[: self._left])
        del buffer[: len(data)]
        self._left -= len(data)
        self.ended = not self._left
        return data


class Chunked:
    """A chunked body of at most ``limit`` bytes (None: any). Extensions and trailers are checked and dropped."""

    #: Steps at a time, three for each chunk: of one byte each there may be thousands in what comes in one go.
    AT_ONCE = 3000
    #: Bytes of one chunk-size line.
    LINE = 1024
    #: Bytes of all extensions, and of all trailers: more of them than body is an attack.
    EXTRA = 8192

    # No white space, which RFC 9112 §7.1.1 calls bad and which size parsers disagree about; extensions without quoting,
    # as no line end may hide in them (§7.1.1).
    _SIZE = re.compile(rb"([0-9A-Fa-f]{1,15}+)((?:;[\t\x20-\x7e\x80-\xff]*+)?)")
    _TRAILER = re.compile(TOKEN.pattern + b":" + VALUE.pattern)

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._length = 0
        self._extra = 0
        self._left = 0
        """Bytes of the current chunk still to come."""
        self._step: Callable[[bytearray, int, list[bytes]], int] = self._size
        self.ended = False
        self.behind = False
        """Whether there is more to take of what has come."""

    def take(self, buffer: bytearray) -> bytes:
        """The bytes of body at the start of ``buffer``, which are removed from it with their framing; no more than is
        taken at a time. Raises Rejected."""
        pieces: list[bytes] = []
        at, left = 0, self.AT_ONCE
        while left and not self.ended:
            now = self._step(buffer, at, pieces)
            if now < 0:
                break
            at = now
            left -= 1
        self.behind = not (left or self.ended)
        del buffer[:at]
        return b"".join(pieces)

    def _line(self, buffer: bytearray, at: int) -> bytes | None:
        """The line at ``at`` without its end; None while it is incomplete."""
        end = buffer.find(b"\n", at, at + self.LINE)
        if end < 0:
            if len(buffer) - at >= self.LINE:
                raise Rejected(400, "chunked body: line too long")
            return None
        if end == at or buffer[end - 1] != 0x0D:
            raise Rejected(400, "chunked body: malformed line end")
        return bytes(buffer[at : end - 1])

    def _charge(self, extra: int) -> None:
        self._extra += extra
        if self._extra > self.EXTRA:
            raise Rejected(400, "chunked body: too much beside the body")

    def _size(self, buffer: bytearray, at: int, _: list[bytes]) -> int:
        line = self._line(buffer, at)
        if line is None:
            return -1
        match = self._SIZE.fullmatch(line)
        if match is None:
            raise Rejected(400, "chunked body: malformed size")
        self._charge(len(match[2]))
        self._left = int(match[1], 16)
        if self._limit is not None and self._length + self._left > self._limit:
            raise Rejected(413, "body too large")
        self._length += self._left
        self._step = self._data if self._left else self._trailer
        return at + len(line) + 2

    def _data(self, buffer: bytearray, at: int, pieces: list[bytes]) -> int:
        piece = bytes(buffer[at : at + self._left])
        if not piece:
            return -1
        pieces.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = self._end
        return at + len(piece)

    def _end(self, buffer: bytearray, at: int, _: list[bytes]) -> int:
        end = buffer[at : at + 2]
        if not b"\r\n".startswith(end):
            raise Rejected(400, "chunked body: chunk longer than its size")
        if len(end) < 2:
            return -1
        self._step = self._size
        return at + 2

    def _trailer(self, buffer: bytearray, at: int, _: list[bytes]) -> int:
        line = self._line(buffer, at)
        if line is None:
            return -1
        if not line:
            self.ended = True
        elif not self._TRAILER.fullmatch(line) or is_decisive(line.partition(b":")[0]):
            raise Rejected(400, "chunked body: malformed trailer")
        self._charge(len(line))
        return at + len(line) + 2


def framing(received: ReceivedRequest, limit: int | None) -> Counted | Chunked | None:
    """What takes the body that follows the head ``received``; None when none does."""
    match received.kind:
        case BodyKind.NONE:
            return None
        case BodyKind.COUNTED:
            return Counted(received.length)
        case BodyKind.CHUNKED:
            return Chunked(limit)
