"""Those who wait for one flight, in the order they came, and how long each has patience.

All have the patience of the flight's route, so that the order of arrival is the order in which it runs out: looking at
the clocks costs what has run out, not what waits. Only the leader's may be longer.

Whoever is told is answered then and there. So of many only some are told in one turn of the reactor, and whoever has
nothing to do with them is not held up: the others are **called**, and told in the turns that follow. What each is told
is decided as he is.

Must not know: fetches, responses, why somebody is told what.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from math import inf
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txstalecache.flight.clocks import Clocks
from txstalecache.flight.landing import Failed, Landing
from txstalecache.http.entry import Entry
from txstalecache.http.messages import RequestHead

__all__ = ["Waiter", "Waiters"]

#: What those are told for whom a fault of our own kept it from being decided.
_UNDECIDED = Failed(502, "internal")

_Result = TypeVar("_Result")


class Waiter(Deferred[Landing]):
    """One request that waits: a Deferred of its own, owned by whoever serves the request. It never fails; cancelling it
    only takes it out of the crowd."""

    def __init__(self, crowd: Waiters, request: RequestHead, entry: Entry | None, since: float, leads: bool) -> None:
        super().__init__(_detach)
        self.crowd = crowd
        self.request = request
        self.entry = entry
        """What it may be given instead, where that is permitted."""
        self.since = since
        self.until = since + crowd.clocks.wait_deadline
        """When its patience runs out."""
        self.leads = leads
        """Whether it is the one that the fetch was made from."""


def _detach(waiter: Deferred[Landing]) -> None:
    assert isinstance(waiter, Waiter)
    waiter.crowd.detach(waiter)


class Waiters:
    """The crowd. ``counted`` is told how many more wait, or fewer, ``left`` of each client that left. ``later`` is the
    reactor's ``callLater``."""

    _log = Logger()

    #: Told in one turn, at most.
    AT_ONCE = 64

    def __init__(
        self,
        clocks: Clocks,
        counted: Callable[[int], None],
        left: Callable[[], None],
        later: Callable[..., object],
    ) -> None:
        self.clocks = clocks
        self._later = later
        self._counted = counted
        self._left: Callable[[], None] | None = left
        self._waiting: dict[Waiter, None] = {}
        self._hopeful: deque[Waiter] = deque()
        """Those with an entry who have not waited for ``wait_stale``; some may have gone."""
        self._called: dict[Waiter, None] = {}

    @property
    def called(self) -> int:
        """How many wait no longer, and are still to be told what it came to."""
        return len(self._called)

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Waiter]:
        """Everybody now here; safe while they go."""
        return iter([*self._waiting])

    def __contains__(self, waiter: object) -> bool:
        return waiter in self._waiting

    @property
    def leader(self) -> Waiter | None:
        """The one that the fetch was made from, while it waits."""
        first = next(iter(self._waiting), None)
        return first if first is not None and first.leads else None

    def add(self, request: RequestHead, entry: Entry | None, now: float, *, leads: bool) -> Waiter:
        """One more."""
        waiter = Waiter(self, request, entry, now, leads)
        self._waiting[waiter] = None
        if entry is not None:
            self._hopeful.append(waiter)
        self._counted(1)
        return waiter

    def detach(self, waiter: Waiter) -> None:
        """The client of ``waiter`` has left."""
        gone = self._gone(waiter) or self._told(waiter)
        if gone and self._left is not None:
            self._left()

    def forget(self) -> None:
        """What they wait for is over: nobody is told when they leave."""
        self._left = None

    def land(self, waiter: Waiter, landing: Landing) -> None:
        """Tell ``waiter`` what it came to; nothing happens when it has gone."""
        if self._gone(waiter):
            waiter.callback(landing)

    def land_each(
        self, waiters: Iterable[Waiter], decide: Callable[[Waiter], Landing], then: Callable[[], None] = lambda: None
    ) -> None:
        """Tell each of ``waiters`` what ``decide`` says, in this order and as many turns as it takes; ``then`` is
        called once that is done. None of them waits any longer."""
        called = dict.fromkeys([waiter for waiter in waiters if waiter in self._waiting])
        for waiter in called:
            del self._waiting[waiter]
        self._call(called, decide, then)

    def land_all(self, decide: Callable[[Waiter], Landing], then: Callable[[], None] = lambda: None) -> None:
        """As ``land_each``, everybody."""
        called, self._waiting = self._waiting, {}
        self._call(called, decide, then)

    def _call(self, called: dict[Waiter, None], decide: Callable[[Waiter], Landing], then: Callable[[], None]) -> None:
        self._counted(-len(called))
        self._called.update(called)
        self._tell(deque(called), decide, then)

    def _tell(self, called: deque[Waiter], decide: Callable[[Waiter], Landing], then: Callable[[], None]) -> None:
        for _ in range(min(self.AT_ONCE, len(called))):
            waiter = called.popleft()
            if not self._told(waiter):
                continue
            try:
                landing = decide(waiter)
            except Exception:
                # The others are still to be told.
                self._log.failure("it could not be decided what one who waits is told")
                landing = _UNDECIDED
            waiter.callback(landing)
        if called:
            self._later(0, self._tell, called, decide, then)
        else:
            then()

    def each(self, worked_out: Callable[[Waiter], _Result]) -> Iterator[tuple[Waiter, _Result]]:
        """Everybody now here, with what is ``worked_out`` from his method, fields and entry: once for those who have
        the same."""
        known: dict[tuple[bytes, int, int], _Result] = {}
        for waiter in self._waiting:
            request = waiter.request
            same = request.method, id(request.fields), id(waiter.entry)
            if same not in known:
                known[same] = worked_out(waiter)
            yield waiter, known[same]

    def due(self) -> float:
        """When somebody's patience runs out next, on the clock of ``add``; inf: nobody is here."""
        due = inf
        for waiter in self._waiting:
            due = min(due, waiter.until)
            if not waiter.leads:
                break
        self._forget_gone()
        if self._hopeful:
            due = min(due, self._hopeful[0].since + self.clocks.wait_stale)
        return due

    def impatient(self, now: float) -> list[Waiter]:
        """Those with an entry who have waited for ``wait_stale``, as many as are told in one turn; each once."""
        found: list[Waiter] = []
        while self._hopeful and self._hopeful[0].since + self.clocks.wait_stale <= now and len(found) < self.AT_ONCE:
            waiter = self._hopeful.popleft()
            if waiter in self._waiting:
                found.append(waiter)
        return found

    def overdue(self, now: float) -> list[Waiter]:
        """Those whose patience has run out, as many as are told in one turn."""
        found: list[Waiter] = []
        for waiter in self._waiting:
            if waiter.until <= now and len(found) < self.AT_ONCE:
                found.append(waiter)
            elif not waiter.leads:
                break
        return found

    def _gone(self, waiter: Waiter) -> bool:
        if waiter not in self._waiting:
            return False
        del self._waiting[waiter]
        self._counted(-1)
        return True

    def _told(self, waiter: Waiter) -> bool:
        """Whether ``waiter``, who was called, was still to be told; he is so no longer."""
        if waiter not in self._called:
            return False
        del self._called[waiter]
        return True

    def _forget_gone(self) -> None:
        while self._hopeful and self._hopeful[0] not in self._waiting:
            self._hopeful.popleft()
