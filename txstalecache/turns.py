"""Whose turn it is to accept: of several workers on one socket, those with the fewest connections come first.

The kernel wakes whom it likes: kept connections would pile up at some workers, and others have none. So each writes
down how many it has, on a page they share; one that has more than another gives way for a moment before it accepts. It
does so once and then takes what is still there: nobody depends on anybody else's doing.

Must not know: what is accepted.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from typing import Any

from txstalecache.nameless import nameless

__all__ = ["Shares", "Turns"]


class Shares:
    """The page behind ``descriptor``: how many connections each of ``workers`` has."""

    NOBODY = 0xFFFFFFFF

    def __init__(self, descriptor: int, workers: int) -> None:
        self.descriptor = descriptor
        self.workers = workers
        self._counts = memoryview(mmap.mmap(descriptor, 4 * workers)).cast("I")

    @classmethod
    def fresh(cls, workers: int) -> Shares:
        """A new page, on which no worker is there yet. To be closed."""
        with nameless() as file:
            os.ftruncate(file.fileno(), 4 * workers)
            shares = cls(os.dup(file.fileno()), workers)
        for number in range(1, workers + 1):
            shares.gone(number)
        return shares

    def close(self) -> None:
        """No other worker is to find it any longer."""
        os.close(self.descriptor)

    def has(self, number: int, count: int) -> None:
        """Worker ``number``, from 1, has ``count`` connections."""
        self._counts[number - 1] = count

    def gone(self, number: int) -> None:
        """There is no such worker for now."""
        self._counts[number - 1] = self.NOBODY

    def least(self) -> int:
        """What the worker with the fewest has."""
        return min(self._counts)


class Turns:
    """Has ``port`` accept when it is the turn of worker ``number``, which has ``count()`` connections."""

    #: Connections that one may have more than another, and accept at a time.
    SLACK = 4
    #: How long it gives way, in seconds.
    PAUSE = 0.001

    def __init__(self, reactor: Any, port: Any, shares: Shares, number: int, count: Callable[[], int]) -> None:
        self._reactor = reactor
        self._port = port
        self._shares = shares
        self._number = number
        self._count = count
        self._accept = port.doRead
        port.doRead = self._somebody_came

    def _somebody_came(self) -> None:
        count = self._count()
        self._shares.has(self._number, count)
        if count > self._shares.least() + self.SLACK:
            self._port.stopReading()
            self._reactor.callLater(self.PAUSE, self._go_on)
        else:
            self._take()

    def _go_on(self) -> None:
        if self._port.connected and not self._port.disconnecting:
            self._port.startReading()
            self._take()

    def _take(self) -> None:
        self._port.numberAccepts = self.SLACK  # Twisted's own bound grows with what comes
        self._accept()
        self._shares.has(self._number, self._count())
