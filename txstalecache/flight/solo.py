"""A flight for one client, with all that it said: nobody else waits, and nobody else gets what comes.

Must not know: clients' connections, how answers are rendered.
"""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from txstalecache.flight.arrival import Arrival
from txstalecache.flight.flight import Flight
from txstalecache.flight.landing import Landing, Settled
from txstalecache.flight.state import State
from txstalecache.http.entry import MarkerKind
from txstalecache.http.verdict import Withhold
from txstalecache.origin.interfaces import Fault, IOriginResponse, OriginError

__all__ = ["SoloFlight"]


@implementer(IBodyProducer)
class _Sending:
    """``body``, and whether it is ``under_way``: has been begun, and not ended."""

    under_way = False

    def __init__(self, body: IBodyProducer) -> None:
        self._body = body
        self.length = body.length

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.under_way = True
        sent: Deferred[None] = self._body.startProducing(consumer)
        return sent.addBoth(self._over)

    def _over(self, result: None) -> None:
        self.under_way = False
        return result

    def pauseProducing(self) -> None:
        self._body.pauseProducing()

    def resumeProducing(self) -> None:
        self._body.resumeProducing()

    def stopProducing(self) -> None:
        self.under_way = False
        self._body.stopProducing()


class SoloFlight(Flight):
    """See the module. It waits for nobody but the origin: as long as the deadlines of the fetch say, which an origin
    keeps by itself; one that does not is not waited for much longer, once it has the request's body."""

    _client: Deferred[Landing] | None = None
    _sending: _Sending | None = None

    def wait(self) -> Deferred[Landing]:
        """A Deferred of the caller's own, which never fails; cancelling it drops the fetch, unless what comes is
        stored, or its head ``heard``. Call once, before the start."""
        client: Deferred[Landing] = Deferred(self._left)
        self._client = client
        self._registry.counted(1)
        return client

    def _start(self) -> None:
        if self.plan.body is not None:
            self._sending = _Sending(self.plan.body)
            self.plan = replace(self.plan, body=self._sending)
        self._be_patient()
        super()._start()

    def _be_patient(self) -> None:
        limits = self.plan.deadlines
        self.due = self._registry.clock.seconds() + limits.connect + limits.total
        self._registry.watch(self.due)

    def tick(self) -> None:
        if self.state is not State.PENDING:
            super().tick()
        elif self._client is not None and self._sending is not None and self._sending.under_way:
            self._be_patient()  # it is the client's time, as long as it is there
        else:
            self._failed(OriginError(Fault.TIMEOUT, "no response head in time"))

    @property
    def waiting(self) -> int:
        return 0 if self._client is None else 1

    @property
    def _goes_on(self) -> bool:
        return super()._goes_on or self._to_be_heard

    @property
    def delivers(self) -> bool:
        return super().delivers or self._to_be_heard

    @property
    def _to_be_heard(self) -> bool:
        """Whether the head of the answer matters, whoever is there for the rest."""
        return self.state is State.PENDING and self.plan.heard is not None

    def _left(self, client: Deferred[Landing]) -> None:
        self._client = None
        self._registry.counted(-1)
        self._if_abandoned()

    def _land(self, landing: Landing) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._registry.counted(-1)
            client.callback(landing)

    def _failed(self, error: OriginError) -> None:
        if self.state is State.PENDING and not self._stood_in(None, "unreachable"):
            # Who asks again as he is told is not to be one too many for it.
            self.end(State.FAILED)
            self._land(self._told(error))

    def _stood_in(self, status: int | None, why: str) -> bool:
        """Give the client the entry that may stand in for the origin's ``status``: then all is over. Whether it was."""
        entry = self.instead(self.plan.entry, self.plan.request, status)
        if entry is None:
            return False
        self.end(State.FAILED)
        self._land(Settled(entry, collapsed=False, stale=why, status=status))
        return True

    def _stream(self, arrival: Arrival, response: IOriginResponse) -> None:
        if self.plan.heard is not None:
            self.plan.heard(arrival.head)
        if arrival.error and self._stood_in(arrival.head.status, "error"):
            return
        shareable = not (isinstance(arrival.admission, Withhold) or arrival.error)
        if shareable and not self._storing and self.plan.fetch.method != b"HEAD":
            self._shareable_again()
        self._pour(arrival, response)
        self.state = State.STREAMING
        # What is here of the body already is taken in first: a short answer is then written in one piece.
        response.deliver(self)
        self._land(self._attached(arrival, arrival.head))
        self._unstored(arrival)
        self._under_way()

    def _shareable_again(self) -> None:
        """An answer to one client could have been shared: the next ones need not go alone."""
        plan, store = self.plan, self._registry.store
        found = store.peek(plan.key, plan.request)
        if found is None or (found.marker is not None and found.marker.kind is MarkerKind.PRIVATE):
            store.unmark(plan.key)
