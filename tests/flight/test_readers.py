"""What slow clients hold together is bounded, and nobody goes for it who takes what is asked of him."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.flight.test_body import Taker
from txstalecache.flight.body import Body
from txstalecache.flight.readers import Readers

SIZE = 1000
MIN_RATE = 10


class Room:
    """Readers of bodies of ``SIZE`` bytes, in pieces of one."""

    def __init__(self, most: int) -> None:
        self.clock = Clock()
        self.readers = Readers(self.clock, most, MIN_RATE)
        self.pieces: list[list[bytes]] = []

    def body(self) -> int:
        """Another one, by its number."""
        # Each piece an object of its own, as those are that come from a socket.
        self.pieces.append([b"%04d" % (at + len(self.pieces)) for at in range(SIZE // 4)])
        return len(self.pieces) - 1

    def takes(self, number: int) -> Taker:
        """Somebody who reads that one, and has taken a piece."""
        taker = Taker(Body.of(self.pieces[number]), stop_after=1)
        taker.reader.start()
        self.readers.add(taker.reader)
        return taker

    def passes(self, seconds: int, *quick: Taker) -> None:
        """Time passes; those who are ``quick`` take MIN_RATE and a little more each second, the others nothing."""
        for _ in range(seconds):
            for taker in quick:
                for _ in range(3):
                    if not taker.ended:
                        taker.reader.resumeProducing()
            self.clock.advance(1)


def test_beyond_what_they_may_hold_the_slowest_are_cut_off_until_it_is_no_more() -> None:
    room = Room(most=3 * SIZE)
    takers = [room.takes(room.body()) for _ in range(5)]
    room.passes(4)
    assert not any(taker.ended for taker in takers)  # a kernel's buffer is taken in bursts
    room.passes(2)
    assert [taker.ended for taker in takers].count("cut") == 2


def test_who_takes_the_minimum_is_never_cut_off() -> None:
    room = Room(most=SIZE)
    quick, slow = [room.takes(room.body()) for _ in range(3)], [room.takes(room.body()) for _ in range(3)]
    room.passes(30, *quick)
    assert [taker.ended for taker in (*quick, *slow)] == [""] * 3 + ["cut"] * 3


def test_what_many_read_counts_once() -> None:
    room = Room(most=2 * SIZE)
    shared, own = room.body(), room.body()
    takers = [*[room.takes(shared) for _ in range(10)], room.takes(own)]
    room.passes(30)
    assert not any(taker.ended for taker in takers)


def test_what_somebody_takes_well_is_left_to_the_slow_as_well() -> None:
    room = Room(most=0)
    shared = room.body()
    quick, slow, alone = room.takes(shared), room.takes(shared), room.takes(room.body())
    room.passes(10, quick)
    assert [taker.ended for taker in (quick, slow, alone)] == ["", "", "cut"]


def test_within_what_they_may_hold_nobody_is_cut_off() -> None:
    room = Room(most=5 * SIZE)
    takers = [room.takes(room.body()) for _ in range(5)]
    room.passes(1000)
    assert not any(taker.ended for taker in takers)


@pytest.mark.parametrize("times", [1, 2])
def test_nothing_is_looked_at_once_nobody_reads(times: int) -> None:
    room = Room(most=0)
    takers: Any = [room.takes(room.body()) for _ in range(2)]
    for taker in takers:
        for _ in range(times):
            room.readers.discard(taker.reader)
    assert not room.clock.getDelayedCalls()
