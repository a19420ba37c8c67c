"""The three clocks of a wait (the seed's lock times), in seconds.

Must not know: flights, who waits.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from txstalecache.http import expect

__all__ = ["Clocks", "Late"]


class Late(Enum):
    """What becomes of a waiter whose deadline has passed."""

    GATEWAY_TIMEOUT = "504"
    PASS = "pass"
    """It asks the origin on its own; at most ``Limits.late_passes`` per key at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clocks:
    """How long a request waits for a flight."""

    wait_stale: float = 1.0
    """After this a waiter gets any stale entry it may have (the seed's ``cache_lock_timeout_wait``)."""
    leader_age: float = 5.0
    """A flight without progress for this long gets one second leader (``cache_lock_exptime``)."""
    wait_deadline: float = 15.0
    """After this who waits for the fetch of another is answered as ``late`` says (``cache_lock_timeout``)."""
    late: Late = Late.GATEWAY_TIMEOUT

    def __post_init__(self) -> None:
        expect.numbers(self, ("wait_stale", "leader_age", "wait_deadline"))
        expect.of_kind("late", self.late, Late, "one of Late")
