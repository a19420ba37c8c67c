"""The way of a body to those who wait for it in other processes.

Must not know: Redis, who waits.
"""

from __future__ import annotations

from txstalecache.flight.body import Body, Reader
from txstalecache.store.relay import Transmission

__all__ = ["Passage"]


class Passage(Reader):
    """Reads ``body`` for ``transmission``, which says how fast."""

    __slots__ = ("_transmission",)

    def __init__(self, body: Body, transmission: Transmission) -> None:
        super().__init__(body, transmission)
        self._transmission = transmission

    def begin(self, *, kept: bool, min_rate: int) -> None:
        """Read from here on; with what ``Transmission.attach`` wants to know."""
        self._transmission.attach(self, kept=kept, min_rate=min_rate)
        self.start()

    def lags(self) -> None:
        """Not all of those who read elsewhere are to be cut off for the slowest."""
        self._transmission.hurry()
