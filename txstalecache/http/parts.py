"""Parts of a response whose whole is not here (RFC 9110 §14.4, §15.3.7, RFC 9111 §3.3, §3.4).

An entry of parts has status 206, one Content-Range for each part, and their bytes one after the other, the part that
came last in front. It is kept beside its key (``beside``): what asks for the whole never meets it. Parts are put
together only under one strong entity tag, and once nothing is missing they are a whole like any other. Numbers that
contradict one another, or the body, are worth nothing: such an answer is neither kept nor cut.
Offsets are half open, as in ``ranges``.
Must not know: stores, how a part is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Final

from txstalecache.http import ranges
from txstalecache.http.entry import Entry
from txstalecache.http.fields import LENGTH, updated
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.values import dataclass

__all__ = ["LITTLE", "MOST_PARTS", "Held", "alone", "announced", "beside", "cut", "held", "joined", "single"]

#: More parts of one response are not kept apart: the oldest go.
MOST_PARTS: Final = 16

#: Every part that comes has those that are there written again: of more bytes than this only in proportion to its own.
LITTLE: Final = 1024 * 1024

_CONTENT_RANGE = re.compile(rb"bytes[ \t]+(%b)-(%b)/(%b)" % ((LENGTH.pattern,) * 3), re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Held:
    """Which parts of ``complete`` bytes a body consists of: ``(start, stop)``, in the order of the body."""

    spans: tuple[tuple[int, int], ...]
    complete: int

    def find(self, part: ranges.Part) -> int | None:
        """Where in the body ``part`` begins, when all of it is within one of the spans."""
        at = 0
        for start, stop in self.spans:
            if start <= part.start and part.stop <= stop:
                return at + part.start - start
            at += stop - start
        return None


def held(fields: Fields, length: int) -> Held | None:
    """What a body of ``length`` bytes under ``fields`` holds; None unless all the numbers agree.

    A complete length that is not said (``*``) leaves nothing to check the others by: None.
    """
    spans: list[tuple[int, int]] = []
    complete: int | None = None
    for line in fields.get_all(b"content-range"):
        match = _CONTENT_RANGE.fullmatch(line)
        if match is None:
            return None
        first, last, said = map(int, match.groups())
        if first > last or last >= said or complete not in (None, said):
            return None
        spans.append((first, last + 1))
        complete = said
    if complete is None or sum(stop - start for start, stop in spans) != length:
        return None
    if any(before[1] > after[0] for before, after in pairwise(sorted(spans))):
        return None
    return Held(tuple(spans), complete)


def announced(fields: Fields) -> Held | None:
    """What the one part of a 206 with these ``fields`` will hold, going by its Content-Length; None without one."""
    lengths = fields.get_all(b"content-length")
    if len(lengths) != 1 or LENGTH.fullmatch(lengths[0]) is None:
        return None
    found = held(fields, int(lengths[0]))
    return found if found is not None and len(found.spans) == 1 else None


def single(request: RequestHead) -> bool:
    """Whether ``request`` asks for one range: what the origin's answer to is worth keeping as a part."""
    return request.method == b"GET" and ranges.count(request.fields) == 1


def cut(request: RequestHead, fields: Fields, length: int) -> tuple[ranges.Part, int, int] | None:
    """The part that ``request`` asks for, where in a body of ``length`` bytes under the ``fields`` of a 206 it begins,
    and how long the whole is. None when not all of it is there, or If-Range asks for another representation."""
    if not single(request):
        return None
    found = held(fields, length)
    if found is None:
        return None
    part = ranges.select(request, 200, fields, found.complete)
    if not isinstance(part, ranges.Part):
        return None
    at = found.find(part)
    return None if at is None else (part, at, found.complete)


def beside(key: Key) -> Key:
    """Where the parts of what ``key`` identifies are kept. No request has a NUL in it, so that it is nobody's key."""
    return key.extended(b"\0parts")


def _strong(fields: Fields) -> bytes | None:
    lines = fields.get_all(b"etag")
    return lines[0] if len(lines) == 1 and lines[0][:1] == b'"' and len(lines[0]) > 1 else None


def alone(fields: Fields) -> bool:
    """Whether the one part that a 206 with these ``fields`` brings is never to be more: it is not all there is, and
    without the tag by which it could be put together with others."""
    found = announced(fields)
    return found is not None and found.spans[0] != (0, found.complete) and _strong(fields) is None


def _same(known: Entry, new: Entry, before: Held, now: Held) -> bool:
    """Whether both are parts of the same representation, byte for byte (RFC 9111 §3.4)."""
    tag = _strong(new.fields)
    return tag is not None and tag == _strong(known.fields) and before.complete == now.complete


def _pieces(entry: Entry, spans: Sequence[tuple[int, int]]) -> list[tuple[int, bytes]]:
    body = b"".join(entry.body)
    found, at = [], 0
    for start, stop in spans:
        found.append((start, body[at : at + stop - start]))
        at += stop - start
    return found


def joined(known: Entry | None, new: Entry, most: int) -> Entry | None:
    """What to keep once the part ``new`` is here beside the parts ``known``; None when its numbers contradict it.

    Parts that touch or overlap become one. Of more than ``most`` bytes, of more than ``MOST_PARTS`` times those of
    ``new`` (but ``LITTLE`` at least), or of more than ``MOST_PARTS`` parts, the oldest are given up. When nothing is
    missing it is the whole: a 200 (RFC 9111 §3.4). The life of what is kept is that of ``new``, whose fields take the
    place of older ones; it counts as fetched when the oldest of its bytes were.
    """
    now = held(new.fields, new.length)
    if now is None:
        return None
    before = None if known is None else held(known.fields, known.length)
    fields, request_time = new.fields, new.request_time
    ((start, data),) = _pieces(new, now.spans[:1])
    others: list[tuple[int, bytes]] = []
    if known is not None and before is not None and _same(known, new, before, now):
        fields, request_time = updated(known.fields, new.fields), min(known.request_time, request_time)
        for at, piece in _pieces(known, before.spans):
            if at + len(piece) < start or at > start + len(data):
                others.append((at, piece))
                continue
            data += piece[start + len(data) - at :]
            if at < start:
                start, data = at, piece[: start - at] + data
    room = min(most, max(LITTLE, MOST_PARTS * new.length)) - len(data)
    kept = [(start, data)]
    if room < 0:
        # Together they are too much: the last one stays.
        kept, others = _pieces(new, now.spans), []
    for at, piece in others[: MOST_PARTS - 1]:
        room -= len(piece)
        if room < 0:
            break
        kept.append((at, piece))
    fields = fields.without(b"content-range", b"content-length", *ranges.OF_THE_CONTENT)
    if len(kept[0][1]) == now.complete:
        status, fields = 200, fields.adding(b"Content-Length", b"%d" % now.complete)
    else:
        status = 206
        for at, piece in kept:
            fields = fields.adding(b"Content-Range", b"bytes %d-%d/%d" % (at, at + len(piece) - 1, now.complete))
    return replace(new, status=status, fields=fields, body=tuple(piece for _, piece in kept), request_time=request_time)
