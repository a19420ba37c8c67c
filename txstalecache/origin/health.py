"""Whether a server is well: by what becomes of requests to it, and, where wanted, by asking it regularly.

Must not know: which server is asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Health", "HealthCheck"]


class Health:
    """What is known of one server. ``max_fails`` failures in a row: left alone for ``fail_timeout`` seconds, or, where
    there is nobody else to ask (``inf``), not well until it answers."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, name: str, max_fails: int, fail_timeout: float) -> None:
        self._clock = clock
        self._name = name
        self._max_fails = max_fails
        self._fail_timeout = fail_timeout
        self._fails = 0
        self._until = 0.0
        self._left_alone = False
        """Whether that was the last that was said of it: not each time anew, as long as it gives no answer."""
        self._checked = True

    @property
    def well(self) -> bool:
        """Whether it may be asked. After its time out it may, and its first failure ends that."""
        return self._checked and self._clock.seconds() >= self._until

    def succeeded(self) -> None:
        """It gave an answer, and not one of those that count as failures."""
        self._fails = 0
        if self._left_alone and self._clock.seconds() >= self._until:
            self._left_alone = False
            self._log.warn("{name} answers again", name=self._name)

    def recovered(self) -> None:
        """It gave one to a request that went to it although it was not well: there was nobody better to ask."""
        self._until = 0.0
        self.succeeded()

    def failed(self, why: str) -> None:
        """It gave none, or one that counts as a failure: ``why`` is for the log."""
        self._fails += 1
        if self._fails >= self._max_fails:
            if self.well and not self._left_alone:
                seconds = self._fail_timeout
                told = "asked all the same" if seconds == inf else f"left alone for {seconds:g} s at a time"
                self._log.warn(
                    "{name} has failed {n} times and is {told} ({why})",
                    name=self._name,
                    n=self._fails,
                    told=told,
                    why=why,
                )
                self._left_alone = True
            self._until = self._clock.seconds() + self._fail_timeout

    def checked(self, why: str) -> None:
        """It was asked how it is, and is not well for the reason ``why``; well where that is empty."""
        good = not why
        if good is not self._checked:
            self._log.warn("{name} is {state}", name=self._name, state="well again" if good else f"not well ({why})")
            self._checked, self._left_alone = good, False
        if good:
            self.recovered()


class HealthCheck:
    """Calls ``ask`` every ``interval`` seconds, and tells ``health`` what comes of it within ``timeout`` seconds: why
    the server is not well, or nothing. Two bad answers in a row count."""

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        ask: Callable[[], Coroutine[Any, Any, str]],
        health: Callable[[str], None],
        interval: float,
        timeout: float,
    ) -> None:
        self._clock = clock
        self._how = ask
        self._health = health
        self._timeout = timeout
        self._bad = 0
        self._asking: Deferred[None] | None = None
        self._loop = LoopingCall(self._ask)
        self._loop.clock = clock
        self._loop.start(interval, now=True).addErrback(lambda failure: self._log.failure("health check", failure))

    def _ask(self) -> Deferred[None]:
        asked = Deferred.fromCoroutine(self._how()).addTimeout(self._timeout, self._clock)
        # What goes wrong with the question is the answer.
        self._asking = asked.addErrback(self._unanswered).addCallback(self._answered)
        return self._asking

    def _unanswered(self, failure: Failure) -> str:
        if failure.check(TimeoutError):
            return f"no answer within {self._timeout:g} s"
        return " ".join(failure.getErrorMessage().split())[:200] or failure.value.__class__.__name__

    def _answered(self, why: str) -> None:
        if not self._loop.running:
            return
        self._bad = self._bad + 1 if why else 0
        if not why or self._bad > 1:
            self._health(why)

    def close(self) -> None:
        """Ask no more."""
        if self._loop.running:
            self._loop.stop()
        if self._asking is not None:
            self._asking.cancel()
