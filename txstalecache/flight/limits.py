"""The caps on what waits and what is in the air, per process.

Must not know: what waits, what is in the air.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass, fields, replace

from txstalecache.http import expect

__all__ = ["Limits", "affordable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts, bytes and bytes per second."""

    waiters_per_key: int = 10_000
    waiters: int = 50_000
    flights: int = 50_000
    """Fetches in the air; one more gets stale where that is permitted, else 503. A refresh too many is not made."""
    bytes_in_flight: int = 256 * 1024 * 1024
    """Bytes of retained bodies; beyond them new bodies stream through unstored."""
    bytes_being_read: int = 256 * 1024 * 1024
    """Bytes of bodies that clients are reading, on top of what the memory tier may take: beyond them, who takes less
    than ``min_rate`` is cut off. Bodies of up to 64 KiB do not count."""
    window: int = 1024 * 1024
    """How far the slowest reader of an unretained body may lag before the origin is paused."""
    min_rate: int = 64 * 1024
    """A reader that holds others back and takes less than this per second is dropped."""
    late_passes: int = 4
    """Late waiters of one key that may ask the origin on their own at the same time."""
    error_marker: float = 1.0
    """Seconds a failed burst's error answers the next one."""
    retry_after: int = 1
    """Seconds, in ``Retry-After``."""

    def __post_init__(self) -> None:
        expect.numbers(self, (field.name for field in fields(self)))


#: The least that a window is worth having, and what a fetch that streams through one of these takes in all.
_NARROW = 64 * 1024
_EACH = 256 * 1024
#: Fetches that have their window at once: as many as there are connections to one server by default.
_AT_ONCE = 64


def affordable(limits: Limits) -> Limits:
    """``limits`` for the address space this process may still take: a quarter of it for bytes in flight at most, one
    for what is being read, one for the windows of what streams by, and no more fetches than those are enough for."""
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return limits
    try:
        with open("/proc/self/statm") as statm:
            taken = int(statm.read().split()[0]) * resource.getpagesize()
    except OSError:
        taken = 0
    share = max(0, soft - taken) // 4
    return replace(
        limits,
        bytes_in_flight=min(limits.bytes_in_flight, share),
        bytes_being_read=min(limits.bytes_being_read, share),
        window=min(limits.window, max(_NARROW, share // _AT_ONCE)),
        flights=min(limits.flights, max(1, share // _EACH)),
    )
