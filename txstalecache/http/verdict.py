"""The closed sets of decisions. Each carries ``why``: one short word for the log, the metrics and ``Cache-Status``.

Must not know: by which rules each is taken.
"""

from __future__ import annotations

from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.messages import Fields
from txstalecache.http.values import dataclass

__all__ = ["Admission", "Fresh", "Miss", "Pass", "Refuse", "Share", "Stale", "Store", "Validate", "Verdict", "Withhold"]


@dataclass(frozen=True, slots=True)
class Fresh:
    """Answer from the entry."""

    entry: Entry
    why: str = "hit"


@dataclass(frozen=True, slots=True)
class Stale:
    """Answer from the entry at once, then refresh it."""

    entry: Entry
    why: str


@dataclass(frozen=True, slots=True)
class Validate:
    """Ask the origin whether the entry still holds; ``conditions`` are the fields to ask with (may be empty)."""

    entry: Entry
    why: str
    conditions: Fields
    own: bool = False
    """As for ``Miss``."""


@dataclass(frozen=True, slots=True)
class Miss:
    """Nothing usable: join or start a flight. ``own`` forbids joining one that began before the request came."""

    why: str
    own: bool = False


@dataclass(frozen=True, slots=True)
class Pass:
    """Straight through, uncoalesced; nothing is stored, unless ``store`` (the answer may help others)."""

    why: str
    store: bool = False
    entry: Entry | None = None
    """What the client may have where the origin fails, as far as it may be sent then."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer ``status`` without asking anybody (only-if-cached: 504)."""

    status: int
    why: str
    retry_after: int | None = None
    """In how many seconds it may be worth asking again."""


Verdict = Fresh | Stale | Validate | Miss | Pass | Refuse


@dataclass(frozen=True, slots=True)
class Store:
    """The answer may be shared with the waiters and stored."""

    freshness: Freshness
    explicit: bool
    """Whether the origin itself gave a lifetime (or ``public``), so that a request with a Cookie may take it too."""
    why: str = "stored"


@dataclass(frozen=True, slots=True)
class Share:
    """The answer satisfies those already waiting, nobody later (RFC 9111 §4, collapsed requests)."""

    explicit: bool
    """As for ``Store``."""
    why: str


@dataclass(frozen=True, slots=True)
class Withhold:
    """The answer is for the client that asked, for nobody else."""

    why: str


Admission = Store | Share | Withhold
