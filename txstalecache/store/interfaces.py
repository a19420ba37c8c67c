"""The seam between flights and the places entries live.

The rule of this seam: **a store may fail, the site may not**. No Deferred returned here ever fails (cancellation
apart); a fault is logged once, counted, and answered as "not found" or "granted".
Must not know: how any of it is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import StrEnum

from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from txstalecache.http.entry import Entry, Marker
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.http.values import dataclass, enumeration
from txstalecache.store.purges import Hardness, Scope
from txstalecache.store.relay import Reception, Told, Transmission

__all__ = ["NOTHING", "Found", "ILease", "ILeases", "IStore", "Purpose", "Send", "Tell"]

#: Begin to relay an answer to other processes; what is returned takes its body.
Send = Callable[[Key, Told], Transmission]

#: Told that somebody in another process begins to wait; again, where nobody did for a while.
Tell = Callable[[Send], None]


@dataclass(frozen=True, slots=True)
class Found:
    """What a store knows about a key, for one request."""

    entry: Entry | None = None
    """The most recent variant that matches the request (RFC 9111 §4.1)."""
    marker: Marker | None = None
    """A marker that has not run out."""
    vary: tuple[bytes, ...] = ()
    """Names (lower case, sorted) the answers under this key are known to vary by."""
    where: str = ""
    """``memory`` or ``redis``; for ``explain``."""


NOTHING = Found()


class IStore(Interface):
    """Where entries live. All methods may be called at any time, before and after Redis comes and goes."""

    def peek(key: Key, request: RequestHead) -> Found | None:
        """What this process can say at once, without I/O; None when it would have to ask further (``load``)."""

    def load(key: Key, request: RequestHead) -> Deferred[Found]:
        """What is known further off about ``key``, of which ``peek`` has just said nothing; else as ``lookup``."""

    def lookup(key: Key, request: RequestHead) -> Deferred[Found]:
        """What is known about ``key``. Takes at most the read time limit. Never fails; cancelling it is safe."""

    def put(key: Key, entry: Entry, keep: float) -> None:
        """Store ``entry`` for ``keep`` seconds (its lifetime + stale window from now); visible to the next request
        in this process at once, to others when written. Nobody waits for the write. Takes the marker that says
        how to fetch (PRIVATE, ERROR or LONG) away."""

    def mark(key: Key, marker: Marker) -> None:
        """Make ``marker`` known until it runs out. Nobody waits for the write."""

    def unmark(key: Key) -> None:
        """Take the marker of ``key`` that says how to fetch (PRIVATE, ERROR or LONG) away. Nobody waits for the
        write."""

    def discard(key: Key) -> None:
        """Forget every variant of ``key`` everywhere, at once for this process (RFC 9111 §4.4 invalidation)."""

    def purge(scope: Scope, hardness: Hardness) -> Deferred[bool]:
        """Let nothing of ``scope`` be used whose fetch began before now: at once in this process, elsewhere once Redis
        has heard of it. Fires with whether it has; if not, it is told when it is back. Never fails."""

    def outdated(key: Key, began: float, tags: Iterable[bytes] = (), request: RequestHead | None = None) -> bool:
        """Whether ``key``, or what has ``tags``, was purged or discarded after a fetch that ``began`` then. ``request``
        is what is fetched: by it purges of variants count."""

    def learn(key: Key) -> Deferred[None]:
        """Ask when ``key`` was last discarded by any process, and hold to it from then on. Never fails."""

    def epoch(key: Key, request: RequestHead | None = None) -> float:
        """When ``key`` was last purged, tags apart, in the fleet's time; before all time when never. ``request`` as
        above."""

    def left(key: Key, entry: Entry) -> Entry | None:
        """What purges and discards have left of ``entry``, wherever it comes from: itself, stale, or nothing."""

    def now() -> float:
        """The fleet's time in seconds since the epoch: Redis ``TIME`` once known, else the host's."""


@enumeration
class Purpose(StrEnum):
    """What a lease is wanted for."""

    FETCH = "fetch"
    """Somebody waits for the answer: a back-off after a failed refresh does not stand in the way."""
    REFRESH = "refresh"
    """Nobody waits: not during a back-off."""


class ILease(Interface):
    """The right to fetch one key, across processes. Kept alive by a heartbeat from the moment it is granted."""

    name = Attribute("What it was called when it was granted.")
    lost = Attribute("Whether somebody else may hold it now; the holder must then not store.")
    awaited = Attribute("Whether somebody in another process waits for what it is for, as far as is known.")
    bare = Attribute("Whether nothing was stored under the key when it was granted: no need to look again.")

    def release() -> None:
        """Give it back and wake those who wait elsewhere. Idempotent; nobody waits for it."""

    def disband() -> None:
        """The same, where what came is not for sharing among processes: those who wait need not wait for one
        another."""

    def back_off() -> None:
        """The refresh failed: nobody refreshes this key until the back-off passes (1 s, doubling to 60 s, jittered)."""


class ILeases(Interface):
    """Grants leases. Without Redis every lease is granted: the registry still coalesces within the process."""

    def grant(name: str, purpose: Purpose) -> ILease | None:
        """The lease called ``name``, where nobody has to be asked. None: ``acquire`` it, which may be refused."""

    def acquire(name: str, purpose: Purpose, tell: Tell | None = None) -> Deferred[ILease | None]:
        """The lease called ``name``, or None while another process holds it (or, for REFRESH, a back-off runs). When
        somebody in another process begins to wait for what it is for, and nobody did just before, ``tell`` is called
        with the way to relay it to them; not after it was given back."""

    def holder(name: str) -> Deferred[tuple[str, float] | None]:
        """Whose the lease called ``name`` is (a token), and for how many seconds more if nothing is heard of them; None
        when nobody's, or when that cannot be found out."""

    def disbanded(name: str, token: str) -> Deferred[bool]:
        """Whether who held the lease called ``name`` under ``token`` has disbanded those who waited; False when that
        cannot be found out."""

    def resting(name: str) -> Deferred[bool]:
        """Whether a back-off runs for the lease called ``name``; False when that cannot be found out."""

    def changed(key: Key) -> Deferred[None]:
        """Fires when something about ``key`` (entry, marker, lease) may have changed elsewhere, or at the latest after
        the poll interval. The caller owns it and cancels it when it no longer cares."""

    def receive(key: Key, token: str) -> Deferred[Reception | None]:
        """What the holder with ``token`` relays of its answer; None when it does not, or when that cannot be found
        out."""
