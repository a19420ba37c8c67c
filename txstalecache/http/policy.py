"""What to do with one request, given what is stored: arithmetic on what was decided when the answer came.

A pure function of request, entry, marker, rules and the time (RFC 9111 §4). Nothing here asks anybody anything.
Must not know: stores, flights, connections.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from txstalecache.http import forward
from txstalecache.http.cachecontrol import NO_WISHES, RELOAD, Wishes, wishes
from txstalecache.http.conditional import conditions
from txstalecache.http.entry import Entry, Freshness, Marker, MarkerKind
from txstalecache.http.fields import members
from txstalecache.http.freshness import explicitly_shared
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Cookies, Rules
from txstalecache.http.targeted import governing
from txstalecache.http.vary import by_credentials
from txstalecache.http.verdict import Fresh, Miss, Pass, Refuse, Stale, Validate, Verdict

__all__ = ["ERRORS", "ORIGIN_ERROR", "judge", "stands_in", "tides_over"]

#: ``Marker.why`` of an ERROR marker left by an answer of the origin; any other word means that none came.
ORIGIN_ERROR = "origin-error"

#: Answers that count as the origin's failure (RFC 5861 §4).
ERRORS: Final = frozenset({500, 502, 503, 504})

#: Request fields that say what their client wishes.
_WISHING = frozenset({b"cache-control", b"pragma"})
#: Those that say who it is, or under which condition it wants anything at all.
_SETTING_APART = frozenset({b"authorization", b"cookie", b"if-match", b"if-unmodified-since"})


def _wishes_of(fields: Fields) -> Wishes:
    """What the request says about caching; Pragma only where Cache-Control is absent (RFC 9111 §5.4)."""
    if fields.names.isdisjoint(_WISHING):
        return NO_WISHES
    value = fields.get(b"cache-control")
    if value is not None:
        return wishes(value)
    value = fields.get(b"pragma")
    if value is not None and any(member.lower() == b"no-cache" for member in members(value)):
        return RELOAD
    return NO_WISHES


def judge(
    request: RequestHead,
    entry: Entry | None,
    marker: Marker | None,
    rules: Rules,
    now: float,
    names: tuple[bytes, ...] = (),
) -> Verdict:
    """What to do with ``request``. ``entry`` is the variant that matches it, ``marker`` what is known about its key,
    ``names`` what answers under it are known to vary by; ``now`` in seconds since the epoch."""
    if request.method not in rules.methods:
        return Pass("method")
    asked = _wishes_of(request.fields)
    if asked is NO_WISHES:
        return _decide(request, entry, marker, rules, now, names, asked)
    # RFC 9111 §5.2.1.5
    verdict = Pass("no-store") if asked.no_store else _decide(request, entry, marker, rules, now, names, asked)
    if asked.only_if_cached and not isinstance(verdict, Fresh | Stale):
        return Refuse(504, "only-if-cached")  # RFC 9111 §5.2.1.7
    return verdict


def _decide(
    request: RequestHead,
    entry: Entry | None,
    marker: Marker | None,
    rules: Rules,
    now: float,
    names: tuple[bytes, ...],
    asked: Wishes,
) -> Verdict:
    fields = request.fields
    authorized = cookie = False
    if not fields.names.isdisjoint(_SETTING_APART):
        if b"if-match" in fields or b"if-unmodified-since" in fields:
            return Pass("precondition")  # RFC 9111 §4.3.2: not for a cache to judge
        authorized = b"authorization" in fields and b"authorization" not in rules.keyed_fields
        cookie = b"cookie" in fields and rules.cookies is Cookies.PASS and b"cookie" not in rules.keyed_fields
        if cookie and rules.ttl is not None:
            return Pass("cookie")
    identified = forward.identified(fields, rules.keyed_fields)
    if identified and rules.ttl is not None:
        return Pass("credentials")
    if entry is not None:
        if authorized and not governing(entry.fields).control.allows_authorized:
            return Pass("authorization", store=True)  # RFC 9111 §3.5
        if cookie and not _takes_cookie(entry, rules):
            return Pass("cookie")
        if (
            identified
            and not explicitly_shared(entry.fields, governing(entry.fields), entry.response_time)
            and forward.identified(fields, [name for name, _ in entry.selector])
        ):
            return Pass("credentials")
    why, own = "miss", False
    age = left = 0.0
    if entry is not None:
        freshness = entry.freshness
        age = entry.age(now)
        left = freshness.lifetime - age
        if left > 0 and not freshness.no_cache:
            why = _unwilling(entry, asked, age, left)
            if not why:
                return Fresh(entry)
        else:
            why = "no-cache" if freshness.no_cache else "stale"
    if asked.no_cache or asked.max_age == 0:
        own = True
        why = "reload" if asked.no_cache else why
    if marker is not None and marker.until <= now:
        marker = None
    if marker is not None and marker.kind is MarkerKind.PRIVATE:
        return Pass("hit-for-miss", store=True)
    if marker is not None and marker.kind is MarkerKind.COOKIE and cookie:
        return Pass("cookie")
    if entry is not None and left <= 0:
        allowed = _stale(entry.freshness, asked, age, entry.freshness.while_revalidate)
        if allowed and not by_credentials(entry.selector):
            return Stale(entry, allowed)
    failing = marker if marker is not None and marker.kind is MarkerKind.ERROR else None
    if entry is not None and failing is not None:
        status = failing.status if failing.why == ORIGIN_ERROR else None
        if stands_in(entry, request, status, now):
            return Stale(entry, "error")
    if authorized:
        return Pass("authorization", store=True, entry=entry)
    if failing is not None and (
        not failing.said or failing.said == forward.said(request, rules.keyed_fields.union(names))
    ):
        return Refuse(failing.status or 502, "error", ceil(failing.until - now))
    if entry is None:
        # RFC 9111 §4.1: something may be stored for requests that say something else.
        return Miss("vary" if names else why, own)
    if entry.freshness.lifetime + entry.freshness.keep <= age:
        return Miss(why, own)
    return Validate(entry, why, conditions(entry), own)


def _takes_cookie(entry: Entry, rules: Rules) -> bool:
    """Whether a request with a Cookie may have ``entry``: the origin said so, or chose it by that Cookie."""
    if entry.status in rules.statuses:
        return False
    said = governing(entry.fields)
    shared = explicitly_shared(entry.fields, said, entry.response_time)
    return shared or any(name == b"cookie" for name, _ in entry.selector)


def _unwilling(entry: Entry, asked: Wishes, age: float, left: float) -> str:
    """Why the client would not have this fresh entry; "" when it would."""
    if asked is NO_WISHES:
        return ""
    if asked.no_cache:
        return "reload"  # RFC 9111 §5.2.1.4
    too_old = asked.max_age is not None and (age > asked.max_age or asked.max_age == 0)
    # RFC 8246 §2: max-age=0 is what a plain reload says; immutable means that it need not be asked about.
    if too_old and (asked.max_age or not governing(entry.fields).control.immutable):
        return "max-age"  # RFC 9111 §5.2.1.1
    if asked.min_fresh is not None and left < asked.min_fresh:
        return "min-fresh"  # RFC 9111 §5.2.1.3
    return ""


def _stale(freshness: Freshness, asked: Wishes, age: float, window: float) -> str:
    """Why a stale entry may be sent before the origin has answered; "" when it may not (RFC 9111 §4.2.4). ``window`` is
    how long past its lifetime the response allows it."""
    staleness = age - freshness.lifetime
    if freshness.no_cache or asked.no_cache or asked.min_fresh is not None:
        return ""
    if asked.max_stale is not None:
        # RFC 9111 §5.2.1.1: beside a max-age it takes back that nothing may be stale, not that nothing may be older.
        young = asked.max_age is None or age <= asked.max_age
        if young and staleness <= asked.max_stale and not freshness.must_revalidate:
            return "max-stale"  # RFC 9111 §5.2.1.2
        return ""
    # RFC 9111 §5.2.1.1: who names a max-age and no max-stale wants nothing stale.
    return "swr" if asked.max_age is None and staleness < window else ""


def tides_over(entry: Entry, request: RequestHead, now: float) -> bool:
    """Whether ``entry`` may be sent to somebody who has waited for long, although the origin may still answer: inside a
    window that the response, the route or the request gives, and never against what the request wishes."""
    freshness = entry.freshness
    window = max(freshness.while_revalidate, freshness.if_error)
    return bool(_stale(freshness, _wishes_of(request.fields), entry.age(now), window))


def stands_in(entry: Entry, request: RequestHead, status: int | None, now: float) -> bool:
    """Whether ``entry`` may be sent although it is not fresh, because the origin answered ``status``, or, with None,
    could not be reached (RFC 9111 §4.2.4, RFC 5861 §4).

    Longer windows that the request itself allows (stale-if-error, max-stale) count where the response does not forbid
    them. An entry that is fresh, but that the client wanted validated, is better than an error too.
    """
    freshness = entry.freshness
    if freshness.no_cache:
        return False
    staleness = entry.age(now) - freshness.lifetime
    if status is None:
        window = freshness.if_unreachable
    elif status in ERRORS:
        window = freshness.if_error
    else:
        return False
    if staleness < 0 or staleness < window:
        return True
    if freshness.must_revalidate:
        return False
    asked = _wishes_of(request.fields)
    return staleness < asked.if_error or (asked.max_stale is not None and staleness <= asked.max_stale)
