"""Readers that hold the others back: who they are, and when there has been enough of it.

Must not know: responses, connections.
"""

from __future__ import annotations

from txstalecache.flight.body import Body, Reader

__all__ = ["Laggards"]


class Laggards:
    """Watches one body that is not retained; ``look`` once a second or so.

    A reader lags while it is among the slower half of a full window and somebody else has read all there is. One that
    has lagged for ``PATIENCE`` seconds and took less than ``min_rate`` bytes per second meanwhile is cut off: what it
    holds back would hold everybody. Where all are slow, nobody holds anybody.
    """

    #: What a transport and a kernel buffer is taken in bursts: less than this says nothing about a rate.
    PATIENCE = 2.0

    def __init__(self, min_rate: int) -> None:
        self._min_rate = min_rate
        self._since: dict[Reader, tuple[float, int]] = {}

    def look(self, body: Body, now: float) -> None:
        """Cut off whoever has lagged for long enough."""
        before, self._since = self._since, {}
        if not body.full or not any(reader.offset >= body.length for reader in body.readers):
            return
        half = body.length - body.window // 2
        for reader in list(body.readers):
            if reader.low >= half:
                continue
            since, read = before.get(reader, (now, reader.read))
            if now - since >= self.PATIENCE and reader.read - read < self._min_rate * (now - since):
                reader.lags()
            else:
                self._since[reader] = since, read
        body.passed()
