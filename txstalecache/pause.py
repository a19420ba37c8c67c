"""How long to wait before what has ended is started again.

Must not know: what it is.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

__all__ = ["Pause"]


class Pause:
    """Pauses double from 0.1 to 10 s; what has lived for longer than ``sound`` seconds begins anew with the first."""

    FIRST, LONGEST = 0.1, 10.0

    def __init__(self, clock: IReactorTime, sound: float) -> None:
        self._clock = clock
        self._sound = sound
        self._seconds = 0.0
        self._began = 0.0

    def begin(self) -> None:
        """It is being started."""
        self._began = self._clock.seconds()

    def end(self) -> float:
        """It has ended, or could not be started: the seconds to wait."""
        sound = self._clock.seconds() - self._began > self._sound
        self._seconds = self.FIRST if sound else min(self.LONGEST, max(self.FIRST, self._seconds * 2))
        return self._seconds
