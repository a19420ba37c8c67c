"""Byte ranges (RFC 9110 §14): which part of a response answers a request, and what such an answer carries.

Offsets are half open: ``stop`` is one past the last byte. What is here as parts only is the business of ``parts``.
Must not know: bodies. Whoever has one cuts it.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import pairwise

from txstalecache.http.fields import date_in, members, parse_date
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.values import dataclass

__all__ = [
    "MOST_RANGES",
    "OF_THE_CONTENT",
    "Part",
    "Parts",
    "Selection",
    "Unsatisfiable",
    "Whole",
    "boundary",
    "count",
    "multipart",
    "multipart_head",
    "partial_head",
    "select",
    "unsatisfiable_head",
]

#: A request for more parts than this gets the whole (RFC 9110 §14.2).
MOST_RANGES = 16

#: What is said of the bytes in one message, and not of what they are a part of (RFC 9530 §2; RFC 1864).
OF_THE_CONTENT = (b"content-digest", b"content-md5")


@dataclass(frozen=True, slots=True)
class Whole:
    """Send everything, with the status it has."""


@dataclass(frozen=True, slots=True)
class Part:
    """Send 206 with these bytes."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Parts:
    """Send 206 with these parts, in the order asked for, as multipart/byteranges."""

    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """Send 416: nothing that was asked for exists."""


Selection = Whole | Part | Parts | Unsatisfiable

_WHOLE = Whole()
_SPEC = re.compile(rb"(\d*+)-(\d*+)")
# No body is as long as that.
_BEYOND = 10**18


def _number(digits: bytes) -> int | None:
    """What ``digits`` say, at most ``_BEYOND``: clients that want all there is say the largest number they know, and
    RFC 9110 §14.1.1 has us be prepared for any. None when there are none."""
    if not digits:
        return None
    digits = digits.lstrip(b"0")
    return _BEYOND if len(digits) > 18 else int(digits or b"0")


def _specs(value: bytes) -> list[tuple[int | None, int | None]] | None:
    """What ``Range`` asks for: (first, last), (first, None) or (None, suffix length); None when it is no byte range."""
    unit, _, listed = value.partition(b"=")
    # Empty members are passed over, but not without end (RFC 9110 §5.6.1).
    if unit.lower() != b"bytes" or listed.count(b",") > 4 * MOST_RANGES:
        return None
    found: list[tuple[int | None, int | None]] = []
    for member in members(listed):
        match = _SPEC.fullmatch(member)
        if match is None:
            return None
        first, last = _number(match[1]), _number(match[2])
        if (first is None and last is None) or (first is not None and last is not None and last < first):
            return None
        found.append((first, last))
    return found or None


def count(fields: Fields) -> int:
    """How many ranges a request with these ``fields`` asks for; 0 where that is none that can be read."""
    asked = fields.get(b"range")
    return 0 if asked is None else len(_specs(asked) or ())


def _still_holds(condition: bytes, fields: Fields) -> bool:
    """If-Range: an entity tag by strong comparison, or the exact and strong date (RFC 9110 §13.1.5, §8.8.2.2)."""
    if condition[:1] == b'"':
        return fields.get(b"etag") == condition and len(condition) > 1
    wanted = parse_date(condition)
    if wanted is None or date_in(fields, b"last-modified") != wanted:
        return False
    sent = date_in(fields, b"date")
    return sent is not None and sent - wanted >= 1


def select(request: RequestHead, status: int, fields: Fields, length: int | None) -> Selection:
    """The part of a complete response that answers ``request`` (RFC 9110 §14.2).

    Only a 200 to GET has parts; ``length`` is its body's, None while unknown: then it is sent whole. What is malformed,
    overlapping or too many is ignored, which sends the whole too.
    """
    asked = request.fields.get(b"range")
    if asked is None or status != 200 or length is None or request.method != b"GET":
        return _WHOLE
    specs = _specs(asked)
    if specs is None or len(specs) > MOST_RANGES:
        return _WHOLE
    condition = request.fields.get(b"if-range")
    if condition is not None and not _still_holds(condition, fields):
        return _WHOLE
    if length == 0:
        # A suffix of nothing can be satisfied, but no Content-Range can say so (RFC 9110 §14.1.2).
        return _WHOLE if any(first is None and last for first, last in specs) else Unsatisfiable()
    found: list[tuple[int, int]] = []
    for first, last in specs:
        if first is None:
            if last:
                found.append((max(0, length - last), length))
        elif first < length:
            found.append((first, length if last is None else min(last + 1, length)))
    if not found:
        return Unsatisfiable()
    if len(found) == 1:
        return Part(*found[0])
    ordered = sorted(found)
    if any(before[1] > after[0] for before, after in pairwise(ordered)):
        return _WHOLE
    return Parts(tuple(found))


def partial_head(fields: Fields, part: Part, length: int) -> Fields:
    """The fields of a 206 with one part of a body of ``length`` bytes (RFC 9110 §15.3.7.1)."""
    return (
        fields.without(b"content-length", b"content-range", *OF_THE_CONTENT)
        .adding(b"Content-Range", b"bytes %d-%d/%d" % (part.start, part.stop - 1, length))
        .adding(b"Content-Length", b"%d" % (part.stop - part.start))
    )


def unsatisfiable_head(fields: Fields, length: int) -> Fields:
    """The fields of a 416 without a body (RFC 9110 §15.5.17): what is known of the representation is not its."""
    kept = Fields(
        pair for pair in fields.pairs if pair[0].lower() in (b"age", b"cache-status", b"date", b"vary", b"via")
    )
    return kept.adding(b"Content-Range", b"bytes */%d" % length).adding(b"Content-Length", b"0")


def boundary(entity: bytes) -> bytes:
    """A boundary for the parts of a body, worked out from something that identifies it (RFC 2046 §5.1.1)."""
    return blake2b(entity, digest_size=16, person=b"txsc-parts").hexdigest().encode("ascii")


def multipart(
    parts: Parts, content_type: bytes | None, length: int, boundary: bytes
) -> tuple[list[bytes | tuple[int, int]], int]:
    """The body of a 206 with several parts (RFC 9110 §14.6): text and ``(start, stop)`` slices of the whole in turn,
    and the number of bytes of all that."""
    segments: list[bytes | tuple[int, int]] = []
    size = 0
    for start, stop in parts.parts:
        head = b"\r\n--%s\r\n" % boundary
        if content_type is not None:
            head += b"Content-Type: %s\r\n" % content_type
        head += b"Content-Range: bytes %d-%d/%d\r\n\r\n" % (start, stop - 1, length)
        segments.append(head)
        segments.append((start, stop))
        size += len(head) + stop - start
    end = b"\r\n--%s--\r\n" % boundary
    segments.append(end)
    return segments, size + len(end)


def multipart_head(fields: Fields, boundary: bytes, size: int) -> Fields:
    """The fields of a 206 with several parts: each part has its own Content-Range, the whole has none."""
    return (
        fields.without(b"content-range", *OF_THE_CONTENT)
        .replacing(b"Content-Type", b"multipart/byteranges; boundary=%s" % boundary)
        .replacing(b"Content-Length", b"%d" % size)
    )
