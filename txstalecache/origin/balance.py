"""Which server of several is asked next. Decisions only.

Must not know: connections, time, why a server is not at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from math import log
from typing import Protocol

__all__ = ["Balanced", "Chooser", "by_hash", "least_connections", "round_robin"]


class Balanced(Protocol):
    """A server as it is weighed against others."""

    name: str
    weight: int
    turn: int
    """What round-robin remembers of it; 0 at first."""

    @property
    def busy(self) -> int:
        """Requests that it has or that wait for it."""


class Chooser(Protocol):
    """One of ``servers``, which are never none; ``affinity`` is equal for requests that had better meet again."""

    def __call__(self, servers: Sequence[Balanced], affinity: bytes) -> Balanced:
        """The server."""


def round_robin(servers: Sequence[Balanced], affinity: bytes) -> Balanced:
    """Each in turn, as often as it weighs, evenly mixed: the one whose turn is most overdue pays for it."""
    for server in servers:
        server.turn += server.weight
    chosen = max(servers, key=lambda server: server.turn)
    chosen.turn -= sum(server.weight for server in servers)
    return chosen


def least_connections(servers: Sequence[Balanced], affinity: bytes) -> Balanced:
    """The one with the least to do for its weight; among equals each in turn."""
    least = min(server.busy / server.weight for server in servers)
    return round_robin([server for server in servers if server.busy / server.weight == least], affinity)


def by_hash(servers: Sequence[Balanced], affinity: bytes) -> Balanced:
    """Always the same for the same affinity; when a server comes or goes only its own share moves (rendezvous)."""

    def score(server: Balanced) -> float:
        digest = blake2b(affinity, digest_size=8, key=server.name.encode()[:64]).digest()
        return -server.weight / log((int.from_bytes(digest, "big") + 1) / (2**64 + 2))

    return max(servers, key=score)
