"""What the origin is asked for a visit: on everybody's behalf, or for its client alone.

Both note in ``visit.outcome`` where in its trace the request to the origin is.
Must not know: who fetches, and when; answers.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.web.iweb import IBodyProducer

from txstalecache.edge.forwarded import forwarded
from txstalecache.edge.prepare import addressed
from txstalecache.edge.visit import Visit
from txstalecache.flight.plan import PART, Plan, Sharing
from txstalecache.http import conditional, forward
from txstalecache.http.entry import Entry
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.observe.trace import passed_on

__all__ = ["alone", "renewing", "shared"]


def shared(
    visit: Visit, entry: Entry | None = None, conditions: Fields = Fields(), names: tuple[bytes, ...] = ()
) -> Plan:
    """A fetch that anybody with the same key may share: it says nothing about who asks. ``entry`` is validated by it
    under ``conditions``; ``names`` is what answers are known to vary by."""
    head, rules = visit.head, visit.route.rules
    keyed = rules.keyed_fields.union(names) if names else rules.keyed_fields
    part = visit.part and entry is None
    if part:
        keyed |= PART
    if visit.body is not None:
        conditions = Fields()  # RFC 9110 §13.1: of another method they mean something else
    fields = forward.shared(head, keyed, conditions, visit.pseudonym)
    return _plan(visit, fields, visit.body, Sharing.SHARED, entry, conditions, names, part)


def renewing(visit: Visit, entry: Entry, names: tuple[bytes, ...]) -> Plan:
    """The fetch behind a stale answer; a HEAD request that met a stale entry has the whole of it renewed."""
    plan = shared(visit, entry, conditional.conditions(entry), names)
    rules, fields = visit.route.rules, plan.fetch.fields
    if b"cache-control" in fields and b"cache-control" not in rules.keyed_fields.union(rules.fixed_fields, names):
        # RFC 9111 §5.2.1: its client wished that for its own answer, and has that already.
        plan = replace(plan, fetch=replace(plan.fetch, fields=fields.without(b"cache-control")))
    if visit.head.method != b"HEAD":
        return plan
    return replace(plan, request=replace(plan.request, method=b"GET"), fetch=replace(plan.fetch, method=b"GET"))


def alone(
    visit: Visit, trusted: bool, body: IBodyProducer | None, sharing: Sharing, entry: Entry | None = None
) -> Plan:
    """A fetch for this client only, with all that it said. ``trusted``: it is a proxy whose word about its own client
    counts. ``body`` is what it sends, where that is not in the key; ``entry`` what stands in where the origin fails."""
    fields = forwarded(visit.head, visit.exchange.client, trusted, visit.pseudonym)
    return _plan(visit, fields, visit.body if body is None else body, sharing, entry)


def _plan(
    visit: Visit,
    fields: Fields,
    body: IBodyProducer | None,
    sharing: Sharing,
    entry: Entry | None = None,
    conditions: Fields = Fields(),
    names: tuple[bytes, ...] = (),
    part: bool = False,
) -> Plan:
    head, route = visit.head, visit.route
    fields, visit.outcome.trace = passed_on(addressed(route, fields), visit.outcome.trace)
    return Plan(
        key=visit.key,
        request=head,
        fetch=RequestHead(head.method, head.target, fields, head.scheme, head.authority),
        rules=route.rules,
        clocks=route.clocks,
        deadlines=route.deadlines,
        informational=visit.exchange.inform,
        origin=visit.origin,
        hooks=route.hooks,
        stored=visit.stored,
        body=body,
        sharing=sharing,
        entry=entry,
        conditions=conditions,
        names=names,
        part=part,
    )
