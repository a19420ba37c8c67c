"""What a flight is to do, decided before it starts.

Must not know: the client's connection.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, replace
from enum import StrEnum
from typing import Final

from twisted.web.iweb import IBodyProducer

from txstalecache.flight.clocks import Clocks
from txstalecache.flight.hooks import Hooks
from txstalecache.http import forward
from txstalecache.http.entry import Entry, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Cookies, Rules
from txstalecache.http.values import dataclass, enumeration
from txstalecache.http.vary import selector
from txstalecache.origin.interfaces import Deadlines, IOrigin

__all__ = ["PART", "Group", "Plan", "Sharing"]

#: What a request for a part says about which one.
PART: Final = frozenset({b"range", b"if-range"})

#: What flights are registered under: requests with an equal group may share an answer.
Group = tuple[bytes, Key, Selector]


@enumeration
class Sharing(StrEnum):
    """Who may have the answer."""

    SHARED = "shared"
    """Whoever joins; the fetch is anonymous and goes under a lease."""
    SOLO = "solo"
    """The client that asked; the answer is still stored when it may be."""
    LATE = "late"
    """As SOLO, and one of the few of a key that have waited for long enough."""
    PRIVATE = "private"
    """The client that asked; nothing is stored."""

    @property
    def shared(self) -> bool:
        """Whether anybody may join."""
        return self is Sharing.SHARED


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One fetch: for whom, what is sent, and under which rules."""

    key: Key
    request: RequestHead
    """As the client sent it; for a refresh, the request that met the stale entry."""
    fetch: RequestHead
    """As the origin is sent it."""
    rules: Rules
    clocks: Clocks = Clocks()
    deadlines: Deadlines = Deadlines()
    entry: Entry | None = None
    """The entry that ``fetch`` validates, if it carries conditions of ours, and that stands in on failure."""
    conditions: Fields = Fields()
    """The conditions in ``fetch`` that are ours."""
    names: tuple[bytes, ...] = ()
    """What answers under the key are known to vary by."""
    sharing: Sharing = Sharing.SHARED
    began_after: float | None = None
    """Take no answer whose fetch began at or before this time (a request's ``no-cache``). Such a fetch needs no lease:
    it may not use what another process brings."""
    body: IBodyProducer | None = None
    informational: Callable[[ResponseHead], None] | None = None
    heard: Callable[[ResponseHead], None] | None = None
    """Told of the head of the answer, also where its client has left meanwhile: what is asked for changes things, and
    the origin may have done it."""
    origin: IOrigin | None = None
    """Who is asked; None: the registry's."""
    hooks: Hooks | None = None
    stored: bool = True
    """False: not asked for often enough to be worth storing."""
    again: bool = False
    """What is stored is to be looked at once more before it is fetched: who asks has waited for another flight since,
    or has not judged what there was."""
    provoked: bool = False
    """An error that somebody else may have provoked came before: another one is everybody's."""
    part: bool = False
    """Only the range that ``request`` asks for is fetched, under its If-Range: for those who ask for the same."""
    _group: Group | None = field(default=None, init=False, repr=False, compare=False)

    @property
    def group(self) -> Group:
        """Where the flight is registered."""
        group = self._group
        if group is None:
            names = {*self.names, *PART} if self.part else self.names
            group = self.request.method, self.key, selector(names, self.request)
            object.__setattr__(self, "_group", group)
        return group

    @property
    def seen(self) -> RequestHead:
        """What the origin chooses an answer by: the fetch, but for our line of ``Via``, which is in each and in no
        request."""
        said = [(b"Via", line) for line in self.request.fields.get_all(b"via")]
        return replace(self.fetch, fields=self.fetch.fields.without(b"via").extended(said))

    @property
    def said(self) -> bytes:
        """What the fetch tells the origin, as ``Marker`` has it."""
        return forward.said(self.request, self.rules.keyed_fields.union(self.names))

    @property
    def intact(self) -> bool:
        """Whether the fetch says all that the client said about who it is."""
        return forward.says_all(self.fetch, self.request)

    def cookie_matters(self, request: RequestHead) -> bool:
        """Whether ``request`` carries a Cookie that might have made the answer another one."""
        return (
            b"cookie" in request.fields
            and b"cookie" not in self.names
            and b"cookie" not in self.rules.keyed_fields
            and self.rules.cookies is Cookies.PASS
        )
