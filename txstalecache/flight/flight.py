"""One upstream fetch, and what comes of it: for those who read it and, where it may be stored, for the store.

A flight belongs to the registry, never to a client. One is for one client (``flight.solo``), or for whoever comes
(``flight.shared``). The decision who may have an answer is taken when its head arrives, before a byte reaches anybody::

    PENDING ── head, may be shared ──→ STREAMING ── end ──→ DONE
       │  │                               └── cut ──→ BROKEN
       │  └─── head, not for sharing ──→ UNSHAREABLE (its leader may still stream it) ──→ DONE or BROKEN
       ├────── validated, or found in the store ──→ DONE
       └────── no answer ──→ FAILED

Must not know: clients' connections, how answers are rendered, how many wait for one and for how long.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import inf
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.flight.arrival import Arrival
from txstalecache.flight.body import Body
from txstalecache.flight.hooks import Hooks
from txstalecache.flight.laggards import Laggards
from txstalecache.flight.landing import Attached, Failed, Landing
from txstalecache.flight.plan import Plan
from txstalecache.flight.state import State
from txstalecache.http import parts, policy, tags, vary
from txstalecache.http.admission import admit
from txstalecache.http.entry import Entry, Marker, MarkerKind, Selector, Times
from txstalecache.http.messages import RequestHead, ResponseHead
from txstalecache.http.verdict import Admission, Share, Store, Withhold
from txstalecache.origin.interfaces import Fault, Framing, IOriginResponse, OriginError, OriginRequest
from txstalecache.store.interfaces import Found, Purpose

if TYPE_CHECKING:
    from txstalecache.flight.registry import Registry

__all__ = ["Flight"]

#: Seconds between two looks at the clocks, at least.
TICK = 0.05


class Flight(ABC):
    """See the module; also the Sink of the body. What it holds lets go of it when it ends: ten thousand a second are
    not left to the garbage collector."""

    _log = Logger()

    state = State.PENDING
    _passed = False
    """Whether an invalidation has passed it."""
    _asked = inf
    """When the oldest fetch in the air, or the one that answered, was asked for; in the store's time."""
    attempts = 0
    """Fetches begun so far."""
    _taking_off = False
    """Whether it may land before whoever starts it has got to wait for that."""
    _response: IOriginResponse | None = None
    """Where the body comes from."""
    _arrival: Arrival | None = None
    """What has landed it."""
    _counted = 0
    """Bytes of body that the registry counts as held for this."""
    _progressed = 0.0
    """When something last came, in the reactor's seconds."""
    due = inf
    """When its clocks are to be looked at, in the reactor's seconds."""
    _storing = False
    """Whether the body is kept from its first byte, to be stored when it is whole."""
    _laggards: Laggards | None = None
    """Once it has been streaming for long enough that some may be behind."""
    _tags: frozenset[bytes] = frozenset()
    """What the answer is tagged with, once its head is here."""

    def __init__(self, registry: Registry, plan: Plan, purpose: Purpose) -> None:
        self._registry = registry
        self.plan = plan
        self.purpose = purpose
        self.began = registry.store.now()
        self.body = Body(window=registry.limits.window)
        self.air: set[Deferred[Any]] = set()
        """What is under way to get an answer; cancelled when one has been found."""

    # -- those who wait ------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def waiting(self) -> int:
        """How many wait for it."""

    @abstractmethod
    def _land(self, landing: Landing) -> None:
        """Tell whoever waits what it came to."""

    @property
    def outdated(self) -> bool:
        """Whether a purge or an invalidation, of this process or another, has passed it: nobody joins, nothing is
        stored."""
        plan, store = self.plan, self._registry.store
        return self._passed or store.outdated(plan.key, self._asked, self._tags, plan.fetch)

    @property
    def asked(self) -> bool:
        """Whether the origin has been: who still waits to ask will hear what holds by then."""
        return self._asked < inf

    def passed(self) -> None:
        """An invalidation has passed it."""
        self._passed = True

    # -- the fetch -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take off. Call once."""
        self.attempts += 1
        self._taking_off = True
        try:
            self._start()
        except Exception:
            self.crashed(Failure())
        self._taking_off = False

    def _start(self) -> None:
        self.fetch()

    def cancel(self) -> None:
        """Land everybody as failed, cut who reads, and drop the fetch."""
        self._land(Failed(503, "shutdown", self._registry.limits.retry_after))
        if self._streaming:
            self.body.cut()
        self.end(State.FAILED)

    def crashed(self, failure: Failure) -> None:
        """A fault of our own: nobody is to wait for it."""
        self._log.failure("flight failed", failure=failure)
        error = OriginError(Fault.INTERNAL)
        if self.state is State.PENDING:
            self._failed(error)
        else:
            self.broken(error)
            self._land(self._told(error))

    def fetch(self) -> None:
        """Ask the origin."""
        request_time = self._registry.store.now()
        self._asked = min(self._asked, request_time)
        plan = self.plan
        self._registry.figures.fetches += 1
        request = OriginRequest(plan.fetch, plan.body, plan.informational, plan.deadlines, plan.key.digest.encode())
        # It may be anybody's code, and somebody waits whatever it does.
        try:
            fetched: Any = (plan.origin or self._registry.origin).fetch(request)
        except Exception:
            fetched = fail()
        fetching: Deferred[IOriginResponse] = fetched if isinstance(fetched, Deferred) else succeed(fetched)
        self.air.add(fetching)
        fetching.addBoth(self._asked_for, fetching, request_time)

    def _asked_for(self, result: IOriginResponse | Failure, fetching: Deferred[Any], request_time: float) -> None:
        """What became of ``fetching``."""
        wanted = fetching in self.air
        self.air.discard(fetching)
        try:
            if not isinstance(result, Failure):
                self._answered(result, request_time)
            elif wanted:
                self._unanswered(result)
        except Exception:
            self.crashed(Failure())

    def _unanswered(self, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, CancelledError):
            # Not by us: what we cancel is not in the air any more.
            error = OriginError(Fault.CANCELLED, "given up by the origin")
        if not isinstance(error, OriginError):
            failure.raiseException()
        self._registry.figures.faulted(error.fault)
        self._failed(error)

    @abstractmethod
    def _failed(self, error: OriginError) -> None:
        """An attempt brought no head."""

    def _told(self, error: OriginError) -> Failed:
        """What those are told who wait in vain: to come back, where that may help."""
        lasting = error.fault is Fault.MALFORMED or error.fault is Fault.INTERNAL
        return Failed(error.status, error.fault.value, None if lasting else self._registry.limits.retry_after)

    def _answered(self, response: IOriginResponse, request_time: float) -> None:
        registry = self._registry
        now = registry.store.now()
        registry.figures.answered(response.head.status, now - request_time)
        if self.state is not State.PENDING:
            response.abort()
            return
        self._response = response
        self._asked = request_time
        # Whatever else is in the air for it, a lease that is waited for among it, is for nothing now.
        self._ground()
        self._arrived(response, (request_time, now))

    def instead(self, entry: Entry | None, request: RequestHead, status: int | None) -> Entry | None:
        """What may stand in for the origin's ``status`` (None: it gave no answer): ``entry``, as purges said since it
        was found have left it."""
        left = self._left_of(entry)
        stands_in = left is not None and policy.stands_in(left, request, status, self._registry.store.now())
        return left if stands_in else None

    def _left_of(self, entry: Entry | None) -> Entry | None:
        """``entry``, as purges said since it was found have left it."""
        return None if entry is None else self._registry.store.left(self.plan.key, entry)

    # -- the decision at the head --------------------------------------------------------------------------------

    def _arrived(self, response: IOriginResponse, times: Times, chosen: Selector | None = None) -> None:
        """The head of an answer is here. ``chosen`` as ``Arrival`` has it."""
        self._admitted(response, self._admission(response.head, times), times, chosen)

    def _admission(self, head: ResponseHead, times: Times) -> Admission:
        """What the rules make of an answer that has come."""
        admission = self._ruled(self.plan.fetch, head, times)
        if head.status in policy.ERRORS and isinstance(admission, Store) and self._covers(head):
            return Share(admission.explicit, "error")
        return admission

    def _ruled(self, asked: RequestHead, head: ResponseHead, times: Times) -> Admission:
        """What the rules make of ``head`` in answer to ``asked``, and the route's own code of that."""
        plan = self.plan
        admission = admit(asked, head, plan.rules, times)
        return admission if plan.hooks is None else self._hooked(plan.hooks, admission, asked, head)

    def _covers(self, error: ResponseHead) -> bool:
        """Whether ``error``, if it were stored, would take the place of an entry that was good, or be found in front of
        one."""
        plan = self.plan
        if plan.entry is not None:
            return True
        found = self._registry.store.peek(plan.key, plan.request)
        if found is None:
            return False
        if found.entry is not None and found.entry.status not in policy.ERRORS:
            return True
        return not set(found.vary).issubset(vary.names(error.fields) or ())

    def _hooked(self, hooks: Hooks, admission: Admission, asked: RequestHead, head: ResponseHead) -> Admission:
        """What the route's own code makes of it; when that fails, nobody else gets the answer and none is stored."""
        try:
            return hooks.admitted(asked, head, admission)
        except Exception:
            self._log.failure("a hook failed")
            return Withhold("hook-failed")

    def _admitted(self, response: IOriginResponse, admission: Admission, times: Times, chosen: Selector | None) -> None:
        """It is known who may have the answer."""
        arrival = Arrival(self.plan, response.head, response.length, admission, times, chosen)
        self._arrival = arrival
        self._tags = tags.of(self.plan.fetch, arrival.head.fields)
        self._storing = arrival.storable and self._room_for(arrival.length or 0) and not self.outdated
        self._stream(arrival, response)

    @abstractmethod
    def _stream(self, arrival: Arrival, response: IOriginResponse) -> None:
        """Give the answer to whoever may have it, and say to the others why not."""

    def _pour(self, arrival: Arrival, response: IOriginResponse) -> None:
        """What follows the head is to come into the body."""
        if arrival.too_long:
            self._mark(MarkerKind.LONG, "long")
        body = self.body
        body.passing = not self._storing
        body.drained = response.resume
        body.abandoned = self._if_abandoned

    def _attached(self, arrival: Arrival, head: ResponseHead) -> Attached:
        """What those get who may have the answer, with this head."""
        # What HEAD brings says itself how long the body would be, or nobody knows (RFC 9110 §8.6).
        length = None if self.plan.fetch.method == b"HEAD" else arrival.length
        return Attached(head, self.body, length, self._to_be_stored, self._why(arrival), not arrival.own)

    def _why(self, arrival: Arrival) -> str:
        """The word for what becomes of it: that of the rules, or, where they would have it stored, why it is not."""
        if self._to_be_stored or not isinstance(arrival.admission, Store):
            return arrival.admission.why
        if self._storing:
            return "close-delimited"
        return "long" if arrival.too_long else "kept-out"

    @property
    def _to_be_stored(self) -> bool:
        """Whether it is, as far as its head tells. What ends with its connection is kept for those who come meanwhile
        as if it were."""
        return self._storing and self._response is not None and self._response.framing is Framing.DELIMITED

    def _unstored(self, arrival: Arrival) -> None:
        """Whoever waited has been let in; what is not to be stored need not be retained."""
        if not self._to_be_stored:
            why = self._why(arrival)
            self._registry.figures.unstored(self.plan.key, arrival.head.status, why, arrival.response_time)
        if not self._storing:
            self.body.release()

    def _under_way(self) -> None:
        """It streams from here on, if it has not ended already: is anybody there, and does everybody keep up?"""
        if self._streaming:
            self._if_abandoned()
        if self._streaming:
            self._schedule()
            if self._response is not None and not self.body.full:
                self._response.resume()

    @property
    def _streaming(self) -> bool:
        """Whether an answer is on its way to those who may have it."""
        return self.state is State.STREAMING or self.state is State.UNSHAREABLE

    @property
    def delivers(self) -> bool:
        """Whether somebody, here or in another process, or the store is to have what comes."""
        stores = self._storing and self._arrival is not None and self._arrival.own
        return self._streaming and (stores or bool(self.body.readers))

    def _room_for(self, length: int) -> bool:
        """Whether ``length`` more bytes may be kept until they are stored."""
        registry = self._registry
        return registry.held + length <= registry.limits.bytes_in_flight

    def _mark(self, kind: MarkerKind, why: str) -> None:
        """Say how to fetch the key from now on."""
        self._say(Marker(kind, self._registry.store.now() + self.plan.rules.hit_for_miss, why))

    def _say(self, marker: Marker) -> None:
        """Say something about the key, to GET and HEAD alike: what became of a HEAD tells nothing of a GET."""
        if self.plan.fetch.method != b"HEAD":
            self._registry.store.mark(self.plan.key, marker)

    # -- the body (Sink) -----------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        body = self.body
        self._progressed = self._registry.clock.seconds()
        if self._storing:
            over = body.length + len(data) > self.plan.rules.max_object
            if over or self.outdated or not self._room_for(len(data)):
                self._let_pass()
                if not self.waiting:
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
        if not self._storing and body.held >= body.window and self._response is not None:
            self._response.pause()  # also while some are still to be let in

    def _let_pass(self) -> None:
        """It is not to be stored after all."""
        self._storing = False
        self._count(0)

    def complete(self, framing: Framing) -> None:
        arrival = self._arrival
        if arrival is not None and arrival.own:
            self._whole(arrival, framing)
        self.body.end()
        self.end(State.DONE)

    def _whole(self, arrival: Arrival, framing: Framing) -> None:
        """All of the answer is here: store it, if it is to be; and note, for who asks why, if it is not after all."""
        figures, kept = self._registry.figures, False
        if not self.outdated:
            # The clients have their answer whatever becomes of the entry.
            try:
                kept = framing is Framing.DELIMITED and self._storing and self._store_whole(arrival)
            except Exception:
                self._log.failure("an answer could not be stored")
            if not kept:
                self._not_kept()
        if kept:
            figures.stored(self.plan.key)
        elif arrival.storable and framing is Framing.DELIMITED:
            figures.unstored(self.plan.key, arrival.head.status, "kept-out", arrival.response_time)

    def _not_kept(self) -> None:  # noqa: B027 - a flight for one client leaves what is stored, and nobody waits for it
        """The whole answer is here, and is not stored."""

    def _store_whole(self, arrival: Arrival) -> bool:
        """Store it with its body. Whether that was done, or is somebody else's to do."""
        chunks = tuple(self.body.chunks)
        if chunks and self.body.length <= Body.COMPACT:
            chunks = (b"".join(chunks),)
        entry = arrival.entry(chunks)
        if entry.length != self.body.length:
            return False  # something of it has been dropped
        stored = None if entry.length < self.plan.rules.min_size else self._as_stored(entry, arrival.head)
        if stored is None:
            return False
        if stored.status == 206:
            self._put_part(stored)
        else:
            self._put(stored)
        return True

    def _as_stored(self, entry: Entry, head: ResponseHead) -> Entry | None:
        """``entry``, which ``head`` made or renewed, as the route's own code would have it; None: not to be stored."""
        hooks = self.plan.hooks
        return entry if hooks is None else hooks.stored(self.plan.fetch, head, entry)

    def broken(self, error: OriginError) -> None:
        arrival, figures = self._arrival, self._registry.figures
        if arrival is None or arrival.own:  # else it counts where the origin was asked
            figures.faulted(error.fault)
        if arrival is not None and arrival.own:
            figures.unstored(self.plan.key, arrival.head.status, error.fault.value, arrival.response_time)
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
        if self.waiting or self.body.readers or self._goes_on or self not in self._registry.flights:
            return
        if self._taking_off:
            return  # whoever it is for is told when this is over, and looked for by the clock
        self.end(State.DONE)

    @property
    def _goes_on(self) -> bool:
        """Whether it does without anybody."""
        return self.state is State.STREAMING and self._storing

    def end(self, state: State) -> None:
        """Stop what is still in the air, leave the registry. Idempotent."""
        self.state = State.FAILED if state is State.PENDING else state
        self.due = inf
        self.body.forget()
        if not (self.body.ended or self.body.broken):
            self.body.cut()
        if self._counted:
            self._count(0)
        if self._response is not None and not self.body.ended:
            self._response.abort()
        self._ground()
        self._let_go()
        # Last: who has waited for that may close everything.
        self._registry.ended(self)

    def _let_go(self) -> None:  # noqa: B027 - a flight for one client has no lease
        """Nobody elsewhere need wait for this."""

    def _ground(self) -> None:
        """Cancel what is in the air. It is taken out first: so it is known who cancelled it."""
        air, self.air = self.air, set()
        for each in air:
            each.cancel()

    def _count(self, held: int) -> None:
        self._registry.held += held - self._counted
        self._counted = held

    # -- the clocks ----------------------------------------------------------------------------------------------

    def _schedule(self, soonest: float = TICK) -> None:
        """Have the clocks looked at when that is due, ``soonest`` in so many seconds."""
        now = self._registry.clock.seconds()
        self.due = max(now + soonest, self._next(now))
        self._registry.watch(self.due)

    def _next(self, now: float) -> float:
        """When the clocks are to be looked at next; inf: when somebody comes."""
        return inf if self._storing else now + 1.0

    def tick(self) -> None:
        """It was ``due``."""
        laggards = self._laggards
        if laggards is None:
            laggards = self._laggards = Laggards(self._registry.limits.min_rate)
        laggards.look(self.body, self._registry.clock.seconds())
        if self._streaming:
            self._if_abandoned()
        if self.due == inf and self._streaming:
            self._schedule()
