"""What one client may cost.

Must not know: sockets, the reactor.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass, fields

from txstalecache.http import expect

__all__ = ["EdgeLimits", "connection_cap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeLimits:
    """The caps and deadlines of a ``CacheSite``. Bytes, seconds, bytes per second, counts."""

    head: int = 16 * 1024
    """Bytes of a request head, its request line and the empty line included; beyond: 431."""
    fields: int = 100
    """Field lines of a request head; beyond: 431."""
    target: int = 8 * 1024
    """Bytes of a request target; beyond: 414."""
    body: int | None = 1024 * 1024
    """Bytes of a request body; beyond: 413, before ``100 Continue`` when the length is announced. None: any."""
    methods: frozenset[bytes] | None = None
    """Others get 501. None: any, as it is the origin that knows its methods; those no cache knows pass through and
    invalidate (RFC 9111 §4.4). CONNECT and TRACE get 405 whatever this says."""
    hosts: frozenset[bytes] | None = None
    """Host names served, lower case, without port; ``*.example.com`` stands for every name below example.com. Others
    get 421. None: any."""
    head_deadline: float = 10.0
    """From the first byte of a head to its last; beyond: 408."""
    idle: float = 15.0
    """How long a connection may stand without a request."""
    body_deadline: float = 30.0
    """For a body, plus one second for every ``body_rate`` bytes that have come; beyond: 408. Stands still while the
    origin takes no more."""
    body_rate: int = 1024
    request: float = 60.0
    """From a complete request to the first byte of its answer; beyond: 504. A client that takes its answer in time gets
    as long as the answer takes."""
    stall: float = 30.0
    """How long a client may take nothing of an answer that is ready; beyond: the connection is cut."""
    pipeline: int = 16 * 1024
    """Bytes of further requests that are read while one is being answered."""
    linger: float = 2.0
    """How long what a client still sends is read and dropped once its connection is given up, so that it can read the
    answer before the connection is gone (RFC 9112 §9.6)."""
    linger_bytes: int = 256 * 1024
    connections: int | None = None
    """Connections at a time; one more gets 503. None, and at most: what ``RLIMIT_NOFILE`` allows, less ``reserve``."""
    reserve: int = 256
    """File descriptors kept for the origin, the store, logs. At most a quarter of what there is is kept."""

    def __post_init__(self) -> None:
        named = {field.name for field in fields(self)} - {"methods", "hosts"}
        expect.numbers(self, sorted(name for name in named if getattr(self, name) is not None or name not in _OR_NONE))
        if self.methods is not None:
            expect.several("methods", self.methods, bytes, "methods as bytes")
        if self.hosts is not None:
            expect.several("hosts", self.hosts, bytes, "names of hosts as bytes")


#: What may be None, for no limit of ours.
_OR_NONE = ("body", "connections")


def connection_cap(limits: EdgeLimits) -> int:
    """How many connections ``limits`` allow, with the descriptors this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    there = 1_000_000 if soft == resource.RLIM_INFINITY else max(1, soft - min(limits.reserve, soft // 4))
    return there if limits.connections is None else min(limits.connections, there)
