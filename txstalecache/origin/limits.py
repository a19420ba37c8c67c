"""How many connections to one server there may be, and who waits for one for how long.

Must not know: connections, what is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PoolLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolLimits:
    """Counts, seconds, bytes per second. ValueError when there may be no connection at all."""

    max_connections: int = 64
    """At a time."""
    queue: int = 1000
    """Exchanges that may wait for one."""
    queue_wait: float = 5.0
    """For how long one may."""
    min_rate: int = 64 * 1024
    """While any wait: one whose client takes or sends less than this gives way."""
    idle: float = 4.0
    """How long a connection is kept after its last exchange: below the 5 s after which many servers close theirs. 0:
    not at all."""
    lifetime: float = 60.0
    """How long after it was made a connection is used again: where its server's name leads may have changed."""

    def __post_init__(self) -> None:
        if self.max_connections < 1:
            raise ValueError(f"max_connections {self.max_connections}: expected at least 1")
