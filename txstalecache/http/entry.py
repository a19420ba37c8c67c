"""What is stored for one response, and the little knowledge stored about a key.

Every time below is in seconds of the fleet's clock (Redis ``TIME`` where there is a Redis), since the epoch.
Must not know: how an entry is encoded or where it lives.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from txstalecache.http.messages import Fields
from txstalecache.http.values import enumeration

__all__ = ["Entry", "Freshness", "Marker", "MarkerKind", "Selector", "Times"]

#: The request fields a response was chosen by, with their normalised values (None: absent); sorted by name, lower case.
Selector = tuple[tuple[bytes, bytes | None], ...]

#: When a response was asked for, and when its head arrived: ``request_time`` and ``response_time`` of RFC 9111 §4.2.3.
Times = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What was decided about a response's life when its head arrived. All in seconds."""

    initial_age: float
    """The corrected initial age at ``Entry.response_time`` (RFC 9111 §4.2.3)."""
    lifetime: float
    """How long the response is fresh, counted from age 0 (RFC 9111 §4.2.1)."""
    while_revalidate: float = 0.0
    """How long past ``lifetime`` it may be sent at once while one refresh runs (RFC 5861 §3)."""
    if_error: float = 0.0
    """How long past ``lifetime`` it may stand in for an error of the origin: 500, 502, 503, 504 (RFC 5861 §4)."""
    if_unreachable: float = 0.0
    """How long past ``lifetime`` it may stand in for an origin that cannot be reached (RFC 9111 §4.2.4)."""
    keep: float = 0.0
    """How long past ``lifetime`` it is worth keeping: the longest window above, or longer to be validated."""
    must_revalidate: bool = False
    """Never to be sent stale without validation: must-revalidate, proxy-revalidate, s-maxage (RFC 9111 §5.2.2)."""
    no_cache: bool = False
    """Never to be sent at all without validation (RFC 9111 §5.2.2.4)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A stored response. Immutable; freshening makes a new one. ``body`` is shared by every reader, never copied."""

    status: int
    fields: Fields
    """End-to-end fields as they are replayed, without ``Age`` and hop-by-hop fields, ``Date`` always present."""
    body: tuple[bytes, ...]
    request_time: float
    """When the fetch began; what purges are compared with."""
    response_time: float
    """When the response head arrived."""
    freshness: Freshness
    selector: Selector = ()
    tags: frozenset[bytes] = frozenset()

    @property
    def length(self) -> int:
        """Bytes of body."""
        return sum(map(len, self.body))

    def age(self, now: float) -> float:
        """The current age in seconds, never negative (RFC 9111 §4.2.3)."""
        return self.freshness.initial_age + max(0.0, now - self.response_time)

    def persisting(self, keep: float) -> Entry:
        """This entry, kept and sent for ``keep`` seconds past its lifetime where it was to be sent stale at all."""
        freshness = self.freshness
        if not 0 < freshness.while_revalidate < keep:
            return self
        windows = replace(
            freshness,
            while_revalidate=keep,
            if_error=max(freshness.if_error, keep),
            if_unreachable=max(freshness.if_unreachable, keep),
            keep=max(freshness.keep, keep),
        )
        return replace(self, freshness=windows)

    def expiry(self, now: float) -> float:
        """Seconds from ``now`` until the entry is of no use to anybody: what is left of lifetime + keep."""
        return self.freshness.lifetime + self.freshness.keep - self.age(now)


@enumeration
class MarkerKind(Enum):
    """Why the next requests for a key are not to wait for one another."""

    PRIVATE = "private"
    """The last answer could not be shared (hit-for-miss)."""
    COOKIE = "cookie"
    """The last answer was not explicit about being for everybody: requests with a Cookie go alone."""
    ERROR = "error"
    """The origin just failed: its error answers the burst."""
    LONG = "long"
    """The last answer was too long to be stored: who asks for a part of it has that part fetched."""


@dataclass(frozen=True, slots=True)
class Marker:
    """Short-lived knowledge about a key, shared by the fleet."""

    kind: MarkerKind
    until: float
    why: str
    status: int = 0
    """For ERROR: the status that answers."""
    said: bytes = b""
    """For ERROR: ``forward.said`` of what failed, where the request may have been why; it answers those alone who say
    the same. Empty: whatever they say."""
