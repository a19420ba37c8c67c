"""What the flights of a process came to so far, in numbers.

Must not know: who reads them, and as what.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Final, NamedTuple

from txstalecache.http.keys import Key
from txstalecache.observe.histogram import Histogram
from txstalecache.origin.interfaces import Fault

__all__ = ["Figures", "Unstored"]

_CLASSES: Final = {number: f"{number}xx" for number in range(1, 6)}


class Unstored(NamedTuple):
    """An answer that was not stored: its status, why, and when its head came."""

    status: int
    why: str
    when: float


class Figures:
    """Plain counts since the start; and, for who asks why, what was not stored of late."""

    #: Keys of which it is remembered.
    MOST: Final = 1000

    def __init__(self) -> None:
        self.fetches = 0
        """Requests sent to an origin, or tried to be sent."""
        self.answers: Counter[str] = Counter()
        """Heads that came back: ``2xx`` …, and ``304`` by itself."""
        self.faults: Counter[str] = Counter()
        """Fetches without an answer, or without all of it, by ``Fault``."""
        self.latency = Histogram()
        """From asking to the head."""
        self.ended: Counter[tuple[str, str, str]] = Counter()
        """Flights that are over, by purpose, sharing, and state."""
        self.back_offs = 0
        """Refreshes that failed, after which the key is left alone for a while."""
        self.lately: OrderedDict[str, Unstored] = OrderedDict()
        """By the digest of the key, the oldest first; the last answer of each, unless that is stored."""

    def unstored(self, key: Key, status: int, why: str, when: float) -> None:
        """The answer for ``key`` is not stored."""
        digest, lately = key.digest, self.lately
        lately[digest] = Unstored(status, why, when)
        lately.move_to_end(digest)
        if len(lately) > self.MOST:
            lately.popitem(last=False)

    def stored(self, key: Key) -> None:
        """The last answer for ``key`` is."""
        self.lately.pop(key.digest, None)

    def answered(self, status: int, seconds: float) -> None:
        """A head came, ``seconds`` after it was asked for."""
        self.answers["304" if status == 304 else _CLASSES.get(status // 100, "other")] += 1
        self.latency.add(seconds)

    def faulted(self, fault: Fault) -> None:
        """No head came, or what follows it did not come whole."""
        self.faults[fault.value] += 1
