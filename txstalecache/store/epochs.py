"""The epoch of each key: nothing whose fetch began at or before it is used, wherever it comes from.

Two things set it: a purge of whatever covers the key, and a discard of the key itself. Discards are remembered for as
long as a fetch may be in the air.

Must not know: Redis, the reactor, the memory tier; who discards and why.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from txstalecache.http.entry import Entry
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.store.purges import Purges

__all__ = ["Epochs"]


class Epochs:
    """``purges``, and the discards of this process. All times are the fleet's; before all time: never."""

    #: How long a discard is remembered against fetches in the air, in seconds.
    REMEMBER = 300.0
    #: Discards remembered.
    MOST = 10_000

    def __init__(self, purges: Purges) -> None:
        self.purges = purges
        self._cuts: OrderedDict[Key, float] = OrderedDict()

    def discard(self, key: Key, when: float) -> None:
        """``key`` is discarded at ``when``, which is not long before any other discard."""
        self._cuts[key] = when
        self._cuts.move_to_end(key)
        while self._cuts:
            _, oldest = next(iter(self._cuts.items()))
            if len(self._cuts) <= self.MOST and oldest > when - self.REMEMBER:
                break
            self._cuts.popitem(last=False)

    def learn(self, key: Key, when: float) -> None:
        """``key`` was discarded at ``when``, by whoever it was."""
        if when > self.discarded(key):
            self.discard(key, when)

    def settle(self, key: Key, when: float) -> None:
        """The discard of ``key`` counts from ``when`` on: by a clock that knows better."""
        self._cuts[key] = when

    def discarded(self, key: Key) -> float:
        """When ``key`` was last discarded."""
        return self._cuts.get(key, -1.0)

    def outdated(self, key: Key, began: float, tags: Iterable[bytes] = (), request: RequestHead | None = None) -> bool:
        """See ``IStore``."""
        if not self._cuts and not self.purges:
            return False
        return began <= max(self._cuts.get(key, -1.0), *self._purged(key, tags, request))

    def epoch(self, key: Key, request: RequestHead | None = None) -> float:
        """See ``IStore``."""
        return max(self._purged(key, (), request))

    def left(self, key: Key, entry: Entry) -> Entry | None:
        """See ``IStore``."""
        return None if entry.request_time <= self._cuts.get(key, -1.0) else self.purges.apply(key, entry)

    def _purged(self, key: Key, tags: Iterable[bytes], request: RequestHead | None) -> tuple[float, float]:
        return self.purges.newest(key, tags, None if request is None else lambda scope: scope.meant(request))
