"""The deadline of a connection: what it waits for now must come by then.

Must not know: what is waited for.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Deadline"]


class Deadline:
    """Calls ``passed`` when the time that was last ``set`` is over. Most waits end long before: one call that looks
    again is cheaper than one call each.

    The owner calls ``end`` when it goes, and ``set`` never after that.
    """

    __slots__ = ("_clock", "_due", "_looks", "_passed", "_timer")

    def __init__(self, clock: IReactorTime, passed: Callable[[], None]) -> None:
        self._clock = clock
        self._passed: Callable[[], None] | None = passed
        self._due = inf
        self._looks = inf
        """When ``_timer`` looks."""
        self._timer: IDelayedCall | None = None

    def set(self, seconds: float) -> None:
        """What is waited for must come within ``seconds``, whatever was set before."""
        self._due = due = self._clock.seconds() + seconds
        if due >= self._looks:
            return
        self._looks = due
        if self._timer is None:
            self._timer = self._clock.callLater(seconds, self._look)
        else:
            self._timer.reset(seconds)

    def lift(self) -> None:
        """Nothing is waited for."""
        self._due = inf

    def end(self) -> None:
        """Nothing ever will be."""
        timer, self._timer, self._passed = self._timer, None, None
        if timer is not None:
            timer.cancel()

    def _look(self) -> None:
        self._timer, self._looks = None, inf
        left = self._due - self._clock.seconds()
        if left == inf:
            return
        if left > 0:
            self._looks = self._due
            self._timer = self._clock.callLater(left, self._look)
        elif self._passed is not None:
            self._passed()
