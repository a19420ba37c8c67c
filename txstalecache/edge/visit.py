"""What is known about one request on its way, and what it came to.

Must not know: how either was found out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

from twisted.web.iweb import IBodyProducer

from txstalecache.config.routes import Route
from txstalecache.edge.exchange import Exchange
from txstalecache.flight.landing import Settled
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead, ResponseHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.observe.trace import TraceContext
from txstalecache.origin.interfaces import IOrigin

__all__ = ["NOBODY", "Outcome", "Visit"]


@dataclass(slots=True)
class Outcome:
    """For the access log and ``Cache-Status``. ``age`` and ``wait`` in seconds."""

    verdict: str = "refuse"
    why: str = ""
    role: str = "-"
    """hit, leader, waiter or alone."""
    age: float | None = None
    wait: float = 0.0
    collapsed: bool | None = None
    """False: the request waited for an answer that it could not have."""
    settled: Settled | None = None
    """How a flight came to answer from an entry."""
    trace: TraceContext | None = None
    """As what the origin is asked, once that is to be: however often."""


class Nobody:
    """Stands where the client does in a visit that is over, or whose answer is only worked out."""

    def inform(self, head: ResponseHead) -> None:
        """Nobody hears it."""


#: There is no other.
NOBODY = cast(Exchange, Nobody())


@dataclass(slots=True)
class Visit:
    """One request: who asks, for what, under which route."""

    exchange: Exchange
    head: RequestHead
    route: Route
    key: Key
    arrived: float
    """In the store's time."""
    origin: IOrigin | None = None
    """Who is asked under the route; None: the only one there is."""
    outcome: Outcome = field(default_factory=Outcome)
    body: IBodyProducer | None = None
    """What is part of the key, and goes with every fetch of it."""
    stored: bool = True
    """False: not asked for often enough to be stored."""
    part: bool = False
    """Of what is not stored only the part that is asked for is to be fetched."""
    pseudonym: Pseudonym = OURS
    """Who is visited."""
