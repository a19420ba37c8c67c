"""Where a flight is.

Must not know: what takes it from one to the next.
"""

from __future__ import annotations

from enum import StrEnum

from txstalecache.http.values import enumeration

__all__ = ["State"]


@enumeration
class State(StrEnum):
    """Where a flight is; see the table in ``flight.flight``."""

    PENDING = "pending"
    STREAMING = "streaming"
    DONE = "done"
    BROKEN = "broken"
    UNSHAREABLE = "unshareable"
    FAILED = "failed"
