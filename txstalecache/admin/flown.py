"""The flights of this process, told as they take off and end, for as long as somebody asks for that.

Must not know: who is told, and how.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txstalecache.admin.facts import Facts, flight_told
from txstalecache.flight.flight import Flight
from txstalecache.flight.registry import Registry

__all__ = ["Flown"]


class Flown:
    """Calls ``tell`` with what can be said of each flight, as JSON can hold it."""

    #: Seconds for which flights are told of once that was asked for; it is asked for each second.
    LASTS = 3.0
    #: Flights told of between two such questions: a storm of them is seen in the numbers.
    MOST = 100

    def __init__(self, registry: Registry, facts: Facts, clock: IReactorTime) -> None:
        self._registry = registry
        self._facts = facts
        self._clock = clock
        self._until = 0.0
        self._told = 0
        self.tell: Callable[[dict[str, Any]], object] | None = None

    def watch(self) -> dict[str, Any]:
        """Tell of flights from now on, for a while."""
        self._until, self._told = self._clock.seconds() + self.LASTS, 0
        if self._flew not in self._registry.watchers:
            self._registry.watchers.append(self._flew)
        return {"process": self._facts.identity()}

    def _flew(self, flight: Flight) -> None:
        """``flight`` has taken off or ended."""
        if self._clock.seconds() >= self._until:
            self._registry.watchers.remove(self._flew)
        elif self.tell is not None and self._told < self.MOST:
            self._told += 1
            what = "began" if flight in self._registry.flights else "ended"
            told = flight_told(flight, self._registry.store.now())
            self.tell({"what": what, **told, "leader": self._facts.identity()})
