"""HTTP/1.1 messages taken apart by hand, for the test origin and the test client.

Deliberately shares nothing with ``txstalecache``: an oracle must not inherit the mistakes of what it judges. Strict:
whatever is not well-formed raises ``WireError``. Knows no sockets.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

__all__ = ["Pairs", "Parser", "WireError", "encode_fields", "field", "pairs", "to_bytes"]

Pairs = list[tuple[bytes, bytes]]

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e]+) HTTP/1\.([01])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t \x21-\x7e\x80-\xff]*)")
_TEXT = rb"[\t\x20-\x7e\x80-\xff]"
_VISIBLE = rb"[\x21-\x7e\x80-\xff]"
_FIELD_LINE = re.compile(
    rb"([!#$%%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:%(v)s(?:%(t)s*%(v)s)?)?)[ \t]*" % {b"v": _VISIBLE, b"t": _TEXT}
)
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})(?:;[\t\x20-\x7e\x80-\xff]*)?")


class WireError(Exception):
    """The peer sent something that is not HTTP/1.x."""


def to_bytes(value: str | bytes) -> bytes:
    """``value`` as it goes on the wire (ISO-8859-1)."""
    return value if isinstance(value, bytes) else value.encode("latin-1")


def pairs(fields: object) -> Pairs:
    """Field lines from a dict or an iterable of pairs, of str or bytes."""
    items = fields.items() if isinstance(fields, dict) else fields
    return [(to_bytes(name), to_bytes(value)) for name, value in items]  # type: ignore[attr-defined]


def field(fields: Pairs, name: str | bytes) -> bytes | None:
    """The value of ``name``, lines joined by ``", "``; None when absent."""
    wanted = to_bytes(name).lower()
    values = [value for key, value in fields if key.lower() == wanted]
    return b", ".join(values) if values else None


def encode_fields(fields: Pairs) -> bytes:
    """Field lines, each with its CRLF, unchecked: a bad origin may send anything."""
    return b"".join(b"%s: %s\r\n" % pair for pair in fields)


def _ignore(_: object) -> None:
    pass


class Parser:
    """Takes messages of one direction apart as their bytes arrive.

    ``on_head(first, fields)`` gets the parts of the start line: method, target, minor version of a request; minor
    version, status, reason of a reply. ``on_body(data)`` pieces of the body without framing; ``on_end(clean)`` the end
    of a message: ``clean`` is False when only the end of the connection marked it. 1xx heads get an ``on_head`` and no
    ``on_end``. For replies, ``bodyless()`` is asked at each final head whether the request was a HEAD.
    """

    def __init__(
        self,
        kind: Literal["request", "reply"],
        on_head: Callable[[tuple[bytes, ...], Pairs], None],
        on_body: Callable[[bytes], None] = _ignore,
        on_end: Callable[[bool], None] = _ignore,
        bodyless: Callable[[], bool] = lambda: False,
        max_head: int = 1 << 20,
    ) -> None:
        self._kind = kind
        self._on_head = on_head
        self._on_body = on_body
        self._on_end = on_end
        self._bodyless = bodyless
        self._max_head = max_head
        self._buffer = bytearray()
        self._state = self._head
        self._left = 0
        self.idle = True
        """Between two messages, nothing of the next one received."""
        self.paused = False
        """Set to stop after the message in hand: what follows stays in the buffer until ``feed`` is called again."""
        self.head_block = b""
        """The bytes of the last head, blank line included."""

    @property
    def pending(self) -> bytes:
        """What was received and not yet taken apart."""
        return bytes(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take in ``data``; raises WireError at the first octet that is wrong."""
        self._buffer += data
        while not self.paused and self._buffer and self._state():
            pass

    def end(self) -> bool:
        """The connection ended. True if that was the proper end of a message, or came between two."""
        if self._state == self._until_close:
            self._state = self._head
            self.idle = True
            self._on_end(False)
            return True
        return self.idle and not self._buffer

    def _line(self, what: str) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > 4096:
                raise WireError(f"endless {what}")
            return None
        line = bytes(self._buffer[: end + 1])
        if not line.endswith(b"\r\n"):
            raise WireError(f"bare LF in {what}: {line!r}")
        del self._buffer[: end + 1]
        return line[:-2]

    def _head(self) -> bool:
        self.idle = False
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > self._max_head:
                raise WireError("endless head")
            return False
        self.head_block = bytes(self._buffer[: end + 4])
        del self._buffer[: end + 4]
        first, *lines = self.head_block[:-4].split(b"\r\n")
        match = (_REQUEST_LINE if self._kind == "request" else _STATUS_LINE).fullmatch(first)
        if match is None:
            raise WireError(f"bad first line {first!r}")
        fields: Pairs = []
        for line in lines:
            found = _FIELD_LINE.fullmatch(line)
            if found is None:
                raise WireError(f"bad field line {line!r}")
            fields.append((found[1], found[2]))
        self._frame(match.groups(), fields)
        return True

    def _frame(self, first: tuple[bytes, ...], fields: Pairs) -> None:
        lengths = [value for name, value in fields if name.lower() == b"content-length"]
        codings = [value.lower() for name, value in fields if name.lower() == b"transfer-encoding"]
        if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0])):
            raise WireError(f"bad Content-Length {lengths!r}")
        if codings and (codings != [b"chunked"] or lengths):
            raise WireError(f"ambiguous framing {codings!r} {lengths!r}")
        none = False
        if self._kind == "reply":
            status = int(first[1])
            if status < 200:
                self.idle = True
                self._on_head(first, fields)
                return
            none = self._bodyless() or status in (204, 304)
        self._on_head(first, fields)
        if codings and not none:
            self._state = self._chunk
        elif lengths and not none:
            self._left = int(lengths[0])
            self._state = self._counted
            if not self._left:
                self._finish()
        elif self._kind == "request" or none:
            self._finish()
        else:
            self._state = self._until_close

    def _finish(self) -> None:
        self._state = self._head
        self.idle = True
        self._on_end(True)

    def _counted(self) -> bool:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        self._on_body(data)
        if not self._left:
            self._finish()
        return True

    def _until_close(self) -> bool:
        data = bytes(self._buffer)
        self._buffer.clear()
        self._on_body(data)
        return True

    def _chunk(self) -> bool:
        line = self._line("chunk size")
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if match is None:
            raise WireError(f"bad chunk size {line!r}")
        self._left = int(match[1], 16)
        self._state = self._chunk_data if self._left else self._trailers
        return True

    def _chunk_data(self) -> bool:
        data = bytes(self._buffer[: self._left])
        del self._buffer[: len(data)]
        self._left -= len(data)
        self._on_body(data)
        if not self._left:
            self._state = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise WireError("chunk longer than announced")
        del self._buffer[:2]
        self._state = self._chunk
        return True

    def _trailers(self) -> bool:
        line = self._line("trailers")
        if line is None:
            return False
        if not line:
            self._finish()
        elif _FIELD_LINE.fullmatch(line) is None:
            raise WireError(f"bad trailer {line!r}")
        return True
