"""Of several workers on one socket those with the fewest connections come first, and nobody depends on anybody else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from twisted.internet.task import Clock

from txstalecache.turns import Shares, Turns


class Port:
    """As much of a port as is needed to take turns."""

    connected, disconnecting = True, False
    numberAccepts = 100

    def __init__(self) -> None:
        self.reading = True
        self.accepted: list[int] = []

    def doRead(self) -> None:
        self.accepted.append(self.numberAccepts)

    def stopReading(self) -> None:
        self.reading = False

    def startReading(self) -> None:
        self.reading = True


@pytest.fixture
def shares() -> Iterator[Shares]:
    made = Shares.fresh(3)
    yield made
    made.close()


def with_turns(shares: Shares, count: int) -> tuple[Port, Clock]:
    """Of worker 1, which has ``count`` connections."""
    port, clock = Port(), Clock()
    Turns(clock, port, shares, 1, lambda: count)
    return port, clock


def test_who_has_about_as_many_as_another_accepts_at_once_and_a_few_at_a_time(shares: Shares) -> None:
    shares.has(2, 10)
    port, clock = with_turns(shares, 10 + Turns.SLACK)
    port.doRead()
    assert (port.accepted, port.reading, clock.getDelayedCalls()) == ([Turns.SLACK], True, [])


def test_who_has_more_gives_way_once_and_then_takes_what_is_still_there(shares: Shares) -> None:
    shares.has(2, 10)
    port, clock = with_turns(shares, 11 + Turns.SLACK)
    port.doRead()
    assert (port.accepted, port.reading) == ([], False)
    shares.gone(2)
    assert shares.least() == 11 + Turns.SLACK
    clock.advance(Turns.PAUSE)
    assert (port.accepted, port.reading) == ([Turns.SLACK], True)


def test_each_is_told_how_many_the_others_have(shares: Shares) -> None:
    port = Port()
    Turns(Clock(), port, shares, 1, lambda: 7 + len(port.accepted))
    port.doRead()
    other = Shares(shares.descriptor, 3)
    assert other.least() == 8
    other.has(3, 2)
    assert shares.least() == 2


def test_who_is_gone_is_given_way_to_by_nobody(shares: Shares) -> None:
    shares.has(2, 0)
    shares.gone(2)
    port, _ = with_turns(shares, 1000)
    port.doRead()
    assert port.accepted == [Turns.SLACK]


@pytest.mark.parametrize("state", [{"connected": False}, {"disconnecting": True}])
def test_a_port_that_is_closed_meanwhile_stays_closed(shares: Shares, state: dict[str, bool]) -> None:
    shares.has(2, 0)
    port, clock = with_turns(shares, 1000)
    port.doRead()
    vars(port).update(state)
    clock.advance(Turns.PAUSE)
    assert (port.accepted, port.reading) == ([], False)
