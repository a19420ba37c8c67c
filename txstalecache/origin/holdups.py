"""Clients that keep a connection busy and hardly move, while somebody waits for one.

Must not know: who the clients are, what they ask for.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from txstalecache.origin.exchange import Exchange

__all__ = ["Holdups"]


class Holdups:
    """Watches the exchanges of one pool; ``look`` once a second or so, as long as somebody waits."""

    #: What a transport and a kernel's buffer is taken in bursts: less than this says nothing about a rate.
    PATIENCE: Final = 2.0

    def __init__(self, min_rate: int) -> None:
        self._min_rate = min_rate
        self._since: dict[Exchange, tuple[float, int]] = {}

    def look(self, exchanges: Iterable[Exchange], now: float) -> list[Exchange]:
        """Those of ``exchanges`` that have waited for their clients for ``PATIENCE`` seconds and moved less than
        ``min_rate`` bytes a second meanwhile; who moves least first."""
        before, self._since = self._since, {}
        slow: list[tuple[float, Exchange]] = []
        for exchange in exchanges:
            if not exchange.held_up:
                continue
            since, moved = before.get(exchange, (now, exchange.moved))
            took = now - since
            if took < self.PATIENCE:
                self._since[exchange] = since, moved
                continue
            rate = (exchange.moved - moved) / took
            if rate < self._min_rate:
                slow.append((rate, exchange))
            self._since[exchange] = now - self.PATIENCE, exchange.moved - int(rate * self.PATIENCE)
        slow.sort(key=lambda each: each[0])
        return [exchange for _, exchange in slow]

    def forget(self) -> None:
        """Nobody waits any more."""
        self._since.clear()
