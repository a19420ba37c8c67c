"""The head of an answer, as it has just arrived: who may have what follows it, and whether it may be kept. Pure.

Decided once, before a byte of the body reaches anybody.
Must not know: stores, flights, clocks, connections.
"""

from __future__ import annotations

from dataclasses import replace

from txstalecache.flight.landing import Alone, Failed, Regroup
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.waiters import Waiter
from txstalecache.http import forward, parts, policy, ranges, vary
from txstalecache.http.admission import make_entry, provoked, stored_fields
from txstalecache.http.entry import Entry, Selector, Times
from txstalecache.http.messages import RequestHead, ResponseHead
from txstalecache.http.verdict import Admission, Fresh, Pass, Store, Withhold

__all__ = ["Arrival"]


class Arrival:
    """What has come in answer to the fetch of ``plan``: ``head``, with ``length`` bytes of body behind it (None: nobody
    knows). ``admission`` is what the rules make of it; times are the store's. ``chosen`` tells that another process
    fetched it, and by which request fields it was chosen."""

    __slots__ = (
        "_chosen",
        "_entry",
        "_later",
        "admission",
        "error",
        "head",
        "length",
        "names",
        "own",
        "plan",
        "provoked",
        "response_time",
        "times",
        "too_long",
        "withheld",
    )

    def __init__(
        self,
        plan: Plan,
        head: ResponseHead,
        length: int | None,
        admission: Admission,
        times: Times,
        chosen: Selector | None = None,
    ) -> None:
        status, shared = head.status, plan.sharing is Sharing.SHARED
        self.plan = plan
        self.head = head
        self.length = length
        self.admission = admission
        self.times = times
        self.response_time = times[1]
        self.own = chosen is None
        """Whether our own fetch brought it."""
        self._chosen = chosen
        self._entry: Entry | None = None
        self._later: tuple[int, ResponseHead] | None = None
        self.names = vary.names(head.fields, plan.rules.fixed_fields)
        """The request fields it was chosen by; None: it was chosen by more than that (RFC 9110 §12.5.5)."""
        self.error = status in policy.ERRORS
        self.withheld = shared and isinstance(admission, Withhold)
        """Whether it was asked for on everybody's behalf, and is not for everybody."""
        self.provoked = shared and not plan.provoked and provoked(status, admission)
        """Whether it is an error that those who wait should not get before one of them has asked for himself."""
        self.too_long = isinstance(admission, Store) and status == 200 and (length or 0) > plan.rules.max_object
        """Whether it is the whole, and is known already to be too long to be stored."""

    @property
    def chosen(self) -> Selector:
        """What it was chosen by: who sent the same may have it."""
        chosen = self._chosen
        if chosen is None:
            names = self.names or ()
            chosen = self._chosen = vary.selector(names, self.plan.seen if b"via" in names else self.plan.fetch)
        return chosen

    @property
    def passed_on(self) -> bool:
        """Whether it may be for those who wait in other processes."""
        if self.withheld or self.plan.fetch.method not in (b"GET", b"HEAD"):
            return False
        if self.error:
            # One that is not kept is told by a marker.
            return isinstance(self.admission, Store)
        # Who waits elsewhere for a part asked for the same one: it is what the lease is named after.
        return self.head.status != 206 or self.plan.part

    def keeps_fresh(self, now: float) -> bool:
        """Whether it is also for those who come after its head."""
        admission = self.admission
        return (
            isinstance(admission, Store)
            and not admission.freshness.no_cache
            and admission.freshness.lifetime > self._bodiless.age(now)
        )

    def suits(self, request: RequestHead, now: float) -> bool:
        """Whether ``request``, which comes after its head, would have it without asking if it were stored already; or
        is told at once to ask on its own."""
        if not self.keeps_fresh(now):
            return False
        return isinstance(policy.judge(request, self._bodiless, None, self.plan.rules, now), Fresh | Pass)

    def later(self, now: float) -> ResponseHead:
        """Its head for those who come after it: as a store would send it. Only where it ``keeps_fresh``."""
        age, later = int(self._bodiless.age(now)), self._later
        if later is None or later[0] != age:
            kept = stored_fields(self.head.fields, self.response_time)
            later = self._later = age, replace(self.head, fields=kept.adding(b"Age", b"%d" % age))
        return later[1]

    @property
    def _bodiless(self) -> Entry:
        """The entry that it begins. Only where it may be stored."""
        entry = self._entry
        if entry is None:
            entry = self._entry = self.entry(())
        return entry

    @property
    def tells(self) -> bool:
        """Whether it says what there is now, and nothing about the origin's failure or the request it was asked by."""
        return not (self.error or provoked(self.head.status, self.admission))

    @property
    def storable(self) -> bool:
        """Whether it may be stored, as far as its head tells and the plan lets it."""
        plan, admission, length = self.plan, self.admission, self.length
        return (
            isinstance(admission, Store)
            and plan.sharing is not Sharing.PRIVATE
            and plan.stored
            and plan.fetch.method != b"HEAD"
            and (admission.explicit or not (plan.cookie_matters(plan.fetch) or self._identified(plan.fetch)))
            and (plan.sharing.shared or not self._said_more)
            and (length is None or plan.rules.min_size <= length <= plan.rules.max_object)
        )

    def entry(self, chunks: tuple[bytes, ...]) -> Entry:
        """It and its whole body, as they are stored. Only where ``storable``."""
        admission = self.admission
        assert isinstance(admission, Store)
        return make_entry(self.plan.fetch, self.head, chunks, admission, self.times, self.chosen)

    def fits(self, request: RequestHead) -> bool:
        """Whether it is the variant that ``request`` is for."""
        names, plan = self.names, self.plan
        if names is None:
            return False
        said = vary.selector(names, request)
        if said == self.chosen:
            return True
        # Where the origin is asked otherwise than the client, for all that is known of what it chooses by, asking once
        # more would bring the same.
        known = self.own and all(name in plan.names for name in names)
        return known and said == vary.selector(names, plan.request)

    def refused(self, waiter: Waiter, retry_after: int) -> Alone | Regroup | Failed | None:
        """What ``waiter``, who may not have it, is to do instead; None: it may. ``retry_after``, in seconds, is for
        those who are told that the origin fails."""
        plan, admission, request = self.plan, self.admission, waiter.request
        if not plan.sharing.shared:
            return None
        if self.provoked and not waiter.leads:
            return Regroup(plan.names, provoked=True)
        if isinstance(admission, Withhold):
            return None if self._made_for(waiter) else self._alone(admission.why, retry_after)
        if not self.fits(request):
            # An origin that fails is not asked once for each variant.
            if self.error and not isinstance(admission, Store):
                return self._failed(retry_after)
            return Regroup(self.names or ())
        if not admission.explicit and not self._made_for(waiter):
            if plan.cookie_matters(request):
                return self._alone("cookie", retry_after)
            if self._identified(request):
                return self._alone("credentials", retry_after)
        if self.head.status == 206 and not self._holds(request) and not (plan.part and self._made_for(waiter)):
            return Alone("partial")
        if self.too_long and self._begins_late(request):
            return Regroup(self.names or (), part=True)
        return None

    @property
    def _said_more(self) -> bool:
        """Whether the fetch for one client said what one on everybody's behalf would have left out, and the answer does
        not say that it was chosen by that: it may have been made for it (cache poisoning by unkeyed fields)."""
        rules = self.plan.rules
        said = rules.keyed_fields.union(rules.fixed_fields, self.names or ())
        return any(name not in said and forward.overrides(name) for name in self.plan.fetch.fields.names)

    def _made_for(self, waiter: Waiter) -> bool:
        """Whether the fetch said all that ``waiter`` says about who asks, and was made from its request."""
        return waiter.leads and self.own and self.plan.intact

    def _alone(self, why: str, retry_after: int) -> Alone | Failed:
        return self._failed(retry_after) if self.error else Alone(why)

    def _failed(self, retry_after: int) -> Failed:
        return Failed(self.head.status, policy.ORIGIN_ERROR, retry_after)

    def _identified(self, request: RequestHead) -> bool:
        return forward.identified(request.fields, self.plan.rules.keyed_fields.union(self.plan.names))

    def _holds(self, request: RequestHead) -> bool:
        """Whether the part that has come is all that ``request`` asks for."""
        return parts.cut(request, self.head.fields, self.length or 0) is not None

    def _begins_late(self, request: RequestHead) -> bool:
        """Whether ``request`` asks for one part only, and what comes before it would be fetched in vain."""
        if self.plan.part or not parts.single(request):
            return False
        part = ranges.select(request, self.head.status, self.head.fields, self.length)
        return isinstance(part, ranges.Part) and part.start > 0
