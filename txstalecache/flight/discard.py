"""Where a body goes that nobody reads.

Must not know: anything.
"""

from __future__ import annotations

from txstalecache.origin.interfaces import Framing, OriginError

__all__ = ["Discard"]


class Discard:
    """A sink (``origin.interfaces.Sink``)."""

    def write(self, data: bytes) -> None:
        """Gone."""

    def complete(self, framing: Framing) -> None:
        """Nobody waited for it."""

    def broken(self, error: OriginError) -> None:
        """Nobody minds."""
