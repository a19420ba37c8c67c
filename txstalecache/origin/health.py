"""Whether a server is well: by what becomes of requests to it, and, where wanted, by asking it regularly.

Must not know: which server is asked next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from txstalecache.http.messages import Fields, RequestHead
from txstalecache.origin.interfaces import Deadlines, IOrigin, IOriginResponse, OriginError, OriginRequest

__all__ = ["Health", "HealthCheck"]


class Health:
    """What is known of one server. ``max_fails`` failures in a row: left alone for ``fail_timeout`` seconds."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, name: str, max_fails: int, fail_timeout: float) -> None:
        self._clock = clock
        self._name = name
        self._max_fails = max_fails
        self._fail_timeout = fail_timeout
        self._fails = 0
        self._until = 0.0
        self._checked = True

    @property
    def well(self) -> bool:
        """Whether it may be asked. After its time out it may, and its first failure ends that."""
        return self._checked and self._clock.seconds() >= self._until

    def succeeded(self) -> None:
        """It gave an answer."""
        self._fails = 0

    def failed(self) -> None:
        """It gave none."""
        self._fails += 1
        if self._fails >= self._max_fails:
            if self.well:
                self._log.warn("{name} is left alone for {s} s", name=self._name, s=self._fail_timeout)
            self._until = self._clock.seconds() + self._fail_timeout

    def checked(self, good: bool) -> None:
        """It was asked how it is."""
        if good is not self._checked:
            self._log.warn("{name} is {state}", name=self._name, state="well again" if good else "not well")
        self._checked = good
        if good:
            self._fails, self._until = 0, 0.0


class HealthCheck:
    """Asks ``origin`` for ``path`` every ``interval`` seconds, and tells ``health``. Two bad answers in a row count."""

    _log = Logger()

    def __init__(
        self,
        clock: Any,
        origin: IOrigin,
        path: str,
        host: bytes,
        health: Callable[[bool], None],
        interval: float,
        timeout: float,
    ) -> None:
        self._origin = origin
        head = RequestHead(b"GET", path.encode("latin-1", "replace"), Fields([(b"Host", host)]), b"http", host)
        deadlines = Deadlines(connect=timeout, first_byte=timeout, between_bytes=timeout, total=timeout)
        self._request = OriginRequest(head, deadlines=deadlines)
        self._health = health
        self._bad = 0
        self._asking: Deferred[None] | None = None
        self._loop = LoopingCall(self._ask)
        self._loop.clock = clock
        self._loop.start(interval, now=True).addErrback(lambda failure: self._log.failure("health check", failure))

    def _ask(self) -> Deferred[None]:
        self._asking = Deferred.fromCoroutine(self._answered())
        return self._asking

    async def _answered(self) -> None:
        try:
            response: IOriginResponse = await self._origin.fetch(self._request)
        except OriginError:
            good = False
        except CancelledError:
            return
        else:
            good = 200 <= response.head.status < 400
            response.abort()
        self._bad = 0 if good else self._bad + 1
        if good or self._bad > 1:
            self._health(good)

    def close(self) -> Deferred[None]:
        """Ask no more."""
        if self._loop.running:
            self._loop.stop()
        if self._asking is not None:
            self._asking.cancel()
        return self._origin.close()
