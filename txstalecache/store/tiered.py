"""The store that flights see: memory over Redis, with what is on its way to Redis in between.

An answer is looked for in memory, then among the writes that Redis has not confirmed yet, then in Redis. A write is
visible here at once; nobody waits for it to reach Redis. Nothing that goes wrong with Redis comes out of here. What
does all this is next door:

=============  =====================================================================================
``athand``     what can be said without asking: memory, and what is under way
``trips``      what is asked of Redis
``writes``     entries and markers on their way in
``discards``   single keys forgotten
``purging``    purges said, told and learned
``epochs``     what discards and purges leave of what comes from anywhere
``underway``   what Redis has not confirmed yet
``tiers``      what all of these have in common
=============  =====================================================================================

Must not know: how Redis is talked to, what an entry means.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.store.athand import AtHand
from txstalecache.store.clock import FleetClock
from txstalecache.store.commands import ignored
from txstalecache.store.discards import Discards
from txstalecache.store.epochs import Epochs
from txstalecache.store.interfaces import Found, IStore
from txstalecache.store.memory import MemoryTier
from txstalecache.store.purges import Purges
from txstalecache.store.purging import Purging
from txstalecache.store.remote import Remote
from txstalecache.store.tiers import Tiers
from txstalecache.store.trips import Trips
from txstalecache.store.underway import UnderWay
from txstalecache.store.writes import Writes

__all__ = ["TieredStore"]


@implementer(IStore)
class TieredStore:
    """Memory over Redis; over nothing when ``remote`` is None."""

    def __init__(
        self,
        memory: MemoryTier,
        clock: FleetClock,
        remote: Remote | None = None,
        purges: Purges | None = None,
    ) -> None:
        self.memory = memory
        self.clock = clock
        self.remote = remote
        self.purges = Purges() if purges is None else purges
        self.under_way = UnderWay()
        self._epochs = epochs = Epochs(self.purges)
        tiers = Tiers(memory, clock, remote, epochs, self.under_way)
        at_hand = AtHand(tiers)
        self._trips = trips = Trips(tiers, at_hand)
        self._purging = Purging(tiers, at_hand, lambda: self.changed(None))
        self._discards = Discards(tiers, at_hand, trips, self._purging.say)
        writes = Writes(tiers, at_hand, trips, self._taken)

        # Every request comes by here: whoever does it is called without a detour.
        self.now = clock.now
        self.peek = at_hand.peek
        self.held = at_hand.held
        self.at_hand = at_hand.variants
        self.load = trips.load
        self.put = writes.put
        self.mark = writes.mark
        self.unmark = writes.unmark
        self.discard = self._discards.discard
        self.purge = self._purging.purge
        self.outdated = epochs.outdated
        self.epoch = epochs.epoch
        self.left = epochs.left
        self.flush = self.under_way.flush

    def lookup(self, key: Key, request: RequestHead) -> Deferred[Found]:
        found = self.peek(key, request)
        return self.load(key, request) if found is None else succeed(found)

    def learn(self, key: Key) -> Deferred[None]:
        remote = self.remote
        if remote is None:
            return succeed(None)
        return remote.discarded(key).addCallbacks(lambda when: self._epochs.learn(key, when), ignored)

    # -- figures ----------------------------------------------------------------------------------------------------

    @property
    def session(self) -> int:
        """The tracking session that runs; 0: none."""
        return self.memory.session

    @property
    def asked(self) -> int:
        """Round trips to Redis to look something up, so far; lookups that shared one count once."""
        return self._trips.asked

    @property
    def unwritten(self) -> int:
        """Writes that did not reach Redis, so far."""
        return self.under_way.unwritten

    # -- what others do ---------------------------------------------------------------------------------------------

    def changed(self, digest: str | None) -> None:
        """Something about the key with this digest was changed elsewhere; None: perhaps everything."""
        if digest is None:
            self._trips.taint_all()
            self.memory.clear()
            return
        self._trips.taint(digest)
        self.memory.changed(digest)

    def tracked(self, session: int) -> None:
        """A tracking session has begun; 0: it is over, and what was learned in it may change unnoticed."""
        self.memory.session = session
        # At the beginning too: what memory has by then was learned unwatched, and dated by another clock perhaps.
        self.changed(None)
        if session:
            # Watch, then look: what was purged before the first word.
            self.purged()

    def reachable(self) -> None:
        """Redis is there (again): it is told what it missed, and what it has lost."""
        self._discards.catch_up()
        self._purging.catch_up()
        # Word of changes may have come before it could be asked.
        self.purged()

    def try_again(self) -> None:
        """Called now and then: what Redis did not take of purges and discards is not to wait until something else is
        written."""
        self._discards.try_again()
        if self._purging.behind:
            self._purging.catch_up()

    def purged(self) -> None:
        """Somebody has purged something: learn what."""
        self._purging.sync()

    def emptied(self) -> None:
        """Redis was emptied (``FLUSHALL``): nothing is there any longer, but purges hold."""
        self.changed(None)
        self._purging.compare()

    def _taken(self) -> None:
        if self._discards.behind or self._purging.behind:
            # It was not away, but full, or somebody's replica; now it takes what it is told.
            self.reachable()
