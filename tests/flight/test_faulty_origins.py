"""An origin may be anybody's code: whatever it does, whoever waits is told, and nothing stays behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed

from tests.flight.test_flight import CACHEABLE, Seat, Tower
from tests.origin.test_upload import Body
from txstalecache.flight.landing import Failed
from txstalecache.flight.plan import Sharing
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.origin.interfaces import Deadlines


class Response:
    """One that cannot be delivered."""

    length = None
    head = ResponseHead(200, Fields(CACHEABLE))

    def deliver(self, sink: object) -> None:
        raise ZeroDivisionError

    def resume(self) -> None: ...

    def abort(self) -> None: ...


def raising(_: object) -> Any:
    raise ZeroDivisionError


FAULTS: dict[str, Callable[[object], Any]] = {
    "raises": raising,
    "gives nothing": lambda _: None,
    "is cancelled by itself": lambda _: fail(CancelledError()),
    "fails with what is no OriginError": lambda _: fail(ZeroDivisionError()),
    "has a body that is not to be had": lambda _: succeed(Response()),
}


class Faulty:
    """Does what it is told to, each time."""

    def __init__(self, fault: Callable[[object], Any]) -> None:
        self.fetch = fault


def seated(tower: Tower, sharing: Sharing, **more: Any) -> Seat:
    """Somebody who waits for a flight of this kind."""
    if sharing is Sharing.SHARED:
        return tower.join(**more)
    return Seat(tower.registry.solo(tower.plan(sharing=sharing, **more)))


@pytest.mark.parametrize("sharing", list(Sharing))
@pytest.mark.parametrize("fault", FAULTS)
def test_whoever_waits_is_told(logged_failures: Any, fault: str, sharing: Sharing) -> None:
    tower = Tower()
    tower.registry.origin = Faulty(FAULTS[fault])  # type: ignore[assignment]
    seat = seated(tower, sharing)
    assert isinstance(seat.landing, Failed) and seat.landing.status == 502
    logged_failures.flush(ZeroDivisionError, AttributeError)
    tower.clock.advance(100)
    assert tower.at_rest() and not tower.registry._late


@pytest.mark.parametrize("sharing", [Sharing.SOLO, Sharing.LATE, Sharing.PRIVATE])
def test_an_origin_that_keeps_no_deadline_is_not_waited_for_for_ever(sharing: Sharing) -> None:
    tower = Tower()
    seat = seated(tower, sharing, deadlines=Deadlines(connect=3, total=60))
    tower.clock.advance(62)
    assert seat.landing is None
    tower.clock.advance(2)
    assert isinstance(seat.landing, Failed) and seat.landing.status == 504
    assert tower.at_rest() and not tower.registry._late


def test_while_its_client_sends_a_body_no_deadline_of_the_origins_runs() -> None:
    tower = Tower()
    body = Body()
    seat = seated(tower, Sharing.PRIVATE, deadlines=Deadlines(connect=3, total=60), body=body)
    tower.clock.advance(62)
    sent: Any = tower.origin.requests[0].body
    sent.startProducing(None)
    for _ in range(30):
        tower.clock.advance(10)
    assert seat.landing is None
    body.done.callback(None)
    for _ in range(13):
        tower.clock.advance(10)
    assert isinstance(seat.landing, Failed) and seat.landing.status == 504
    assert tower.at_rest() and not tower.registry._late


def test_a_second_attempt_that_cannot_be_made_leaves_those_who_wait_their_deadline(logged_failures: Any) -> None:
    tower = Tower()
    hung: Deferred[Any] = Deferred()
    answers = iter([lambda _: hung])
    tower.registry.origin = Faulty(lambda request: next(answers, raising)(request))  # type: ignore[assignment]
    seats = [tower.join(), tower.join()]
    for _ in range(70):
        tower.clock.advance(1)
    assert logged_failures.flush(ZeroDivisionError)
    assert [seat.landing.status for seat in seats] == [504, 504]


def test_a_first_attempt_that_fails_in_its_own_way_and_a_second_that_cannot_be_made(logged_failures: Any) -> None:
    tower = Tower()
    first: Deferred[Any] = Deferred()
    answers = iter([lambda _: first])
    tower.registry.origin = Faulty(lambda request: next(answers, raising)(request))  # type: ignore[assignment]
    seats = [tower.join(), tower.join()]
    first.errback(ZeroDivisionError())
    assert [seat.landing.status for seat in seats] == [502, 502]
    assert logged_failures.flush(ZeroDivisionError)
    tower.clock.advance(100)
    assert tower.at_rest()


def test_what_we_cancel_ourselves_is_no_fault_of_the_origin() -> None:
    tower = Tower()
    seat = seated(tower, Sharing.SOLO)
    seat.leave()
    assert tower.at_rest() and not tower.registry.figures.faults
