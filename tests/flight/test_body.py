"""One body, many readers."""

from __future__ import annotations

from typing import Any

import pytest

from txstalecache.flight.body import PIECE, Body, Reader, Segment


class Taker:
    """A consumer that can say stop after a number of writes."""

    def __init__(self, body: Body, segments: tuple[Segment, ...] = ((0, None),), stop_after: int | None = None) -> None:
        self.got: list[bytes] = []
        self.ended = ""
        self.stop_after = stop_after
        self.reader = Reader(body, self, segments)

    def write(self, data: bytes) -> None:
        self.got.append(data)
        if self.stop_after is not None and len(self.got) >= self.stop_after:
            self.reader.pauseProducing()

    def delivered(self) -> None:
        self.ended += "delivered"

    def cut(self) -> None:
        self.ended += "cut"

    @property
    def data(self) -> bytes:
        return b"".join(self.got)


def test_a_reader_gets_bytes_as_they_come_and_then_the_end() -> None:
    body = Body()
    taker = Taker(body)
    taker.reader.start()
    body.append(b"one")
    assert (taker.data, taker.ended) == (b"one", "")
    body.append(b"two")
    body.end()
    assert (taker.data, taker.ended) == (b"onetwo", "delivered")
    assert not body.readers


def test_a_latecomer_replays_a_retained_body_from_the_start() -> None:
    body = Body()
    body.append(b"one")
    taker = Taker(body)
    taker.reader.start()
    body.append(b"two")
    body.end()
    assert (taker.data, taker.ended) == (b"onetwo", "delivered")


def test_a_reader_of_a_complete_body_is_done_at_once() -> None:
    taker = Taker(Body.of((b"one", b"two")))
    taker.reader.start()
    assert (taker.data, taker.ended) == (b"onetwo", "delivered")


def test_chunks_are_shared_not_copied() -> None:
    body, chunk = Body(), b"x" * 1000
    takers = [Taker(body) for _ in range(3)]
    for taker in takers:
        taker.reader.start()
    body.append(chunk)
    assert all(taker.got[0] is chunk for taker in takers)


def test_a_large_chunk_is_written_in_pieces_so_that_a_slow_transport_can_say_stop() -> None:
    taker = Taker(Body.of((b"x" * (3 * PIECE + 1),)), stop_after=1)
    taker.reader.start()
    assert len(taker.data) == PIECE
    taker.stop_after = None
    taker.reader.resumeProducing()
    assert len(taker.data) == 3 * PIECE + 1
    assert taker.ended == "delivered"


def test_a_paused_reader_does_not_hold_the_others() -> None:
    body = Body()
    slow, fast = Taker(body, stop_after=1), Taker(body)
    slow.reader.start()
    fast.reader.start()
    for _ in range(3):
        body.append(b"ab")
    body.end()
    assert (slow.data, fast.data) == (b"ab", b"ababab")
    assert (slow.ended, fast.ended) == ("", "delivered")


def test_a_cut_body_tells_every_reader_once_and_latecomers_too() -> None:
    body = Body()
    early = Taker(body)
    early.reader.start()
    body.append(b"half")
    body.cut()
    late = Taker(body)
    late.reader.start()
    assert (early.ended, late.ended, late.data) == ("cut", "cut", b"")


def test_an_unretained_body_keeps_only_what_somebody_has_yet_to_read() -> None:
    body = Body(retained=False, window=10)
    slow, fast = Taker(body, stop_after=1), Taker(body)
    slow.reader.start()
    fast.reader.start()
    for _ in range(5):
        body.append(b"abcd")
    assert body.held == 16
    assert body.full
    drained: list[bool] = []
    body.drained = lambda: drained.append(True)
    slow.stop_after = None
    slow.reader.resumeProducing()
    assert (body.held, body.full, drained) == (0, False, [True])
    assert slow.data == fast.data


def test_the_slowest_leaving_frees_what_it_held() -> None:
    body = Body(retained=False, window=4)
    slow, fast = Taker(body, stop_after=1), Taker(body)
    slow.reader.start()
    fast.reader.start()
    body.append(b"abcd")
    body.append(b"efgh")
    drained: list[bool] = []
    body.drained = lambda: drained.append(True)
    slow.reader.stopProducing()
    assert (body.held, drained) == (0, [True])


def test_the_last_reader_leaving_before_the_end_is_told_to_the_owner() -> None:
    body, told = Body(), []
    body.abandoned = lambda: told.append(True)
    one, two = Taker(body), Taker(body)
    one.reader.start()
    two.reader.start()
    one.reader.stopProducing()
    assert told == []
    two.reader.stopProducing()
    assert told == [True]


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (((2, 5),), b"cde"),
        (((2, None),), b"cdefghij"),
        (((0, 1), (9, 10)), b"aj"),
        (((8, 10), (0, 2)), b"ijab"),
        ((b"<", (3, 4), b">"), b"<d>"),
        ((), b""),
        (((4, 4),), b""),
    ],
)
def test_a_reader_delivers_its_segments_in_their_order(segments: tuple[Segment, ...], expected: bytes) -> None:
    taker = Taker(Body.of((b"abc", b"def", b"ghij")), segments)
    taker.reader.start()
    assert (taker.data, taker.ended) == (expected, "delivered")


def test_a_window_is_delivered_as_soon_as_its_bytes_have_come() -> None:
    body = Body()
    taker = Taker(body, ((2, 4),))
    taker.reader.start()
    body.append(b"abc")
    assert taker.data == b"c"
    body.append(b"def")
    assert (taker.data, taker.ended) == (b"cd", "delivered")
    assert not body.readers


def test_parts_out_of_order_lose_nothing_that_they_will_go_back_to() -> None:
    body = Body(window=10)
    taker = Taker(body, ((8, 10), (0, 2)))
    taker.reader.start()
    body.append(b"01234567")
    assert taker.reader.low == 0
    body.append(b"89")
    body.append(b"abcdefgh")
    body.end()
    body.release()
    assert (taker.data, taker.ended) == (b"8901", "delivered")


def test_a_reader_that_would_go_back_is_cut_when_the_body_is_let_go() -> None:
    body = Body(window=10)
    backward, forward = Taker(body, ((8, 10), (0, 2))), Taker(body, ((0, 2), (8, 10)))
    for taker in (backward, forward):
        taker.reader.start()
    body.append(b"0123")
    body.release()
    body.append(b"456789")
    body.end()
    assert (backward.data, backward.ended) == (b"", "cut")
    assert (forward.data, forward.ended) == (b"0189", "delivered")


def test_a_reader_that_cannot_be_cut_off_leaves_the_others_to_be(logged_failures: Any) -> None:
    class Faulty(Taker):
        def cut(self) -> None:
            raise RuntimeError("its connection is in no state for that")

    body = Body()
    faulty, fine = Faulty(body), Taker(body)
    for taker in (faulty, fine):
        taker.reader.start()
    body.append(b"one")
    body.cut()
    assert (fine.data, fine.ended) == (b"one", "cut") and not body.readers
    assert len(logged_failures.flush(RuntimeError)) == 1


def test_one_readers_fault_is_not_the_others(logged_failures: Any) -> None:
    class Faulty(Taker):
        def write(self, data: bytes) -> None:
            raise ZeroDivisionError

    body = Body()
    faulty, fine = Faulty(body), Taker(body)
    for taker in (faulty, fine):
        taker.reader.start()
    body.append(b"one")
    body.end()
    assert (faulty.ended, fine.data, fine.ended) == ("cut", b"one", "delivered")
    assert logged_failures.flush(ZeroDivisionError)


def test_all_are_looked_at_once_for_each_chunk_that_goes_however_many_read(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = [0]
    low: Any = vars(Reader)["low"]

    def counted(reader: Reader) -> int:
        looked[0] += 1
        return int(low.fget(reader))

    body, many = Body(retained=False, window=8), 200
    takers = [Taker(body, stop_after=1) for _ in range(many)]
    for taker in takers:
        taker.reader.start()
    monkeypatch.setattr(Reader, "low", property(counted))
    for _ in range(8):
        while not body.full:
            body.append(b"x")
        first = body.first
        for taker in takers:
            taker.reader.resumeProducing()
        assert body.first > first
    # As each moves on, when a chunk goes, and to see who wants the next.
    assert looked[0] <= 8 * 5 * many
    for taker in takers:
        taker.reader.stopProducing()
    assert not body.readers and not body._slowest
