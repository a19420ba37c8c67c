"""What is written over one connection: in the order it was put, and what is long as the other side takes it."""

from __future__ import annotations

from collections.abc import Iterator

from hiredis import pack_command

from tests.support.transport import Transport
from txstalecache.store.commands import Command, Series
from txstalecache.store.outbox import Outbox


class Narrow(Transport):
    """Has enough after each write, until what is there is ``taken``."""

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.producer is not None:
            self.producer.pauseProducing()

    def taken(self) -> bytes:
        """What was written since, in one turn of the reactor."""
        data: bytes = self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()
        return data


class Sender:
    """An outbox, and how many commands of a series were made so far."""

    def __init__(self) -> None:
        self.transport = Narrow()
        self.outbox = Outbox(self.transport)
        self.made = 0

    def series(self, *commands: Command) -> Series:
        def each() -> Iterator[Command]:
            for command in commands:
                self.made += 1
                yield command

        return Series(len(commands), each())


def packed(*commands: Command) -> bytes:
    return b"".join([pack_command(command) for command in commands])  # type: ignore[arg-type]


ONE, TWO, THREE = ("SET", "a", "1"), ("SET", "b", "2"), ("SET", "c", "3")


def test_what_is_short_is_written_then_and_there() -> None:
    sender = Sender()
    sender.outbox.put([ONE, TWO])
    sender.outbox.put([THREE])
    assert sender.transport.value() == packed(ONE, TWO, THREE)
    assert sender.transport.producer is None


def test_of_a_series_one_command_is_made_at_a_time_and_what_comes_later_stays_behind_it() -> None:
    sender = Sender()
    sender.outbox.put([ONE])
    sender.outbox.put(sender.series(ONE, TWO))
    sender.outbox.put([THREE, ONE])
    sender.outbox.put(sender.series(TWO))
    taken = []
    for made in (1, 2, 2, 2, 3, 3):
        assert sender.made == made
        taken.append(sender.transport.taken())
    assert taken == [packed(ONE, ONE), packed(TWO), packed(THREE), packed(ONE), packed(TWO), b""]
    # From here on nothing waits.
    assert sender.transport.producer is None
    sender.outbox.put([TWO])
    assert sender.transport.value() == packed(TWO)


def test_what_waits_when_the_connection_is_lost_is_not_made() -> None:
    sender = Sender()
    sender.outbox.put(sender.series(ONE, TWO, THREE))
    sender.outbox.put([ONE])
    sender.outbox.stopProducing()
    sender.transport.taken()
    assert sender.transport.value() == b"" and sender.made == 1
