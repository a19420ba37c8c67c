"""The answer a client gets, worked out from an entry, a flight or a failure: pure, sent by the exchange.

Conditions and ranges of the client are answered here, from whatever representation is at hand (RFC 9110 §13, §14).
Must not know: sockets, stores, how the representation came.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from txstalecache.edge.reply import Reply, options, refusal
from txstalecache.edge.visit import Outcome, Visit
from txstalecache.flight.body import Body, Reader, Segment
from txstalecache.flight.landing import Attached
from txstalecache.http import conditional, forward, parts, ranges
from txstalecache.http import fields as fieldlib
from txstalecache.http.cachestatus import CacheStatus, legible
from txstalecache.http.entry import Entry
from txstalecache.http.messages import BODILESS, Fields

__all__ = ["failure", "from_entry", "from_flight", "of_ourselves"]


def from_entry(visit: Visit, entry: Entry, now: float) -> Reply:
    """A stored response, with its ``Age`` (RFC 9111 §5.1) and this proxy in its ``Via``."""
    age = entry.age(now)
    reply = _selected(visit, entry.status, entry.fields, Body.of(entry.body), entry.length)
    status = _entry_status(visit.outcome, entry.freshness.lifetime - age)
    return _told(visit, reply, (visit.pseudonym.passed, (b"Age", b"%d" % age)), status, b"BYPASS")


def from_flight(visit: Visit, landing: Attached, now: float) -> Reply:
    """The origin's answer as it comes."""
    outcome, head = visit.outcome, landing.head
    fields = forward.response(head.fields) if outcome.role != "waiter" else forward.shared_response(head.fields)
    if outcome.role == "alone":
        # The origin was told of conditions and ranges: its answer is the answer.
        segments: Sequence[Segment] = () if visit.head.method == b"HEAD" else Reader.WHOLE
        reply = Reply(head.status, fields, landing.body, segments)
    else:
        reply = _selected(visit, head.status, fields, landing.body, landing.length)
    if b"date" not in fields:
        # Not before: a client's conditions are about what the origin said (RFC 9110 §13).
        reply = replace(reply, fields=reply.fields.adding(b"Date", fieldlib.format_date(now)))
    status = CacheStatus(
        fwd=_forwarded(outcome),
        fwd_status=head.status,
        stored=landing.stored,
        collapsed=(outcome.role == "waiter") or outcome.collapsed,
        detail=outcome.why if outcome.role == "alone" else None if landing.stored else landing.why,
    )
    return _told(visit, reply, (visit.pseudonym.passed,), status, b"STORE" if landing.stored else b"BYPASS")


def failure(visit: Visit, status: int, why: str, retry_after: int | None) -> Reply:
    """An answer of our own, because there is no other."""
    reply = refusal(status, why)
    ours = () if retry_after is None else ((b"Retry-After", b"%d" % retry_after),)
    if visit.head.method == b"HEAD":
        reply = replace(reply, segments=())
    outcome = visit.outcome
    forwarded = None if outcome.verdict == "refuse" or outcome.role == "-" else _forwarded(outcome)
    collapsed = True if outcome.role == "waiter" else None
    return _told(visit, reply, ours, CacheStatus(fwd=forwarded, collapsed=collapsed, detail=why), b"BYPASS")


def of_ourselves(visit: Visit) -> Reply:
    """What OPTIONS is answered that goes no further."""
    return _told(visit, options(), (), CacheStatus(detail=visit.outcome.why), b"BYPASS")


def _selected(visit: Visit, status: int, fields: Fields, body: Body, length: int | None) -> Reply:
    """The part of a representation that the client's conditions and ranges leave."""
    head = visit.head
    if conditional.not_modified(head, status, fields):
        return Reply(304, conditional.not_modified_fields(fields), None)
    if length is not None and b"content-length" not in fields and status not in BODILESS:
        fields = fields.adding(b"Content-Length", b"%d" % length)
    if head.method == b"HEAD":
        return Reply(status, fields, None)
    if status == 206 and length is not None:
        found = parts.cut(head, fields, length)
        if found is None:
            return Reply(status, fields, body)  # as the origin answered the one who asked
        part, at, complete = found
        return Reply(206, ranges.partial_head(fields, part, complete), body, ((at, at + part.stop - part.start),))
    selection = ranges.select(head, status, fields, length)
    if isinstance(selection, ranges.Whole) or length is None:
        return Reply(status, fields, body)
    match selection:
        case ranges.Part(start, stop):
            return Reply(206, ranges.partial_head(fields, selection, length), body, ((start, stop),))
        case ranges.Parts(several) if body.passing and not body.ended and list(several) != sorted(several):
            # What is not kept cannot be gone back to.
            return Reply(status, fields, body)
        case ranges.Parts():
            boundary = ranges.boundary(fields.get(b"etag") or fields.get(b"date") or b"")
            segments, size = ranges.multipart(selection, fields.get(b"content-type"), length, boundary)
            return Reply(206, ranges.multipart_head(fields, boundary, size), body, segments)
        case ranges.Unsatisfiable():
            return Reply(416, ranges.unsatisfiable_head(fields, length))
        case _:
            assert_never(selection)


#: Why ``policy.judge`` has a fresh entry validated: the request wants it.
_WISHES = frozenset({"reload", "max-age", "min-fresh"})
#: What ``Cache-Status`` calls a reason to send what is stale, where it has a word of its own (RFC 5861 §4).
_STALE = {"error": "sie"}


def _entry_status(outcome: Outcome, left: float) -> CacheStatus:
    settled, ttl = outcome.settled, round(left)
    if left <= 0 and (settled is None or settled.stale):
        ttl = min(ttl, -1)  # stale, by however little: RFC 9211 §2.4 has a negative number then
    if settled is None or not settled.asked:
        return CacheStatus(hit=True, ttl=ttl, detail=_STALE.get(outcome.why, outcome.why) if ttl < 0 else None)
    collapsed = True if settled.collapsed and outcome.role == "waiter" else None
    if settled.stale:
        detail = _STALE.get(settled.stale, settled.stale)
        fwd = "stale" if left <= 0 else "request"  # it was fresh, and the client would not have it so
        return CacheStatus(fwd=fwd, fwd_status=settled.status, ttl=ttl, collapsed=collapsed, detail=detail)
    fwd_status = 304 if settled.validated else None
    return CacheStatus(fwd=_forwarded(outcome), fwd_status=fwd_status, ttl=ttl, stored=True, collapsed=collapsed)


def _forwarded(outcome: Outcome) -> str:
    """Why the request went forward, in RFC 9211 §2.2's words."""
    match outcome.verdict:
        case "miss":
            return "vary-miss" if outcome.why == "vary" else "uri-miss"
        case "validate" | "stale":
            return "request" if outcome.why in _WISHES else "stale"
        case _:
            return "method" if outcome.why == "method" else "bypass"


#: The seed's word (``$srcache_fetch_status``) for each verdict.
_X_CACHE = {"fresh": b"HIT", "stale": b"STALE", "validate": b"EXPIRED", "miss": b"MISS", "pass": b"BYPASS"}


def _told(
    visit: Visit, reply: Reply, ours: tuple[tuple[bytes, bytes], ...], status: CacheStatus, stored: bytes
) -> Reply:
    """With ``ours``, this proxy's lines of it, and what happened: in ``Cache-Status`` (RFC 9211) and, where the route
    says so, in the seed's two fields."""
    route, fields = visit.route, legible(reply.fields)
    if route.hide or route.respond_with:
        fields, ours = fields.extended(ours).without(*route.hide), ()
        for name, value in route.respond_with:
            fields = fields.replacing(name, value)
    told = (*ours, (b"Cache-Status", status.member(visit.pseudonym.name)))
    if route.show_outcome:
        told += ((b"X-Cache", _X_CACHE.get(visit.outcome.verdict, b"BYPASS")), (b"X-Store", stored))
    return Reply(reply.status, fields, reply.body, reply.segments, told)
