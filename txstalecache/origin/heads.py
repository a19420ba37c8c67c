"""Response heads from the wire: bytes to a ``ReceivedHead``, or ``Malformed``.

Two parsers must agree on every head: llhttp in its strict mode, and the grammar below, which also tells where a head
ends and keeps its lines as they came. What they do not both take is not passed on: an origin that is misunderstood is
how one client gets another's answer. Must not know: sockets, clocks.
"""

from __future__ import annotations

import re
from dataclasses import replace
from enum import Enum

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from txstalecache.http.fields import HOPELESS, LENGTH, LINES, VALUE, end_to_end, lines, members
from txstalecache.http.messages import BODILESS, Fields, ResponseHead
from txstalecache.http.remembered import remembered
from txstalecache.http.section import Section
from txstalecache.http.values import dataclass, enumeration

__all__ = ["MAX_FIELDS", "MAX_HEAD", "BodyKind", "Malformed", "ReceivedHead", "check_partial_head", "read_head"]

#: Bytes of a response head, 1xx ones included.
MAX_HEAD = 65536
#: Field lines of one head.
MAX_FIELDS = 200

# A reason phrase may be missing, and with it the space before (RFC 9112 §4 wants it; enough origins leave it out).
# 6xx and above are not HTTP (RFC 9110 §15). No obs-fold (RFC 9112 §5.2 allows a proxy 502), no space before a colon
# (§5.1), CRLF only (§2.2), no controls. Possessive: linear on any input.
_HEAD = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9]{2})(?: " + VALUE.pattern + rb")?\r\n" + LINES.pattern + rb"\r\n")
_PREFIX = b"HTTP/1."
_TIMEOUT = re.compile(rb"(?:^|[,; \t])timeout=([0-9]{1,6})", re.IGNORECASE)


class Malformed(Exception):
    """Not a response that is passed on. The text says why, without bytes of the origin's."""


@enumeration
class BodyKind(Enum):
    """What follows a head on the wire (RFC 9112 §6.3)."""

    NONE = "none"
    COUNTED = "counted"
    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"


@dataclass(frozen=True, slots=True)
class ReceivedHead:
    """A response head and what it says about its connection."""

    head: ResponseHead
    kind: BodyKind
    length: int | None
    """Bytes of body to come; None when the head does not say."""
    persistent: bool
    """Whether the connection may carry another request afterwards (RFC 9112 §9.3)."""
    keep_alive: float | None
    """Seconds the origin says it keeps the idle connection (``Keep-Alive: timeout=``)."""
    block: bytes
    """As it came."""


class _Seen:
    """A head that has come before, as ``read_head`` knows it once it has come twice: most come once."""

    __slots__ = ("before", "received")

    def __init__(self) -> None:
        self.before = False
        self.received: ReceivedHead | None = None


@remembered(256, longest=1024)
def _seen(_: bytes) -> _Seen:
    return _Seen()


def read_head(block: bytes, method: bytes) -> ReceivedHead:
    """The head in ``block``, which ends with its empty line, in answer to a ``method`` request. Raises Malformed."""
    if method == b"HEAD":
        return _read(block, bodiless=True)
    seen = _seen(block)
    received = seen.received
    if received is None:
        received = _read(block, bodiless=False)
        if seen.before:
            # Whoever gets it from now on has its fields in common with others.
            head = ResponseHead(received.head.status, Section(received.head.fields))
            received = seen.received = replace(received, head=head)
        seen.before = True
    return received


def _read(block: bytes, bodiless: bool) -> ReceivedHead:
    match = _HEAD.fullmatch(block)
    if match is None:
        raise Malformed("bad syntax in the response head")
    status = int(match[2])
    if status == 101:
        raise Malformed("101 without having been asked to switch protocols")
    pairs = lines(block, block.index(b"\n") + 1)
    if len(pairs) > MAX_FIELDS:
        raise Malformed(f"more than {MAX_FIELDS} fields")
    fields = Fields(pairs)
    kind, length = _body(fields, status, bodiless, match[1] == b"1")
    try:
        HttpResponseParser(None).feed_data(block)
    except (HttpParserError, HttpParserUpgrade) as error:
        raise Malformed(f"bad response head: {error}") from None
    persistent = match[1] == b"1" and kind is not BodyKind.UNTIL_CLOSE
    forwarded, promised = end_to_end(fields), None
    if forwarded is not fields:
        connection, lasting = fields.get(b"connection"), fields.get(b"keep-alive")
        if connection is not None and b"close" in members(connection.lower()):
            persistent = False
        promised = None if lasting is None else _TIMEOUT.search(lasting)
    if status == 204:
        if b"transfer-encoding" in fields:
            persistent = False
        forwarded = forwarded.without(b"content-length")  # RFC 9110 §8.6: not with 204
    return ReceivedHead(
        ResponseHead(status, forwarded),
        kind,
        length,
        persistent,
        float(promised[1]) if promised else None,
        block,
    )


def _body(fields: Fields, status: int, bodiless: bool, modern: bool) -> tuple[BodyKind, int | None]:
    """RFC 9112 §6.3, refusing whatever could be read in two ways."""
    lengths = fields.get_all(b"content-length")
    codings = fields.get_all(b"transfer-encoding")
    if len(lengths) > 1 or (lengths and not LENGTH.fullmatch(lengths[0])):
        raise Malformed("bad Content-Length")
    if codings:
        if lengths:
            raise Malformed("both Transfer-Encoding and Content-Length")
        if not modern:
            raise Malformed("Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Malformed("a transfer coding other than chunked")
    if bodiless or status < 200 or status in BODILESS:
        return BodyKind.NONE, 0
    if codings:
        return BodyKind.CHUNKED, None
    if lengths:
        length = int(lengths[0])
        return (BodyKind.COUNTED if length else BodyKind.NONE), length
    return BodyKind.UNTIL_CLOSE, None


def check_partial_head(data: bytes | bytearray, start: int) -> None:
    """Raises Malformed when ``data``, not yet a whole head, cannot become one, so that rubbish need not run into a
    deadline. ``start``: where the last call left off; what was checked is not gone over again."""
    if data[: len(_PREFIX)] != _PREFIX[: len(data)]:
        raise Malformed("not an HTTP/1 response")
    if len(data) > MAX_HEAD:
        raise Malformed(f"a response head of more than {MAX_HEAD} bytes")
    if HOPELESS.search(data, max(start - 1, 0)):
        raise Malformed("bad line ends or NUL in the response head")
