"""Entries and markers on their way in: into memory at once, to Redis without anybody waiting for it.

Must not know: how Redis is talked to, what an entry means.
"""

from __future__ import annotations

from collections.abc import Callable

from txstalecache.http.entry import Entry, Marker
from txstalecache.http.keys import Key
from txstalecache.store.athand import AtHand
from txstalecache.store.memory import Variant
from txstalecache.store.remote import Remote
from txstalecache.store.tiers import Tiers
from txstalecache.store.trips import Trips

__all__ = ["Writes"]


class Writes:
    """What is stored. ``taken`` is called each time that Redis has answered to the write of an entry."""

    def __init__(self, tiers: Tiers, at_hand: AtHand, trips: Trips, taken: Callable[[], None]) -> None:
        self._tiers = tiers
        self._at_hand = at_hand
        self._trips = trips
        self._taken = taken

    def put(self, key: Key, entry: Entry, keep: float) -> None:
        """See ``IStore``."""
        if keep <= 0 or self._tiers.epochs.left(key, entry) is None:
            return
        keep = min(keep, Remote.LONGEST)
        now = self._tiers.clock.now()
        remote = self._tiers.remote
        reachable = remote is not None and remote.writable
        body_id = Remote.body_id(entry) if reachable else ""
        variant = Variant.of(entry, now + keep, body_id)
        shelf = self._at_hand.open(key, now)
        shelf.add(variant)
        shelf.advice = None
        if remote is not None and not reachable:
            # Of what Redis does not have nobody tells when it changes.
            shelf.session, shelf.learned = 0, now
        self._tiers.memory.put(shelf)
        if entry.selector:
            self._trips.remember(shelf)
        self._trips.taint(key.digest)
        if remote is None:
            return
        if not reachable:
            self._tiers.under_way.unwritten += 1
            return
        writing = remote.put(key, entry, keep, variant.until, variant.body_id)
        pending = self._tiers.under_way.pend(key)
        pending.shelf.add(variant)
        pending.shelf.advice = None
        pending.unmarked = True
        self._tiers.under_way.send(pending, writing.addCallback(self._put, key, variant))

    def _put(self, accepted: bool, key: Key, variant: Variant) -> None:
        self._taken()
        if not accepted:
            # Redis has something newer, or it was discarded meanwhile: ours is not to be used.
            shelf = self._tiers.memory.look(key)
            if shelf is not None and shelf.variants.get(variant.selector) is variant:
                self._tiers.memory.drop(key)

    def mark(self, key: Key, marker: Marker) -> None:
        """See ``IStore``."""
        now = self._tiers.clock.now()
        if marker.until <= now:
            return
        shelf = self._at_hand.open(key, now)
        shelf.mark(marker)
        self._tiers.memory.put(shelf)
        self._trips.taint(key.digest)
        remote = self._tiers.remote
        if remote is None or not remote.writable:
            return
        pending = self._tiers.under_way.pend(key)
        pending.shelf.mark(marker)
        self._tiers.under_way.send(pending, remote.mark(key, marker, marker.until - now))

    def unmark(self, key: Key) -> None:
        """See ``IStore``."""
        shelf = self._tiers.memory.look(key)
        if shelf is not None:
            shelf.unmark()
            self._tiers.memory.put(shelf)
        self._trips.taint(key.digest)
        remote = self._tiers.remote
        if remote is None or not remote.writable:
            return
        pending = self._tiers.under_way.pend(key)
        pending.shelf.advice = None
        pending.unmarked = True
        self._tiers.under_way.send(pending, remote.unmark(key))
