"""What this process can say without asking: memory as far as it may be believed, and what is on its way to Redis.

Memory is believed without an end where nobody else could change what it holds, and where a tracking session tells of
changes; else for a second. It is not believed at all while something was purged and it is not known what.

Must not know: how Redis is talked to, who asks, and why.
"""

from __future__ import annotations

from math import inf

from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.store.interfaces import NOTHING, Found
from txstalecache.store.memory import Shelf, Variant
from txstalecache.store.tiers import Tiers

__all__ = ["AtHand"]


class AtHand:
    """What ``tiers`` know by themselves. Asked by every request: what it needs of them is at its hand."""

    #: How long memory is believed when nobody tells of changes, in seconds.
    UNTRACKED = 1.0

    def __init__(self, tiers: Tiers) -> None:
        self._memory = tiers.memory
        self._clock = tiers.clock
        self._remote = tiers.remote
        self._epochs = tiers.epochs
        self._purges = tiers.epochs.purges
        self._pending = tiers.under_way.about
        self.unlearned = False
        """Whether something was purged, and it could not be found out what."""

    def peek(self, key: Key, request: RequestHead) -> Found | None:
        """See ``IStore``."""
        now = self._clock.now()
        shelf = self._memory.get(key)
        if shelf is not None and self._believed(shelf, now):
            found = shelf.find(request, now, "memory", self._purges)
            if found is not None:
                return found
        pending = self._pending(key)
        if pending is not None:
            found = pending.shelf.find(request, now, "memory", self._purges)
            if found is not None:
                return found
        if self._remote is not None and self._remote.available:
            return None
        return NOTHING if shelf is None and pending is None else self.guess(key, request)

    def held(self, key: Key, now: float) -> tuple[Shelf, float] | None:
        """The shelf of ``key`` in memory ``now``, and until when it may be believed as long as the memory's ``session``
        and the shelf's ``alive`` and ``changes`` stay as they are. Counts as a use. What ``peek`` would not use is not
        here either."""
        shelf = self._memory.get(key)
        if shelf is None or not self._believed(shelf, now):
            return None
        if self.unlearned:
            return shelf, now  # as long as Redis is away: whether it is has to be seen each time
        if self._remote is None or (shelf.session and shelf.session == self._memory.session):
            return shelf, inf
        return shelf, shelf.learned + self.UNTRACKED

    def variants(self, key: Key) -> list[Variant]:
        """The variants of ``key`` that this process has, without counting as a use."""
        shelf, pending = self._memory.look(key), self._pending(key)
        found = dict(shelf.variants) if shelf is not None and self._believed(shelf, self._clock.now()) else {}
        if pending is not None:
            found.update(pending.shelf.variants)
        return list(found.values())

    def guess(self, key: Key, request: RequestHead) -> Found:
        """What can be said when Redis cannot be asked."""
        now = self._clock.now()
        shelf = self._memory.look(key)
        if shelf is not None and self._believed(shelf, now):
            return shelf.without_bodies(request, now, "memory", self._purges)
        pending = self._pending(key)
        if pending is None:
            return NOTHING
        return pending.shelf.without_bodies(request, now, "memory", self._purges)

    def open(self, key: Key, now: float) -> Shelf:
        """A shelf to write on: the one in memory where it can be believed for as long as a new one, else a new one."""
        memory = self._memory
        shelf = memory.look(key)
        tracked = shelf is not None and shelf.session == memory.session != 0
        if shelf is not None and not shelf.suspect and (self._remote is None or tracked):
            return shelf
        fresh = Shelf(key, complete=self._remote is None, session=memory.session, learned=now)
        fresh.cut = self._epochs.discarded(key)
        return fresh

    def _believed(self, shelf: Shelf, now: float) -> bool:
        if shelf.suspect or (self.unlearned and self._remote is not None and self._remote.available):
            return False
        if self._remote is None or (shelf.session and shelf.session == self._memory.session):
            return True
        return now - shelf.learned < self.UNTRACKED
