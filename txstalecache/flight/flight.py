"""One upstream fetch and those who wait for it.

A flight belongs to the registry, never to a client: clients come, wait on their own Deferred, and leave. At most two
attempts are made: a second one when the first fails while somebody else waits, or when it makes no progress. Whichever
attempt first brings a response head lands the flight; the decision who may have the answer is taken there, before a
byte reaches anybody.

    PENDING ── head, may be shared ──→ STREAMING ── end ──→ DONE
       │  │                               └── cut ──→ BROKEN
       │  └─── head, not for sharing ──→ UNSHAREABLE (its leader may still stream it) ──→ DONE or BROKEN
       ├────── validated, or found in the store ──→ DONE
       └────── no answer ──→ FAILED

Must not know: clients' connections, how answers are rendered.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import replace
from enum import Enum
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.flight.body import Body, Reader
from txstalecache.flight.clocks import Late
from txstalecache.flight.landing import Alone, Attached, Failed, Landing, Regroup, Settled
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.http import conditional, forward, policy, vary
from txstalecache.http.entry import Entry, Marker, MarkerKind
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.verdict import Admission, Fresh, Share, Store, Withhold
from txstalecache.origin.interfaces import Fault, Framing, IOriginResponse, OriginError, OriginRequest
from txstalecache.store.interfaces import Found, ILease, Purpose

if TYPE_CHECKING:
    from txstalecache.flight.registry import Registry

__all__ = ["Flight", "State"]

#: Answers that count as the origin's failure (RFC 5861 §4).
ERRORS = frozenset({500, 502, 503, 504})
ATTEMPTS = 2
#: Seconds between two looks at the clocks, at least.
TICK = 0.05


class State(Enum):
    """Where a flight is; see the module's table."""

    PENDING = "pending"
    STREAMING = "streaming"
    DONE = "done"
    BROKEN = "broken"
    UNSHAREABLE = "unshareable"
    FAILED = "failed"


class Waiter:
    """One request that waits, on its own Deferred."""

    __slots__ = ("deferred", "entry", "leads", "request", "since")

    def __init__(
        self, request: RequestHead, entry: Entry | None, deferred: Deferred[Landing], since: float, leads: bool
    ) -> None:
        self.request = request
        self.entry = entry
        self.deferred = deferred
        self.since = since
        self.leads = leads


class Discard:
    """A sink for a body that nobody reads."""

    def write(self, data: bytes) -> None:
        pass

    def complete(self, framing: Framing) -> None:
        pass

    def broken(self, error: OriginError) -> None:
        pass


class Flight:
    """See the module. ``outdated``: a purge or an invalidation has passed it: nobody joins, nothing is stored."""

    _log = Logger()

    def __init__(self, registry: Registry, plan: Plan, purpose: Purpose) -> None:
        self._registry = registry
        self.plan = plan
        self.purpose = purpose
        self.state = State.PENDING
        self.began = registry.store.now()
        self.outdated = False
        self.waiters: dict[Waiter, None] = {}
        self.body = Body(window=registry.limits.window)
        self.attempts = 0
        self._tasks: list[Deferred[None]] = []
        self._response: IOriginResponse | None = None
        self._admission: Admission = Withhold("pending")
        self._request_time = self._response_time = self.began
        self._lease: ILease | None = None
        self._counted = 0
        self._progressed = registry.clock.seconds()
        self._ticker: IDelayedCall | None = None
        self._lagging: dict[Reader, int] = {}

    # -- those who wait ------------------------------------------------------------------------------------------

    def wait(self, request: RequestHead, entry: Entry | None, *, leads: bool = False) -> Deferred[Landing]:
        """A Deferred of the caller's own, which never fails; cancelling it only detaches the caller."""
        waiter: Waiter

        def left(_: Deferred[Landing]) -> None:
            del self.waiters[waiter]
            self._registry.waiting -= 1
            self._if_abandoned()

        waiter = Waiter(request, entry, Deferred(left), self._registry.clock.seconds(), leads)
        self.waiters[waiter] = None
        self._registry.waiting += 1
        if self.state is State.STREAMING:
            self._admit(waiter)
        elif self._ticker is None:
            self._schedule()
        return waiter.deferred

    def joinable(self, request: RequestHead, began_after: float | None) -> bool:
        """Whether ``request`` may wait here; ``began_after``: it takes no answer fetched earlier."""
        if self.outdated or self.plan.sharing is not Sharing.SHARED:
            return False
        if began_after is not None and self.began <= began_after:
            return False
        if self.state is State.PENDING:
            return True
        return (
            self.state is State.STREAMING
            and isinstance(self._admission, Store)
            and not self._admission.freshness.no_cache
            and self._admission.freshness.lifetime > self._admission.freshness.initial_age
            and self.body.retained
            and self._fits(request)
            and self._stalled() < self.plan.clocks.leader_age
        )

    def _fits(self, request: RequestHead) -> bool:
        assert self._response is not None
        names = vary.names(self._response.head.fields)
        return names is not None and vary.selector(names, request) == vary.selector(names, self.plan.fetch)

    def _identified(self, request: RequestHead) -> bool:
        return forward.identified(request, self.plan.rules.keyed_fields.union(self.plan.names))

    def _land(self, waiter: Waiter, landing: Landing) -> None:
        if waiter in self.waiters:
            del self.waiters[waiter]
            self._registry.waiting -= 1
            waiter.deferred.callback(landing)

    def _land_all(self, landing: Landing) -> None:
        for waiter in list(self.waiters):
            self._land(waiter, landing)

    # -- attempts ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take off. Call once."""
        self._attempt(self._first())

    def cancel(self) -> None:
        """Land everybody as failed and drop the fetch."""
        self._land_all(Failed(503, "shutdown", self._registry.limits.retry_after))
        if self.state is State.STREAMING:
            self.body.cut()
        self._end(State.FAILED)

    def _attempt(self, attempt: Coroutine[Deferred[Any], Any, None]) -> None:
        self.attempts += 1
        task: Deferred[None] = Deferred.fromCoroutine(attempt)
        self._tasks.append(task)
        task.addErrback(self._crashed)

    def _crashed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        self._log.failure("flight failed", failure=failure)
        if self.state is State.PENDING:
            self._failed(OriginError(Fault.MALFORMED, "internal error"))
        else:
            self.broken(OriginError(Fault.TRUNCATED, "internal error"))

    async def _first(self) -> None:
        leased = self.plan.sharing is Sharing.SHARED and self.plan.began_after is None
        if leased and not await self._board():
            return
        await self._fetch()

    async def _fetch(self) -> None:
        request_time = self._registry.store.now()
        plan = self.plan
        try:
            response: IOriginResponse = await self._registry.origin.fetch(
                OriginRequest(plan.fetch, plan.body, plan.informational, plan.deadlines)
            )
        except OriginError as error:
            self._failed(error)
            return
        if self.state is not State.PENDING:
            response.abort()
            return
        self._response = response
        self._request_time = request_time
        self._response_time = self._registry.store.now()
        self._progressed = self._registry.clock.seconds()
        self._arrived(response)

    async def _board(self) -> bool:
        """Get the lease, or what its holder brought. False: the flight has ended or landed meanwhile."""
        registry, key = self._registry, self.plan.key
        while True:
            lease: ILease | None = await registry.leases.acquire(registry.lease_name(self.plan), self.purpose)
            if lease is not None:
                self._lease = lease
                # Look again after getting the lock: somebody may have stored between our miss and now.
                return not self._settled_by(await registry.store.lookup(key, self.plan.request))
            if self.purpose is Purpose.REFRESH:
                if not self.waiters:
                    self._end(State.DONE)
                    return False
                self.purpose = Purpose.FETCH
                continue
            # Subscribe, then look: a change between the two is not lost.
            changed = registry.leases.changed(key)
            if self._settled_by(await registry.store.lookup(key, self.plan.request)):
                changed.addErrback(lambda failure: failure.trap(CancelledError) and None)
                changed.cancel()
                return False
            await changed

    def _settled_by(self, found: Found) -> bool:
        """Whether another process has answered what this flight is for; lands everybody if so."""
        plan, now = self.plan, self._registry.store.now()
        if found.vary and found.vary != plan.names:
            self._land_all(Regroup(found.vary))
        elif found.marker is not None and found.marker.kind is MarkerKind.PRIVATE:
            self._land_all(Alone("hit-for-miss"))
        elif found.marker is not None and found.marker.kind is MarkerKind.ERROR and plan.entry is None:
            self._land_all(Failed(found.marker.status, "error-marker", self._registry.limits.retry_after))
        elif self._newer(found.entry, now):
            assert found.entry is not None
            self._land_all(Settled(found.entry, collapsed=True))
        else:
            return False
        self._end(State.DONE)
        return True

    def _newer(self, entry: Entry | None, now: float) -> bool:
        if entry is None or (self.plan.entry is not None and entry.response_time <= self.plan.entry.response_time):
            return False
        verdict = policy.judge(self.plan.request, entry, None, self.plan.rules, now)
        return isinstance(verdict, Fresh)

    # -- the decision at the head --------------------------------------------------------------------------------

    def _arrived(self, response: IOriginResponse) -> None:
        plan, head = self.plan, response.head
        shared = plan.sharing is Sharing.SHARED
        if shared and plan.entry is not None and head.status == 304:
            self._validated(plan.entry, response)
            return
        admission = self._admission = policy.admit(
            plan.fetch, head, plan.rules, self._request_time, self._response_time
        )
        if shared and head.status in ERRORS and not (isinstance(admission, Store) and plan.entry is None):
            self._admission = Share(admission.explicit, "error") if isinstance(admission, Store) else admission
            if self._fell_back(head.status):
                response.abort()
                return
            if len(self.waiters) > 1:
                self._mark(MarkerKind.ERROR, self._registry.limits.error_marker, "origin-error", head.status)
        self._stream(response)

    def _validated(self, entry: Entry, response: IOriginResponse) -> None:
        """RFC 9111 §4.3.4: the origin says the entry still holds."""
        plan = self.plan
        fresh = conditional.freshen(
            entry, plan.fetch, response.head, plan.rules, self._request_time, self._response_time
        )
        response.deliver(Discard())
        if fresh is None:
            # It is about another representation, or this one may no longer be shared: ask for what holds now.
            self._registry.store.discard(plan.key)
            fields = plan.fetch.fields.without(*(name.lower() for name, _ in plan.conditions))
            self.plan = replace(plan, entry=None, conditions=Fields(), fetch=replace(plan.fetch, fields=fields))
            self._response = None
            self._attempt(self._fetch())
            return
        self._put(fresh)
        self._land_all(Settled(fresh, collapsed=len(self.waiters) > 1, validated=True))
        self._end(State.DONE)

    def _stream(self, response: IOriginResponse) -> None:
        admission, plan = self._admission, self.plan
        withheld = isinstance(admission, Withhold) and plan.sharing is Sharing.SHARED
        if withheld and response.head.status not in ERRORS:
            self._mark(MarkerKind.PRIVATE, plan.rules.hit_for_miss, admission.why)
        storing = isinstance(admission, Store) and self._storable(admission, response)
        if plan.entry is not None and not storing and response.head.status not in ERRORS:
            self._superseded(plan.entry, response)
        self.body.retained = storing
        self.body.drained = response.resume
        self.body.abandoned = self._if_abandoned
        self.state = State.STREAMING
        collapsed = len(self.waiters) > 1
        leader = next((waiter for waiter in self.waiters if waiter.leads), None)
        if withheld:
            self.state = State.UNSHAREABLE
        for waiter in list(self.waiters):
            self._admit(waiter, collapsed)
        if (leader is None and self.state is State.UNSHAREABLE) or not (self.body.readers or storing):
            response.abort()
            self._end(State.DONE)
            return
        response.deliver(self)
        if self.state in (State.STREAMING, State.UNSHAREABLE) and self._ticker is None:
            self._schedule()

    def _superseded(self, entry: Entry, response: IOriginResponse) -> None:
        """The origin has something else now, and it may not be stored; or has said by HEAD that nothing has changed."""
        plan = self.plan
        fresh = None
        if plan.fetch.method == b"HEAD":
            fresh = conditional.freshen_by_head(
                entry, plan.fetch, response.head, plan.rules, self._request_time, self._response_time
            )
        if fresh is None:
            self._registry.store.discard(plan.key)
        elif fresh is not entry:
            self._put(fresh)

    def _admit(self, waiter: Waiter, collapsed: bool = True) -> None:
        """Give ``waiter`` the answer that has just begun, or say why it may not have it."""
        plan, admission, response = self.plan, self._admission, self._response
        assert response is not None
        if plan.sharing is Sharing.SHARED:
            owns = waiter.leads and plan.intact
            if isinstance(admission, Withhold):
                if not owns:
                    self._land(waiter, self._withheld(admission, response.head.status))
                    return
            elif not self._fits(waiter.request):
                self._land(waiter, Regroup(vary.names(response.head.fields) or ()))
                return
            elif not owns and plan.cookie_matters(waiter.request) and not admission.explicit:
                self._mark(MarkerKind.COOKIE, plan.rules.hit_for_miss, "cookie")
                self._land(waiter, Alone("cookie"))
                return
            elif not owns and not admission.explicit and self._identified(waiter.request):
                self._land(waiter, Alone("credentials"))
                return
        length = 0 if plan.fetch.method == b"HEAD" else response.length
        self._land(waiter, Attached(response.head, self.body, length, collapsed, self.body.retained, admission.why))

    def _withheld(self, admission: Withhold, status: int) -> Landing:
        if status in ERRORS:
            return Failed(status, "origin-error", self._registry.limits.retry_after)
        return Alone(admission.why)

    def _storable(self, admission: Store, response: IOriginResponse) -> bool:
        plan, registry = self.plan, self._registry
        return (
            plan.sharing is not Sharing.PRIVATE
            and plan.fetch.method != b"HEAD"
            and (admission.explicit or not (plan.cookie_matters(plan.fetch) or self._identified(plan.fetch)))
            and (response.length or 0) <= plan.rules.max_object
            and registry.held + (response.length or 0) <= registry.limits.bytes_in_flight
            and not self.outdated
        )

    def _mark(self, kind: MarkerKind, seconds: float, why: str, status: int = 0) -> None:
        self._registry.store.mark(self.plan.key, Marker(kind, self._registry.store.now() + seconds, why, status))

    # -- failure -------------------------------------------------------------------------------------------------

    def _failed(self, error: OriginError) -> None:
        """An attempt brought no head."""
        if self.state is not State.PENDING:
            return
        if sum(1 for task in self._tasks if not task.called) > 1:
            return  # the other attempt is still in the air
        if self._fell_back(None):
            return
        retry_after = None if error.fault is Fault.MALFORMED else self._registry.limits.retry_after
        if len(self.waiters) > 1:
            self._mark(MarkerKind.ERROR, self._registry.limits.error_marker, error.fault.value, error.status)
        self._land_all(Failed(error.status, error.fault.value, retry_after))
        self._end(State.FAILED)

    def _fell_back(self, status: int | None) -> bool:
        """Stale for whoever may have it; else one more attempt while others wait. Whether nothing is left to do now."""
        now = self._registry.store.now()
        why = "error" if status is not None else "unreachable"
        for waiter in list(self.waiters):
            entry = waiter.entry
            if entry is not None and policy.stands_in(entry, waiter.request, status, now):
                self._land(waiter, Settled(entry, collapsed=len(self.waiters) > 1, stale=why, status=status))
        if self.plan.entry is not None and self._lease is not None:
            self._lease.back_off()
        if not self.waiters:
            self._end(State.FAILED)
            return True
        if self.plan.sharing is Sharing.SHARED and len(self.waiters) > 1 and self.attempts < ATTEMPTS:
            self._response = None
            self._progressed = self._registry.clock.seconds()
            self._attempt(self._fetch())
            return True
        return False

    # -- the body (Sink) -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        body, registry = self.body, self._registry
        self._progressed = registry.clock.seconds()
        if body.retained:
            over = body.length + len(data) > self.plan.rules.max_object
            if over or self.outdated or registry.held + len(data) > registry.limits.bytes_in_flight:
                self._count(0)
                body.release()
            else:
                self._count(self._counted + len(data))
        body.append(data)
        if body.full and self._response is not None:
            self._response.pause()

    def complete(self, framing: Framing) -> None:
        if framing is Framing.DELIMITED and self.body.retained and not self.outdated:
            try:
                self._store_whole()
            except Exception:
                # The clients have their answer whatever becomes of the entry.
                self._log.failure("an answer could not be stored")
        self.body.end()
        self._end(State.DONE)

    def _store_whole(self) -> None:
        admission, response, lease = self._admission, self._response, self._lease
        if response is None or not isinstance(admission, Store) or (lease is not None and lease.lost):
            return
        chunks = tuple(self.body.chunks)
        if chunks and self.body.length <= Body.COMPACT:
            chunks = (b"".join(chunks),)
        entry = policy.make_entry(
            self.plan.fetch, response.head, chunks, admission, self._request_time, self._response_time
        )
        self._put(entry)

    def broken(self, error: OriginError) -> None:
        if self.plan.entry is not None and self._lease is not None:
            self._lease.back_off()
        self.body.cut()
        self._end(State.BROKEN)

    def _put(self, entry: Entry) -> None:
        store = self._registry.store
        keep = entry.expiry(store.now())
        if keep > 0:
            store.put(self.plan.key, entry, keep)

    # -- leaving and ending --------------------------------------------------------------------------------------

    def _if_abandoned(self) -> None:
        """Nobody is left: go on only for an answer that may be stored."""
        if self.waiters or self.body.readers:
            return
        if self.state is State.PENDING and self.plan.sharing is Sharing.SHARED:
            return
        if self.state is State.STREAMING and self.body.retained:
            return
        self._end(State.DONE)

    def _end(self, state: State) -> None:
        """Leave the registry, give back the lease, stop what is still in the air. Idempotent."""
        self.state = State.FAILED if state is State.PENDING else state
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        self._count(0)
        self._lagging.clear()
        self._registry.ended(self)
        lease, self._lease = self._lease, None
        if lease is not None:
            lease.release()
        if self._response is not None and not self.body.ended:
            self._response.abort()
        for task in self._tasks:
            if not task.called:
                task.cancel()

    def _count(self, held: int) -> None:
        self._registry.held += held - self._counted
        self._counted = held

    # -- the clocks ----------------------------------------------------------------------------------------------

    def _stalled(self) -> float:
        return self._registry.clock.seconds() - self._progressed

    def _schedule(self) -> None:
        due = self._due()
        if due is not None:
            delay = max(TICK, due - self._registry.clock.seconds())
            self._ticker = self._registry.clock.callLater(delay, self._tick)

    def _due(self) -> float | None:
        """When the clocks are to be looked at next, in the reactor's seconds; None: when somebody comes."""
        if self.state is not State.PENDING:
            return self._registry.clock.seconds() + 1.0 if not self.body.retained else None
        clocks, now = self.plan.clocks, self._registry.clock.seconds()
        times = []
        if len(self.waiters) > 1 and self.attempts < ATTEMPTS:
            times.append(self._progressed + clocks.leader_age)
        for waiter in self.waiters:
            times.append(waiter.since + clocks.wait_deadline)
            if waiter.since + clocks.wait_stale > now:
                times.append(waiter.since + clocks.wait_stale)
            break
        return min(times, default=None)

    def _tick(self) -> None:
        self._ticker = None
        if self.state is State.PENDING:
            self._look_at_clocks()
        else:
            self._drop_laggards()
        if self.state in (State.PENDING, State.STREAMING, State.UNSHAREABLE) and self._ticker is None:
            self._schedule()

    def _look_at_clocks(self) -> None:
        clocks, now, time = self.plan.clocks, self._registry.clock.seconds(), self._registry.store.now()
        for waiter in list(self.waiters):
            waited = now - waiter.since
            if waited < min(clocks.wait_stale, clocks.wait_deadline):
                break
            entry = waiter.entry
            if entry is not None and policy.stands_in(entry, waiter.request, None, time):
                self._land(waiter, Settled(entry, collapsed=True, stale="wait"))
            elif waited >= clocks.wait_deadline:
                self._land(waiter, self._late())
        if self._stalled() >= clocks.leader_age and len(self.waiters) > 1 and self.attempts < ATTEMPTS:
            self._progressed = now
            self._attempt(self._fetch())
        self._if_abandoned()

    def _late(self) -> Landing:
        if self.plan.clocks.late is Late.PASS and self._registry.may_pass_late(self.plan.key):
            return Alone("late")
        return Failed(504, "wait-deadline", self._registry.limits.retry_after)

    def _drop_laggards(self) -> None:
        """Readers that keep the origin paused, have others ahead of them, and take too little, are dropped."""
        body, limits = self.body, self._registry.limits
        if not body.full or len(body.readers) < 2:
            self._lagging.clear()
            return
        slowest = body.slowest()
        if len(slowest) == len(body.readers):
            return
        before, self._lagging = self._lagging, {reader: reader.read for reader in slowest}
        for reader in slowest:
            if reader in before and reader.read - before[reader] < limits.min_rate:
                reader.fail()
        body.passed()
