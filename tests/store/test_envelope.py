"""What is read back is what was written, or nothing."""

from __future__ import annotations

import random
from dataclasses import replace
from io import BytesIO

import pytest

from tests.store.samples import entry, key
from txstalecache.http.entry import Entry, Freshness, Marker, MarkerKind
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields
from txstalecache.store import envelope
from txstalecache.store.envelope import PIECE, Manifest, Row

FULL = Entry(
    status=203,
    fields=Fields(
        [
            (b"Date", b"x"),
            (b"set-thing", b""),
            (b"Set-Thing", bytes(range(0x20, 0x7F)) + bytes(range(0x80, 0x100))),
            (b"ETag", b'"e"'),
        ]
    ),
    body=(b"one", b"two"),
    request_time=1_795_000_000.123456,
    response_time=1_795_000_000.5,
    freshness=Freshness(
        initial_age=1.5,
        lifetime=60.25,
        while_revalidate=30,
        if_error=40,
        if_unreachable=50,
        keep=86400,
        must_revalidate=True,
        no_cache=True,
    ),
    selector=((b"accept-encoding", b"gzip"), (b"x-absent", None), (b"x-empty", b"")),
    tags=frozenset({b"a", b"", b"tag with space"}),
)


def test_an_entry_comes_back_as_it_was() -> None:
    opened = envelope.open_entry(envelope.seal_entry(key(), FULL, 1_795_000_100.75), key())
    assert opened is not None
    assert opened.entry == replace(FULL, body=(b"onetwo",))
    assert opened.until == 1_795_000_100.75
    assert opened.manifest is None


def test_an_entry_without_a_body_comes_back() -> None:
    opened = envelope.open_entry(envelope.seal_entry(key(), entry(1000.0, b""), 1), key())
    assert opened is not None and opened.entry.body == ()


def test_an_entry_of_another_key_is_nothing() -> None:
    sealed = envelope.seal_entry(key("/a"), FULL, 1)
    assert envelope.open_entry(sealed, key("/b")) is None
    # The same bytes cut differently are another key.
    assert envelope.open_entry(sealed, Key((b"GEThttp", b"host", b"/a"))) is None


def test_the_checksum_covers_every_byte() -> None:
    sealed = envelope.seal_entry(key(), FULL, 1)
    for at in range(len(sealed)):
        for bit in (1, 128):
            damaged = bytearray(sealed)
            damaged[at] ^= bit
            assert envelope.open_entry(bytes(damaged), key()) is None, at


@pytest.mark.parametrize("junk", [None, 7, "text", b"", b"txsc1", b"txsc1E" + b"0" * 44, b"\x80\x04N.", ["list"]])
def test_a_foreign_value_is_nothing(junk: object) -> None:
    assert envelope.open_entry(junk, key()) is None
    assert envelope.open_marker(junk, key()) is None
    assert envelope.open_row(junk) is None
    assert envelope.open_piece(junk, Manifest("0" * 16, 2, 5), 0) is None


def resealed(kind: bytes, sealed: bytes, random: random.Random) -> bytes:
    """``sealed`` with some bytes changed, and a checksum that is right again: past the first line of defence."""
    payload = bytearray(sealed[50:])
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(payload))
        match random.randrange(4):
            case 0:
                payload[at] = random.randrange(256)
            case 1:
                del payload[at : at + random.randint(1, 9)]
            case 2:
                payload[at:at] = random.randbytes(random.randint(1, 9))
            case _:
                payload[at : at + 8] = random.choice([b"\xff" * 8, b"\0" * 8, b"\x7f\xf8" + b"\0" * 6])
        if not payload:
            break
    return envelope._seal(kind, 1.0, bytes(payload))


def test_2000_mutated_envelopes_give_no_wrong_body_and_no_exception() -> None:
    chance = random.Random(20261123)
    sealed = envelope.seal_entry(key(), FULL, 1)
    opened = 0
    for number in range(2000):
        damaged = bytearray(sealed)
        if number % 2:
            for _ in range(chance.randint(1, 4)):
                match chance.randrange(3):
                    case 0:
                        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
                    case 1:
                        del damaged[chance.randrange(len(damaged)) :]
                    case _:
                        damaged += chance.randbytes(5)
                if not damaged:
                    break
            found = envelope.open_entry(bytes(damaged), key())
            assert found is None or bytes(damaged) == sealed
        else:
            # With a right checksum it is somebody's doing: sound in itself, for this key, or nothing.
            found = envelope.open_entry(resealed(b"E", sealed, chance), key())
            if found is not None:
                opened += 1
                assert isinstance(found.entry.length, int)
                assert 200 <= found.entry.status <= 599
                assert all(isinstance(part, bytes) for pair in found.entry.fields for part in pair)
    assert opened  # the mutations are not all of one harmless sort


def test_mutated_markers_and_rows_raise_nothing() -> None:
    chance = random.Random(5)
    marker = envelope.seal_marker(key(), Marker(MarkerKind.ERROR, 5.0, "connect", 502, b"said"))
    row = envelope.seal_row(Row(FULL.selector, 1, 2, 3))
    for _ in range(1000):
        envelope.open_marker(resealed(b"M", marker, chance), key())
        envelope.open_row(resealed(b"R", row, chance))


def test_markers_and_rows_come_back() -> None:
    marker = Marker(MarkerKind.ERROR, 1_795_000_000.5, "connect", 502, b"\x00said")
    assert envelope.open_marker(envelope.seal_marker(key(), marker), key()) == marker
    assert envelope.open_marker(envelope.seal_marker(key(), marker), key("/b")) is None
    row = Row(FULL.selector, 1.5, 2.5, 3.5)
    assert envelope.open_row(envelope.seal_row(row)) == row


def test_a_large_body_comes_back_from_its_pieces_in_order_only() -> None:
    body = random.Random(1).randbytes(2 * PIECE + 17)
    pieces = list(envelope.cut([body[:100], body[100:]]))
    assert [len(piece) for piece in pieces] == [PIECE, PIECE, 17]
    assert envelope.pieces(len(body)) == 3
    sealed = [envelope.seal_piece("0123456789abcdef", number, piece) for number, piece in enumerate(pieces)]
    big = replace(FULL, body=(body,))
    opened = envelope.open_entry(envelope.seal_entry(key(), big, 1, "0123456789abcdef", 3), key())
    assert opened is not None and opened.manifest == Manifest("0123456789abcdef", 3, len(body))
    assert opened.entry.body == ()
    assert [envelope.open_piece(data, opened.manifest, number) for number, data in enumerate(sealed)] == pieces
    assert envelope.open_piece(sealed[0], opened.manifest, 1) is None
    other = envelope.seal_piece("fedcba9876543210", 0, pieces[0])
    assert envelope.open_piece(other, opened.manifest, 0) is None
    assert envelope.open_piece(sealed[0][:-1], opened.manifest, 0) is None


@pytest.mark.parametrize(
    "chunks",
    [
        [],
        [1],
        [PIECE],
        [PIECE, 1],
        [PIECE - 1, 1],
        [PIECE - 1, 2],
        [1, PIECE, PIECE - 1],
        [3 * PIECE + 1],
        [1000] * 1100,
        [PIECE // 2] * 4,
    ],
)
def test_however_a_body_came_it_is_cut_into_pieces_of_one_size(chunks: list[int]) -> None:
    body = random.Random(2).randbytes(sum(chunks))
    source = BytesIO(body)
    pieces = list(envelope.cut([source.read(length) for length in chunks]))
    assert pieces == [body[at : at + PIECE] for at in range(0, len(body), PIECE)]
    assert envelope.pieces(len(body)) == len(pieces)


def test_a_body_of_too_many_pieces_is_not_cut() -> None:
    assert envelope.pieces(9999 * PIECE) == 9999
    with pytest.raises(ValueError, match="10000 pieces"):
        envelope.pieces(9999 * PIECE + 1)


def test_stamps_sort_like_the_times() -> None:
    times = [0.0, 0.000001, 9.999999, 10.0, 1_795_000_000.123456, 1_795_000_000.123457]
    stamps = [envelope.stamp(time) for time in times]
    assert stamps == sorted(stamps) and len(set(stamps)) == len(stamps)
    assert {len(stamp) for stamp in stamps} == {20}
