"""Which rules a request is served under.

Must not know: where the rules were written down, sockets, stores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from txstalecache.flight.clocks import Clocks
from txstalecache.http.keys import DEFAULT_TEMPLATE, KeyTemplate
from txstalecache.http.messages import RequestHead
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Deadlines

__all__ = ["Route", "Routes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One set of rules. The defaults leave every decision to the origin."""

    name: str = "default"
    template: KeyTemplate = DEFAULT_TEMPLATE
    rules: Rules = Rules()
    clocks: Clocks = Clocks()
    deadlines: Deadlines = Deadlines()
    show_outcome: bool = True
    """Add the seed's ``X-Cache`` and ``X-Store`` beside ``Cache-Status``."""


class Routes:
    """The routes in their order; the first that matches is picked. Without any, one route of defaults."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._routes = tuple(routes) or (Route(),)

    def pick(self, head: RequestHead) -> Route:
        """The route ``head`` is served under."""
        return self._routes[0]
