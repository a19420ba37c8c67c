"""How long Redis is waited for, and how much may wait for it.

Must not know: connections.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RedisLimits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLimits:
    """Time limits in seconds, sizes in bytes."""

    connect: float = 1.0
    read: float = 0.25
    write: float = 1.0
    """Also how long a connection may leave anything unanswered before it is given up."""
    probe: float = 1.0
    """Between looks whether an unavailable Redis is back."""
    clock: float = 30.0
    """Between measurements of Redis' time."""
    waiting: int = 64 * 1024 * 1024
    """What may wait to be written; more is dropped."""
    retry: float = 1.0
    """The longest pause between attempts to connect."""
