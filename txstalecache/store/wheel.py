"""Many deadlines with one timer: a wheel of coarse slots. A timer per command would cost a third of Redis' speed.

Must not know: what runs out.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["Wheel"]


class Wheel:
    """Calls back what was ``add``ed, at its time or up to two ticks (of 20 ms) later.

    Nothing is ever taken out: what is called back looks whether it still matters. The timer stands at the first slot in
    use, and only while there is one. When this process was busy at that time, there is one tick more: an answer that
    nobody had time to read, or a question that nobody had time to send, is not late.
    """

    TICK = 0.02
    #: How often in a row a turn is put off because this process was busy when it was due.
    AGAIN = 5

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._slots: dict[int, list[Callable[[], None]]] = {}
        self._timer: IDelayedCall | None = None
        self._next = 0
        self._turned = 0
        self._turning = False
        self._awaited = 0.0
        self._again = 0

    def add(self, seconds: float, expire: Callable[[], None]) -> None:
        """Call ``expire`` after ``seconds``; it must not raise."""
        slot = int((self._clock.seconds() + seconds) / self.TICK) + 1
        waiting = self._slots.get(slot)
        if waiting is not None:
            waiting.append(expire)
            return
        self._slots[slot] = [expire]
        # While turning, what is added may come after what is still there: the timer is set at the end.
        if not self._turning and (self._timer is None or slot < self._next):
            self._set(slot)

    def _set(self, slot: int) -> None:
        now = self._clock.seconds()
        self._next, self._turned = slot, int(now / self.TICK)
        pause = max(0.0, slot * self.TICK - now)
        self._awaited = now + pause
        if self._timer is None:
            self._timer = self._clock.callLater(pause, self._turn)
        else:
            self._timer.reset(pause)

    def _turn(self) -> None:
        seconds = self._clock.seconds()
        # The reactor calls what is due before it reads what has come, and writes what was to be sent.
        if seconds > self._awaited + 2 * self.TICK and self._again < self.AGAIN:
            self._again += 1
            self._awaited = seconds + self.TICK
            self._timer = self._clock.callLater(self.TICK, self._turn)
            return
        self._again = 0
        self._timer = None
        self._turning = True
        now = int(seconds / self.TICK)
        # A host clock set back must not make what is pending wait for as long.
        due = sorted(slot for slot in self._slots if slot <= now or now < self._turned)
        try:
            for slot in due:
                for expire in self._slots.pop(slot, ()):
                    expire()
        finally:
            self._turning = False
            if self._slots:
                self._set(min(self._slots))

    def stop(self) -> None:
        """Forget what is pending, without calling it."""
        self._slots.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
