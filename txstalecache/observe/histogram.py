"""How long things took: counts in buckets whose bounds grow by a quarter of an octave, a fixed number of them.

Whatever is added, it takes the same room; two are added up bucket by bucket, so that processes and spans of time can
be put together and taken apart.
Must not know: what took so long; Prometheus.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from math import log2
from typing import Final

__all__ = ["BOUNDS", "Histogram"]

#: Buckets in an octave: a percentile is off by 9 % at most.
_PARTS: Final = 4
#: 2**-20 s (1 us) and less are in the first bucket, 2**10 s (17 min) and more in the last.
_LOW, _HIGH = -20, 10
_SIZE: Final = (_HIGH - _LOW) * _PARTS + 2

#: Where each bucket but the first begins.
_EDGES: Final = tuple(2.0 ** (_LOW + place / _PARTS) for place in range(_SIZE - 1))

#: Upper bounds in seconds for those who want fewer buckets: the octaves from 0.24 ms to 32 s.
BOUNDS: Final = tuple(2.0**power for power in range(-12, 6))


class Histogram:
    """Durations in seconds."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts = [0] * _SIZE
        self.total = 0.0
        """Of all that was added, in seconds."""

    def add(self, seconds: float, weight: int = 1) -> None:
        """One more; ``weight`` of them when it stands for several."""
        self.counts[bisect_right(_EDGES, seconds)] += weight
        if seconds > 0.0:  # else a clock was set back
            self.total += seconds * weight

    def merge(self, said: Mapping[str, int], total: float = 0.0) -> None:
        """Add what another one said (``sparse``)."""
        for place, count in said.items():
            self.counts[min(int(place), _SIZE - 1)] += count
        self.total += total

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(self.counts)

    def sparse(self) -> dict[str, int]:
        """The buckets that are not empty, for JSON."""
        return {str(place): count for place, count in enumerate(self.counts) if count}

    def below(self, bounds: Iterable[float] = BOUNDS) -> list[tuple[float, int]]:
        """For each of ``bounds`` (powers of two, ascending), how many were at most that long."""
        found, done, place = [], 0, 0
        for bound in bounds:
            end = min(_SIZE - 1, int((log2(bound) - _LOW) * _PARTS) + 1)
            while place < end:
                done += self.counts[place]
                place += 1
            found.append((bound, done))
        return found

    def percentile(self, part: float) -> float | None:
        """The duration that ``part`` (0 to 1) of them did not exceed, to the next bound; None when there are none."""
        wanted = part * self.count
        if not wanted:
            return None
        done = 0
        for place, count in enumerate(self.counts):
            done += count
            if done >= wanted:
                return float(2.0 ** (_LOW + place / _PARTS))
        return float(2.0**_HIGH)
