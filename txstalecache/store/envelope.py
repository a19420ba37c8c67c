"""Entries, markers and variant rows as bytes, and back.

One envelope, whatever is in it::

    0   magic and version      b"txsc1"
    5   kind                   b"E" entry, b"M" marker, b"R" variant row, b"B" piece of a body
    6   stamp                  20 decimal digits: microseconds; Lua compares them as text (store.scripts)
    26  body id                16 hex digits, all zero when the body is inside; Lua finds an old body's pieces by it
    42  pieces                 4 decimal digits: how many pieces the body has outside
    46  checksum               CRC-32 of all other bytes, big-endian
    50  payload

The checksum is against damage, not against malice: whoever can write to the Redis can serve what he likes. What is
checked on top of it keeps a damaged or foreign value from becoming a wrong answer or an exception: the full key is
echoed and compared, every length is bounded by what is there, every number must make sense. **Anything odd is None**,
which callers treat as a miss and delete.

Must not know: Redis, its keys' names, time limits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from struct import Struct, pack, unpack_from
from zlib import crc32

from txstalecache.http.entry import Entry, Freshness, Marker, MarkerKind, Selector
from txstalecache.http.fields import HOP_BY_HOP, TOKEN, VALUE
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields
from txstalecache.http.values import dataclass

__all__ = [
    "PIECE",
    "Manifest",
    "Opened",
    "Row",
    "cut",
    "open_entry",
    "open_marker",
    "open_piece",
    "open_row",
    "pieces",
    "seal_entry",
    "seal_marker",
    "seal_piece",
    "seal_row",
    "stamp",
    "stamped",
]

#: Bytes of one piece of a body that is kept outside its envelope; larger bodies than this are cut into pieces.
PIECE = 512 * 1024

_MAGIC = b"txsc1"
_HEAD = 50
_NO_BODY_ID = b"0" * 16
_MAX_STRINGS = 4096
_MAX_PIECES = 9999
_ABSENT = 0xFFFFFFFF

#: status, flags; request, response, until; initial age, lifetime, three windows, keep; body bytes;
#: how many key parts, fields, selector lines, tags.
_ENTRY = Struct(">HBdddddddddQHHHH")
_MARKER = Struct(">dHHH")
_ROW = Struct(">dddHH")
_CHECKSUM = Struct(">I")

_MUST_REVALIDATE = 1
_NO_CACHE = 2


@dataclass(frozen=True, slots=True)
class Manifest:
    """Where the body of an entry is that did not fit in the envelope."""

    body_id: str
    pieces: int
    length: int


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry out of its envelope; with a manifest its body is empty and still to be fetched."""

    entry: Entry
    until: float
    """Fleet time at which the store forgets it."""
    manifest: Manifest | None


@dataclass(frozen=True, slots=True)
class Row:
    """What the index of a key says about one variant."""

    selector: Selector
    request_time: float
    response_time: float
    until: float


def stamp(seconds: float) -> bytes:
    """``seconds`` as 20 digits that sort like the number. Not below zero."""
    return b"%020d" % max(0, round(seconds * 1_000_000))


def stamped(digits: object) -> float:
    """The seconds that ``stamp`` wrote; before all time where it did not."""
    return int(digits) / 1_000_000 if isinstance(digits, bytes) and re.fullmatch(rb"[0-9]{20}", digits) else -1.0


# -- the envelope -------------------------------------------------------------------------------------------------


def _seal(kind: bytes, when: float, payload: bytes, body_id: bytes = _NO_BODY_ID, pieces: int = 0) -> bytes:
    head = b"%b%b%b%b%04d" % (_MAGIC, kind, stamp(when), body_id, pieces)
    return b"".join((head, _CHECKSUM.pack(crc32(payload, crc32(head))), payload))


def _sound(kind: bytes, data: object) -> bool:
    """Whether ``data`` is an undamaged envelope of this kind."""
    if not isinstance(data, bytes) or len(data) < _HEAD or data[:5] != _MAGIC or data[5:6] != kind:
        return False
    return bool(crc32(memoryview(data)[_HEAD:], crc32(data[:46])) == _CHECKSUM.unpack_from(data, 46)[0])


def _strings(strings: list[bytes | None]) -> bytes:
    lengths = pack(f">{len(strings)}I", *[_ABSENT if one is None else len(one) for one in strings])
    return lengths + b"".join([one for one in strings if one is not None])


def _split(data: bytes, at: int, count: int) -> tuple[list[bytes | None], int] | None:
    """``count`` strings written by ``_strings`` at ``at``, and where they end."""
    position = at + 4 * count
    if count > _MAX_STRINGS or position > len(data):
        return None
    found: list[bytes | None] = []
    for length in unpack_from(f">{count}I", data, at):
        if length == _ABSENT:
            found.append(None)
            continue
        end = position + length
        found.append(data[position:end])
        position = end
    return (found, position) if position <= len(data) else None


def _sensible(*seconds: float) -> bool:
    for one in seconds:  # noqa: SIM110 - a loop, because every hit from Redis goes through it
        if not 0.0 <= one < 1e12:  # neither is a number that is none
            return False
    return True


def _same(strings: list[bytes | None], key: Key) -> bool:
    return tuple(strings) == key


def _pairs(strings: list[bytes | None]) -> list[tuple[bytes, bytes | None]] | None:
    names = strings[::2]
    return None if None in names else list(zip(names, strings[1::2], strict=True))  # type: ignore[arg-type]


# Names and values as they may be sent, each with an end that neither may have in it.
_LINES = re.compile(rb"(?:%b\x00%b\n)*+" % (TOKEN.pattern, VALUE.pattern))


def open_fields(lines: list[tuple[bytes, bytes | None]] | None) -> Fields | None:
    """``lines`` as the fields of a response when they can be sent as such; None when one of them would end its line, or
    say where a message ends: that is somebody's doing (response splitting)."""
    if lines is None:
        return None
    try:
        text = b"".join([b"%b\0%b\n" % line for line in lines])  # type: ignore[str-format]
    except TypeError:
        return None  # a value that is none
    if text.count(b"\n") != len(lines) or _LINES.fullmatch(text) is None:
        return None
    fields = Fields(lines)  # type: ignore[arg-type]
    return fields if HOP_BY_HOP.isdisjoint(fields.names) else None


# -- entries ------------------------------------------------------------------------------------------------------


def seal_entry(key: Key, entry: Entry, until: float, body_id: str = "", pieces: int = 0) -> bytes:
    """``entry`` as bytes, its body inside unless ``pieces`` of it are kept elsewhere under ``body_id``."""
    life = entry.freshness
    strings: list[bytes | None] = list(key)
    for name, value in entry.fields:
        strings += (name, value)
    for name, wanted in entry.selector:
        strings += (name, wanted)
    strings += sorted(entry.tags)
    fixed = _ENTRY.pack(
        entry.status,
        _MUST_REVALIDATE * life.must_revalidate + _NO_CACHE * life.no_cache,
        entry.request_time,
        entry.response_time,
        until,
        life.initial_age,
        life.lifetime,
        life.while_revalidate,
        life.if_error,
        life.if_unreachable,
        life.keep,
        entry.length,
        len(key),
        len(entry.fields),
        len(entry.selector),
        len(entry.tags),
    )
    body = () if pieces else entry.body
    payload = b"".join((fixed, _strings(strings), *body))
    return _seal(b"E", entry.request_time, payload, body_id.encode() if pieces else _NO_BODY_ID, pieces)


def open_entry(data: object, key: Key) -> Opened | None:
    """The entry in ``data`` when it is one, undamaged, and for exactly this key; else None."""
    if not _sound(b"E", data):
        return None
    assert isinstance(data, bytes)
    if len(data) < _HEAD + _ENTRY.size or not data[42:46].isdigit():
        return None
    status, flags, began, came, until, age, lifetime, swr, sie, unreachable, keep, length, *counts = _ENTRY.unpack_from(
        data, _HEAD
    )
    parts, fields, selectors, tags = counts
    split = _split(data, _HEAD + _ENTRY.size, parts + 2 * fields + 2 * selectors + tags)
    if split is None or not _sensible(began, came, until, age, lifetime, swr, sie, unreachable, keep):
        return None
    strings, body_at = split
    if not 200 <= status <= 599 or not _same(strings[:parts], key):
        return None
    lines = open_fields(_pairs(strings[parts : parts + 2 * fields]))
    chosen = _pairs(strings[parts + 2 * fields : parts + 2 * (fields + selectors)])
    labels = strings[parts + 2 * (fields + selectors) :]
    if lines is None or chosen is None or None in labels:
        return None
    pieces = int(data[42:46])
    manifest = None
    body: tuple[bytes, ...]
    if pieces:
        if len(data) != body_at or -(-length // PIECE) != pieces:
            return None
        manifest, body = Manifest(data[26:42].decode("latin-1"), pieces, length), ()
    else:
        if len(data) - body_at != length:
            return None
        body = (data[body_at:],) if length else ()
    entry = Entry(
        status=status,
        fields=lines,
        body=body,
        request_time=began,
        response_time=came,
        freshness=Freshness(
            initial_age=age,
            lifetime=lifetime,
            while_revalidate=swr,
            if_error=sie,
            if_unreachable=unreachable,
            keep=keep,
            must_revalidate=bool(flags & _MUST_REVALIDATE),
            no_cache=bool(flags & _NO_CACHE),
        ),
        selector=tuple(chosen),
        tags=frozenset(labels),  # type: ignore[arg-type]
    )
    return Opened(entry, until, manifest)


# -- bodies in pieces -----------------------------------------------------------------------------------------------


def pieces(length: int) -> int:
    """How many pieces a body of ``length`` bytes is cut into. ValueError when those are too many."""
    count = -(-length // PIECE)
    if count > _MAX_PIECES:
        raise ValueError(f"a body of {count} pieces")
    return count


def cut(body: Iterable[bytes]) -> Iterator[bytes]:
    """``body`` in pieces of ``PIECE`` bytes, the last one what is left, each made when it is asked for."""
    parts: list[bytes | memoryview] = []
    room = PIECE
    for chunk in body:
        at = 0
        while len(chunk) - at >= room:
            parts.append(memoryview(chunk)[at : at + room])
            yield b"".join(parts)
            at += room
            parts, room = [], PIECE
        if at < len(chunk):
            parts.append(memoryview(chunk)[at:] if at else chunk)
            room -= len(chunk) - at
    if parts:
        yield b"".join(parts)


def seal_piece(body_id: str, number: int, piece: bytes) -> bytes:
    """``piece`` in an envelope that knows which body it is of, and which piece."""
    return _seal(b"B", 0, piece, body_id.encode(), number)


def open_piece(data: object, manifest: Manifest, number: int) -> bytes | None:
    """The bytes of piece ``number`` of the body that ``manifest`` tells of; None when it is anything else."""
    if not _sound(b"B", data):
        return None
    assert isinstance(data, bytes)
    if data[26:46] != b"%b%04d" % (manifest.body_id.encode("latin-1"), number):
        return None
    expected = min(PIECE, manifest.length - number * PIECE)
    return data[_HEAD:] if len(data) - _HEAD == expected else None


# -- markers and rows -----------------------------------------------------------------------------------------------


def seal_marker(key: Key, marker: Marker) -> bytes:
    """``marker`` as bytes."""
    strings: list[bytes | None] = [marker.kind.value.encode(), marker.why.encode(), marker.said, *key]
    fixed = _MARKER.pack(marker.until, marker.status, len(strings), 0)
    return _seal(b"M", marker.until, fixed + _strings(strings))


def open_marker(data: object, key: Key) -> Marker | None:
    """The marker in ``data`` when it is one, undamaged, and for exactly this key; else None."""
    if not _sound(b"M", data):
        return None
    assert isinstance(data, bytes)
    if len(data) < _HEAD + _MARKER.size:
        return None
    until, status, count, _ = _MARKER.unpack_from(data, _HEAD)
    split = _split(data, _HEAD + _MARKER.size, count)
    if split is None or not _sensible(until) or count < 3:
        return None
    (kind, why, said, *parts), end = split
    if end != len(data) or kind is None or why is None or said is None or not _same(parts, key):
        return None
    try:
        return Marker(MarkerKind(kind.decode()), until, why.decode(), status, said)
    except ValueError:
        return None


def seal_row(row: Row) -> bytes:
    """One variant's row in the index of its key."""
    strings: list[bytes | None] = []
    for name, value in row.selector:
        strings += (name, value)
    fixed = _ROW.pack(row.request_time, row.response_time, row.until, len(row.selector), 0)
    return _seal(b"R", row.request_time, fixed + _strings(strings))


def open_row(data: object) -> Row | None:
    """The row in ``data`` when it is one and undamaged; else None."""
    if not _sound(b"R", data):
        return None
    assert isinstance(data, bytes)
    if len(data) < _HEAD + _ROW.size:
        return None
    began, came, until, count, _ = _ROW.unpack_from(data, _HEAD)
    split = _split(data, _HEAD + _ROW.size, 2 * count)
    if split is None or split[1] != len(data) or not _sensible(began, came, until):
        return None
    chosen = _pairs(split[0])
    return Row(tuple(chosen), began, came, until) if chosen else None
