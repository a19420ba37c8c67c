"""Which keys are asked for most, without remembering all keys: the Space-Saving sketch.

Metwally, Agrawal, El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams" (ICDT 2005): of
``capacity`` counters the smallest is handed over, with its count, to a newcomer. What was counted more often than
(all counts / capacity) is in there for certain; a count is too high by ``error`` at most, never too low. All are
halved from time to time: what was asked for last month is not to hide what is asked for now.
Must not know: what is counted.
"""

from __future__ import annotations

from heapq import heapify, heappop, heappush
from typing import Final

__all__ = ["RANKINGS", "SpaceSaving", "TopKeys"]


class SpaceSaving:
    """At most ``capacity`` names with their counts."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._counts: dict[bytes, int] = {}
        self._errors: dict[bytes, int] = {}
        # By count, lazily: a name whose count has grown since is put back when it comes to the front.
        self._order: list[tuple[int, bytes]] = []

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, name: bytes, weight: int = 1) -> None:
        """``name`` was seen, ``weight`` times."""
        counts = self._counts
        had = counts.get(name)
        if had is not None:
            counts[name] = had + weight
            return
        least = 0
        if len(counts) >= self._capacity:
            least = self._evict()
            self._errors[name] = least
        counts[name] = least + weight
        heappush(self._order, (least + weight, name))

    def _evict(self) -> int:
        while True:
            count, name = heappop(self._order)
            now = self._counts[name]
            if now == count:
                del self._counts[name]
                self._errors.pop(name, None)
                return count
            heappush(self._order, (now, name))

    def fade(self) -> None:
        """Let what was seen so far count half, as if each name had been seen half as often."""
        self._counts = {name: (count + 1) // 2 for name, count in self._counts.items()}
        self._errors = {name: (error + 1) // 2 for name, error in self._errors.items()}
        self._order = [(count, name) for name, count in self._counts.items()]
        heapify(self._order)

    def count(self, name: bytes) -> int:
        """How often ``name`` was seen, too high by its error at most; 0 when it is not among the top."""
        return self._counts.get(name, 0)

    def error(self, name: bytes) -> int:
        """By how much the count of ``name`` may be too high."""
        return self._errors.get(name, 0)

    def top(self, most: int) -> list[bytes]:
        """The names seen most often, in order."""
        return sorted(self._counts, key=lambda name: (-self._counts[name], name))[:most]


#: What keys can be ranked by.
RANKINGS: Final = ("hits", "misses", "bytes", "waiters")


class TopKeys:
    """The URLs with the most hits, misses, bytes sent, and waiters of late."""

    #: Seconds after which what was seen counts half.
    HALF_LIFE: Final = 3600.0
    #: Of each ranking. Four rankings of 256 URLs of 512 bytes at most: some 600 KiB.
    CAPACITY: Final = 256
    LONGEST: Final = 512

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._rankings = {by: SpaceSaving(capacity) for by in RANKINGS}
        self._faded: float | None = None

    def tick(self, now: float) -> None:
        """It is ``now``, in seconds of whatever clock."""
        if self._faded is None:
            self._faded = now
        elif now - self._faded >= self.HALF_LIFE:
            self._faded = now
            for ranking in self._rankings.values():
                ranking.fade()

    def hit(self, url: bytes, sent: int, weight: int = 1) -> None:
        """``url`` was answered from the store, with ``sent`` bytes; ``weight`` times the like of it."""
        url = url[: self.LONGEST]
        self._rankings["hits"].add(url, weight)
        if sent:
            self._rankings["bytes"].add(url, sent * weight)

    def asked(self, url: bytes, sent: int, waited: bool) -> None:
        """``url`` was not answered from the store; ``waited``: but by somebody else's fetch."""
        url = url[: self.LONGEST]
        self._rankings["waiters" if waited else "misses"].add(url)
        if sent:
            self._rankings["bytes"].add(url, sent)

    def top(self, by: str, most: int) -> list[dict[str, object]]:
        """The first ``most`` by one of RANKINGS, with what is known of them in the others; ``error``: by how much the
        count they are ranked by may be too high."""
        ranking = self._rankings[by]
        return [
            {
                "url": url.decode("latin-1"),
                **{other: self._rankings[other].count(url) for other in RANKINGS},
                "error": ranking.error(url),
            }
            for url in ranking.top(most)
        ]
