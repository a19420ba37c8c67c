"""Listeners are few, and those who do not take what they are told are dropped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from txstalecache.admin.events import Events
from txstalecache.admin.gate import Refused


class Transport:
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class Request:
    """As much of a request as is written to."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.producer: Any = None
        self.finished = False
        self.transport = Transport()
        self._gone: Deferred[Any] = Deferred()

    def notifyFinish(self) -> Deferred[Any]:
        return self._gone

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def setHeader(self, name: bytes, value: bytes) -> None:
        pass

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def finish(self) -> None:
        self.finished = True
        self._gone.callback(None)

    def leave(self) -> None:
        self._gone.errback(ConnectionResetError())

    def told(self, name: bytes) -> int:
        return sum(one.startswith(b"event: " + name) for one in self.written)


class Inquiry:
    """Counts how often it is asked."""

    asked = watched = 0

    async def watch(self) -> None:
        self.watched += 1

    async def status(self) -> dict[str, Any]:
        self.asked += 1
        return await succeed({"flights": 0})


Made = tuple[Events, Inquiry, Clock]


@pytest.fixture
def made() -> Made:
    inquiry: Any = Inquiry()
    clock = Clock()
    return Events(inquiry, clock), inquiry, clock


def listening(events: Events, count: int = 1) -> list[Request]:
    requests = [Request() for _ in range(count)]
    listen: Callable[[Any], None] = events.listen
    for request in requests:
        listen(request)
    return requests


def test_one_question_a_second_serves_everybody_and_none_is_asked_for_nobody(made: Made) -> None:
    events, inquiry, clock = made
    clock.advance(5)
    assert inquiry.asked == 0
    listeners = listening(events, 3)
    clock.pump([1.0] * 4)
    assert inquiry.asked == inquiry.watched == 5
    # The first is told at once, the others with the next.
    assert [one.told(b"status") for one in listeners] == [5, 4, 4]
    for one in listeners:
        one.leave()
    clock.pump([1.0] * 5)
    assert inquiry.asked == 5
    assert not clock.getDelayedCalls()


def test_who_listens_before_the_last_question_is_answered_is_told_once_a_second(made: Made) -> None:
    """A page that is loaded anew while a worker is slow to answer."""
    events, inquiry, clock = made
    answer: Deferred[dict[str, Any]] = Deferred()
    slow: Any = inquiry
    at_once, slow.status = inquiry.status, lambda: answer
    (gone,) = listening(events)
    gone.leave()
    slow.status = at_once
    (one,) = listening(events)
    answer.callback({})
    before = one.told(b"status")
    clock.pump([1.0] * 4)
    assert one.told(b"status") == before + 4
    one.leave()
    assert not clock.getDelayedCalls()


def test_one_too_many_is_refused(made: Made) -> None:
    events = made[0]
    listeners = listening(events, Events.MOST)
    with pytest.raises(Refused) as refused:
        listening(events)
    assert refused.value.status == 503
    listeners[0].leave()
    listening(events)
    events.close()


def test_a_slow_listener_is_told_nothing_and_dropped_after_a_while(made: Made) -> None:
    events, _, clock = made
    slow, quick = listening(events, 2)
    clock.advance(1.0)
    slow.producer.pauseProducing()
    before = len(slow.written)
    clock.pump([1.0] * (Events.PATIENCE - 1))
    for _ in range(1000):
        events.flight({"what": "began"})
    assert len(slow.written) == before
    assert not slow.transport.aborted
    clock.advance(1.0)
    assert slow.transport.aborted
    assert events.listening == 1
    assert quick.told(b"status") >= Events.PATIENCE
    events.close()


def test_one_that_catches_up_stays(made: Made) -> None:
    events, _, clock = made
    (one,) = listening(events)
    for _ in range(5):
        one.producer.pauseProducing()
        clock.pump([1.0] * (Events.PATIENCE - 1))
        one.producer.resumeProducing()
        clock.advance(1.0)
    assert not one.transport.aborted
    events.close()


def test_a_storm_of_flights_is_cut_to_so_many_a_second(made: Made) -> None:
    events, _, clock = made
    (one,) = listening(events)
    for _ in range(10_000):
        events.flight({"what": "began"})
    assert one.told(b"flight") == Events.FLIGHTS
    clock.advance(1.0)
    events.flight({"what": "ended"})
    assert one.told(b"flight") == Events.FLIGHTS + 1
    events.close()


def test_closing_ends_every_stream(made: Made) -> None:
    events, _, clock = made
    listeners = listening(events, 3)
    events.close()
    assert all(one.finished for one in listeners)
    assert not clock.getDelayedCalls()
