"""Whether an answer may be shared and stored, decided once, when its head arrives (RFC 9111 §3).

Must not know: stores, flights, other answers.
"""

from __future__ import annotations

from txstalecache.http import freshness, parts, tags, vary
from txstalecache.http.cachecontrol import NOTHING_SAID, Control
from txstalecache.http.entry import Entry, Freshness, Selector, Times
from txstalecache.http.fields import end_to_end, format_date, parse_date
from txstalecache.http.freshness import HEURISTIC_STATUSES, Lifetime, Source
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Cookies, Rules
from txstalecache.http.targeted import Governing, governing
from txstalecache.http.verdict import Admission, Share, Store, Withhold

__all__ = ["FORCED_STATUSES", "NEVER_SHARED", "admit", "forced_lifetime", "make_entry", "provoked", "stored_fields"]

#: The statuses that a route's ``ttl`` means. Errors are stored only where the route names them in ``statuses``.
FORCED_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 302, 303, 307, 308})

#: Answers to what a shared fetch never asks: credentials, a condition, a part that is not there (RFC 9110 §15).
NEVER_SHARED = {
    304: "not-modified",
    401: "unauthorized",
    407: "unauthorized",
    412: "precondition",
    416: "range",
}

#: No cache may store these, whatever they say (RFC 6585): they are about whoever asked, and how.
NEVER_STORED = frozenset({428, 429, 431, 511})

# RFC 9111 §5.2.2.3: the statuses whose caching requirements this cache knows. A 304 is not for sharing here.
_UNDERSTOOD = frozenset(
    {200, 203, 204, 206, 300, 301, 302, 303, 307, 308, 400, 403, 404, 405, 410, 414, 421, 451, 500, 501, 502, 503, 504}
)


def forced_lifetime(status: int, rules: Rules) -> float | None:
    """The lifetime a route forces on answers with this status; None when the origin decides."""
    forced = rules.statuses.get(status)
    if forced is None and status in FORCED_STATUSES:
        return rules.ttl
    return forced


def _bears(request: RequestHead, name: bytes, rules: Rules) -> bool:
    return name in request.fields and name not in rules.keyed_fields


def _refusal(request: RequestHead, response: ResponseHead, rules: Rules, found: Governing) -> str | None:
    """Why the answer is for nobody but the client that asked; None when it may be shared."""
    status, fields, control = response.status, response.fields, found.control
    if status < 200:
        return "interim"
    if request.method not in rules.methods:
        return "method"
    if status in NEVER_SHARED:
        return NEVER_SHARED[status]
    if status == 206 and parts.announced(fields) is None:
        return "partial"  # RFC 9110 §15.3.7: numbers that contradict one another, or several parts in one body
    if control.private:
        return "private"
    if rules.honour_cache_control:
        if control.must_understand:
            # RFC 9111 §5.2.2.3: no-store is for those who do not understand the status.
            if status not in _UNDERSTOOD:
                return "must-understand"
        elif control.no_store:
            return "no-store"
    if vary.names(fields, rules.fixed_fields) is None:
        return "vary"
    if b"set-cookie" in fields and not (rules.store_set_cookie and forced_lifetime(status, rules) is not None):
        return "set-cookie"
    if _bears(request, b"authorization", rules) and not control.allows_authorized:
        return "authorization"  # RFC 9111 §3.5
    if _bears(request, b"cookie", rules) and rules.cookies is Cookies.PASS:
        # The answer was made for somebody with a Cookie: a lifetime alone does not say that it is for everybody.
        names = vary.names(fields, rules.fixed_fields) or ()
        if not (control.public or control.s_maxage is not None or found.targeted or b"cookie" in names):
            return "cookie"
    return None


def _freshness(control: Control, lifetime: float, rules: Rules, validator: bool, initial_age: float) -> Freshness:
    """The lifetime, and what is past it: while revalidating, on errors, when unreachable, and how long to keep."""
    forbidden = control.forbids_stale  # RFC 9111 §4.2.4
    while_revalidate = 0.0 if forbidden else float(control.while_revalidate)
    if_error = 0.0 if forbidden else float(control.if_error)
    if rules.stale is not None:
        while_revalidate = rules.stale
    if rules.stale_if_error is not None:
        if_error = rules.stale_if_error
    unreachable = keep = max(while_revalidate, if_error)
    if not keep and rules.stale is None:
        unreachable = 0.0 if forbidden else rules.grace
        keep = rules.grace if validator else unreachable
    return Freshness(
        initial_age=initial_age,
        lifetime=lifetime,
        while_revalidate=while_revalidate,
        if_error=if_error,
        if_unreachable=unreachable,
        keep=keep,
        must_revalidate=forbidden and rules.stale is None,
        no_cache=control.no_cache,
    )


def admit(request: RequestHead, response: ResponseHead, rules: Rules, times: Times) -> Admission:
    """Who may have this answer, and for how long.

    ``request`` is the request as it was **sent** to the origin: a shared fetch has no Cookie. Times in seconds
    since the epoch. A 304 is never shared: whoever asked for one deals with it first (``conditional.freshen``); a 206
    only with those who asked for what it is a part of (``parts``).
    """
    fields, response_time = response.fields, times[1]
    found = governing(fields)
    why = _refusal(request, response, rules, found)
    if why is not None:
        return Withhold(why)
    forced = forced_lifetime(response.status, rules)
    if forced is None and response.status in NEVER_STORED:
        return Share(False, "never-stored")
    explicit = freshness.explicitly_shared(fields, found, response_time)
    if request.method == b"HEAD":
        return Share(explicit, "head")  # RFC 9110 §9.3.2: it has no body to store
    control = found.control if rules.honour_cache_control else NOTHING_SAID
    age = freshness.initial_age(fields, times)
    if forced is not None and not control.no_cache:
        # It counts from now: the operator does not mean the time spent in caches before.
        lifetime = Lifetime(forced + age, Source.EXPLICIT)
    elif not rules.honour_cache_control:
        lifetime = Lifetime(0.0, Source.NONE)
    else:
        lifetime = freshness.lifetime(response.status, fields, found, response_time)
    if lifetime.source is Source.NONE and rules.default_ttl is not None and response.status in FORCED_STATUSES:
        lifetime = Lifetime(rules.default_ttl + age, Source.EXPLICIT)
    if rules.max_ttl is not None and lifetime.seconds - age > rules.max_ttl:
        lifetime = Lifetime(rules.max_ttl + age, lifetime.source)
    # A part is sent while it is fresh, and neither stale nor validated: past that it is of use to a whole alone.
    alone = response.status == 206 and parts.alone(fields)
    validator = freshness.has_validator(fields) and not alone
    if control.no_cache and not validator:
        return Share(explicit, "no-cache")
    if lifetime.source is Source.NONE and not (validator and (response.status in HEURISTIC_STATUSES or control.public)):
        return Share(explicit, "no-freshness")
    if alone:
        decided = Freshness(initial_age=age, lifetime=lifetime.seconds)
    else:
        decided = _freshness(control, lifetime.seconds, rules, validator, age)
    if lifetime.seconds <= 0 and not (validator or decided.while_revalidate or decided.if_error):
        return Share(explicit, "ttl-0")
    if decided.lifetime + decided.keep <= age:
        return Share(explicit, "expired")
    return Store(decided, explicit)


def provoked(status: int, admission: Admission) -> bool:
    """Whether an answer may be about the request that was sent, and not about what it asked for: an error of the
    client's that no cache keeps unasked (RFC 9110 §15.1), or none at all (RFC 6585), and of which nobody says that it
    is for everybody."""
    of_the_client = 400 <= status < 500 or status in NEVER_STORED
    if not of_the_client or status in HEURISTIC_STATUSES or status in NEVER_SHARED:
        return False
    return isinstance(admission, Withhold) or (isinstance(admission, Share) and not admission.explicit)


def make_entry(
    request: RequestHead,
    response: ResponseHead,
    body: tuple[bytes, ...],
    store: Store,
    times: Times,
    chosen: Selector | None = None,
) -> Entry:
    """The entry for an answer that ``admit`` let be stored.

    ``request`` is the request as it was sent, ``chosen`` what the answer was chosen by; None: by what was sent of what
    it varies by. Dropped are hop-by-hop fields, Age, Set-Cookie, and what ``no-cache="…"`` names; Date is added when
    there is none (RFC 9110 §6.6.1).
    """
    request_time, response_time = times
    fields = stored_fields(response.fields, response_time)
    length = sum(map(len, body))
    if fields.get(b"content-length") not in (None, b"%d" % length):
        fields = fields.without(b"content-length")
    return Entry(
        status=response.status,
        fields=fields,
        body=body,
        request_time=request_time,
        response_time=response_time,
        freshness=store.freshness,
        selector=vary.selector(vary.names(response.fields) or (), request) if chosen is None else chosen,
        tags=tags.of(request, response.fields),
    )


def stored_fields(fields: Fields, response_time: float) -> Fields:
    """The fields that are kept of a response's (RFC 9111 §3.1)."""
    kept = fields.once(stored_fields, _kept)
    lines = kept.get_all(b"date")
    if not lines or parse_date(lines[0]) is None:
        return kept.replacing(b"Date", format_date(response_time))
    # Of several the first counts, by which the age has been worked out (``freshness.date_value``).
    return kept if len(lines) == 1 else kept.replacing(b"Date", lines[0])


def _kept(fields: Fields) -> Fields:
    return end_to_end(fields).without(b"age", b"set-cookie", *governing(fields).control.withheld)
