"""How old a response is and how long it stays fresh (RFC 9111 §4.2).

Must not know: routes, requests, stores.
"""

from __future__ import annotations

from enum import Enum
from math import log

from txstalecache.http.entry import Entry, Times
from txstalecache.http.fields import date_in, delta_seconds
from txstalecache.http.messages import Fields
from txstalecache.http.targeted import Governing
from txstalecache.http.values import dataclass, enumeration

__all__ = [
    "HEURISTIC_STATUSES",
    "Lifetime",
    "Source",
    "age_value",
    "date_value",
    "early",
    "explicitly_shared",
    "has_validator",
    "initial_age",
    "lifetime",
]

#: RFC 9110 §15.1: heuristically cacheable.
HEURISTIC_STATUSES = frozenset({200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501})

_HEURISTIC_PART = 0.1
_HEURISTIC_MOST = 86400.0


@enumeration
class Source(Enum):
    """What a lifetime comes from."""

    EXPLICIT = "explicit"
    HEURISTIC = "heuristic"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Lifetime:
    """A freshness lifetime in seconds, counted from age 0."""

    seconds: float
    source: Source


def age_value(fields: Fields) -> float:
    """The received Age: the first member of the first line; 0 when it is absent or no number (RFC 9111 §5.1)."""
    lines = fields.get_all(b"age")
    if not lines:
        return 0.0
    return float(delta_seconds(lines[0].partition(b",")[0].strip(b" \t")) or 0)


def date_value(fields: Fields, response_time: float) -> float:
    """The Date, or the time of receipt when it is absent or no date (RFC 9110 §6.6.1)."""
    found = date_in(fields, b"date")
    return response_time if found is None else found


def initial_age(fields: Fields, times: Times) -> float:
    """The corrected initial age in seconds, never negative (RFC 9111 §4.2.3)."""
    request_time, response_time = times
    # A Date has whole seconds, cut off: so has the time it is compared with, or every answer would seem half a
    # second old.
    apparent = max(0.0, response_time // 1 - date_value(fields, response_time))
    delay = max(0.0, response_time - request_time)
    return max(apparent, age_value(fields) + delay)


def _expires(fields: Fields) -> float | None:
    """The time of Expires: long ago when it is no date, None when absent (RFC 9111 §5.3)."""
    return date_in(fields, b"expires") or 0.0 if b"expires" in fields else None


def explicit_lifetime(fields: Fields, found: Governing, response_time: float) -> float | None:
    """s-maxage, else max-age, else Expires − Date (RFC 9111 §4.2.1); None when the origin gave none."""
    control = found.control
    if control.s_maxage is not None:
        return float(control.s_maxage)
    if control.max_age is not None:
        return float(control.max_age)
    if found.targeted:
        return None  # RFC 9213 §2.2: it replaces Expires too
    expires = _expires(fields)
    return None if expires is None else max(0.0, expires - date_value(fields, response_time))


def lifetime(status: int, fields: Fields, found: Governing, response_time: float) -> Lifetime:
    """How long a response that ``found`` governs stays fresh, and what says so (RFC 9111 §4.2.1, §4.2.2)."""
    explicit = explicit_lifetime(fields, found, response_time)
    if explicit is not None:
        return Lifetime(explicit, Source.EXPLICIT)
    if status in HEURISTIC_STATUSES or found.control.public:
        modified = date_in(fields, b"last-modified")
        if modified is not None:
            since = date_value(fields, response_time) - modified
            return Lifetime(min(max(0.0, since * _HEURISTIC_PART), _HEURISTIC_MOST), Source.HEURISTIC)
    return Lifetime(0.0, Source.NONE)


def has_validator(fields: Fields) -> bool:
    """Whether there is something to validate with: an entity tag, or a date of last modification."""
    return b"etag" in fields or date_in(fields, b"last-modified") is not None


def explicitly_shared(fields: Fields, found: Governing, response_time: float) -> bool:
    """Whether the origin itself said that others may have the answer, which ``found`` governs: ``public``, or a
    lifetime above zero.

    A lifetime of zero says nothing of the kind: it is what pages made for one person carry.
    """
    if found.control.public:
        return True
    return not found.control.no_cache and (explicit_lifetime(fields, found, response_time) or 0.0) > 0


def early(entry: Entry, now: float, beta: float, chance: float) -> bool:
    """Whether a fresh entry is to be refreshed already: the likelier, the nearer its end and the longer its fetch took
    (XFetch: Vattani, Chierichetti, Lowenstein 2015). ``chance`` is uniform in (0, 1]."""
    took = max(0.001, entry.response_time - entry.request_time)
    left = entry.freshness.lifetime - entry.age(now)
    return -took * beta * log(chance) >= left
