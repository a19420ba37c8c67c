"""What a route changes about caching. The defaults are RFC 9111 with nothing added: the origin decides.

Must not know: how routes are matched or configured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from txstalecache.http import expect

__all__ = ["Cookies", "Ranges", "Rules"]


class Cookies(Enum):
    """What a request's ``Cookie`` means under a forced or heuristic lifetime."""

    PASS = "pass"
    """The request passes through; nothing is stored from it."""
    IGNORE = "ignore"
    """The origin's answers do not depend on cookies: the operator says so."""
    KEYED = "keyed"
    """The key template contains the cookies that matter."""


class Ranges(Enum):
    """What is fetched when a request asks for a part of what is not stored."""

    WHOLE = "whole"
    """All of it, once for everybody."""
    PART = "part"
    """That part, once for all who ask for the same; parts are kept, and put together under a strong entity tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Caching rules of a route. Durations in seconds, sizes in bytes; None means "the origin decides". TypeError for
    what is of another type, ValueError for a number below 0."""

    ttl: float | None = None
    """Forced freshness lifetime for answers that may be shared (the seed's exptime minus stale)."""
    default_ttl: float | None = None
    """Lifetime for answers that may be shared and whose origin gives none, explicit or to be guessed."""
    max_ttl: float | None = None
    """The longest lifetime, whoever says so: longer ones are cut to it."""
    honour_cache_control: bool = True
    """False: Cache-Control, Expires and their targeted kin count for nothing, but for ``private``."""
    stale: float | None = None
    """Forced stale-while-revalidate window (the seed's ``cache_stale``)."""
    stale_if_error: float | None = None
    """Forced stale-if-error window."""
    grace: float = 300.0
    """How long past its lifetime an entry without a stale window of its own is kept: to be validated, and to stand in
    for an origin that cannot be reached."""
    persist: bool = False
    """Whether a stale entry that is being refreshed goes on being kept and sent when its stale window ends (the seed's
    ``cache_persist``), until a refresh succeeds."""
    keep: float = 86400.0
    """How long past its lifetime ``persist`` keeps an entry at most."""
    methods: frozenset[bytes] = frozenset({b"GET", b"HEAD"})
    """Methods answered from the cache."""
    statuses: Mapping[int, float] = field(default_factory=lambda: MappingProxyType({}))
    """Lifetimes forced for single statuses (negative caching)."""
    cookies: Cookies = Cookies.PASS
    store_set_cookie: bool = False
    """Store answers with ``Set-Cookie`` under a forced lifetime; the field itself is never replayed to others."""
    keyed_fields: frozenset[bytes] = frozenset()
    """Request fields (lower case) that are part of the key: an ``authorization`` here lets such requests share."""
    fixed_fields: frozenset[bytes] = frozenset()
    """Request fields (lower case) that the origin sees the same for every client, or not at all: nothing varies by
    them."""
    min_size: int = 0
    """Smaller bodies are not stored."""
    max_object: int = 8 * 1024 * 1024
    """Larger bodies stream through and are not stored."""
    hit_for_miss: float = 120.0
    """How long the knowledge "not shareable" is kept."""
    ranges: Ranges = Ranges.WHOLE

    def __post_init__(self) -> None:
        expect.numbers(self, (name for name in _OF_THE_ORIGIN if getattr(self, name) is not None))
        expect.numbers(self, _NUMBERS)
        expect.of_kind("statuses", self.statuses, Mapping, "lifetimes by status")
        for status, lifetime in self.statuses.items():
            expect.number(f"statuses[{status}]", lifetime)
        expect.of_kind("cookies", self.cookies, Cookies, "one of Cookies")
        expect.of_kind("ranges", self.ranges, Ranges, "one of Ranges")
        expect.several("methods", self.methods, bytes, "methods as bytes")
        expect.field_names("keyed_fields", self.keyed_fields)


#: What the origin decides where the route does not, and what is always a number.
_OF_THE_ORIGIN = ("ttl", "default_ttl", "max_ttl", "stale", "stale_if_error")
_NUMBERS = ("grace", "keep", "min_size", "max_object", "hit_for_miss")
