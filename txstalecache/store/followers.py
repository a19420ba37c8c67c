"""How far those have read who read what one process relays: what all of them have read may go, and the slowest may have
to be waited for.

Must not know: Redis, where they are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

__all__ = ["Followers"]


class Followers:
    """Records are numbered from 1. ``first`` is the first that somebody may still want, ``number`` the last.

    As within one process (``flight.laggards``): one that has been among the slower half of all that may be unread for
    ``PATIENCE`` seconds, and took less than ``min_rate`` bytes a second meanwhile, is left behind: where all are slow,
    nobody is, but for the next ``look`` after others are ``pressed``. One that takes nothing for ``STALL`` seconds
    meanwhile has died.
    """

    PATIENCE = 2.0
    STALL = 30.0
    #: What a record takes besides its bytes, roughly.
    RECORD = 64

    def __init__(self, most: int, record: int) -> None:
        """``most`` bytes may be unread, in records of no more than ``record``."""
        self.min_rate = 0
        self.pressed = False
        self.first = 1
        self._most, self._record = most, record
        # Where each record from the first on begins, and where the last one ends.
        self._starts: deque[int] = deque([0])
        self._lags: dict[bytes, tuple[float, int]] = {}
        """Since when and where those lag that do."""
        self._moved: dict[bytes, tuple[float, int]] = {}
        """When they were first seen where they are."""
        self._left: set[bytes] = set()
        """Who was left behind."""

    @property
    def number(self) -> int:
        return self.first + len(self._starts) - 2

    @property
    def unread(self) -> int:
        """Bytes that somebody may still want."""
        return self._starts[-1] - self._starts[0]

    def wrote(self, size: int) -> None:
        """There is one more record."""
        self._starts.append(self._starts[-1] + size + self.RECORD)

    def look(self, positions: Mapping[bytes, int], now: float) -> bool:
        """Each has read up to its number in ``positions``. Whether anybody is there who may want the rest."""
        at = {who: min(max(number, self.first - 1), self.number) for who, number in positions.items()}
        for who in self._left:
            at.pop(who, None)
        self._leave_behind({who: self._starts[number - self.first + 1] for who, number in at.items()}, now)
        there = [number for who, number in at.items() if who not in self._left]
        if not there:
            return False
        while self.first <= min(there):
            self._starts.popleft()
            self.first += 1
        return True

    def _leave_behind(self, at: Mapping[bytes, int], now: float) -> None:
        lagged, self._lags = self._lags, {}
        moved, self._moved = self._moved, {}
        half = self._starts[-1] - self._most // 2
        lagging = [who for who, offset in at.items() if offset < half]
        spared = len(lagging) == len(at) and not self.pressed
        self.pressed = False
        for who in lagging:
            since, began = lagged.get(who, (now, at[who]))
            stopped, there = moved.get(who, (now, at[who]))
            if there != at[who]:
                stopped = now
            # What it has only begun to take counts.
            slow = at[who] - began + self._record < self.min_rate * (now - since)
            if (slow and now - since >= self.PATIENCE and not spared) or now - stopped >= self.STALL:
                self._left.add(who)
            else:
                self._lags[who] = since, began
                self._moved[who] = stopped, at[who]
