"""The flights in the air, by what they fetch. One process's half of "one fetch per key"; leases are the other half.

Must not know: clients' connections, routes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from math import inf

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txstalecache.flight.figures import Figures
from txstalecache.flight.flight import Flight
from txstalecache.flight.landing import Failed, Landing, Settled
from txstalecache.flight.limits import Limits
from txstalecache.flight.plan import Group, Plan, Sharing
from txstalecache.flight.shared import SharedFlight
from txstalecache.flight.solo import SoloFlight
from txstalecache.http import policy
from txstalecache.http.keys import Key
from txstalecache.origin.interfaces import IOrigin
from txstalecache.store.interfaces import ILeases, IStore, Purpose

__all__ = ["Registry"]

#: Seconds until the clocks of a flight are looked at again that has failed at them.
AFTER_A_FAULT = 1.0


class Registry:
    """Owns every flight. ``waiting`` and ``held`` are what the caps look at: waiters, and bytes of retained bodies."""

    def __init__(
        self, clock: IReactorTime, origin: IOrigin, store: IStore, leases: ILeases, limits: Limits = Limits()
    ) -> None:
        self.clock = clock
        self.origin = origin
        self.store = store
        self.leases = leases
        self.limits = limits
        self.flights: set[Flight] = set()
        self.figures = Figures()
        self.watchers: list[Callable[[Flight], None]] = []
        """Called with each flight as it takes off and as it ends; they must not raise."""
        self.waiting = 0
        self.held = 0
        self._groups: dict[Group, list[SharedFlight]] = {}
        self._late: Counter[Key] = Counter()
        """Flights for late waiters, by key."""
        self._closed = False
        self._timer: IDelayedCall | None = None
        self._due = inf
        """When ``_timer`` is to look at the flights."""

    def join(self, plan: Plan) -> tuple[Deferred[Landing], bool | None]:
        """Wait for an answer to ``plan``: in a flight that is in the air, else in a new one. The caller owns the
        Deferred, which never fails; cancelling it only detaches. Also says whether the caller leads;
        None: there is no flight for it.
        """
        if self._closed:
            return succeed(Failed(503, "shutdown", self.limits.retry_after)), None
        flight = self.joinable(plan)
        if self.crowded(flight):
            now, entry = self.store.now(), plan.entry
            if entry is not None and policy.stands_in(entry, plan.request, None, now):
                return succeed(Settled(entry, collapsed=False, stale="overflow", asked=False)), None
            return succeed(Failed(503, "overflow", self.limits.retry_after)), None
        if flight is not None:
            return flight.wait(plan), False
        flight = self._boarded(plan, Purpose.FETCH)
        # The wait is registered before the start, which may land the flight at once.
        landing = flight.wait(plan, leads=True)
        self._take_off(flight)
        return landing, True

    def refresh(self, plan: Plan) -> None:
        """Fetch behind everybody's back, unless a flight for it is in the air already. Nobody waits."""
        if not self._closed and not self._full and self.joinable(plan) is None:
            self._persist(plan)
            self._take_off(self._boarded(plan, Purpose.REFRESH))

    def joinable(self, plan: Plan) -> SharedFlight | None:
        """Where ``plan`` would wait for its answer; None: nothing that is in the air will do."""
        groups = [plan.group]
        if plan.request.method == b"HEAD":
            # A HEAD takes the head of a GET that is in the air anyway.
            groups.insert(0, replace(plan, request=replace(plan.request, method=b"GET")).group)
        for group in groups:
            for flight in reversed(self._groups.get(group, ())):
                if flight.joinable(plan.request, plan.began_after):
                    return flight
        return None

    def crowded(self, flight: SharedFlight | None) -> bool:
        """Whether no more may wait for ``flight``; with None, or for one that is yet to take off."""
        if self.waiting >= self.limits.waiters:
            return True
        return self._full if flight is None else len(flight.waiters) >= self.limits.waiters_per_key

    def solo(self, plan: Plan) -> Deferred[Landing]:
        """Fetch for one client; ``plan.sharing`` is not SHARED. Cancelling drops the fetch unless it is stored."""
        if self._closed:
            return succeed(Failed(503, "shutdown", self.limits.retry_after))
        if self._full:
            return succeed(Failed(503, "overflow", self.limits.retry_after))
        flight = SoloFlight(self, plan, Purpose.FETCH)
        self.flights.add(flight)
        if plan.sharing is Sharing.LATE:
            self._late[plan.key] += 1
        landing = flight.wait()
        self._take_off(flight)
        return landing

    def invalidate(self, key: Key) -> None:
        """What was asked for ``key`` is out of date: nobody joins it any more, and it is not stored."""
        for flight in self.flights:
            if flight.plan.key == key and flight.asked:
                flight.passed()

    def discarded(self, digest: str) -> None:
        """Some process has discarded the key with this ``digest``: what was asked for before that is out of date here,
        too."""

        def learned(_: None, key: Key) -> None:
            for flight in self.flights:
                if flight.plan.key == key and flight.outdated:
                    flight.passed()

        for key in {flight.plan.key for flight in self.flights if flight.plan.key.digest == digest}:
            self.store.learn(key).addCallback(learned, key)

    def landed(self) -> Deferred[None]:
        """Fires when nothing is on its way to anybody any more, nor to the store. Cancelling is safe."""
        landed: Deferred[None] = Deferred(lambda _: self.watchers.remove(look))

        def look(_: Flight | None = None) -> None:
            if not any(flight.delivers for flight in self.flights):
                self.watchers.remove(look)
                landed.callback(None)

        self.watchers.append(look)
        look()
        return landed

    def close(self) -> None:
        """Land everybody, drop every fetch; whoever comes from now on gets 503."""
        self._closed = True
        for flight in list(self.flights):
            flight.cancel()

    # -- for flights ---------------------------------------------------------------------------------------------

    def ended(self, flight: Flight) -> None:
        """``flight`` is over. Idempotent."""
        if flight not in self.flights:
            return
        self.flights.remove(flight)
        if not self.flights and self._timer is not None:
            self._timer.cancel()
            self._timer, self._due = None, inf
        self.figures.ended[flight.purpose, flight.plan.sharing, flight.state] += 1
        if flight.plan.sharing is Sharing.LATE:
            self._late[flight.plan.key] -= 1
            self._late += Counter()  # forgets what is down to nothing
        if isinstance(flight, SharedFlight):
            group = flight.plan.group
            flights = self._groups[group]
            flights.remove(flight)
            if not flights:
                del self._groups[group]
        self._tell(flight)

    def lease_name(self, plan: Plan) -> str:
        """What the lease of ``plan`` is called: one per variant, and another one after each purge, so that nobody waits
        for the holder of what is out of date."""
        method, key, chosen = plan.group
        epoch = self.store.epoch(key, plan.fetch)
        if epoch > 0:
            chosen = (*chosen, (b"", b"%d" % round(epoch * 1_000_000)))
        if method == b"GET" and not chosen:
            return key.digest
        parts = [part for name, value in chosen for part in (name, b"-" if value is None else b"+" + value)]
        return f"{key.digest}:{Key((method, *parts)).digest}"

    def may_pass_late(self, key: Key) -> bool:
        """Whether one more late waiter of ``key`` may ask the origin on its own."""
        return self._late[key] < self.limits.late_passes

    def counted(self, step: int) -> None:
        """``step`` more wait."""
        self.waiting += step

    def watch(self, due: float) -> None:
        """Some flight's clocks are to be looked at when it is ``due``. There is one timer for all: most flights are
        over long before, and one each would be made and cancelled for nothing."""
        if due >= self._due:
            return
        self._due, pause = due, max(0.0, due - self.clock.seconds())
        if self._timer is None:
            self._timer = self.clock.callLater(pause, self._look)
        else:
            self._timer.reset(pause)

    # -- inside --------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._timer, self._due = None, inf
        now = self.clock.seconds()
        for flight in [flight for flight in self.flights if flight.due <= now]:
            flight.due = inf
            try:
                flight.tick()
            except Exception:
                # One flight's fault is not the others', nor that of those who wait for it.
                flight.crashed(Failure())
                flight.due = min(flight.due, now + AFTER_A_FAULT)
        self.watch(min((flight.due for flight in self.flights), default=inf))

    @property
    def _full(self) -> bool:
        """Whether no more may take off."""
        return len(self.flights) >= self.limits.flights

    def _tell(self, flight: Flight) -> None:
        """It takes off, or has ended. Whoever is told may have others end, and some watch no longer."""
        for watcher in list(self.watchers):
            if watcher in self.watchers:
                watcher(flight)

    def _persist(self, plan: Plan) -> None:
        """What is being refreshed does not expire meanwhile, where its rules say so."""
        entry, now = plan.entry, self.store.now()
        if entry is None or not plan.rules.persist or entry.age(now) < entry.freshness.lifetime:
            return
        kept = entry.persisting(plan.rules.keep)
        if kept is not entry:
            self.store.put(plan.key, kept, kept.expiry(now))

    def _boarded(self, plan: Plan, purpose: Purpose) -> SharedFlight:
        """A flight for whoever comes; it is still to take off."""
        flight = SharedFlight(self, plan, purpose)
        self.flights.add(flight)
        self._groups.setdefault(plan.group, []).append(flight)
        return flight

    def _take_off(self, flight: Flight) -> None:
        self._tell(flight)
        if flight in self.flights:
            flight.start()
