"""Who waits for something in Redis to change.

Must not know: Redis, what changes.
"""

from __future__ import annotations

import random
from collections import OrderedDict

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Changes", "forget"]


class Changes:
    """Wakes what waits at word from Redis, or at the latest after a pause that grows from 50 to 500 ms, jittered: the
    net for words that get lost."""

    SHORTEST, LONGEST = 0.05, 0.5

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: dict[str, dict[Deferred[None], IDelayedCall]] = {}
        self._pauses: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, digest: str) -> Deferred[None]:
        """Fires at the next change of what is called ``digest``, or when the pause is over."""
        waiting = self._waiting.setdefault(digest, {})
        changed: Deferred[None] = Deferred(lambda d: self._forget(digest, d))
        waiting[changed] = self._clock.callLater(self._pause(digest), self._over, digest, changed)
        return changed

    def happened(self, digest: str | None) -> None:
        """Something about ``digest`` changed; None: about everything."""
        for one in [digest] if digest is not None else list(self._waiting):
            self._pauses.pop(one, None)
            woken = self._waiting.pop(one, {})
            for timer in woken.values():
                timer.cancel()
            for changed in woken:
                if not changed.called:  # given up, as another was woken
                    changed.callback(None)

    def close(self) -> None:
        """Wake everybody: nothing more will be heard."""
        self.happened(None)

    def _over(self, digest: str, changed: Deferred[None]) -> None:
        self._forget(digest, changed)
        changed.callback(None)

    def _forget(self, digest: str, changed: Deferred[None]) -> None:
        waiting = self._waiting.get(digest)
        timer = waiting.pop(changed, None) if waiting else None
        if timer is not None and timer.active():
            timer.cancel()
        if waiting is not None and not waiting:
            self._waiting.pop(digest, None)

    def _pause(self, digest: str) -> float:
        now = self._clock.seconds()
        pause, when = self._pauses.pop(digest, (self.SHORTEST / 2, 0.0))
        if now - when > 2 * self.LONGEST:
            pause = self.SHORTEST / 2
        pause = min(self.LONGEST, pause * 2)
        self._pauses[digest] = (pause, now + pause)
        while len(self._pauses) > 1000:
            self._pauses.popitem(last=False)
        return pause * random.uniform(0.75, 1.0)


def forget(changed: Deferred[None]) -> None:
    """Stop waiting for ``changed``."""
    changed.addErrback(lambda failure: failure.trap(CancelledError) and None)
    changed.cancel()
