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

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.flight.arrival import ERRORS, Arrival
from txstalecache.flight.boarding import Boarding
from txstalecache.flight.body import Body, Reader
from txstalecache.flight.clocks import Late
from txstalecache.flight.discard import Discard
from txstalecache.flight.hooks import Hooks
from txstalecache.flight.laggards import Laggards
from txstalecache.flight.landing import Alone, Attached, Failed, Landing, Settled
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.relayed import Relayed
from txstalecache.flight.state import State
from txstalecache.flight.waiters import Waiter, Waiters
from txstalecache.http import conditional, parts, policy, tags
from txstalecache.http.entry import Entry, Marker, MarkerKind, Selector
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.verdict import Admission, Share, Store, Withhold
from txstalecache.origin.interfaces import Fault, Framing, IOriginResponse, OriginError, OriginRequest
from txstalecache.store.interfaces import Found, ILease, Purpose, Send
from txstalecache.store.relay import Reception, Told, Transmission

if TYPE_CHECKING:
    from txstalecache.flight.registry import Registry

__all__ = ["Flight", "State"]

#: Answers that are not passed on to other processes.
_HERE_ONLY = ERRORS | {206}
ATTEMPTS = 2
#: Seconds between two looks at the clocks, at least.
TICK = 0.05


class Flight:
    """See the module. What it holds lets go of it when it ends: ten thousand a second are not left to the garbage
    collector."""

    _log = Logger()

    state = State.PENDING
    _passed = False
    _asked = inf
    """When the oldest fetch in the air, or the one that answered, was asked for; in the store's time."""
    attempts = 0
    _response: IOriginResponse | None = None
    """Where the body comes from."""
    _arrival: Arrival | None = None
    """What has landed it."""
    lease: ILease | None = None
    """What is held for this."""
    _counted = 0
    due = inf
    """When its clocks are to be looked at, in the reactor's seconds."""
    _storing = False
    """Whether the body is kept from its first byte, to be stored when it is whole."""
    _laggards: Laggards | None = None
    """Once it has been streaming for long enough that some may be behind."""
    _transmission: Transmission | None = None
    """On its way to other processes."""
    _tags: frozenset[bytes] = frozenset()
    """What the answer is tagged with, once its head is here."""

    def __init__(self, registry: Registry, plan: Plan, purpose: Purpose) -> None:
        self._registry = registry
        self.plan = plan
        self.purpose = purpose
        self.began = registry.store.now()
        self.waiters = Waiters(plan.clocks, registry.counted, self._if_abandoned)
        self.body = Body(window=registry.limits.window)
        self.air: set[Deferred[Any]] = set()
        """What is under way to get an answer; cancelled when one has been found."""
        self._progressed = registry.clock.seconds()

    # -- those who wait ------------------------------------------------------------------------------------------

    def wait(self, request: RequestHead, entry: Entry | None, *, leads: bool = False) -> Deferred[Landing]:
        """A Deferred of the caller's own, which never fails; cancelling it only detaches the caller."""
        waiter = self.waiters.add(request, entry, self._registry.clock.seconds(), leads=leads)
        arrival = self._arrival
        if self.state is State.STREAMING and arrival is not None:
            self.waiters.land(waiter, self._seat(arrival, waiter, collapsed=True))
        elif self.plan.sharing is Sharing.SHARED and (self.due == inf or len(self.waiters) == 2):
            # From the second one on somebody waits for the leader. Who is alone waits for nobody but the origin, and
            # for that the fetch has deadlines of its own.
            self._schedule()
        return waiter

    def joinable(self, request: RequestHead, began_after: float | None) -> bool:
        """Whether ``request`` may wait here; ``began_after``: it takes no answer fetched earlier."""
        if self.outdated or self.plan.sharing is not Sharing.SHARED:
            return False
        if began_after is not None and self.began <= began_after:
            return False
        if self.state is State.PENDING:
            return True
        arrival = self._arrival
        return (
            self.state is State.STREAMING
            and self._storing
            and arrival is not None
            and arrival.keeps_fresh
            and arrival.fits(request)
            and self._stalled() < self.plan.clocks.leader_age
        )

    @property
    def outdated(self) -> bool:
        """Whether a purge or an invalidation, of this process or another, has passed it: nobody joins, nothing is
        stored."""
        plan, store = self.plan, self._registry.store
        return self._passed or store.outdated(plan.key, self._asked, self._tags, plan.fetch)

    def passed(self) -> None:
        """An invalidation has passed it. Whoever comes next fetches anew, and is not to wait for its lease."""
        self._passed = True
        self._let_go()

    def _let_go(self) -> None:
        """Nobody elsewhere need wait for this."""
        lease, self.lease = self.lease, None
        if lease is not None:
            lease.release()

    # -- attempts ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take off. Call once."""
        self.attempts += 1
        try:
            if self.plan.sharing is Sharing.SHARED and self.plan.began_after is None:
                Boarding(self._registry, self).start()
            else:
                self.fetch()
        except Exception:
            self.crashed(Failure())

    def cancel(self) -> None:
        """Land everybody as failed, cut who reads, and drop the fetch."""
        self.waiters.land_all(Failed(503, "shutdown", self._registry.limits.retry_after))
        if self.state in (State.STREAMING, State.UNSHAREABLE):
            self.body.cut()
        self.end(State.FAILED)

    def crashed(self, failure: Failure) -> None:
        """A fault of our own: nobody is to wait for it."""
        if failure.check(CancelledError):
            return
        self._log.failure("flight failed", failure=failure)
        if self.state is State.PENDING:
            self._failed(OriginError(Fault.MALFORMED, "internal error"))
        else:
            self.broken(OriginError(Fault.TRUNCATED, "internal error"))

    def _again(self) -> None:
        """One more attempt."""
        self.attempts += 1
        self.fetch()

    def fetch(self) -> None:
        """Ask the origin."""
        request_time = self._registry.store.now()
        self._asked = min(self._asked, request_time)
        plan = self.plan
        self._registry.figures.fetches += 1
        fetching: Deferred[IOriginResponse] = (plan.origin or self._registry.origin).fetch(
            OriginRequest(plan.fetch, plan.body, plan.informational, plan.deadlines, plan.key.digest.encode())
        )
        self.air.add(fetching)
        fetching.addBoth(self._asked_for, fetching, request_time)

    def _asked_for(self, result: IOriginResponse | Failure, fetching: Deferred[Any], request_time: float) -> None:
        """What became of ``fetching``."""
        self.air.discard(fetching)
        try:
            if isinstance(result, Failure):
                self._unanswered(result)
            else:
                self._answered(result, request_time)
        except Exception:
            self.crashed(Failure())

    def _unanswered(self, failure: Failure) -> None:
        failure.trap(OriginError)
        error = failure.value
        assert isinstance(error, OriginError)
        self._registry.figures.faulted(error.fault)
        self._failed(error)

    def _answered(self, response: IOriginResponse, request_time: float) -> None:
        registry = self._registry
        now = registry.store.now()
        registry.figures.answered(response.head.status, now - request_time)
        if self.state is not State.PENDING:
            response.abort()
            return
        self._response = response
        self._asked = request_time
        self._progressed = registry.clock.seconds()
        self._arrived(response, request_time, now)

    def receive(self, reception: Reception) -> bool:
        """What another process gets of the origin is on its way to us: land with it, if it is for those who wait here.
        Whether it is."""
        told, plan, store = reception.told, self.plan, self._registry.store
        if not (told.late or self.began < told.response_time):
            return False
        if store.outdated(plan.key, told.request_time, tags.of(plan.fetch, told.head.fields), plan.fetch):
            return False
        self._response = Relayed(reception)
        self._asked = told.request_time
        self._progressed = self._registry.clock.seconds()
        self._arrived(self._response, told.request_time, told.response_time, told.selector)
        return True

    # -- the decision at the head --------------------------------------------------------------------------------

    def _arrived(
        self, response: IOriginResponse, request_time: float, response_time: float, chosen: Selector | None = None
    ) -> None:
        plan, head = self.plan, response.head
        shared = plan.sharing is Sharing.SHARED
        if shared and plan.entry is not None and head.status == 304:
            self._validated(plan.entry, response, request_time, response_time)
            return
        admission = policy.admit(plan.fetch, head, plan.rules, request_time, response_time)
        if plan.hooks is not None:
            admission = self._hooked(plan.hooks, admission, head)
        if shared and head.status in ERRORS and not (isinstance(admission, Store) and plan.entry is None):
            # An error never takes the place of an entry that was good.
            if isinstance(admission, Store):
                admission = Share(admission.explicit, "error")
            if self._fell_back(head.status):
                response.abort()
                return
            if len(self.waiters) > 1:
                self._mark(MarkerKind.ERROR, self._registry.limits.error_marker, policy.ORIGIN_ERROR, head.status)
        arrival = Arrival(plan, head, response.length, admission, request_time, response_time, chosen)
        self._arrival = arrival
        self._stream(arrival, response)

    def _hooked(self, hooks: Hooks, admission: Admission, head: ResponseHead) -> Admission:
        """What the route's own code makes of it; when that fails, nobody else gets the answer and none is stored."""
        try:
            return hooks.admitted(self.plan.fetch, head, admission)
        except Exception:
            self._log.failure("a hook failed")
            return Withhold("hook-failed")

    def _validated(self, entry: Entry, response: IOriginResponse, request_time: float, response_time: float) -> None:
        """RFC 9111 §4.3.4: the origin says the entry still holds."""
        plan, store = self.plan, self._registry.store
        fresh = conditional.freshen(entry, plan.fetch, response.head, plan.rules, request_time, response_time)
        response.deliver(Discard())
        purged = store.left(plan.key, entry) is None
        if purged or fresh is None:
            # It is gone since, is about another representation, or may no longer be shared: ask for what holds now.
            if not purged:
                store.discard(plan.key)
            fields = plan.fetch.fields.without(*(name.lower() for name, _ in plan.conditions))
            self.plan = replace(plan, entry=None, conditions=Fields(), fetch=replace(plan.fetch, fields=fields))
            self._response = None
            self._again()
            return
        self._put(fresh)
        self.waiters.land_all(Settled(fresh, collapsed=len(self.waiters) > 1, validated=True))
        self.end(State.DONE)

    def _stream(self, arrival: Arrival, response: IOriginResponse) -> None:
        admission, plan, status = arrival.admission, self.plan, arrival.head.status
        self._tags = tags.of(plan.fetch, arrival.head.fields)
        withheld = arrival.withheld
        if withheld:
            if not (arrival.error or arrival.provoked or admission.why in ("hook-failed", "range")):
                self._mark(MarkerKind.PRIVATE, plan.rules.hit_for_miss, admission.why)
        elif isinstance(admission, Share) and not plan.sharing.shared and not arrival.error:
            self._shareable_again()
        self._storing = arrival.storable and self._room_for(arrival.length or 0) and not self.outdated
        if arrival.own and plan.entry is not None and not self._storing and not arrival.error:
            self._superseded(plan.entry, arrival)
        if arrival.too_long:
            self._mark(MarkerKind.LONG, plan.rules.hit_for_miss, "long")
        self.body.passing = not self._storing
        self.body.drained = response.resume
        self.body.abandoned = self._if_abandoned
        self.state = State.UNSHAREABLE if withheld else State.STREAMING
        waiters = list(self.waiters)
        collapsed = not arrival.own or len(waiters) > 1
        seats = [self._seat(arrival, waiter, collapsed) for waiter in waiters]
        if arrival.provoked:
            self._let_go()  # whoever asks for himself is not to wait until this one has been read
        elif self.lease is not None and not withheld and plan.fetch.method == b"GET" and status not in _HERE_ONLY:
            self.lease.when_watched(self._pass_on)
        wanted = self._storing or bool(self.body.readers) or Attached in map(type, seats)
        if wanted:
            # What is here of the body already is taken in first: a short answer is then written in one piece.
            response.deliver(self)
        for waiter, seat in zip(waiters, seats, strict=True):
            self.waiters.land(waiter, seat)
        if not self._storing:
            why = admission.why
            if isinstance(admission, Store):
                why = "long" if arrival.too_long else "kept-out"
            self._registry.figures.unstored(plan.key, status, why, arrival.response_time)
            self.body.release()
        if not wanted:
            response.abort()
            self.end(State.DONE)
            return
        if self.state is not State.DONE:
            self._if_abandoned()
        if self.state in (State.STREAMING, State.UNSHAREABLE):
            self._schedule()

    def _pass_on(self, send: Send) -> None:
        """Somebody waits in another process: what comes goes there as well. Nobody here waits for that."""
        arrival = self._arrival
        begun = bool(self.body.length) and not self._storing
        if self.state is not State.STREAMING or arrival is None or begun:
            return
        if (arrival.length or 0) > self.plan.rules.max_object:
            return
        late = self._storing and arrival.keeps_fresh
        head = replace(arrival.head, fields=arrival.head.fields.without(b"set-cookie", b"set-cookie2"))
        told = Told(head, arrival.chosen, arrival.request_time, arrival.response_time, late)
        self._transmission = transmission = send(self.plan.key, told)
        if not transmission.over:
            reader = Reader(self.body, transmission)
            transmission.attach(reader, patient=self._storing)
            reader.start()

    def _shareable_again(self) -> None:
        """An answer to one client could have been shared: the next ones need not go alone."""
        plan, store = self.plan, self._registry.store
        found = store.peek(plan.key, plan.request)
        if found is None or (found.marker is not None and found.marker.kind is MarkerKind.PRIVATE):
            store.unmark(plan.key)

    def _superseded(self, entry: Entry, arrival: Arrival) -> None:
        """The origin has something else now, and it may not be stored; or has said by HEAD that nothing has changed."""
        plan = self.plan
        fresh = None
        if plan.fetch.method == b"HEAD":
            times = arrival.request_time, arrival.response_time
            fresh = conditional.freshen_by_head(entry, plan.fetch, arrival.head, plan.rules, *times)
        if fresh is None:
            self._registry.store.discard(plan.key)
        elif fresh is not entry:
            self._put(fresh)

    def _seat(self, arrival: Arrival, waiter: Waiter, collapsed: bool) -> Landing:
        """What ``waiter`` gets of the answer that has just begun: the answer, or why it may not have it."""
        plan = self.plan
        refused = arrival.refused(waiter, self._registry.limits.retry_after)
        if refused is None:
            length = 0 if plan.fetch.method == b"HEAD" else arrival.length
            return Attached(arrival.head, self.body, length, collapsed, self._storing, arrival.admission.why)
        if isinstance(refused, Alone) and not arrival.withheld:
            # Those who come next are not to wait for it.
            if refused.why == "cookie":
                self._mark(MarkerKind.COOKIE, plan.rules.hit_for_miss, "cookie")
            elif refused.why == "partial" and not plan.part:
                self._mark(MarkerKind.PRIVATE, plan.rules.hit_for_miss, "partial")
        return refused

    def _room_for(self, length: int) -> bool:
        """Whether ``length`` more bytes may be kept until they are stored."""
        registry = self._registry
        return registry.held + length <= registry.limits.bytes_in_flight

    def _mark(self, kind: MarkerKind, seconds: float, why: str, status: int = 0) -> None:
        self._registry.store.mark(self.plan.key, Marker(kind, self._registry.store.now() + seconds, why, status))

    # -- failure -------------------------------------------------------------------------------------------------

    def _failed(self, error: OriginError) -> None:
        """An attempt brought no head."""
        if self.state is not State.PENDING:
            return
        if self.air:
            return  # the other attempt is still in the air
        if self._fell_back(None):
            return
        retry_after = None if error.fault is Fault.MALFORMED else self._registry.limits.retry_after
        if len(self.waiters) > 1:
            self._mark(MarkerKind.ERROR, self._registry.limits.error_marker, error.fault.value, error.status)
        self.waiters.land_all(Failed(error.status, error.fault.value, retry_after))
        self.end(State.FAILED)

    def _fell_back(self, status: int | None) -> bool:
        """Stale for whoever may have it; else one more attempt while others wait. Whether nothing is left to do now.

        ``status`` is the origin's; None: it gave no answer.
        """
        if self.stand_in(status, "unreachable" if status is None else "error"):
            # Those who come next are not to wait for the same: they get stale at once.
            why = policy.ORIGIN_ERROR if status is not None else "unreachable"
            self._mark(MarkerKind.ERROR, self._registry.limits.error_marker, why, status or 502)
        again = self.plan.sharing is Sharing.SHARED and len(self.waiters) > 1 and self.attempts < ATTEMPTS
        if not again and self.plan.entry is not None and self.lease is not None:
            self.lease.back_off()
            self._registry.figures.back_offs += 1
        if not self.waiters:
            self.end(State.FAILED)
            return True
        if again:
            self._response = None
            self._asked = inf
            self._progressed = self._registry.clock.seconds()
            self._again()
        return again

    def stand_in(self, status: int | None, why: str) -> bool:
        """Give everybody the entry that may stand in for the origin's ``status``. Whether anybody was given one."""
        collapsed, before = len(self.waiters) > 1, len(self.waiters)
        told = None if self._response is None else self._response.head.status
        for waiter in self.waiters:
            entry = self.instead(waiter.entry, waiter.request, status)
            if entry is not None:
                self.waiters.land(waiter, Settled(entry, collapsed=collapsed, stale=why, status=told))
        return len(self.waiters) < before

    def instead(self, entry: Entry | None, request: RequestHead, status: int | None) -> Entry | None:
        """What may stand in for the origin's ``status`` (None: it gave no answer): ``entry``, as purges said since it
        was found have left it."""
        store = self._registry.store
        left: Entry | None = None if entry is None else store.left(self.plan.key, entry)
        return left if left is not None and policy.stands_in(left, request, status, store.now()) else None

    # -- the body (Sink) -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        body = self.body
        self._progressed = self._registry.clock.seconds()
        if self._storing:
            over = body.length + len(data) > self.plan.rules.max_object
            if over or self.outdated or not self._room_for(len(data)):
                self._storing = False
                self._count(0)
                if self._transmission is not None:
                    self._transmission.pass_by()
                if not self.waiters:
                    # Else some are still to be let in, at the first byte.
                    body.release()
                    self._schedule()
                    # It may have gone on for the sake of the store alone.
                    self._if_abandoned()
                    if self.state is State.DONE:
                        return
            else:
                self._count(self._counted + len(data))
        body.append(data)
        if body.full and self._response is not None:
            self._response.pause()

    def complete(self, framing: Framing) -> None:
        arrival = self._arrival
        whole = framing is Framing.DELIMITED and self._storing
        if whole and arrival is not None and arrival.own and not self.outdated:
            try:
                self._store_whole(arrival)
            except Exception:
                # The clients have their answer whatever becomes of the entry.
                self._log.failure("an answer could not be stored")
        self.body.end()
        self.end(State.DONE)

    def _store_whole(self, arrival: Arrival) -> None:
        if self.lease is not None and self.lease.lost:
            return
        chunks = tuple(self.body.chunks)
        if chunks and self.body.length <= Body.COMPACT:
            chunks = (b"".join(chunks),)
        entry = arrival.entry(chunks)
        if entry.length < self.plan.rules.min_size:
            return
        hooks = self.plan.hooks
        stored = entry if hooks is None else hooks.stored(self.plan.fetch, arrival.head, entry)
        if stored is not None and stored.status == 206:
            self._put_part(stored)
        elif stored is not None:
            self._put(stored)

    def broken(self, error: OriginError) -> None:
        if self.plan.entry is not None and self.lease is not None:
            self.lease.back_off()
            self._registry.figures.back_offs += 1
        self.body.cut()
        self.end(State.BROKEN)

    def _put_part(self, entry: Entry) -> None:
        """Keep a part beside its key, with those that are there; the whole, once nothing is missing."""
        plan, store = self.plan, self._registry.store
        place = parts.beside(plan.key)

        def put(found: Found) -> None:
            kept = parts.joined(found.entry, entry, plan.rules.max_object)
            if kept is None or self.outdated:
                return
            if kept.status == 200:
                self._put(kept)
            else:
                # Parts are never sent stale: what is needed of them then is fetched.
                store.put(place, kept, kept.freshness.lifetime - kept.age(store.now()))

        found = store.peek(place, plan.request)
        if found is not None:
            put(found)
        else:
            # It takes no longer than a lookup may, and nobody waits for it.
            looking = store.lookup(place, plan.request).addCallback(put)
            looking.addErrback(lambda failure: self._log.failure("a part could not be stored", failure=failure))

    def _put(self, entry: Entry) -> None:
        store = self._registry.store
        keep = entry.expiry(store.now())
        if keep > 0:
            store.put(self.plan.key, entry, keep)

    # -- leaving and ending --------------------------------------------------------------------------------------

    def _if_abandoned(self) -> None:
        """Nobody is left: go on only for an answer that may be stored."""
        if self.waiters or self.body.readers or self not in self._registry.flights:
            return
        if self.state is State.PENDING and self.plan.sharing is Sharing.SHARED:
            return
        if self.state is State.STREAMING and self._storing:
            return
        self.end(State.DONE)

    def end(self, state: State) -> None:
        """Leave the registry, give back the lease, stop what is still in the air. Idempotent."""
        self.state = State.FAILED if state is State.PENDING else state
        self.due = inf
        self.waiters.forget()
        self.body.forget()
        if self._counted:
            self._count(0)
        self._registry.ended(self)
        self._let_go()
        if self._response is not None and not self.body.ended:
            self._response.abort()
        air, self.air = self.air, set()
        for each in air:
            each.cancel()

    def _count(self, held: int) -> None:
        self._registry.held += held - self._counted
        self._counted = held

    # -- the clocks ----------------------------------------------------------------------------------------------

    def _stalled(self) -> float:
        return self._registry.clock.seconds() - self._progressed

    def _schedule(self) -> None:
        now = self._registry.clock.seconds()
        self.due = max(now + TICK, self._next(now))
        self._registry.watch(self.due)

    def _next(self, now: float) -> float:
        """When the clocks are to be looked at next; inf: when somebody comes."""
        if self.state is not State.PENDING:
            return inf if self._storing else now + 1.0
        due = self.waiters.due()
        if len(self.waiters) > 1 and self.attempts < ATTEMPTS:
            due = min(due, self._progressed + self.plan.clocks.leader_age)
        return due

    def tick(self) -> None:
        """It is ``due``."""
        self.due = inf
        if self.state is State.PENDING:
            self._look_at_clocks()
        else:
            laggards = self._laggards
            if laggards is None:
                laggards = self._laggards = Laggards(self._registry.limits.min_rate)
            laggards.look(self.body, self._registry.clock.seconds())
        if self.state in (State.PENDING, State.STREAMING, State.UNSHAREABLE) and self.due == inf:
            self._schedule()

    def _look_at_clocks(self) -> None:
        clocks, now = self.plan.clocks, self._registry.clock.seconds()
        for waiter in self.waiters.impatient(now):
            entry = self.instead(waiter.entry, waiter.request, None)
            if entry is not None:
                self.waiters.land(waiter, Settled(entry, collapsed=True, stale="wait"))
        for waiter in self.waiters.overdue(now):
            self.waiters.land(waiter, self._late(waiter))
        if self.state is not State.PENDING:
            return
        if self._stalled() >= clocks.leader_age and len(self.waiters) > 1 and self.attempts < ATTEMPTS:
            self._progressed = now
            self._again()
        self._if_abandoned()

    def _late(self, waiter: Waiter) -> Landing:
        entry = self.instead(waiter.entry, waiter.request, None)
        if entry is not None:
            return Settled(entry, collapsed=True, stale="wait")
        if self.plan.clocks.late is Late.PASS and self._registry.may_pass_late(self.plan.key):
            return Alone("late", Sharing.LATE)
        return Failed(504, "wait-deadline", self._registry.limits.retry_after)
