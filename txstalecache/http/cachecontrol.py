"""Cache-Control: what a response allows, and what a request wishes.

Must not know: entries, rules, the time.
"""

from __future__ import annotations

import re
from math import inf
from typing import Final

from txstalecache.http.fields import LONGEST, delta_seconds, directives, members
from txstalecache.http.remembered import remembered
from txstalecache.http.values import dataclass

__all__ = ["NOTHING_SAID", "NO_WISHES", "RELOAD", "UNREAD", "Control", "Wishes", "control", "for_all", "wishes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The directives of a response (RFC 9111 §5.2.2, RFC 5861, RFC 8246). Seconds, or None where absent.

    A lifetime that is there but is no number is 0: to be taken as stale (RFC 9111 §4.2.1).
    """

    max_age: int | None = None
    s_maxage: int | None = None
    while_revalidate: int = 0
    if_error: int = 0
    no_store: bool = False
    no_cache: bool = False
    """Without field names, or with names of fields that a response is no use without."""
    withheld: frozenset[bytes] = frozenset()
    """Fields (lower case) named by ``no-cache="…"``: not to be sent again without validation."""
    private: bool = False
    """With or without field names: what the names would leave to be shared is not worth the risk."""
    public: bool = False
    must_revalidate: bool = False
    proxy_revalidate: bool = False
    must_understand: bool = False
    immutable: bool = False

    @property
    def forbids_stale(self) -> bool:
        """Whether a stale answer needs validation (RFC 9111 §4.2.4: s-maxage means proxy-revalidate too, §5.2.2.10)."""
        return self.must_revalidate or self.proxy_revalidate or self.s_maxage is not None or self.no_cache

    @property
    def allows_authorized(self) -> bool:
        """Whether requests with Authorization may share the answer (RFC 9111 §3.5)."""
        return self.public or self.must_revalidate or self.s_maxage is not None


NOTHING_SAID: Final = Control()
#: Of what is too long to be read: it may have said so.
UNREAD: Final = Control(no_store=True, private=True, no_cache=True, must_revalidate=True)

# A response without one of these would be another response: ``no-cache`` naming it is taken for plain ``no-cache``.
_ESSENTIAL = frozenset(
    b"""
    cache-control content-encoding content-language content-length content-location content-range content-type date
    etag expires last-modified location vary
    """.split()
)


@remembered(512, longest=256)
def control(value: bytes) -> Control:
    """The directives of a response's Cache-Control value (all its lines joined)."""
    if len(value) > LONGEST:
        return UNREAD
    # RFC 9111 §4.2.1: of a directive given twice, the first counts; of two that conflict, the stricter.
    found: dict[bytes, bytes | None] = {}
    no_cache = False
    named: set[bytes] = set()
    for name, argument in directives(value):
        if name == b"no-cache":
            names = {member.lower() for member in members(argument or b"")}
            no_cache = no_cache or not names or bool(names & _ESSENTIAL)
            named |= names
        found.setdefault(name, argument)

    def seconds(name: bytes) -> int | None:
        return (delta_seconds(found[name]) or 0) if name in found else None

    return Control(
        max_age=seconds(b"max-age"),
        s_maxage=seconds(b"s-maxage"),
        while_revalidate=seconds(b"stale-while-revalidate") or 0,
        if_error=seconds(b"stale-if-error") or 0,
        no_store=b"no-store" in found,
        no_cache=no_cache,
        withheld=frozenset(named),
        private=b"private" in found,
        public=b"public" in found,
        must_revalidate=b"must-revalidate" in found,
        proxy_revalidate=b"proxy-revalidate" in found,
        must_understand=b"must-understand" in found,
        immutable=b"immutable" in found,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The directives of a request (RFC 9111 §5.2.1, RFC 5861 §4). Seconds, or None where absent or no number."""

    max_age: int | None = None
    min_fresh: int | None = None
    max_stale: float | None = None
    """Infinite when given without a number."""
    if_error: int = 0
    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False


NO_WISHES: Final = Wishes()
RELOAD: Final = Wishes(no_cache=True)


@remembered(512, longest=256)
def wishes(value: bytes) -> Wishes:
    """The directives of a request's Cache-Control value (all its lines joined); without any ``NO_WISHES`` itself."""
    found: dict[bytes, bytes | None] = {}
    for name, argument in directives(value):
        found.setdefault(name, argument)
    max_stale: float | None = None
    if b"max-stale" in found:
        max_stale = inf if found[b"max-stale"] is None else delta_seconds(found[b"max-stale"])
    parsed = Wishes(
        max_age=delta_seconds(found.get(b"max-age")),
        min_fresh=delta_seconds(found.get(b"min-fresh")),
        max_stale=max_stale,
        if_error=delta_seconds(found.get(b"stale-if-error")) or 0,
        no_cache=b"no-cache" in found,
        no_store=b"no-store" in found,
        only_if_cached=b"only-if-cached" in found,
    )
    return NO_WISHES if parsed == NO_WISHES else parsed


# Also where it is in a quoted string, which not every cache reads as one.
_LAX = re.compile(rb"max-stale|stale-if-error|stale-while-revalidate|only-if-cached", re.IGNORECASE)


@remembered(512, longest=256)
def for_all(value: bytes) -> bytes:
    """What of a request's Cache-Control value (all its lines joined) may be said on behalf of others too, who said none
    of it: not what lets a cache on the way answer with what is stale, nor what has it answer with nothing. What makes
    it stricter, and what no standard defines (RFC 9111 §5.2), stays as it is."""
    if _LAX.search(value) is None:
        return value
    return b", ".join(member for member in members(value) if _LAX.search(member) is None)
