"""Single keys forgotten everywhere: here at once, in Redis as soon as it listens.

Must not know: how Redis is talked to, who discards and why.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from twisted.python.failure import Failure

from txstalecache.http.keys import Key
from txstalecache.store.athand import AtHand
from txstalecache.store.purges import Hardness, Purge, Scope
from txstalecache.store.remote import Remote
from txstalecache.store.tiers import Tiers
from txstalecache.store.trips import Trips

__all__ = ["Discards"]


class Discards:
    """The discards of this process, and those among them that Redis has still to be told. ``purge`` is told of those
    that are too many to be kept apart."""

    #: Discards that Redis has still to be told, at most; beyond them the oldest count as a purge of everything.
    MOST = 10_000

    def __init__(self, tiers: Tiers, at_hand: AtHand, trips: Trips, purge: Callable[[Purge], object]) -> None:
        self._tiers = tiers
        self._at_hand = at_hand
        self._trips = trips
        self._purge = purge
        self._untold: OrderedDict[Key, float] = OrderedDict()

    def discard(self, key: Key) -> None:
        """See ``IStore``."""
        when = self._tiers.clock.mark()
        self._tiers.epochs.discard(key, when)
        shelf = self._tiers.memory.look(key)
        if shelf is not None:
            # Not changed in place: whoever holds on to a shelf asks only whether it is alive.
            self._tiers.memory.drop(key)
        if self._tiers.remote is None:
            if shelf is not None and (shelf.advice or shelf.cookie):
                fresh = self._at_hand.open(key, when)
                fresh.advice, fresh.cookie = shelf.advice, shelf.cookie
                self._tiers.memory.put(fresh)
            return
        self._trips.taint(key.digest)
        self._tell(self._tiers.remote, key, when)

    @property
    def behind(self) -> bool:
        """Whether there is anything that Redis should know and does not."""
        return bool(self._untold)

    def catch_up(self) -> None:
        """Tell Redis what it has missed, as far as it listens."""
        if self._tiers.remote is None:
            return
        untold, self._untold = self._untold, OrderedDict()
        now = self._tiers.clock.now()
        for key, when in untold.items():
            if when > now:
                # Said by the host's clock, which was wrong.
                when = now
                self._tiers.epochs.settle(key, now)
            self._tell(self._tiers.remote, key, when)

    def try_again(self) -> None:
        """Tell Redis one of those that it has missed; once it has taken that, the others."""
        remote = self._tiers.remote
        if remote is not None and self._untold:
            key, when = self._untold.popitem(last=False)
            self._tell(remote, key, when, self.catch_up)

    def _tell(self, remote: Remote, key: Key, when: float, taken: Callable[[], None] = lambda: None) -> None:
        if not remote.writable:
            self._tell_later(key, when)
            return
        pending = self._tiers.under_way.pend(key)
        pending.shelf.discard(when)
        pending.shelf.complete = True
        telling = remote.discard(key, when)
        telling.addCallbacks(lambda _: taken(), self._not_told, errbackArgs=(key, when))
        self._tiers.under_way.send(pending, telling)

    def _not_told(self, failure: Failure, key: Key, when: float) -> Failure:
        self._tell_later(key, when)
        return failure

    def _tell_later(self, key: Key, when: float) -> None:
        self._untold[key] = max(when, self._untold.pop(key, when))
        if len(self._untold) > self.MOST:
            until = max(self._untold.popitem(last=False)[1] for _ in range(max(1, self.MOST // 10)))
            self._purge(Purge(Scope.everything(), Hardness.HARD, until))
