"""How often keys have been asked for, as far as is remembered.

Must not know: why it matters.
"""

from __future__ import annotations

from collections import OrderedDict

from txstalecache.http.keys import Key

__all__ = ["Uses"]


class Uses:
    """Counts of the ``most`` keys asked for last."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._counts: OrderedDict[str, int] = OrderedDict()

    def count(self, key: Key) -> int:
        """One more use of ``key``; how many there were by now."""
        counts, name = self._counts, key.digest
        used = counts[name] = counts.pop(name, 0) + 1
        if len(counts) > self._most:
            counts.popitem(last=False)
        return used
