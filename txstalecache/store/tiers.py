"""What the parts of a store have in common: the tiers, and what is known about all of them.

Must not know: what anybody does with them.
"""

from __future__ import annotations

from dataclasses import dataclass

from txstalecache.store.clock import FleetClock
from txstalecache.store.epochs import Epochs
from txstalecache.store.memory import MemoryTier
from txstalecache.store.remote import Remote
from txstalecache.store.underway import UnderWay

__all__ = ["Tiers"]


@dataclass(frozen=True, slots=True)
class Tiers:
    """``memory`` over ``remote`` (None: over nothing), with what is ``under_way`` in between."""

    memory: MemoryTier
    clock: FleetClock
    remote: Remote | None
    epochs: Epochs
    under_way: UnderWay
