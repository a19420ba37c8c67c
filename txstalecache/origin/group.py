"""Several servers that give the same answers, as one origin.

Must not know: how a server is spoken to, which of them is best asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.python.failure import Failure
from zope.interface import implementer

from txstalecache.http.messages import RequestHead
from txstalecache.origin.balance import Balanced, Chooser, round_robin
from txstalecache.origin.exchange import IDEMPOTENT
from txstalecache.origin.health import Health
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import Fault, IOrigin, IOriginResponse, OriginError, OriginRequest

__all__ = ["Member", "OriginGroup", "Rewrite"]

#: Faults that say something about the server, and not about the request or about us.
_ITS_OWN = frozenset({Fault.UNREACHABLE, Fault.CONNECT_TIMEOUT, Fault.TIMEOUT, Fault.RESET, Fault.MALFORMED})
#: Faults before which nothing was sent: there was no connection.
_UNSENT = frozenset({Fault.UNREACHABLE, Fault.CONNECT_TIMEOUT})
#: Faults after which another server may be asked: this one has most likely done nothing, and little time is lost.
_ELSEWHERE = _UNSENT | {Fault.RESET, Fault.OVERLOADED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """What is changed of a request on its way to the servers: whom it names, and the beginning of its path."""

    host: bytes | None = None
    """The ``Host`` that is sent; None: the client's."""
    strip_prefix: bytes = b""
    """Taken off the path where it begins so, whole segments only."""
    add_prefix: bytes = b""
    """Put before the path."""

    def __call__(self, head: RequestHead) -> RequestHead:
        """``head`` as it is sent."""
        target, fields, authority = head.target, head.fields, head.authority
        strip, add = self.strip_prefix.rstrip(b"/"), self.add_prefix.rstrip(b"/")
        if strip and target.startswith(strip) and target[len(strip) : len(strip) + 1] in (b"/", b"?", b""):
            target = target[len(strip) :]
            target = target if target.startswith(b"/") else b"/" + target
        if add and target.startswith(b"/"):
            target = add + target
        if self.host is not None:
            fields, authority = fields.replacing(b"Host", self.host), self.host
        return replace(head, target=target, fields=fields, authority=authority)


class Member:
    """One server of a group."""

    def __init__(self, name: str, origin: IOrigin, health: Health, weight: int = 1) -> None:
        if weight < 1:
            raise ValueError(f"weight {weight}: expected at least 1")
        self.name = name
        self.origin = origin
        self.health = health
        self.weight = weight
        self.turn = 0

    @property
    def busy(self) -> int:
        """Requests that it has or that wait for it."""
        origin = self.origin
        if not isinstance(origin, HttpOrigin):
            return 0
        return origin.connections - origin.idle_connections + origin.waiting


@implementer(IOrigin)
class OriginGroup:
    """An IOrigin over ``members``, which it owns. A request for which there was no connection to one, and an
    idempotent one without body that got no answer from it, is sent to one other, if there is one (a well one, where
    there was but no connection free), unless ``retry`` is False; nothing else is ever sent twice. No answer, and an
    answer with one of ``fail_statuses``, counts against its member. When no member is well, all are tried: better a
    chance than none, and what answers then is well again. ``closing`` are called when the group is closed."""

    def __init__(
        self,
        members: Sequence[Member],
        *,
        choose: Chooser = round_robin,
        retry: bool = True,
        fail_statuses: frozenset[int] = frozenset(),
        rewrite: Rewrite = Rewrite(),
        closing: Sequence[Callable[[], Any]] = (),
    ) -> None:
        if not members:
            raise ValueError("a group of servers needs at least one")
        self.members = tuple(members)
        self._choose = choose
        self._retry = retry
        self._fail_statuses = fail_statuses
        self._rewrite = rewrite
        self._plain = rewrite == Rewrite()
        self._closing = tuple(closing)

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        """See ``IOrigin``."""
        if not self._plain:
            request = replace(request, head=self._rewrite(request.head))
        if len(self.members) == 1:
            return self._ask(self.members[0], request)
        return Deferred.fromCoroutine(self._ask_one(request))

    async def _ask_one(self, request: OriginRequest) -> IOriginResponse:
        first = self._next(request, ())
        try:
            return await self._ask(first, request)
        except OriginError as error:
            repeatable = request.head.method in IDEMPOTENT and request.body is None
            if not (self._retry and error.fault in (_ELSEWHERE if repeatable else _UNSENT)):
                raise
            other = self._next(request, (first,))
            if error.fault is Fault.OVERLOADED and not other.health.well:
                raise  # one that is well is a better chance, later, than one that is not
        return await self._ask(other, request)

    def _ask(self, member: Member, request: OriginRequest) -> Deferred[IOriginResponse]:
        health = member.health
        asked: Deferred[IOriginResponse] = member.origin.fetch(request)
        return asked.addCallbacks(self._answered, _unanswered, (health, health.well), errbackArgs=(health,))

    def _answered(self, response: IOriginResponse, health: Health, well: bool) -> IOriginResponse:
        """``well``: it was so when it was asked."""
        if response.head.status in self._fail_statuses:
            health.failed(f"it answers {response.head.status}")
        elif well:
            health.succeeded()
        else:
            health.recovered()
        return response

    def _next(self, request: OriginRequest, tried: Sequence[Member]) -> Member:
        left = [member for member in self.members if member not in tried]
        well: list[Balanced] = [member for member in left if member.health.well]
        chosen = self._choose(well or list[Balanced](left), request.affinity or request.head.target)
        assert isinstance(chosen, Member)
        return chosen

    def close(self) -> Deferred[None]:
        """See ``IOrigin``."""
        for close in self._closing:
            close()
        closed = DeferredList([member.origin.close() for member in self.members], consumeErrors=True)
        return closed.addCallback(lambda _: None)


def _unanswered(failure: Failure, health: Health) -> Failure:
    error = failure.value
    if isinstance(error, OriginError) and error.fault in _ITS_OWN:
        health.failed(str(error))
    return failure
