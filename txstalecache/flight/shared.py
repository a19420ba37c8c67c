"""A flight for whoever comes: its fetch says nothing about who asks, and goes under a lease.

Clients come, wait on their own Deferred, and leave. At most two attempts are made: a second one when the first fails
while somebody else waits, or when it makes no progress. Whichever first brings a response head lands the flight.

Must not know: clients' connections, how answers are rendered.
"""

from __future__ import annotations

from dataclasses import replace
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txstalecache.flight.arrival import Arrival
from txstalecache.flight.boarding import Boarding
from txstalecache.flight.clocks import Late
from txstalecache.flight.discard import Discard
from txstalecache.flight.flight import TICK, Flight
from txstalecache.flight.landing import Alone, Attached, Failed, Landing, Regroup, Settled
from txstalecache.flight.passage import Passage
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.relayed import Relayed
from txstalecache.flight.settling import settled_for
from txstalecache.flight.state import State
from txstalecache.flight.waiters import Waiter, Waiters
from txstalecache.http import conditional, forward, policy, tags
from txstalecache.http.entry import Entry, Marker, MarkerKind, Selector, Times
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.verdict import Admission, Store
from txstalecache.origin.interfaces import Fault, IOriginResponse, OriginError
from txstalecache.store.interfaces import ILease, Purpose, Send
from txstalecache.store.relay import Reception, Told, Transmission

if TYPE_CHECKING:
    from txstalecache.flight.registry import Registry

__all__ = ["SharedFlight"]

ATTEMPTS = 2

#: What a request may bring about by what it says: it was sent.
_PROVOKED = (Fault.TIMEOUT, Fault.RESET, Fault.MALFORMED)


class SharedFlight(Flight):
    """See the module."""

    lease: ILease | None = None
    """What is held for this."""
    queued = False
    """Whether it has waited for what another process fetches."""
    _send: Send | None = None
    """The way to those who wait in other processes for what the lease is for, once there are any."""
    _transmission: Transmission | None = None
    """On its way to other processes."""
    _supersedes = False
    """Whether what comes shows that the entry which it was to validate no longer holds, unless it takes its place."""
    _other: tuple[Waiter, Plan] | None = None
    """Who last came that has the origin told something else, and their plan."""
    _asked_until: float | None = None
    """How long the origin may take, which the deadlines of the fetch see to, in the reactor's seconds; None: it has not
    been asked."""

    def __init__(self, registry: Registry, plan: Plan, purpose: Purpose) -> None:
        super().__init__(registry, plan, purpose)
        self.waiters = Waiters(plan.clocks, registry.counted, self._if_abandoned, registry.clock.callLater)
        self._progressed = registry.clock.seconds()

    # -- those who wait ------------------------------------------------------------------------------------------

    def wait(self, plan: Plan, *, leads: bool = False) -> Deferred[Landing]:
        """A Deferred of the caller's own, which never fails; cancelling it only detaches the caller. ``plan`` is what
        the caller would have fetched without this."""
        now = self._registry.clock.seconds()
        waiter = self.waiters.add(plan.request, plan.entry, now, leads=leads)
        arrival = self._arrival
        if self.state is State.STREAMING and arrival is not None:
            self.waiters.land(waiter, self._late_seat(arrival, waiter))
            return waiter
        if not leads and plan.group == self.plan.group and forward.differ(plan.fetch.fields, self.plan.fetch.fields):
            self._other = waiter, plan
        # Where those before have no entry: who has one is the first to be due.
        sooner = plan.entry is not None and now + self.plan.clocks.wait_stale < self.due
        if self.due == inf or len(self.waiters) == 2 or sooner:
            # From the second one on somebody waits for the leader.
            self._schedule()
        return waiter

    @property
    def waiting(self) -> int:
        return len(self.waiters) + self.waiters.called

    def _land(self, landing: Landing) -> None:
        self.waiters.land_all(lambda _: landing)

    def settle(self, settled: Settled) -> bool:
        """There is an entry: whoever waits gets it where it is for him, or asks elsewhere for what is, or waits on.
        Whether nobody does, and this is over."""
        rules, now = self.plan.rules, self._registry.store.now()

        def judged(waiter: Waiter) -> Settled | Alone | Regroup | None:
            return settled_for(waiter.request, settled, rules, now)

        def told(waiter: Waiter) -> Landing:
            landing = judged(waiter)
            assert landing is not None
            return landing

        stay: set[Waiter] = set()
        if not settled.validated:  # else nobody does
            stay.update(waiter for waiter, landing in self.waiters.each(judged) if landing is None)
        if not stay:
            # Those who go elsewhere are not to find it in the air, nor its lease.
            self.end(State.DONE)
        self.waiters.land_each([waiter for waiter in self.waiters if waiter not in stay], told)
        return self.state is not State.PENDING

    def joinable(self, request: RequestHead, began_after: float | None) -> bool:
        """Whether ``request`` may wait here; ``began_after``: it takes no answer fetched earlier."""
        if self.outdated:
            return False
        if began_after is not None and not began_after < self._asked < inf:
            return False  # what it may get of another process was asked for earlier, perhaps
        if self.state is State.PENDING:
            return True
        arrival = self._arrival
        return (
            self.state is State.STREAMING
            and self._storing
            and arrival is not None
            and arrival.fits(request)
            and arrival.suits(request, self._registry.store.now())
            and self._stalled() < self.plan.clocks.leader_age
        )

    def passed(self) -> None:
        super().passed()
        # Whoever comes next fetches anew, and is not to wait for the lease of this.
        self._let_go()

    # -- attempts ------------------------------------------------------------------------------------------------

    def _start(self) -> None:
        if self.plan.began_after is None:
            Boarding(self._registry, self).start()
        else:
            self.fetch()

    def fetch(self) -> None:
        if self._asked_until is None:
            limits, now = self.plan.deadlines, self._registry.clock.seconds()
            self._asked_until = now + limits.connect + limits.total
            self._progressed = now
        super().fetch()

    def _again(self) -> None:
        """One more attempt; by whoever has the lease, where that is lost, or goes by another name since a purge."""
        self.attempts += 1
        lease = self.lease
        if lease is not None and (lease.lost or lease.name != self._registry.lease_name(self.plan)):
            self._let_go()
            Boarding(self._registry, self).start()
        else:
            self.fetch()

    @property
    def _may_try_again(self) -> bool:
        """Whether a fetch that makes no progress is to be tried once more: while others wait beside its leader, here or
        in another process."""
        waits = len(self.waiters) > 1 or (self.lease is not None and self.lease.awaited)
        return waits and self.attempts < ATTEMPTS

    # -- the lease, and those who wait for it elsewhere ----------------------------------------------------------

    def watched(self, send: Send) -> None:
        """Somebody waits in another process; with the way to them."""
        self._send = send
        if self.state is not State.PENDING:
            if self._stalls <= self._registry.clock.seconds():
                self._keep_to_itself()  # a refresh: until now nobody was to wait for it
                return
            if self._transmission is None:
                self._pass_on()
        self._schedule()

    def _pass_on(self) -> None:
        """Where somebody waits in another process, what comes goes there as well. Nobody here waits for that."""
        arrival, send = self._arrival, self._send
        if send is None or arrival is None or self.state is not State.STREAMING or not arrival.passed_on:
            return
        if self.body.length and not self._storing:
            return  # some of it is gone
        if (arrival.length or 0) > self.plan.rules.max_object:
            return
        late = self._storing and arrival.keeps_fresh(arrival.response_time)
        head = replace(arrival.head, fields=arrival.head.fields.without(b"set-cookie"))
        told = Told(head, arrival.chosen, *arrival.times, late)
        self._transmission = transmission = send(self.plan.key, told)
        if not transmission.over:
            Passage(self.body, transmission).begin(kept=self._storing, min_rate=self._registry.limits.min_rate)

    def _keep_to_itself(self) -> None:
        """Nothing more has come for long: whoever comes now, here or elsewhere, fetches anew."""
        if self._transmission is not None:
            self._transmission.hide()
        self._let_go()

    def _let_go(self) -> None:
        """Nobody elsewhere need wait for this."""
        lease, self.lease = self.lease, None
        self._send = None
        if lease is not None:
            lease.release()

    def _disband(self) -> None:
        """The same, where what has come is not kept: who waits elsewhere need not wait for one another either. Where it
        is out of date, or an error, one of them fetches for all."""
        arrival = self._arrival
        if self.lease is not None and arrival is not None and not (arrival.error or self.outdated):
            self.lease.disband()
        self._let_go()

    def _rest(self) -> None:
        """A refresh has failed: the key is left alone for a while."""
        if self.plan.entry is not None and self.lease is not None:
            self.lease.back_off()
            self._registry.figures.back_offs += 1

    def receive(self, reception: Reception) -> bool:
        """What another process gets of the origin is on its way to us: land with it, if it is for those who wait here.
        Whether it is."""
        told, plan, store = reception.told, self.plan, self._registry.store
        awaited = any(self._came_before(waiter, told.response_time) for waiter in self.waiters)
        if not (awaited or (told.late and self._in_time(told))):
            return False
        if store.outdated(plan.key, told.request_time, tags.of(plan.fetch, told.head.fields), plan.fetch):
            return False
        self._ground()  # a fetch from before the lease was lost, too
        self._response = Relayed(reception, plan.fetch.method)
        self._asked = told.request_time
        self._arrived(self._response, (told.request_time, told.response_time), told.selector)
        return True

    def _came_before(self, waiter: Waiter, when: float) -> bool:
        """Whether ``waiter`` was here by ``when``, in the store's time."""
        registry = self._registry
        return registry.store.now() - (registry.clock.seconds() - waiter.since) < when

    def _in_time(self, told: Told) -> bool:
        """Whether an answer that began to come elsewhere before this took off is still for some who wait here."""
        times, now = (told.request_time, told.response_time), self._registry.store.now()
        arrival = Arrival(self.plan, told.head, None, self._admission(told.head, times), times, told.selector)
        return any(suits for _, suits in self.waiters.each(lambda waiter: arrival.suits(waiter.request, now)))

    # -- the decision at the head --------------------------------------------------------------------------------

    def _arrived(self, response: IOriginResponse, times: Times, chosen: Selector | None = None) -> None:
        plan, head = self.plan, response.head
        self._progressed = self._registry.clock.seconds()
        if head.status == 304 and plan.entry is not None and plan.conditions:
            self._validated(plan.entry, response, times)
            return
        if head.status == 304 and not forward.conditional(plan.fetch):
            self._unasked(response)
            return
        admission = self._admission(head, times)
        fails = head.status in policy.ERRORS and not isinstance(admission, Store)
        if fails and self._fell_back(head.status, self._error(policy.ORIGIN_ERROR, head.status)):
            response.abort()
            return
        self._admitted(response, admission, times, chosen)

    def _unasked(self, response: IOriginResponse) -> None:
        """RFC 9110 §15.4.5: a 304 is about a condition, and none was sent. It has nothing for anybody."""
        response.abort()
        error = OriginError(Fault.MALFORMED, "a 304 to no condition")
        self._registry.figures.faulted(error.fault)
        self._failed(error)

    def _validated(self, entry: Entry, response: IOriginResponse, times: Times) -> None:
        """RFC 9111 §4.3.4: the origin says the entry still holds."""
        plan, store = self.plan, self._registry.store
        fresh = conditional.freshen(entry, self._validation(response.head, times))
        response.deliver(Discard())
        if self.outdated and not self.waiters:
            self.end(State.DONE)  # nobody would get what is asked for anew, and nothing of it is stored
            return
        purged = store.left(plan.key, entry) is None
        if purged or fresh is None:
            # It is gone since, is about another representation, or may no longer be shared: ask for what holds now.
            if not purged:
                store.discard(plan.key)
            fields = plan.fetch.fields.without(*(name.lower() for name, _ in plan.conditions))
            self.plan = replace(plan, entry=None, conditions=Fields(), fetch=replace(plan.fetch, fields=fields))
            self._response = None
            self._ground()  # a 304 to what was asked before would answer nobody
            self._again()
            return
        self.settle(Settled(self._renewed(fresh), collapsed=len(self.waiters) > 1, validated=True))

    def _stream(self, arrival: Arrival, response: IOriginResponse) -> None:
        admission, plan, withheld = arrival.admission, self.plan, arrival.withheld
        if withheld and not (arrival.error or arrival.provoked or admission.why in ("hook-failed", "range")):
            self._mark(MarkerKind.PRIVATE, admission.why)
        self._supersedes = arrival.own and plan.entry is not None and arrival.tells
        if self.purpose is Purpose.REFRESH and not (self.waiters or arrival.tells):
            self._rest()
        if arrival.too_long:
            self._supersede()  # it is not read for that alone
        self._pour(arrival, response)
        self.state = State.UNSHAREABLE if withheld else State.STREAMING
        if arrival.provoked:
            self._disband()  # whoever asks for himself is not to wait until this one has been read
        elif self._send is not None:
            self._pass_on()
        wanted = self._goes_on or bool(self.body.readers)
        # What is here of the body already is taken in first: a short answer is then written in one piece.
        response.deliver(self)

        def seat(waiter: Waiter) -> Landing:
            nonlocal wanted
            if arrival.own or self._came_before(waiter, arrival.response_time):
                landing = self._seat(arrival, waiter, arrival.head)
            else:
                landing = self._late_seat(arrival, waiter)
            wanted = wanted or isinstance(landing, Attached)
            return landing

        def seated() -> None:
            try:
                self._unstored(arrival)
                if wanted:
                    self._under_way()
                else:
                    self.end(State.DONE)
            except Exception:
                self.crashed(Failure())  # in a later turn nobody else would see to it

        self.waiters.land_all(seat, seated)

    def _seat(self, arrival: Arrival, waiter: Waiter, head: ResponseHead) -> Landing:
        """What ``waiter`` gets of the answer that has begun: the answer under ``head``, or why it may not have it."""
        plan = self.plan
        retry_after = self._registry.limits.retry_after
        refused = arrival.refused(waiter, retry_after)
        if refused is None:
            if arrival.error and not (self._storing or waiter.leads or b"retry-after" in head.fields):
                head = replace(head, fields=head.fields.adding(b"Retry-After", b"%d" % retry_after))
            return self._attached(arrival, head)
        if isinstance(refused, Alone) and not arrival.withheld:
            # Those who come next are not to wait for it.
            if refused.why == "cookie":
                self._mark(MarkerKind.COOKIE, "cookie")
            elif refused.why == "partial" and not plan.part:
                self._mark(MarkerKind.PRIVATE, "partial")
        return refused

    def _late_seat(self, arrival: Arrival, waiter: Waiter) -> Landing:
        """As ``_seat``, for one who came after the head: what is as good as stored by now."""
        now = self._registry.store.now()
        if not arrival.suits(waiter.request, now):
            return Regroup(self.plan.names)
        return self._seat(arrival, waiter, arrival.later(now))

    def _unstored(self, arrival: Arrival) -> None:
        super()._unstored(arrival)
        if not self._storing and self.purpose is Purpose.FETCH:
            # Whoever comes now is not let in any more, and is not to wait until this one has been read.
            self._disband()

    # -- the entry that was to be validated ----------------------------------------------------------------------

    def _not_kept(self) -> None:
        self._supersede()
        self._disband()

    def _supersede(self) -> None:
        """What was stored before the answer may no longer hold."""
        arrival, entry = self._arrival, self.plan.entry
        if not self._supersedes or arrival is None or entry is None:
            return
        self._supersedes = False
        try:
            self._superseded(entry, arrival)
        except Exception:
            self._log.failure("an entry that no longer holds could not be taken away")

    def _superseded(self, entry: Entry, arrival: Arrival) -> None:
        """The origin has something else now, which is not stored; or has said by HEAD that nothing has changed."""
        plan = self.plan
        fresh = None
        if plan.fetch.method == b"HEAD":
            fresh = conditional.freshen_by_head(entry, self._validation(arrival.head, arrival.times))
        if fresh is None:
            found = self._registry.store.peek(plan.key, plan.request)
            newer = found is not None and found.entry is not None and found.entry.response_time > arrival.response_time
            if not newer:
                self._registry.store.discard(plan.key)
        elif fresh is not entry:
            self._renewed(fresh)

    def _validation(self, head: ResponseHead, times: Times) -> conditional.Validation:
        """What ``head`` says of the entry that was to be validated."""
        plan = self.plan

        def admit(asked: RequestHead, merged: ResponseHead) -> Admission:
            return self._ruled(asked, merged, times)

        return conditional.Validation(plan.seen, head, times, admit, plan.rules.fixed_fields)

    def _renewed(self, entry: Entry) -> Entry:
        """``entry``, which still holds, as it is stored again."""
        try:
            stored = self._as_stored(entry, ResponseHead(entry.status, entry.fields))
            if stored is not None:
                self._put(stored)
                self._registry.figures.stored(self.plan.key)
                return stored
        except Exception:
            self._log.failure("an entry could not be renewed")
        return entry

    # -- failure -------------------------------------------------------------------------------------------------

    def _failed(self, error: OriginError) -> None:
        if self.state is not State.PENDING:
            return
        if self.air:
            return  # the other attempt is still in the air
        if self._fell_back(None, self._error(error.fault.value, error.status, provoked=error.fault in _PROVOKED)):
            return
        # Who asks again as he is told of it is not to find it in the air.
        self.end(State.FAILED)
        self._land(self._told(error))

    def _fell_back(self, status: int | None, error: Marker) -> bool:
        """Stale for whoever may have it; else one more attempt while others wait. Whether nothing is left to do now.

        ``status`` is the origin's; None: it gave no answer. ``error`` is what is said of it, where it is.
        """
        spared = self._spared(status)
        if spared:
            # Those who come next are not to wait for the same: they get stale at once. The first comes as one is told.
            why = policy.ORIGIN_ERROR if status is not None else "unreachable"
            self._say(self._error(why, status or 502, provoked=status is not None))
        left = len(self.waiters) - len(spared)
        again = left > 1 and self.attempts < ATTEMPTS
        if left and not again:
            self._share(error)
        if not again:
            self._rest()
        if not left:
            self.end(State.FAILED)
        self._spare(spared, "unreachable" if status is None else "error")
        if again and status is not None:
            self._make_way(status)
        if self.state is not State.PENDING:
            return True  # with the last of them, or by what one has done as he was told
        if again:
            self._response = None
            self._asked = inf
            self._progressed = self._registry.clock.seconds()
            self._again()
        return again

    @property
    def _awaited(self) -> bool:
        """Whether others than the leader wait here, or have waited in another process: if this one had to, too, word of
        them may still be on its way."""
        return len(self.waiters) > 1 or self._send is not None or self.queued

    def _error(self, why: str, status: int, *, provoked: bool = True) -> Marker:
        """What tells those who come next that the origin fails: where what was said to it may have ``provoked`` that,
        those who say the same."""
        until = self._registry.store.now() + self._registry.limits.error_marker
        return Marker(MarkerKind.ERROR, until, why, status, self.plan.said if provoked else b"")

    def _share(self, error: Marker) -> None:
        """It is also the error of those who wait beside the leader, here or in another process."""
        if self._awaited:
            self._say(error)

    def _make_way(self, status: int) -> None:
        """The origin's error may be about what was sent, and not about what was asked for: where somebody waits that
        says something else, the next attempt is made from what they say, and the leader has this error."""
        if self._other is None or self._other[0] not in self.waiters:
            return
        leader, self.plan = self.waiters.leader, replace(self._other[1], provoked=True)
        if leader is not None:
            self.waiters.land(leader, Failed(status, policy.ORIGIN_ERROR, self._registry.limits.retry_after))

    def stand_in(self, status: int | None, why: str) -> bool:
        """Give everybody the entry that may stand in for the origin's ``status``. Whether that was all, and this is
        over."""
        spared = self._spared(status)
        if len(spared) == len(self.waiters):
            self.end(State.DONE)
        self._spare(spared, why)
        return self.state is not State.PENDING

    def _spared(self, status: int | None) -> dict[Waiter, Entry]:
        """Whom an entry may be given in place of the origin's ``status``, with that."""
        found = self.waiters.each(lambda waiter: self.instead(waiter.entry, waiter.request, status))
        return {waiter: entry for waiter, entry in found if entry is not None}

    def _spare(self, spared: dict[Waiter, Entry], why: str) -> None:
        collapsed = len(self.waiters) > 1
        told = None if self._response is None else self._response.head.status
        asked = self._asked_until is not None

        def landing(waiter: Waiter) -> Landing:
            return Settled(spared[waiter], collapsed=collapsed, stale=why, status=told, asked=asked)

        self.waiters.land_each(spared, landing)

    # -- the body ------------------------------------------------------------------------------------------------

    def _let_pass(self) -> None:
        super()._let_pass()
        if not self.outdated:
            self._supersede()
        if self.purpose is Purpose.FETCH:
            self._disband()
        if self._transmission is not None:
            self._transmission.pass_by()

    def _store_whole(self, arrival: Arrival) -> bool:
        if self.lease is not None and self.lease.lost:
            return True
        return super()._store_whole(arrival)

    def broken(self, error: OriginError) -> None:
        self._rest()
        super().broken(error)

    # -- leaving and ending --------------------------------------------------------------------------------------

    @property
    def _goes_on(self) -> bool:
        return self.state is State.PENDING or self._supersedes or super()._goes_on

    def _if_abandoned(self) -> None:
        unread = not (self._storing or self.waiting or self.body.readers or self._taking_off)
        if unread and self._supersedes and self._streaming and self._response is not None:
            # It goes on for what its end shows: a window that is full would never be read.
            self.body.skip()
            self._response.resume()
        super()._if_abandoned()

    def end(self, state: State) -> None:
        self.waiters.forget()
        self._other = None
        super().end(state)

    # -- the clocks ----------------------------------------------------------------------------------------------

    def _stalled(self) -> float:
        return self._registry.clock.seconds() - self._progressed

    @property
    def _stalls(self) -> float:
        """When whoever comes is to wait for this no longer, unless more of the body comes; inf: nobody waits for it, as
        stale is good enough for now."""
        waits = self.lease is not None and (self.purpose is Purpose.FETCH or self._send is not None)
        return self._progressed + self.plan.clocks.leader_age if waits else inf

    def _next(self, now: float) -> float:
        if self.state is not State.PENDING:
            return min(super()._next(now), self._stalls)
        due = self.waiters.due()
        if self._may_try_again:
            due = min(due, self._progressed + self.plan.clocks.leader_age)
        return due

    def tick(self) -> None:
        if self.state is not State.PENDING:
            if self._stalls <= self._registry.clock.seconds():
                self._keep_to_itself()
            super().tick()
            return
        self._look_at_clocks()
        if self.due == inf and self in self._registry.flights:
            more = self.waiters.due() <= self._registry.clock.seconds()
            self._schedule(0.0 if more else TICK)

    def _look_at_clocks(self) -> None:
        clocks, now = self.plan.clocks, self._registry.clock.seconds()
        for waiter in self.waiters.impatient(now):
            entry = self._left_of(waiter.entry)
            if entry is not None and policy.tides_over(entry, waiter.request, self._registry.store.now()):
                self.waiters.land(waiter, Settled(entry, collapsed=True, stale="wait"))
        for waiter in self.waiters.overdue(now):
            landing = self._late(waiter, now)
            if landing is not None:
                self.waiters.land(waiter, landing)
        if self.state is not State.PENDING:
            return
        if self._may_try_again and self._stalled() >= clocks.leader_age:
            self._progressed = now
            # While another process has the lease that one sees to it, for those who wait here as well.
            if self._asked_until is not None:
                self._again()
        self._if_abandoned()

    def _late(self, waiter: Waiter, now: float) -> Landing | None:
        """What becomes of one whose patience has run out; None: it has asked the origin, and goes on waiting for it."""
        entry = self.instead(waiter.entry, waiter.request, None)
        if entry is not None:
            return Settled(entry, collapsed=True, stale="wait")
        if waiter.leads and self._asked_until is not None and now < self._asked_until:
            waiter.until = self._asked_until
            return None
        if self.plan.clocks.late is Late.PASS and self._registry.may_pass_late(self.plan.key):
            return Alone("late", Sharing.LATE)
        return Failed(504, "wait-deadline", self._registry.limits.retry_after)
