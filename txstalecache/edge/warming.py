"""Having an answer stored before anybody asks for it: the same flights as for everybody, with nobody to answer.

Must not know: connections, who wants it warm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import Deferred

from txstalecache.edge.visit import Visit
from txstalecache.flight.body import Body, Reader
from txstalecache.flight.landing import ROUNDS, Alone, Attached, Failed, Regroup, Settled
from txstalecache.flight.plan import Plan
from txstalecache.flight.registry import Registry
from txstalecache.http import policy
from txstalecache.http.verdict import Fresh, Pass, Refuse
from txstalecache.store.interfaces import Found, IStore

__all__ = ["IWarmer", "Warmed", "warm"]


@dataclass(frozen=True, slots=True)
class Warmed:
    """What became of it."""

    status: int
    """Of the answer; 0: there is none for everybody."""
    stored: bool
    """Whether the answer is in the store now."""
    why: str
    """Why it is, or is not."""
    body: bytes = b""


class IWarmer(Protocol):
    """The ``CacheResource``."""

    registry: Registry

    def plan(self, visit: Visit, found: Found) -> Plan:
        """The shared fetch that ``visit`` needs."""


class _Taken:
    """Takes a body to its end, and keeps its beginning (``flight.body.Consumer``)."""

    def __init__(self, body: Body, most: int) -> None:
        self._most = most
        self.data = bytearray()
        self._reader = Reader(body, self)
        self.whole: Deferred[bool] = Deferred(lambda _: self._reader.stopProducing())
        """Whether all of it came."""
        self._reader.start()

    def write(self, data: bytes) -> None:
        if len(self.data) < self._most:
            self.data += data[: self._most - len(self.data)]

    def delivered(self) -> None:
        self.whole.callback(True)

    def cut(self) -> None:
        self.whole.callback(False)


async def warm(warmer: IWarmer, store: IStore, visit: Visit, most: int) -> Warmed:
    """See ``CacheResource.warm``."""
    found: Found = await store.lookup(visit.key, visit.head)
    verdict = policy.judge(visit.head, found.entry, found.marker, visit.route.rules, store.now(), found.vary)
    match verdict:
        case Fresh(entry, why=why):
            return Warmed(entry.status, True, why, b"".join(entry.body)[:most])
        case Pass(why) | Refuse(why=why):
            return Warmed(0, False, why)
        case _:
            plan = warmer.plan(visit, found)
    for _ in range(ROUNDS):
        landing = await warmer.registry.join(plan)[0]
        if not isinstance(landing, Regroup):
            break
        plan = warmer.plan(visit, replace(found, vary=landing.names))
    match landing:
        case Attached(head, body, stored=stored, why=why):
            taken = _Taken(body, most)
            if not await taken.whole:
                return Warmed(head.status, False, "truncated")
            return Warmed(head.status, stored, why, bytes(taken.data))
        case Settled(entry, stale=stale):
            return Warmed(entry.status, not stale, stale or "hit", b"".join(entry.body)[:most])
        case Failed(status, why):
            return Warmed(status, False, why)
        case Alone(why):
            return Warmed(0, False, why)
        case Regroup():
            return Warmed(0, False, "vary")
