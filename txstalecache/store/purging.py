"""Purges said here and elsewhere: what is said holds in this process at once, what others have said is learned.

Must not know: how Redis is talked to, who purges and why.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred

from txstalecache.store.athand import AtHand
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.purges import Hardness, Purge, Scope
from txstalecache.store.remote import Remote
from txstalecache.store.tiers import Tiers

__all__ = ["Purging"]


class Purging:
    """Purges kept in step with those in Redis. ``forget`` lets go of all that memory holds: called when something was
    purged and it cannot be found out what."""

    def __init__(self, tiers: Tiers, at_hand: AtHand, forget: Callable[[], None]) -> None:
        self._tiers = tiers
        self._purges = tiers.epochs.purges
        self._at_hand = at_hand
        self._forget = forget
        self._attempts = 0
        """To find out what was purged."""

    def purge(self, scope: Scope, hardness: Hardness = Hardness.HARD) -> Deferred[bool]:
        """See ``IStore``."""
        return self.say(Purge(scope, hardness, self._tiers.clock.mark()))

    def say(self, said: Purge) -> Deferred[bool]:
        """The same of what was ``said`` a while ago, perhaps."""
        self._purges.add([said])
        told: Deferred[bool] = Deferred()
        if self._tiers.remote is None:
            self._purges.trim(self._tiers.clock.now() - Remote.USEFUL)
            told.callback(True)
        else:
            self._tiers.under_way.start(self._tell(self._tiers.remote, said, told))
        return told

    async def _tell(self, remote: Remote, said: Purge, told: Deferred[bool]) -> None:
        known = False
        try:
            known = await remote.purge_log.tell(said)
            self._tiers.under_way.unwritten += not known
        finally:
            if not told.called:
                told.callback(known)

    @property
    def behind(self) -> bool:
        """Whether there is anything that Redis should know and does not."""
        return self._tiers.remote is not None and self._tiers.remote.purge_log.behind

    def catch_up(self) -> None:
        """Tell Redis what it has missed and lost, as far as it listens."""
        if self._tiers.remote is not None:
            self._tiers.under_way.start(self._tiers.remote.purge_log.catch_up())

    def sync(self) -> None:
        """Somebody has purged something: learn what."""
        if self._tiers.remote is not None:
            self._tiers.under_way.start(self._learn(self._tiers.remote.purge_log.sync()))

    def compare(self) -> None:
        """Redis was emptied, perhaps: learn everything, and tell it again what is missing."""
        if self._tiers.remote is not None:
            self._tiers.under_way.start(self._learn(self._tiers.remote.purge_log.compare()))

    async def _learn(self, learning: Coroutine[Any, Any, None]) -> None:
        self._attempts = attempt = self._attempts + 1
        try:
            await learning
            if attempt == self._attempts:  # else word has come since it was asked
                self._at_hand.unlearned = False
        except (Unavailable, Refused):
            # Until it is known, memory is not to be believed; what Redis answers next brings it.
            self._at_hand.unlearned = True
            self._forget()
