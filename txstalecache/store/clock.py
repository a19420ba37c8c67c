"""The fleet's time: Redis' ``TIME`` as seen from here.

Hosts' clocks may be hours apart; what is stored in common is dated by the clock they have in common.
Must not know: connections.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

__all__ = ["FleetClock", "uptime"]

_BOOTTIME = getattr(time, "CLOCK_BOOTTIME", None)

uptime: Callable[[], float] = time.monotonic if _BOOTTIME is None else partial(time.clock_gettime, _BOOTTIME)
"""Seconds that pass whatever is done to the host's clock, time asleep included where the system can tell."""


class FleetClock:
    """Seconds since the epoch, running with ``ticks`` and set by ``wall`` until ``measured``."""

    #: A measurement this much older than the best one replaces it even if it is less sharp, in seconds.
    PATIENCE = 100.0
    #: What measurements may be wrong by at most, in seconds.
    SHARP = 1.0

    def __init__(self, ticks: Callable[[], float] = uptime, wall: Callable[[], float] = time.time) -> None:
        self.ticks = ticks
        self._offset = wall() - ticks()
        self._error = float("inf")
        self._when = ticks()
        self._after = float("-inf")

    def now(self) -> float:
        """The fleet's time."""
        now = self.ticks() + self._offset
        return now if now > self._after else self._after

    def mark(self) -> float:
        """The fleet's time, and every later ``now`` is after it, be it by a microsecond: what begins later can be told
        from what began before."""
        marked = self.now()
        self._after = marked + 0.000_001
        return marked

    def passed(self, when: float) -> None:
        """``when``, by Redis' time, is over: every later ``now`` is after it. Measured clocks differ by less than
        ``SHARP``; a time that is further ahead is taken for no fact about this one."""
        now = self.now()
        if now <= when < now + self.SHARP:
            self._after = when + 0.000_001

    def measured(self, theirs: float, asked: float, answered: float) -> None:
        """Redis said ``theirs`` between the ticks ``asked`` and ``answered``."""
        error = (answered - asked) / 2
        offset = theirs - (asked + answered) / 2
        # The sharpest measurement stands, unless this one shows that it cannot be true any longer.
        agrees = abs(offset - self._offset) <= error + self._error
        if error <= self._error or not agrees or answered - self._when > self.PATIENCE:
            before = self.now()
            self._offset, self._error, self._when = offset, error, answered
            # Where it was ahead by no more than it may be wrong, it stands until it is right: what is discarded now is
            # not dated before what was stored a moment ago. Else it was another clock.
            now = self.ticks() + offset
            self._after = before if now <= before < now + self.SHARP else float("-inf")
