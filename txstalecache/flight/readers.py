"""Whoever takes an answer as it goes, and what is kept in memory for that.

A body that the memory tier has let go of stays as long as somebody reads it, and who takes a byte now and then is no
client that stalls: many of those would hold a body each.
Must not know: responses, connections.
"""

from __future__ import annotations

from math import inf
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txstalecache.flight.body import Reader

__all__ = ["Readers"]


class Readers:
    """An account of readers that have not been able to take all at once, looked at once a second.

    What they read may take ``most`` bytes, each body counted once. Beyond that bodies are let go of whose readers all
    took less than ``min_rate`` bytes a second of late, those of which the least is taken first: their clients are cut
    off. Who takes more is never cut off, and is through with it soon.
    """

    _log = Logger()

    EVERY: Final = 1.0
    #: What a kernel's buffer is taken in bursts: seconds after which there is something to say about a rate.
    PATIENCE: Final = 5.0

    def __init__(self, clock: IReactorTime, most: int, min_rate: int) -> None:
        self._clock = clock
        self._most = most
        self._min_rate = min_rate
        self._paces: dict[Reader, _Pace] = {}
        self._timer: IDelayedCall | None = None

    def add(self, reader: Reader) -> None:
        """``reader`` is under way."""
        self._paces[reader] = _Pace(self._clock.seconds(), reader.read)
        if self._timer is None:
            self._timer = self._clock.callLater(self.EVERY, self._look)

    def discard(self, reader: Reader) -> None:
        """``reader`` has what it wanted, or has left. Idempotent."""
        self._paces.pop(reader, None)
        if not self._paces and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = self._clock.callLater(self.EVERY, self._look)
        groups = self._groups(self._clock.seconds())
        held = sum(group.held for group in groups)
        cut = 0
        for group in sorted(groups, key=lambda group: group.pace / group.held):
            if held <= self._most or group.pace >= self._min_rate:
                break
            held -= group.held
            cut += len(group.readers)
            for reader in group.readers:
                reader.fail()
        if cut:
            self._log.warn("{cut} slow clients cut off: together they held too many bytes (bytes_being_read)", cut=cut)

    def _groups(self, now: float) -> list[_Group]:
        """Those who read the same, by what that is."""
        groups: dict[int, _Group] = {}
        for reader, pace in self._paces.items():
            pace.look(reader, now)
            body = reader.body
            if not body.held:
                continue
            # Each answer from an entry has a body of its own, of the entry's pieces.
            group = groups.setdefault(id(body.chunks[0]), _Group())
            group.held = max(group.held, body.held)
            group.pace = max(group.pace, pace.rate)
            group.readers.append(reader)
        return list(groups.values())


class _Pace:
    """How fast one reader goes."""

    __slots__ = ("_read", "_since", "rate")

    def __init__(self, now: float, read: int) -> None:
        self._since, self._read = now, read
        self.rate = inf
        """Bytes a second of late; unknown: as fast as can be."""

    def look(self, reader: Reader, now: float) -> None:
        took = now - self._since
        if took >= Readers.PATIENCE:
            self.rate = (reader.read - self._read) / took
            self._since, self._read = now, reader.read


class _Group:
    """Readers of one body."""

    __slots__ = ("held", "pace", "readers")

    def __init__(self) -> None:
        self.held = 0
        """Bytes of it in memory."""
        self.pace = 0.0
        """Bytes a second that the fastest takes."""
        self.readers: list[Reader] = []
