"""What is said to Redis, as those who say it see it: commands out, replies back, or no answer.

Must not know: connections, what is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Command", "Commands", "ICommands", "Refused", "Series", "Unavailable", "ignored"]

Command = Sequence[bytes | str | int]


class Series:
    """``count`` commands that are too much to be made in one go: each is when there is room for it on the way."""

    def __init__(self, count: int, commands: Iterator[Command]) -> None:
        self._count = count
        self._commands = commands

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Command]:
        return self._commands


Commands = Sequence[Command] | Series


class Unavailable(Exception):
    """Redis did not answer: not connected, too slow, the breaker is open, or too much is waiting to be written."""


class Refused(Exception):
    """Redis answered with an error."""

    @property
    def wrong_type(self) -> bool:
        """Whether what is there is of another type than what is kept there."""
        return str(self).startswith("WRONGTYPE")


class ICommands(Protocol):
    """A way to Redis. Replies come in the order of the commands; one that is an error is a ``Refused`` among them."""

    @property
    def available(self) -> bool:
        """Whether it is worth waiting for an answer."""

    @property
    def writable(self) -> bool:
        """Whether a write has a chance."""

    def read(self, commands: Sequence[Command]) -> Deferred[list[object]]:
        """The replies, within the read time limit; else fails with ``Unavailable``."""

    def write(self, commands: Commands, size: int = 0) -> Deferred[list[object]]:
        """As ``read``, in the order written and within the write time limit. ``size`` counts against what may wait."""


def ignored(failure: Failure) -> None:
    """An errback for what may fail: nobody waits for it, or no answer is an answer."""
