"""How a flight gets its lease, or what the lease's holder has brought meanwhile.

Must not know: the origin, responses, how waiters are told.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txstalecache.flight.landing import Alone, Failed, Landing, Regroup, Settled
from txstalecache.flight.state import State
from txstalecache.http import parts, policy
from txstalecache.http.entry import Entry, Marker, MarkerKind
from txstalecache.http.verdict import Fresh
from txstalecache.store.changes import forget
from txstalecache.store.interfaces import Found, ILease, Purpose
from txstalecache.store.relay import Reception

if TYPE_CHECKING:
    from txstalecache.flight.registry import Registry
    from txstalecache.flight.shared import SharedFlight

__all__ = ["Boarding"]

#: With no more left than this a lease was not given back, but ran out: it is renewed long before, in seconds.
RUN_OUT = 1.0
#: How long word of a purge or a discard may be on its way to other processes, in seconds.
NOTICE = 1.0


@dataclass(frozen=True, slots=True)
class _Holder:
    """Of a lease: its token, until when at least, and when it was first asked for, in the store's time."""

    token: str
    until: float
    since: float


class Boarding:
    """Ends with ``flight.fetch()``, or with the flight's landing. It is ``in flight.air`` until then."""

    def __init__(self, registry: Registry, flight: SharedFlight) -> None:
        self._registry = registry
        self._flight = flight
        self._last: _Holder | None = None
        """Who was last seen to hold the lease that is waited for."""
        self._error = b""
        """What was said where an error came of it that is not ours."""

    def start(self) -> None:
        """Ask for the lease. Call once."""
        flight, plan = self._flight, self._flight.plan
        # What is validated may have to wait: the origin may have to be left alone for a while.
        at_once = plan.entry is None and not plan.part
        lease = self._registry.leases.grant(self._name, flight.purpose) if at_once else None
        if lease is None:
            self._run(self._board())
            return
        flight.lease = lease
        # In Redis nothing is, or nobody can ask it; what is here has been looked at in this very turn, or not.
        if not plan.again or not self._settled_by_what_is_here():
            flight.fetch()

    @property
    def _name(self) -> str:
        return self._registry.lease_name(self._flight.plan)

    def _run(self, boarding: Any) -> None:
        flight = self._flight
        task: Deferred[bool] = Deferred.fromCoroutine(boarding)
        flight.air.add(task)
        task.addCallbacks(self._boarded, self._failed, callbackArgs=(task,), errbackArgs=(task,)).addErrback(
            flight.crashed
        )

    def _boarded(self, fetches: bool, task: Deferred[Any]) -> None:
        self._flight.air.discard(task)
        if fetches and self._flight.state is State.PENDING:
            self._flight.fetch()

    def _failed(self, failure: Failure, task: Deferred[Any]) -> Failure | None:
        air = self._flight.air
        if task not in air and failure.check(CancelledError):
            return None  # by the flight
        air.discard(task)
        return failure

    # -- those that say whether to fetch ----------------------------------------------------------------------------

    async def _board(self) -> bool:
        flight = self._flight
        while True:
            if await self._resting():
                return False
            lease: ILease | None = await self._registry.leases.acquire(self._name, flight.purpose, flight.watched)
            if lease is not None:
                return await self._granted(lease)
            fetches = await self._waited()
            if fetches is not None:
                return fetches

    async def _granted(self, lease: ILease) -> bool:
        flight = self._flight
        flight.lease = lease
        if self._ran_out:
            # Its holder may have asked the origin, which was the first attempt then.
            flight.attempts += 1
        if lease.bare and not flight.plan.part:
            return not self._settled_by_what_is_here()
        # Look again after getting the lock: somebody may have stored between our miss and now.
        return not self._settled_by(await self._found())

    def _settled_by_what_is_here(self) -> bool:
        found: Found | None = self._registry.store.peek(self._flight.plan.key, self._flight.plan.request)
        return found is not None and self._settled_by(found)

    async def _waited(self) -> bool | None:
        """Somebody else holds the lease: wait for what they bring. None: it may be asked for once more."""
        flight, registry = self._flight, self._registry
        if flight.purpose is Purpose.REFRESH:
            if not flight.waiters:
                flight.end(State.DONE)
                return False
            flight.purpose = Purpose.FETCH
            return None
        flight.queued = True
        # First who holds it, then what there is: what an earlier holder stored was there before it let go.
        disbanded = await self._disbanded()
        # Subscribe, then look: a change between the two is not lost.
        changed = registry.leases.changed(flight.plan.key)
        fetches = False if self._settled_by(await self._found()) else await self._passed_on()
        if fetches is not None or (disbanded and not self._error):
            forget(changed)
            return fetches is not False
        await changed
        if flight.waiters:
            # Before the lease is asked for: who held it may have let go of it at the head.
            return await self._passed_on()
        # Somebody else fetches it, and nobody here wants to know.
        flight.end(State.DONE)
        return False

    async def _found(self) -> Found:
        """What is stored by now; where there is no whole and a part is wanted, that part."""
        plan, store = self._flight.plan, self._registry.store
        found: Found = await store.lookup(plan.key, plan.request)
        if found.entry is not None or not plan.part:
            return found
        entry = (await store.lookup(parts.beside(plan.key), plan.request)).entry
        if entry is None or parts.cut(plan.request, entry.fields, entry.length) is None:
            return found
        return replace(found, entry=entry)

    async def _disbanded(self) -> bool:
        """Whether the holder that was waited for has given the lease back with word that what came is not for sharing
        among processes, and another one has taken it: they need not wait for one another then."""
        registry = self._registry
        asked = registry.store.now()
        found: tuple[str, float] | None = await registry.leases.holder(self._name)
        if found is None:
            return False
        token, left = found
        before, until = self._holder, registry.clock.seconds() + left
        if before is None or before.token != token:
            self._last = _Holder(token, until, asked)
            return before is not None and await registry.leases.disbanded(self._name, before.token)
        self._last = replace(before, until=until)
        return False

    @property
    def _ran_out(self) -> bool:
        """Whether whoever had the lease that was waited for has died, stands still, or is cut off from Redis."""
        holder = self._holder
        return holder is not None and holder.until - self._registry.clock.seconds() <= RUN_OUT

    @property
    def _holder(self) -> _Holder | None:
        """Whose answer is waited for, as far as is known. One who held the lease before the key was purged or discarded
        had to let go of it, whatever he would have brought."""
        plan, holder = self._flight.plan, self._last
        # Word of it comes a moment later, here and there.
        if holder is None or self._registry.store.outdated(plan.key, holder.since - NOTICE, (), plan.fetch):
            return None
        return holder

    async def _passed_on(self) -> bool | None:
        """Whether to fetch, where the answer that the holder of the lease gets is on its way to us: not when it is for
        those who wait here, but when it would be if it were not too old for them by now. None: wait on."""
        flight, holder = self._flight, self._holder
        if holder is None:
            return None
        reception: Reception | None = await self._registry.leases.receive(flight.plan.key, holder.token)
        if reception is None or flight.state is not State.PENDING:
            return None
        if flight.receive(reception):
            return False
        return True if reception.told.late else None

    async def _resting(self) -> bool:
        """Whether the origin has just failed, is left alone for a while, and everybody here has an entry that may stand
        in for its error; they have it then, and the flight has ended."""
        flight, registry, plan = self._flight, self._registry, self._flight.plan
        if flight.purpose is not Purpose.FETCH or flight.instead(plan.entry, plan.request, 503) is None:
            return False
        if not await registry.leases.resting(self._name):
            return False
        return flight.stand_in(503, "error")

    def _settled_by(self, found: Found) -> bool:
        """Whether another process has answered what this flight is for; lands everybody if so."""
        flight, marker = self._flight, found.marker
        landing = self._told_by(found)
        if landing is None:
            return found.entry is not None and self._serves(found.entry)
        if isinstance(landing, Failed) and marker is not None:
            # As for who comes now: an entry that may stand in is better than the error.
            status = marker.status if marker.why == policy.ORIGIN_ERROR else None
            if flight.stand_in(status, "error"):
                return True
        # Who asks again as he is told is not to find it in the air.
        flight.end(State.DONE)
        flight.waiters.land_all(lambda _: landing)
        return True

    def _told_by(self, found: Found) -> Landing | None:
        """What everybody here is told, where it is something else than an entry."""
        plan, marker = self._flight.plan, found.marker
        if found.vary and found.vary != plan.names:
            return Regroup(found.vary)
        if marker is None:
            return None
        if marker.kind is MarkerKind.PRIVATE:
            return Alone("hit-for-miss")
        if marker.kind is MarkerKind.ERROR and self._shares(marker):
            return Failed(marker.status, "error-marker", self._registry.limits.retry_after)
        return None

    def _shares(self, error: Marker) -> bool:
        """Whether another process' ``error`` is ours as well. Where what was said there may have provoked it, something
        else is tried once, by whoever is first: what that comes to is everybody's."""
        if not error.said or error.said == self._flight.plan.said:
            return True
        before, self._error = self._error, error.said
        return before not in (b"", error.said)

    def _serves(self, entry: Entry) -> bool:
        """Whether nobody is left to be fetched for, now that ``entry`` is stored, and the flight is over: each who
        waits is judged by what he sent himself."""
        flight, plan = self._flight, self._flight.plan
        if plan.entry is not None and entry.response_time <= plan.entry.response_time:
            return False
        if not flight.waiters:
            verdict = policy.judge(plan.request, entry, None, plan.rules, self._registry.store.now())
            if not isinstance(verdict, Fresh):
                return False
        return flight.settle(Settled(entry, collapsed=True))
