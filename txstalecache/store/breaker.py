"""The circuit breaker: after a few failures in a row of time, do not even try.

Must not know: Redis, timers; its owner asks it and tells it.
"""

from __future__ import annotations

from collections import deque

__all__ = ["Breaker"]


class Breaker:
    """Closed (try) until ``failures`` happen within ``window`` seconds; then open (do not try) until one success."""

    def __init__(self, failures: int = 5, window: float = 5.0) -> None:
        self._recent: deque[float] = deque(maxlen=failures)
        self._window = window
        self.open = False

    def failed(self, now: float) -> bool:
        """One failure at ``now``. Whether it opened the breaker."""
        if self.open:
            return False
        recent = self._recent
        recent.append(now)
        if len(recent) < (recent.maxlen or 1) or now - recent[0] > self._window:
            return False
        self.open = True
        return True

    def succeeded(self) -> None:
        """An answer: the breaker is closed and what failed before is forgotten."""
        if self._recent:
            self._recent.clear()
        self.open = False
