"""Flights by hand: an origin in memory, a clock of the test's own."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock

from tests.origin.test_upload import Body
from tests.support.held_origin import HeldOrigin, HeldResponse
from txstalecache.flight.body import Reader
from txstalecache.flight.clocks import Clocks, Late
from txstalecache.flight.hooks import Hooks
from txstalecache.flight.landing import Alone, Attached, Failed, Landing, Regroup, Settled
from txstalecache.flight.limits import Limits
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.registry import Registry
from txstalecache.flight.shared import SharedFlight
from txstalecache.flight.waiters import Waiters
from txstalecache.http import conditional, policy
from txstalecache.http.entry import Entry, Freshness, Marker, MarkerKind
from txstalecache.http.forward import shared
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Deadlines, Fault, Framing, IOriginResponse, OriginRequest
from txstalecache.store.clock import FleetClock
from txstalecache.store.interfaces import Purpose
from txstalecache.store.lease import LocalLeases
from txstalecache.store.memory import MemoryTier
from txstalecache.store.purges import Hardness, Scope
from txstalecache.store.tiered import TieredStore

KEY = Key((b"k",))
CACHEABLE = [(b"Cache-Control", b"max-age=60")]
PRIVATE = [(b"Cache-Control", b"private")]


class Tower:
    """A registry with everything about it in the test's hands."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.origin = HeldOrigin()
        self.store = TieredStore(MemoryTier(1 << 24), FleetClock(self.clock.seconds, self.clock.seconds))
        self.registry = Registry(self.clock, self.origin, self.store, LocalLeases(self.clock), Limits(**limits))

    def plan(self, fields: Any = (), *, method: bytes = b"GET", **more: Any) -> Plan:
        head = RequestHead(method, b"/x", Fields(((b"Host", b"h"), *fields)), b"http", b"h")
        entry = more.get("entry")
        conditions = conditional.conditions(entry) if entry is not None else Fields()
        names = more.get("names", ())
        fetch = RequestHead(method, b"/x", shared(head, frozenset(names), conditions), b"http", b"h")
        return Plan(key=KEY, request=head, fetch=fetch, conditions=conditions, rules=more.pop("rules", Rules()), **more)

    def join(self, *fields: Any, **more: Any) -> Seat:
        return Seat(self.registry.join(self.plan(fields, **more))[0])

    def entry(self, **freshness: Any) -> Entry:
        now = self.store.now()
        life = {"initial_age": 10.0, "lifetime": 5.0, "if_error": 60.0, "if_unreachable": 60.0, "keep": 60.0}
        entry = Entry(
            status=200,
            fields=Fields(((b"ETag", b'"1"'), (b"Cache-Control", b"max-age=5, stale-if-error=60"))),
            body=(b"stale",),
            request_time=now,
            response_time=now,
            freshness=Freshness(**{**life, **freshness}),
        )
        self.store.put(KEY, entry, 60.0)
        return entry

    @property
    def marker(self) -> Any:
        found = self.store.peek(KEY, self.plan().request)
        return found.marker.kind if found is not None and found.marker is not None else None

    @property
    def stored(self) -> Entry | None:
        found = self.store.peek(KEY, self.plan().request)
        return found.entry if found is not None else None

    def at_rest(self) -> bool:
        registry = self.registry
        return not (
            registry.flights or registry._groups or registry.waiting or registry.held or self.clock.getDelayedCalls()
        )


class Seat:
    """Somebody who waits, and reads what they are given."""

    def __init__(self, waiting: Deferred[Landing]) -> None:
        self.waiting = waiting
        self.landing: Any = None
        self.data = b""
        self.ended = ""
        self.reader: Reader | None = None
        self.hold = False
        waiting.addCallback(self._landed)

    def _landed(self, landing: Landing) -> None:
        self.landing = landing
        if isinstance(landing, Attached):
            self.reader = Reader(landing.body, self)
            self.reader.start()

    def write(self, data: bytes) -> None:
        self.data += data
        if self.hold and self.reader is not None:
            self.reader.pauseProducing()

    def delivered(self) -> None:
        self.ended = "delivered"

    def cut(self) -> None:
        self.ended = "cut"

    def leave(self) -> None:
        if self.reader is not None:
            self.reader.stopProducing()
        else:
            self.waiting.addErrback(lambda _: None)
            self.waiting.cancel()


def finish(response: HeldResponse, body: bytes = b"body") -> None:
    response.send(body)
    response.end()


# -- every way a flight ends leaves nothing behind ---------------------------------------------------------------------


def test_success_is_shared_and_stored() -> None:
    tower = Tower()
    seats = [tower.join() for _ in range(3)]
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert [(seat.data, seat.ended) for seat in seats] == [(b"body", "delivered")] * 3
    assert tower.stored is not None and tower.stored.body == (b"body",)
    assert len(tower.origin.requests) == 1
    assert tower.at_rest()


def test_a_zero_lifetime_answer_is_for_those_already_waiting_and_nobody_later() -> None:
    tower = Tower()
    early = [tower.join(), tower.join()]
    response = tower.origin.answer(0, 200, [(b"Cache-Control", b"public, max-age=0")])
    late = tower.join()
    finish(response)
    assert [seat.data for seat in early] == [b"body", b"body"]
    assert late.landing is None and len(tower.origin.requests) == 2
    finish(tower.origin.answer(1, 200, [(b"Cache-Control", b"public, max-age=0")]))
    assert tower.stored is None
    assert tower.at_rest()


def test_an_unshareable_answer_is_the_leaders_and_frees_everybody_else_at_once() -> None:
    tower = Tower()
    leader, *others = [tower.join() for _ in range(4)]
    response = tower.origin.answer(0, 200, PRIVATE)
    assert [seat.landing for seat in others] == [Alone("private")] * 3
    finish(response)
    assert leader.data == b"body" and isinstance(leader.landing, Attached)
    assert tower.marker is MarkerKind.PRIVATE
    assert tower.stored is None
    assert tower.at_rest()


@pytest.mark.parametrize(
    "withheld", [PRIVATE, [(b"Cache-Control", b"no-store")], [*CACHEABLE, (b"Set-Cookie", b"a=b")]]
)
def test_a_leader_whose_cookie_was_held_back_goes_alone_too(withheld: Any) -> None:
    tower = Tower()
    seats = [tower.join((b"Cookie", b"me")), tower.join()]
    response = tower.origin.answer(0, 200, withheld)
    assert all(isinstance(seat.landing, Alone) for seat in seats)
    assert response.aborted
    assert tower.at_rest()


def test_no_fetch_that_is_shared_carries_a_cookie_a_credential_a_range_or_a_condition() -> None:
    tower = Tower()
    tower.join((b"Cookie", b"me"), (b"Range", b"bytes=0-1"), (b"If-None-Match", b'"x"'), (b"Accept", b"*/*"))
    sent = tower.origin.requests[0].head.fields
    assert b"accept" in sent
    assert not any(name in sent for name in (b"cookie", b"authorization", b"range", b"if-none-match"))
    finish(tower.origin.answer(0, 200, CACHEABLE))


def test_a_request_with_a_cookie_takes_only_what_is_explicitly_for_everybody() -> None:
    tower = Tower()
    plain, cookied = tower.join(), tower.join((b"Cookie", b"me"))
    finish(tower.origin.answer(0, 200, [(b"Last-Modified", b"Mon, 01 Jan 2024 00:00:00 GMT")]))
    assert plain.data == b"body"
    assert cookied.landing == Alone("cookie")
    assert tower.at_rest()


def test_a_vary_surprise_regroups_those_who_sent_something_else() -> None:
    tower = Tower()
    german, english, german_too = (tower.join((b"Accept-Language", lang)) for lang in (b"de", b"en", b"de"))
    finish(tower.origin.answer(0, 200, [*CACHEABLE, (b"Vary", b"Accept-Language")]))
    assert (german.data, german_too.data) == (b"body", b"body")
    assert english.landing == Regroup((b"accept-language",))
    regrouped = [tower.join((b"Accept-Language", lang), names=english.landing.names) for lang in (b"en", b"fr", b"en")]
    assert len(tower.origin.requests) == 3
    finish(tower.origin.answer(1, 200, [*CACHEABLE, (b"Vary", b"Accept-Language")]), b"hello")
    finish(tower.origin.answer(2, 200, [*CACHEABLE, (b"Vary", b"Accept-Language")]), b"bonjour")
    assert [seat.data for seat in regrouped] == [b"hello", b"bonjour", b"hello"]
    assert tower.at_rest()


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.TIMEOUT, Fault.RESET, Fault.MALFORMED])
def test_failure_before_the_head_is_tried_once_more_then_shared(fault: Fault) -> None:
    tower = Tower()
    seats = [tower.join() for _ in range(5)]
    tower.origin.fail(0, fault)
    assert len(tower.origin.requests) == 2
    assert all(seat.landing is None for seat in seats)
    tower.origin.fail(1, fault)
    assert {(seat.landing.status, seat.landing.why) for seat in seats} == {(fault_status(fault), fault.value)}
    assert tower.marker is MarkerKind.ERROR
    sent = fault is not Fault.UNREACHABLE
    found: Any = tower.store.peek(KEY, tower.plan().request)
    assert bool(found.marker.said) == sent, "where nothing was sent, it fails whatever is said"
    assert tower.at_rest()


def fault_status(fault: Fault) -> int:
    return 504 if fault is Fault.TIMEOUT else 502


def test_the_second_attempt_may_succeed() -> None:
    tower = Tower()
    seats = [tower.join() for _ in range(5)]
    tower.origin.fail(0, Fault.RESET)
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert {seat.data for seat in seats} == {b"body"}
    assert tower.at_rest()


def test_one_client_alone_is_told_of_a_failure_at_once() -> None:
    tower = Tower()
    seat = tower.join()
    tower.origin.fail(0, Fault.RESET)
    assert isinstance(seat.landing, Failed) and len(tower.origin.requests) == 1
    assert tower.marker is None
    assert tower.at_rest()


def test_an_origin_that_always_answers_503_is_asked_twice_per_burst() -> None:
    tower = Tower()
    leader, *others = [tower.join() for _ in range(50)]
    no_store = [(b"Cache-Control", b"no-store")]
    assert tower.origin.answer(0, 503, no_store).aborted
    response = tower.origin.answer(1, 503, no_store)
    assert {(seat.landing.status, seat.landing.retry_after) for seat in others} == {(503, 1)}
    finish(response, b"sorry")
    assert leader.data == b"sorry"
    assert len(tower.origin.requests) == 2
    assert tower.marker is MarkerKind.ERROR
    assert tower.at_rest()


def test_an_error_sends_neither_cookies_nor_variants_to_the_origin_one_by_one() -> None:
    tower = Tower()
    plain = tower.join()
    others = [tower.join((b"Cookie", b"%d" % number), (b"Accept-Language", b"%d" % number)) for number in range(20)]
    for number in range(2):
        response = tower.origin.answer(number, 503, [(b"Vary", b"Accept-Language")])
    assert {seat.landing.status for seat in [plain, *others]} == {503}
    assert response.aborted
    assert tower.marker is MarkerKind.ERROR and len(tower.origin.requests) == 2
    assert tower.at_rest()


@pytest.mark.parametrize(("said", "told"), [((), b"1"), ([(b"Retry-After", b"120")], b"120")])
def test_an_error_that_is_shared_says_when_to_come_again(said: Any, told: bytes) -> None:
    tower = Tower()
    leader, waiter = tower.join(), tower.join()
    for number in range(2):
        response = tower.origin.answer(number, 503, said)
    finish(response)
    assert waiter.landing.head.fields.get(b"retry-after") == told and waiter.data == b"body"
    assert leader.landing.head is response.head  # its own, as the origin said it
    assert tower.at_rest()


STRANGE = (b"Accept", b"strange")


def test_after_an_error_the_origin_is_asked_for_somebody_who_says_something_else() -> None:
    tower = Tower()
    strange, honest, *others = [tower.join(*fields) for fields in ([STRANGE], [], [STRANGE], [STRANGE])]
    assert tower.origin.answer(0, 500).aborted
    assert strange.landing == Failed(500, "origin-error", 1)
    assert [request.head.fields.get(b"accept") for request in tower.origin.requests] == [b"strange", None]
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert {seat.data for seat in [honest, *others]} == {b"body"}
    assert tower.marker is None
    assert tower.at_rest()


def test_a_place_in_a_trace_of_its_own_is_nothing_else_to_say() -> None:
    tower = Tower()
    seats = [tower.join((b"traceparent", b"00-%032x-%016x-01" % (number, number))) for number in (1, 2)]
    tower.origin.answer(0, 500)
    assert [seat.landing for seat in seats] == [None, None]
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert [seat.data for seat in seats] == [b"body", b"body"]
    assert tower.at_rest()


def test_what_fails_whoever_asks_is_everybodys_error() -> None:
    tower = Tower()
    seats = [tower.join(*fields) for fields in ([STRANGE], [], [])]
    tower.origin.answer(0, 500)
    finish(tower.origin.answer(1, 400), b"no")
    assert [seat.data for seat in seats] == [b"", b"no", b"no"]
    assert len(tower.origin.requests) == 2
    assert tower.at_rest()


def test_who_has_left_is_not_asked_for() -> None:
    tower = Tower()
    seats = [tower.join(*fields) for fields in ([STRANGE], [STRANGE], [])]
    seats.pop().leave()
    tower.origin.answer(0, 500)
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert [seat.data for seat in seats] == [b"body", b"body"]
    assert tower.at_rest()


def test_an_answer_for_one_client_is_for_nobody_who_did_not_lead() -> None:
    tower = Tower()
    seats = [tower.join(*fields) for fields in ([STRANGE], [], [])]
    tower.origin.answer(0, 500)
    response = tower.origin.answer(1, 200, [*CACHEABLE, (b"Set-Cookie", b"a=b")])
    assert [seat.landing for seat in seats[1:]] == [Alone("set-cookie")] * 2
    assert response.aborted
    assert tower.at_rest()


def test_an_origin_that_gives_no_answer_is_asked_the_same_once_more() -> None:
    tower = Tower()
    seats = [tower.join(*fields) for fields in ([STRANGE], [])]
    tower.origin.fail(0, Fault.RESET)
    assert tower.origin.requests[1].head.fields.get(b"accept") == b"strange"
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert [seat.data for seat in seats] == [b"body", b"body"]
    assert tower.at_rest()


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.TIMEOUT])
def test_a_failure_that_was_covered_is_known_to_those_who_come_next(fault: Fault) -> None:
    tower = Tower()
    seat = tower.join(entry=tower.entry())
    tower.origin.fail(0, fault)
    assert seat.landing.stale == "unreachable"
    assert tower.marker is MarkerKind.ERROR
    assert tower.at_rest()


@pytest.mark.parametrize("status", [503, None])
def test_an_error_that_was_covered_is_that_of_those_who_say_the_same_and_no_connection_is_everybodys(
    status: int | None,
) -> None:
    tower = Tower()
    tower.join(STRANGE, entry=tower.entry())
    if status is None:
        tower.origin.fail(0, Fault.UNREACHABLE)
    else:
        tower.origin.answer(0, status)
    found = tower.store.peek(KEY, tower.plan().request)
    assert found is not None and found.marker is not None
    assert found.marker.said == (b"" if status is None else tower.plan([STRANGE]).said)
    assert found.marker.status == (502 if status is None else status)
    assert tower.at_rest()


def test_after_an_error_was_covered_the_origin_is_left_alone_for_the_back_off() -> None:
    tower = Tower()
    entry = tower.entry(if_error=600.0, keep=600.0)
    assert tower.join(entry=entry).waiting is not None
    tower.origin.answer(0, 503)
    resting = tower.join(entry=entry)
    assert resting.landing.stale == "error" and len(tower.origin.requests) == 1
    tower.clock.advance(1.3)
    tower.join(entry=entry)
    assert len(tower.origin.requests) == 2
    tower.origin.answer(1, 503)
    tower.clock.advance(1.3)  # the second back-off is longer
    assert tower.join(entry=entry).landing.stale == "error" and len(tower.origin.requests) == 2
    assert tower.at_rest()


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_is_answered_with_what_may_stand_in_for_it(status: int) -> None:
    tower = Tower()
    entry = tower.entry()
    seats = [tower.join(entry=entry) for _ in range(3)]
    response = tower.origin.answer(0, status)
    assert [(seat.landing.entry, seat.landing.stale) for seat in seats] == [(entry, "error")] * 3
    assert {seat.landing.status for seat in seats} == {status}
    assert response.aborted
    assert tower.stored is entry
    assert tower.at_rest()


FOR_A_MINUTE = [(b"Cache-Control", b"public, max-age=60")]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_error_fetched_for_one_client_never_takes_the_place_of_an_entry(status: int) -> None:
    tower = Tower()
    entry = tower.entry()
    alone = Seat(tower.registry.solo(tower.plan([(b"Authorization", b"Basic eDp5")], sharing=Sharing.SOLO)))
    finish(tower.origin.answer(0, status, FOR_A_MINUTE), b"sorry")
    assert alone.data == b"sorry" and not alone.landing.stored
    assert tower.stored is entry
    assert tower.at_rest()


def test_an_error_that_does_not_say_what_it_was_chosen_by_hides_no_variant() -> None:
    tower = Tower()
    said = [(b"Cache-Control", b"max-age=600"), (b"Vary", b"Accept-Language")]
    english, german = ((b"Accept-Language", lang) for lang in (b"en", b"de"))
    tower.join(english)
    finish(tower.origin.answer(0, 200, said))
    seat = tower.join(german, names=(b"accept-language",))
    finish(tower.origin.answer(1, 503, FOR_A_MINUTE), b"sorry")
    found = tower.store.peek(KEY, tower.plan([english]).request)
    assert seat.data == b"sorry"
    assert found is not None and found.entry is not None and found.entry.body == (b"body",)
    assert tower.at_rest()


@pytest.mark.parametrize("varies", [[], [(b"Vary", b"Accept-Language")]])
def test_an_error_with_a_lifetime_is_stored_where_it_hides_nothing(varies: Any) -> None:
    tower = Tower()
    german = (b"Accept-Language", b"de")
    if varies:
        tower.join((b"Accept-Language", b"en"))
        finish(tower.origin.answer(0, 200, [*CACHEABLE, *varies]))
    tower.join(german, names=(b"accept-language",) if varies else ())
    finish(tower.origin.answer(len(tower.origin.requests) - 1, 503, [*FOR_A_MINUTE, *varies]))
    found = tower.store.peek(KEY, tower.plan([german]).request)
    assert found is not None and found.entry is not None and found.entry.status == 503
    assert tower.at_rest()


def test_failure_after_the_head_cuts_every_client_and_stores_nothing() -> None:
    tower = Tower()
    seats = [tower.join() for _ in range(3)]
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"half")
    response.cut()
    assert [(seat.data, seat.ended) for seat in seats] == [(b"half", "cut")] * 3
    assert tower.stored is None
    assert tower.at_rest()


def test_a_body_that_ends_with_its_connection_is_not_stored() -> None:
    tower = Tower()
    seat = tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"body")
    response.end(Framing.CLOSE)
    assert seat.ended == "delivered"
    assert tower.stored is None
    assert tower.at_rest()


def test_shutting_down_lands_everybody_and_cancels_the_fetch() -> None:
    tower = Tower()
    seat = tower.join()
    tower.registry.close()
    assert seat.landing.status == 503
    assert tower.origin.cancelled == [0]
    assert tower.at_rest()


def test_it_is_told_once_that_nothing_is_on_its_way_any_more() -> None:
    tower = Tower()
    seat = tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE)
    told: list[bool] = []
    tower.registry.landed().addCallback(lambda _: told.append(True))
    assert seat.landing is not None and not told
    finish(response)
    assert told and not tower.registry.watchers
    tower.registry.landed().addCallback(lambda _: told.append(True))
    assert len(told) == 2 and not tower.registry.watchers
    tower.registry.invalidate(KEY)
    tower.join().leave()
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert len(told) == 2
    assert tower.at_rest()


def test_whoever_comes_after_the_shutdown_is_told_so() -> None:
    tower = Tower()
    tower.registry.close()
    alone = Seat(tower.registry.solo(tower.plan(sharing=Sharing.SOLO)))
    tower.registry.refresh(tower.plan())
    assert [seat.landing.status for seat in (tower.join(), alone)] == [503, 503]
    assert not tower.origin.requests
    assert tower.at_rest()


def test_an_exception_while_the_answer_is_handled_lands_everybody(
    monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    tower = Tower()
    seats = [tower.join(), tower.join()]
    monkeypatch.setattr("txstalecache.flight.flight.admit", lambda *_: 1 / 0)
    tower.origin.answer(0, 200, CACHEABLE)
    tower.origin.answer(1, 200, CACHEABLE)
    assert all(isinstance(seat.landing, Failed) for seat in seats)
    assert logged_failures.flush(ZeroDivisionError)
    assert tower.at_rest()


def test_a_store_that_fails_costs_the_entry_not_the_answer(
    monkeypatch: pytest.MonkeyPatch, logged_failures: Any
) -> None:
    tower = Tower()
    seats = [tower.join(), tower.join()]
    monkeypatch.setattr(tower.store, "put", lambda *_: 1 / 0)
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert {(seat.data, seat.ended) for seat in seats} == {(b"body", "delivered")}
    assert logged_failures.flush(ZeroDivisionError)
    assert tower.at_rest()


# -- those who come while the body is on its way ---


def test_who_comes_while_the_body_is_on_its_way_is_told_how_old_it_is() -> None:
    tower = Tower()
    early = tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"bo")
    tower.clock.advance(4)
    late = tower.join()
    response.send(b"dy")
    response.end()
    assert early.landing.head is response.head
    assert late.landing.head.fields.get(b"age") == b"4" and late.data == b"body"
    assert tower.at_rest()


@pytest.mark.parametrize("wish", [b"", b"max-age=3", b"min-fresh=58", b"no-cache"])
def test_nobody_joins_an_answer_that_he_would_not_have_of_a_store(wish: bytes) -> None:
    tower = Tower()
    tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE if wish else [(b"Cache-Control", b"max-age=3")])
    for _ in range(4):
        tower.clock.advance(1)
        response.send(b".")
    late = tower.join(*[(b"Cache-Control", wish)] if wish else ())
    assert late.landing is None and len(tower.origin.requests) == 2
    tower.registry.close()
    assert tower.at_rest()


# -- validation --------------------------------------------------------------------------------------------------------


def test_a_304_renews_the_entry_for_everybody() -> None:
    tower = Tower()
    entry = tower.entry()
    seats = [tower.join(entry=entry), tower.join(entry=entry)]
    assert tower.origin.requests[0].head.fields.get(b"if-none-match") == b'"1"'
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), (b"Cache-Control", b"max-age=60")])
    assert all(seat.landing.validated and seat.landing.entry.body == (b"stale",) for seat in seats)
    assert tower.stored is not None and tower.stored.freshness.lifetime == 60
    assert tower.at_rest()


def test_a_304_for_something_else_is_asked_again_without_conditions() -> None:
    tower = Tower()
    seat = tower.join(entry=tower.entry())
    tower.origin.answer(0, 304, [(b"ETag", b'"other"')])
    assert b"if-none-match" not in tower.origin.requests[1].head.fields
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert seat.data == b"body"
    assert tower.at_rest()


def test_a_304_for_something_else_ends_the_rival_that_asked_for_the_same() -> None:
    tower = Tower()
    entry = tower.entry(if_error=0.0, if_unreachable=0.0)
    seats = [tower.join(entry=entry), tower.join(entry=entry)]
    tower.clock.advance(5)
    assert len(tower.origin.requests) == 2
    tower.origin.answer(1, 304, [(b"ETag", b'"other"')])
    assert b"if-none-match" not in tower.origin.requests[2].head.fields
    assert tower.origin.cancelled == [0]  # its 304 would be for nobody's condition
    finish(tower.origin.answer(2, 200, CACHEABLE))
    assert [seat.data for seat in seats] == [b"body", b"body"]
    assert tower.at_rest()


def test_a_304_to_no_condition_fails_as_no_answer_does() -> None:
    tower = Tower()
    bare = replace(tower.entry(if_error=0.0, if_unreachable=0.0), fields=Fields([]))
    seats = [tower.join(entry=bare), tower.join(entry=bare)]
    assert b"if-none-match" not in tower.origin.requests[0].head.fields
    for number in range(2):
        tower.origin.answer(number, 304, [(b"ETag", b'"1"'), *CACHEABLE])
    assert [(seat.landing.status, seat.landing.why) for seat in seats] == [(502, "malformed")] * 2
    assert len(tower.origin.requests) == 2
    assert tower.stored is not None and tower.stored.freshness.lifetime == 5
    assert tower.at_rest()


HOOKS = Hooks(
    ttl=lambda request, response: 500.0,
    tags=lambda request, response: [b"ours", response.fields.get(b"x-new") or b""],
    before_store=lambda request, entry: replace(entry, fields=entry.fields.replacing(b"X-Mark", b"1")),
)


def test_a_lifetime_that_the_routes_own_code_gives_counts_from_now_however_old_the_answer_is() -> None:
    tower = Tower()
    tower.join(hooks=Hooks(ttl=lambda request, response: 30))
    finish(tower.origin.answer(0, 200, [*CACHEABLE, (b"Age", b"20")]))
    stored = tower.stored
    assert stored is not None
    assert (stored.age(tower.store.now()), stored.freshness.lifetime) == (20, 50)
    assert tower.at_rest()


def test_what_a_304_renews_is_stored_as_the_routes_own_code_would_have_it() -> None:
    tower = Tower()
    seat = tower.join(entry=tower.entry(), hooks=HOOKS)
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), *CACHEABLE, (b"X-New", b"new")])
    stored = tower.stored
    assert stored is not None and seat.landing.entry is stored
    assert stored.freshness.lifetime == 500.0
    assert stored.tags == {b"ours", b"new"}
    assert stored.fields.get(b"x-mark") == b"1"
    assert tower.at_rest()


def test_what_a_head_renews_is_stored_as_the_routes_own_code_would_have_it() -> None:
    tower = Tower()
    plan = replace(tower.plan(method=b"HEAD", hooks=HOOKS), entry=tower.entry())
    Seat(tower.registry.join(plan)[0])
    finish(tower.origin.answer(0, 200, [(b"ETag", b'"1"'), *CACHEABLE]), b"")
    stored = tower.stored
    assert stored is not None and stored.freshness.lifetime == 500.0
    assert b"ours" in stored.tags
    assert tower.at_rest()


@pytest.mark.parametrize("fails", ["ttl", "tags", "before_store"])
def test_a_hook_that_fails_at_a_304_leaves_nobody_waiting(fails: str, logged_failures: Any) -> None:
    tower = Tower()
    entry = tower.entry()
    hook: dict[str, Any] = {fails: lambda *_: 1 / 0}
    seats = [tower.join(entry=entry, hooks=Hooks(**hook)) for _ in range(2)]
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), *CACHEABLE])
    if fails == "ttl":
        finish(tower.origin.answer(1, 200, CACHEABLE))  # nobody knows whether it may be kept: it is fetched anew
    assert all(seat.landing is not None for seat in seats)
    assert tower.stored is (None if fails == "ttl" else entry)
    assert logged_failures.flush(ZeroDivisionError)
    assert tower.at_rest()


def test_a_304_that_says_what_the_entry_was_chosen_by_regroups_those_who_sent_something_else() -> None:
    tower = Tower()
    entry = tower.entry()
    english, french = (tower.join((b"Accept-Language", lang), entry=entry) for lang in (b"en", b"fr"))
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), *CACHEABLE, (b"Vary", b"Accept-Language")])
    assert english.landing.validated
    assert french.landing == Regroup((b"accept-language",))
    assert tower.at_rest()


@pytest.mark.parametrize(("field", "why"), [((b"Cookie", b"me"), "cookie"), ((b"Session-Token", b"me"), "credentials")])
def test_a_304_by_which_the_entry_is_not_for_everybody_sends_who_says_who_he_is_on_alone(
    field: tuple[bytes, bytes], why: str
) -> None:
    tower = Tower()
    entry = tower.entry()
    plain, named = tower.join(entry=entry), tower.join(field, entry=entry)
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), (b"Cache-Control", b"max-age=0")])
    assert plain.landing.validated
    assert named.landing == Alone(why)
    assert tower.at_rest()


def test_who_is_sent_on_by_a_304_does_not_wait_for_the_same_flight_again() -> None:
    tower = Tower()
    entry = tower.entry()
    leader, hidden = tower.join(entry=entry), tower.join((b"X-User", b"me"), entry=entry)
    again: list[Seat] = []
    hidden.waiting.addCallback(lambda _: again.append(tower.join((b"X-User", b"me"), entry=entry)))
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), *CACHEABLE, (b"Vary", b"X-User")])
    assert leader.landing.validated and hidden.landing == again[0].landing == Regroup((b"x-user",))
    assert tower.at_rest()


def test_an_answer_that_may_not_be_stored_takes_the_old_entry_away() -> None:
    tower = Tower()
    tower.join(entry=tower.entry())
    finish(tower.origin.answer(0, 200, PRIVATE))
    assert tower.stored is None


SPENT = [(b"Cache-Control", b"public, max-age=0")]


@pytest.mark.parametrize("status", [400, 403, 408, 413, 429, 431])
@pytest.mark.parametrize("again", [False, True])
def test_an_error_that_a_request_may_have_provoked_leaves_the_entry_where_it_is(status: int, again: bool) -> None:
    tower = Tower()
    entry = tower.entry()
    seat = tower.join(entry=entry, provoked=again)
    finish(tower.origin.answer(0, status))
    assert seat.data == b"body"
    assert tower.stored is entry
    assert tower.at_rest()


@pytest.mark.parametrize("status", [400, 403, 429, 503])
def test_a_refresh_that_brings_an_error_is_not_tried_again_before_the_back_off_is_over(status: int) -> None:
    tower = Tower()
    entry = tower.entry(while_revalidate=60.0)
    for number, pause in enumerate((1.3, 2.6, 5.1)):
        tower.registry.refresh(tower.plan(entry=entry))
        tower.origin.answer(number, status)
        assert tower.stored is entry
        tower.clock.advance(0.7 * pause)
        tower.registry.refresh(tower.plan(entry=entry))
        assert len(tower.origin.requests) == number + 1
        tower.clock.advance(0.3 * pause)
    assert tower.registry.figures.back_offs == 3
    assert tower.at_rest()


@pytest.mark.parametrize("status", [200, 302, 404, 410, 401])
def test_what_says_what_there_is_now_takes_the_entry_away_though_nobody_waits_for_it(status: int) -> None:
    tower = Tower()
    tower.registry.refresh(tower.plan(entry=tower.entry()))
    response = tower.origin.answer(0, status, SPENT)
    response.send(b"some")
    assert tower.stored is not None
    response.end()
    assert tower.stored is None
    assert tower.at_rest()


@pytest.mark.parametrize("leaves", [True, False])
def test_what_nobody_reads_is_read_to_its_end_and_not_kept(leaves: bool) -> None:
    tower = Tower()
    entry = tower.entry()
    seat = tower.join(entry=entry) if leaves else None
    if seat is None:
        tower.registry.refresh(tower.plan(entry=entry))
    response = tower.origin.answer(0, 200, SPENT)
    response.send(b"x" * 65536)
    if seat is not None:
        seat.leave()
    (flight,) = tower.registry.flights
    for _ in range(100):
        response.send(b"x" * 65536)
        assert not response.paused and not flight.body.held
    response.end()
    assert tower.stored is None
    assert tower.at_rest()


@pytest.mark.parametrize("waits", [True, False])
def test_an_answer_that_is_cut_takes_no_entry_away(waits: bool) -> None:
    tower = Tower()
    entry = tower.entry()
    seat = tower.join(entry=entry) if waits else None
    if not waits:
        tower.registry.refresh(tower.plan(entry=entry))
    response = tower.origin.answer(0, 200, SPENT)
    response.send(b"half")
    if seat is not None:
        seat.leave()
    response.cut()
    assert tower.stored is entry
    assert tower.at_rest()


def test_what_is_too_long_to_be_stored_takes_the_entry_away_unread() -> None:
    tower = Tower()
    tower.registry.refresh(tower.plan(entry=tower.entry(), rules=Rules(max_object=10)))
    assert tower.origin.answer(0, 200, CACHEABLE, length=1000).aborted
    assert tower.stored is None
    assert tower.at_rest()


@pytest.mark.parametrize("waits", [True, False])
def test_what_turns_out_not_to_be_stored_takes_the_entry_away_all_the_same(waits: bool) -> None:
    for rules, framing, body in (
        (Rules(), Framing.CLOSE, b"body"),
        (Rules(max_object=3), Framing.DELIMITED, b"body"),
        (Rules(min_size=5), Framing.DELIMITED, b"body"),
    ):
        tower = Tower()
        plan = tower.plan(entry=tower.entry(), rules=rules)
        seat = Seat(tower.registry.join(plan)[0]) if waits else None
        if not waits:
            tower.registry.refresh(plan)
        response = tower.origin.answer(0, 200, CACHEABLE, framing=framing)
        response.send(body)
        response.end(framing)
        assert tower.stored is None, (rules, framing)
        assert seat is None or (seat.data == body and seat.ended == "delivered")
        assert tower.at_rest()


@pytest.mark.parametrize("waits", [True, False])
def test_what_turns_out_too_long_takes_the_entry_away_at_once_and_is_not_read_for_that(waits: bool) -> None:
    tower = Tower()
    plan = tower.plan(entry=tower.entry(), rules=Rules(max_object=3))
    seat = Seat(tower.registry.join(plan)[0]) if waits else None
    if not waits:
        tower.registry.refresh(plan)
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"bo")
    assert tower.stored is not None and not response.aborted
    response.send(b"dy")
    assert tower.stored is None
    if seat is not None:
        assert seat.data == b"body" and not response.aborted
        seat.leave()
    assert response.aborted
    assert tower.at_rest()


def test_what_the_holder_of_a_lost_lease_brings_takes_nothing_away() -> None:
    tower = Tower()
    entry = tower.entry()
    tower.registry.refresh(tower.plan(entry=entry))
    response = tower.origin.answer(0, 200, CACHEABLE)
    flight: Any = next(iter(tower.registry.flights))
    flight.lease.lost = True
    finish(response)
    assert tower.stored is entry
    assert tower.at_rest()


def test_what_ends_with_its_connection_is_not_said_to_be_stored_and_is_shared_meanwhile() -> None:
    tower = Tower()
    seat = tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE, framing=Framing.CLOSE)
    response.send(b"bo")
    late = tower.join()
    response.send(b"dy")
    response.end(Framing.CLOSE)
    assert [(one.landing.stored, one.landing.why, one.data) for one in (seat, late)] == [
        (False, "close-delimited", b"body")
    ] * 2
    assert len(tower.origin.requests) == 1 and tower.stored is None
    assert tower.at_rest()


def test_an_answer_that_took_long_takes_nothing_newer_away() -> None:
    tower = Tower()
    tower.join(entry=tower.entry())
    response = tower.origin.answer(0, 200, SPENT)
    tower.clock.advance(1)
    tower.join()
    finish(tower.origin.answer(1, 200, CACHEABLE), b"newer")
    finish(response)
    assert tower.stored is not None and tower.stored.body == (b"newer",)
    assert tower.at_rest()


# -- an origin that answers at once ------------------------------------------------------------------------------------


class AtOnce(HeldOrigin):
    """Its heads are there before anybody can wait for them; its bodies are not."""

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        waiting = super().fetch(request)
        self.response = self.answer(len(self.requests) - 1, 200, [(b"Cache-Control", b"max-age=0")])
        return waiting


@pytest.mark.parametrize("sharing", [Sharing.SHARED, Sharing.SOLO])
def test_who_is_answered_before_he_can_wait_gets_all_of_it(sharing: Sharing) -> None:
    tower = Tower()
    origin = AtOnce()
    plan = tower.plan(sharing=sharing, origin=origin)
    seat = Seat(tower.registry.solo(plan) if sharing is Sharing.SOLO else tower.registry.join(plan)[0])
    finish(origin.response)
    assert (seat.data, seat.ended) == (b"body", "delivered")
    assert tower.at_rest()


def test_so_does_he_where_it_takes_the_place_of_an_entry_and_is_not_stored() -> None:
    tower = Tower()
    origin = AtOnce()
    entry = tower.entry(if_error=0.0, if_unreachable=0.0)
    seat = Seat(tower.registry.join(tower.plan(entry=entry, origin=origin))[0])
    finish(origin.response)
    assert (seat.data, seat.ended) == (b"body", "delivered")
    assert tower.stored is None and tower.at_rest()


def test_who_has_left_before_he_could_wait_is_not_fetched_for_any_longer() -> None:
    tower = Tower()
    origin = AtOnce()
    tower.registry.solo(tower.plan(sharing=Sharing.SOLO, origin=origin))
    tower.clock.advance(2)
    assert origin.response.aborted
    assert tower.at_rest()


# -- clients that leave ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answers", [True, False])
def test_what_changes_things_is_waited_for_without_its_client_until_it_is_heard_of(answers: bool) -> None:
    tower = Tower()
    heard: list[int] = []
    plan = tower.plan(method=b"DELETE", sharing=Sharing.PRIVATE, heard=lambda head: heard.append(head.status))
    leaving = Seat(tower.registry.solo(plan))
    leaving.waiting.addErrback(lambda failure: failure.trap(CancelledError))
    leaving.waiting.cancel()
    landed = tower.registry.landed()
    assert tower.origin.cancelled == [] and not landed.called
    if answers:
        response = tower.origin.answer(0, 200)
        assert heard == [200] and response.aborted
    else:
        tower.clock.advance(plan.deadlines.connect + plan.deadlines.total)
        assert heard == []
    assert landed.called and tower.at_rest()


@pytest.mark.parametrize("leaves", [True, False])
def test_the_time_of_a_body_that_is_under_way_is_its_clients_as_long_as_that_is_there(leaves: bool) -> None:
    tower = Tower()
    body = Body()
    seat = Seat(tower.registry.solo(tower.plan(sharing=Sharing.PRIVATE, body=body, heard=lambda head: None)))
    sent = tower.origin.requests[0].body
    assert sent is not None
    sent.startProducing(None)
    if leaves:
        seat.waiting.addErrback(lambda failure: failure.trap(CancelledError))
        seat.waiting.cancel()
    patience = Deadlines().connect + Deadlines().total
    for _ in range(3):
        tower.clock.advance(patience)
    assert bool(tower.registry.flights) is not leaves
    body.done.callback(None)
    tower.clock.advance(patience)
    assert tower.at_rest()


def test_a_leader_that_leaves_takes_nothing_from_the_others() -> None:
    tower = Tower()
    leader, waiter = tower.join(), tower.join()
    leader.leave()
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert waiter.data == b"body"
    assert tower.at_rest()


def test_the_fetch_goes_on_without_anybody_for_an_answer_that_may_be_stored() -> None:
    tower = Tower()
    tower.join().leave()
    response = tower.origin.answer(0, 200, CACHEABLE)
    finish(response)
    assert not response.aborted and tower.stored is not None
    assert tower.at_rest()


def test_the_last_one_out_ends_a_fetch_that_is_not_stored() -> None:
    tower = Tower()
    one, two = tower.join(), tower.join()
    response = tower.origin.answer(0, 200, [(b"Cache-Control", b"max-age=0")])
    response.send(b"half")
    one.leave()
    assert not response.aborted
    two.leave()
    assert response.aborted
    assert tower.at_rest()


def test_a_fetch_for_one_client_ends_with_it() -> None:
    tower = Tower()
    seat = Seat(tower.registry.solo(tower.plan(sharing=Sharing.PRIVATE)))
    seat.leave()
    assert tower.origin.cancelled == [0]
    assert tower.at_rest()


def test_a_fetch_for_one_client_goes_on_without_it_for_what_is_stored() -> None:
    tower = Tower()
    seat = Seat(tower.registry.solo(tower.plan(sharing=Sharing.SOLO)))
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"bo")
    seat.leave()
    assert not response.aborted
    finish(response, b"dy")
    assert tower.stored is not None and b"".join(tower.stored.body) == b"body"
    assert tower.at_rest()


@pytest.mark.parametrize(("status", "why"), [(503, "error"), (None, "unreachable")])
def test_a_client_that_is_fetched_for_alone_gets_what_may_stand_in(status: int | None, why: str) -> None:
    tower = Tower()
    entry = tower.entry()
    seat = Seat(tower.registry.solo(replace(tower.plan(entry=entry), sharing=Sharing.SOLO)))
    if status is None:
        tower.origin.fail(0, Fault.RESET)
    else:
        assert tower.origin.answer(0, status).aborted
    assert seat.landing == Settled(entry, collapsed=False, stale=why, status=status)
    assert tower.stored is entry
    assert tower.at_rest()


# -- the three clocks --------------------------------------------------------------------------------------------------


def test_wait_stale_gives_whoever_waits_what_may_stand_in() -> None:
    tower = Tower()
    entry = tower.entry()
    seats = [tower.join(entry=entry), tower.join(entry=entry)]
    tower.clock.advance(0.9)
    assert [seat.landing for seat in seats] == [None, None]
    tower.clock.advance(0.2)
    assert {seat.landing.stale for seat in seats} == {"wait"}
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert tower.stored is not None and tower.stored.body == (b"body",)
    assert tower.at_rest()


def test_wait_stale_counts_from_each_ones_own_arrival() -> None:
    tower = Tower()
    entry = tower.entry()
    first = tower.join()  # has nothing to be given
    tower.clock.advance(0.5)
    second = tower.join(entry=entry)
    tower.clock.advance(0.9)
    assert [second.landing] == [None]
    tower.clock.advance(0.2)
    assert second.landing.stale == "wait"
    assert first.landing is None


@pytest.mark.parametrize("before", [1, 2])
def test_wait_stale_is_for_who_found_an_entry_where_those_before_found_none(before: int) -> None:
    """They looked while Redis was away, say."""
    tower = Tower()
    others = [tower.join() for _ in range(before)]
    entry = tower.entry()
    seat = tower.join(entry=entry)
    tower.clock.advance(1)
    assert seat.landing == Settled(entry, collapsed=True, stale="wait")
    assert not any(other.landing for other in others)
    tower.registry.close()


def test_wait_stale_gives_nothing_that_no_window_permits() -> None:
    tower = Tower()
    entry = tower.entry(if_error=0.0)
    seats = [tower.join(entry=entry), tower.join(entry=entry)]
    tower.clock.advance(1.1)
    assert [seat.landing for seat in seats] == [None, None]
    tower.origin.fail(0, Fault.UNREACHABLE)  # then it may stand in
    assert {seat.landing.stale for seat in seats} == {"unreachable"}
    assert tower.at_rest()


@pytest.mark.parametrize("wish", [b"no-cache", b"max-age=0"])
def test_wait_stale_gives_no_reload_what_it_did_not_want(wish: bytes) -> None:
    tower = Tower()
    entry = tower.entry(lifetime=600.0)
    began_after = tower.store.now()
    tower.clock.advance(0.01)
    reload = tower.join((b"Cache-Control", wish), entry=entry, began_after=began_after)
    waiter = tower.join((b"Cache-Control", wish), entry=entry, began_after=began_after)
    tower.clock.advance(1.1)
    assert [reload.landing, waiter.landing] == [None, None]
    finish(tower.origin.answer(0, 200, CACHEABLE), b"new")
    assert reload.data == waiter.data == b"new"
    assert tower.at_rest()


def test_wait_stale_is_for_who_asks_alone_as_well() -> None:
    tower = Tower()
    leader = tower.join(entry=tower.entry())
    tower.clock.advance(1.1)
    assert leader.landing.stale == "wait"
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert tower.at_rest()


def test_leader_age_brings_one_second_attempt_and_the_first_head_wins() -> None:
    tower = Tower()
    seats = [tower.join() for _ in range(10)]
    tower.clock.advance(5)
    assert len(tower.origin.requests) == 2
    tower.clock.advance(5)
    assert len(tower.origin.requests) == 2
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert {seat.data for seat in seats} == {b"body"}
    assert tower.origin.cancelled == [0]
    assert tower.at_rest()


@pytest.mark.parametrize("fields", [CACHEABLE, PRIVATE])
def test_a_flight_that_has_ended_is_not_left_to_the_garbage_collector(fields: Any) -> None:
    tower = Tower()
    gc.collect()
    gc.disable()
    try:
        seat = tower.join()
        (flight,) = map(weakref.ref, tower.registry.flights)
        response = tower.origin.answer(0, 200, fields)
        finish(response)
        response.sink = None  # as an origin lets go of whom it has told all
        assert seat.data == b"body"
        assert flight() is None
    finally:
        gc.enable()


def test_a_flight_is_looked_at_when_somebody_is_due_and_not_before() -> None:
    tower = Tower()
    tower.join()
    began = tower.clock.seconds()
    (timer,) = tower.clock.getDelayedCalls()
    assert timer.getTime() == began + 15
    tower.join()
    assert timer.getTime() == began + 5
    tower.registry.close()
    assert tower.at_rest()


def test_one_timer_looks_at_all_flights_and_the_fault_of_one_is_nobodys_who_waits(logged_failures: Any) -> None:
    tower = Tower()
    _, first = [Seat(tower.registry.join(tower.plan())[0]) for _ in range(2)]
    tower.clock.advance(1)
    _, second = [Seat(tower.registry.join(replace(tower.plan(), key=Key((b"other",))))[0]) for _ in range(2)]
    assert len(tower.clock.getDelayedCalls()) == 1
    (broken,) = [flight for flight in tower.registry.flights if flight.plan.key == KEY]
    look = broken.tick

    def once() -> None:
        broken.tick = look  # type: ignore[method-assign]
        raise ZeroDivisionError

    broken.tick = once  # type: ignore[method-assign]
    tower.clock.advance(14)
    assert logged_failures.flush(ZeroDivisionError)
    tower.clock.advance(1)
    assert isinstance(first.landing, Failed) and isinstance(second.landing, Failed)
    tower.registry.close()
    assert tower.at_rest()


def test_who_has_waited_for_another_flight_looks_at_what_is_stored_before_it_fetches() -> None:
    tower = Tower()
    entry = tower.entry(lifetime=600.0)
    seat = tower.join(again=True)
    assert isinstance(seat.landing, Settled) and seat.landing.entry is entry
    assert not tower.origin.requests and tower.at_rest()


def test_who_has_just_looked_fetches() -> None:
    tower = Tower()
    tower.entry(lifetime=600.0)
    seat = tower.join()
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert seat.data == b"body" and tower.at_rest()


class LateLeases(LocalLeases):
    """Grants when the test says so."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self.asked: Deferred[Any] = Deferred()

    def grant(self, name: str, purpose: Purpose) -> None:
        return None

    def acquire(self, name: str, purpose: Purpose, tell: Any = None) -> Deferred[Any]:
        self._wanted = name, purpose
        return self.asked

    def say(self) -> None:
        """Grant what is wanted."""
        self.asked.callback(super().grant(*self._wanted))


UNSAID = Fields([(b"ETag", b'"1"'), (b"Last-Modified", b"Mon, 01 Jan 2024 00:00:00 GMT")])


def stored_elsewhere(tower: Tower, *joining: Any, **entry: Any) -> tuple[list[Seat], Entry]:
    """Some wait for the lease that another process holds, and for what it stores meanwhile."""
    leases = tower.registry.leases = LateLeases(tower.clock)
    seats = [tower.join(*fields) for fields in joining]
    stored = replace(tower.entry(lifetime=600.0), **entry)
    tower.store.discard(KEY)
    tower.clock.advance(0.01)
    now = tower.store.now()
    stored = replace(stored, request_time=now, response_time=now)
    tower.store.put(KEY, stored, 600.0)
    leases.say()
    return seats, stored


@pytest.mark.parametrize(("field", "why"), [((b"Cookie", b"me"), "cookie"), ((b"Session-Token", b"me"), "credentials")])
@pytest.mark.parametrize("leads", [True, False])
def test_who_says_who_he_is_takes_what_another_process_stored_only_where_it_is_said_to_be_for_everybody(
    field: tuple[bytes, bytes], why: str, leads: bool
) -> None:
    tower = Tower()
    joining = [(field,), ()] if leads else [(), (field,)]
    seats, stored = stored_elsewhere(tower, *joining, fields=UNSAID)
    plain, named = reversed(seats) if leads else seats
    assert plain.landing == Settled(stored, collapsed=True)
    assert named.landing == Alone(why)
    assert not tower.origin.requests and tower.at_rest()


def test_what_another_process_stored_explicitly_for_everybody_is_for_a_cookie_too() -> None:
    tower = Tower()
    seats, stored = stored_elsewhere(tower, (), ((b"Cookie", b"me"),))
    assert [seat.landing for seat in seats] == [Settled(stored, collapsed=True)] * 2
    assert tower.at_rest()


def test_what_was_not_asked_yet_is_not_out_of_date_by_an_invalidation() -> None:
    tower = Tower()
    leases = tower.registry.leases = LateLeases(tower.clock)
    waiting = tower.join()
    tower.store.discard(KEY)
    tower.registry.invalidate(KEY)
    later = tower.join()
    tower.clock.advance(0.01)
    leases.say()
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert waiting.data == later.data == b"body" and len(tower.origin.requests) == 1
    assert tower.stored is not None and tower.at_rest()


def test_who_would_not_have_what_another_process_stored_waits_on_for_a_fetch() -> None:
    tower = Tower()
    (plain, fussy), stored = stored_elsewhere(tower, (), ((b"Cache-Control", b"max-age=5"),))
    assert plain.landing == Settled(stored, collapsed=True)
    assert fussy.landing is None and len(tower.origin.requests) == 1
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert fussy.data == b"body" and tower.at_rest()


def test_who_waits_for_the_lease_of_another_leaves_the_second_attempt_to_its_holder() -> None:
    tower = Tower()
    leases = tower.registry.leases = LateLeases(tower.clock)
    seats = [tower.join() for _ in range(10)]
    tower.clock.advance(6)
    assert not tower.origin.requests
    leases.say()
    assert len(tower.origin.requests) == 1
    tower.clock.advance(4)
    assert len(tower.origin.requests) == 1, "its own fetch has just begun"
    tower.clock.advance(1)
    assert len(tower.origin.requests) == 2
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert {seat.data for seat in seats} == {b"body"}
    assert tower.at_rest()


def test_who_asks_again_as_he_is_told_of_a_failure_is_not_left_waiting_for_what_is_over() -> None:
    """Two requests on one connection, sent at once."""
    tower = Tower()
    later: list[Seat] = []
    first = tower.join()
    first.waiting.addCallback(lambda _: later.append(tower.join()))
    tower.origin.fail(0, Fault.RESET)
    assert isinstance(first.landing, Failed)
    finish(tower.origin.answer(1, 200, CACHEABLE))
    assert later[0].data == b"body" and tower.at_rest()


def test_who_asks_again_as_he_is_told_of_a_failure_elsewhere_is_not_left_waiting_for_what_is_over() -> None:
    tower = Tower()
    elsewhere = tower.registry.leases = LateLeases(tower.clock)
    later: list[Seat] = []
    first = tower.join()
    first.waiting.addCallback(lambda _: later.append(tower.join()))
    tower.store.mark(KEY, Marker(MarkerKind.ERROR, tower.store.now() + 1.0, "origin-error", 502))
    tower.registry.leases = LocalLeases(tower.clock)
    elsewhere.say()
    assert first.waiting.called and isinstance(first.landing, Failed)
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert later[0].data == b"body" and tower.at_rest()


@pytest.mark.parametrize(
    ("said", "fault"), [({"method": b"HEAD"}, Fault.RESET), ({"method": b"HEAD"}, None), ({"accept": b"x"}, None)]
)
def test_who_asks_again_as_he_is_given_stale_for_an_error_gets_that_too(said: Any, fault: Fault | None) -> None:
    """No marker tells him that the origin fails: HEAD leaves none, and who says something else is not meant by it."""
    tower = Tower()
    entry, later = tower.entry(), list[Seat]()
    fields = [(b"Accept", said["accept"])] if "accept" in said else []
    method = said.get("method", b"GET")
    first = tower.join(method=method, entry=entry)
    first.waiting.addCallback(lambda _: later.append(tower.join(*fields, method=method, entry=entry)))
    if fault is None:
        tower.origin.answer(0, 503)
    else:
        tower.origin.fail(0, fault)
    assert [getattr(seat.landing, "entry", None) for seat in (first, *later)] == [entry, entry]
    assert tower.at_rest()


def test_who_asks_again_as_he_is_given_what_another_process_stored_has_nothing_fetched() -> None:
    tower = Tower()
    elsewhere = tower.registry.leases = LateLeases(tower.clock)
    later: list[Seat] = []
    first = tower.join()
    tower.registry.leases = LocalLeases(tower.clock)
    first.waiting.addCallback(lambda _: later.append(tower.join(again=True)))
    tower.clock.advance(0.01)
    stored = tower.entry(lifetime=600.0)
    elsewhere.say()
    assert [seat.landing for seat in (first, *later)] == [Settled(stored, collapsed=True)] * 2
    assert not tower.origin.requests and tower.at_rest()


def test_who_asks_again_as_he_is_given_stale_while_the_origin_is_left_alone_leaves_it_alone_too() -> None:
    tower = Tower()
    entry, later = tower.entry(), list[Seat]()
    tower.join(entry=entry)
    tower.origin.fail(0, Fault.RESET)
    leases: Any = tower.registry.leases
    resting, asked = leases.resting, Deferred[bool]()
    leases.resting = lambda name: asked
    first = tower.join(entry=entry)
    leases.resting = resting
    first.waiting.addCallback(lambda _: later.append(tower.join(entry=entry)))
    asked.callback(True)
    assert [seat.landing.entry for seat in (first, *later)] == [entry, entry]
    assert len(tower.origin.requests) == 1 and tower.at_rest()


def test_who_asks_again_as_he_is_told_of_a_failure_is_not_one_too_many_for_it() -> None:
    tower = Tower(flights=1)
    later: list[Seat] = []
    plan = tower.plan(sharing=Sharing.SOLO)
    first = Seat(tower.registry.solo(plan))
    first.waiting.addCallback(lambda _: later.append(Seat(tower.registry.solo(plan))))
    tower.origin.fail(0, Fault.RESET)
    finish(tower.origin.answer(1))
    assert later[0].data == b"body" and tower.at_rest()


def test_nothing_is_fetched_any_more_once_one_who_is_told_of_an_error_has_closed_all() -> None:
    tower = Tower()
    strange, honest = tower.join(STRANGE), tower.join()
    strange.waiting.addCallback(lambda _: tower.registry.close())
    tower.origin.answer(0, 500)
    assert honest.landing == Failed(503, "shutdown", 1)
    assert len(tower.origin.requests) == 1 and tower.at_rest()


def test_who_waits_for_the_last_to_land_finds_its_lease_given_back_and_nothing_left() -> None:
    tower = Tower()
    leases, found = LocalLeases(tower.clock), list[tuple[Any, bool]]()
    tower.registry.leases = leases
    tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE)
    (flight,) = tower.registry.flights
    assert isinstance(flight, SharedFlight)
    tower.registry.landed().addCallback(lambda _: found.append((flight.lease, tower.at_rest())))
    finish(response)
    assert found == [(None, True)]


def test_who_closes_all_as_a_flight_takes_off_leaves_nobody_waiting_for_it() -> None:
    tower = Tower()
    tower.registry.watchers.append(lambda _: tower.registry.close())
    assert tower.join().landing == Failed(503, "shutdown", 1)
    assert not tower.origin.requests and tower.at_rest()


def test_who_watches_no_longer_as_another_is_told_is_not_told() -> None:
    tower = Tower()
    first, second = tower.registry.landed(), tower.registry.landed()
    assert first.called and second.called
    tower.join()
    response = tower.origin.answer(0, 200, CACHEABLE)
    first, second = tower.registry.landed(), tower.registry.landed()
    second.addErrback(lambda _: None)
    first.addCallback(lambda _: second.cancel())
    finish(response)
    assert first.called and second.called and tower.at_rest() and not tower.registry.watchers


def test_a_lease_that_is_cancelled_by_others_leaves_nobody_waiting(logged_failures: Any) -> None:
    tower = Tower()
    leases = tower.registry.leases = LateLeases(tower.clock)
    seat = tower.join()
    leases.asked.cancel()
    assert isinstance(seat.landing, Failed) and tower.at_rest()
    assert logged_failures.flush(CancelledError)


def test_a_client_alone_needs_no_second_attempt() -> None:
    tower = Tower()
    tower.join()
    tower.clock.advance(10)
    assert len(tower.origin.requests) == 1
    finish(tower.origin.answer(0, 200, CACHEABLE))


def test_wait_deadline_is_504_counted_from_each_ones_own_arrival() -> None:
    tower = Tower()
    _, early = tower.join(), tower.join()
    tower.clock.advance(10)
    late = tower.join()
    tower.clock.advance(5)
    assert early.landing == Failed(504, "wait-deadline", 1)
    assert late.landing is None
    for _ in range(10):
        tower.clock.advance(1)
    assert late.landing == Failed(504, "wait-deadline", 1)


def test_who_asked_the_origin_waits_for_it_as_long_as_that_may_take() -> None:
    tower = Tower()
    clocks, deadlines = Clocks(wait_deadline=3), Deadlines(connect=2, total=20)
    leader, waiter = [tower.join(clocks=clocks, deadlines=deadlines) for _ in range(2)]
    for _ in range(21):
        assert leader.landing is None
        tower.clock.advance(1)
    assert waiter.landing == Failed(504, "wait-deadline", 1)
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.end()
    assert leader.ended == "delivered"
    assert tower.at_rest()


def test_an_origin_that_forgets_its_deadlines_is_not_waited_for_much_longer() -> None:
    tower = Tower()
    leader = tower.join(clocks=Clocks(wait_deadline=3), deadlines=Deadlines(connect=2, total=20))
    for _ in range(22):
        tower.clock.advance(1)
    assert leader.landing == Failed(504, "wait-deadline", 1)
    tower.registry.close()
    assert tower.at_rest()


def test_who_asked_the_origin_does_not_wait_for_it_where_something_may_stand_in() -> None:
    tower = Tower()
    leader = tower.join(entry=tower.entry(), clocks=Clocks(wait_stale=60, wait_deadline=3))
    for _ in range(3):
        assert leader.landing is None
        tower.clock.advance(1)
    assert leader.landing.stale == "wait"


def test_who_waits_for_the_lease_of_another_has_no_more_patience_than_others() -> None:
    tower = Tower()
    tower.registry.leases = LateLeases(tower.clock)
    leader = tower.join(clocks=Clocks(wait_deadline=3))
    for _ in range(3):
        assert leader.landing is None
        tower.clock.advance(1)
    assert leader.landing == Failed(504, "wait-deadline", 1)


def test_a_late_waiter_may_pass_where_the_route_says_so_and_only_a_few_do() -> None:
    tower = Tower(late_passes=1)
    clocks = Clocks(wait_deadline=2, late=Late.PASS)
    elsewhere = Seat(tower.registry.solo(tower.plan(sharing=Sharing.SOLO)))  # not late: does not count
    passing = Seat(tower.registry.solo(tower.plan(sharing=Sharing.LATE)))
    leader, *seats = [tower.join(clocks=clocks) for _ in range(3)]
    tower.clock.advance(2)
    assert {seat.landing.status for seat in seats} == {504}
    passing.leave()
    seat = tower.join(clocks=clocks)
    tower.clock.advance(2)
    assert seat.landing == Alone("late", Sharing.LATE)
    elsewhere.leave()
    leader.leave()
    assert not tower.registry._late


# -- no-cache, purges, caps --------------------------------------------------------------------------------------------


def test_a_reload_joins_no_flight_that_began_before_it() -> None:
    tower = Tower()
    tower.join()
    tower.join(began_after=tower.store.now())
    assert len(tower.origin.requests) == 2


def test_nobody_joins_an_invalidated_flight_and_it_stores_nothing() -> None:
    tower = Tower()
    old = tower.join()
    tower.registry.invalidate(KEY)
    new = tower.join()
    assert len(tower.origin.requests) == 2
    finish(tower.origin.answer(0, 200, CACHEABLE), b"old")
    assert old.data == b"old" and tower.stored is None
    finish(tower.origin.answer(1, 200, CACHEABLE), b"new")
    assert new.data == b"new" and tower.stored is not None


@pytest.mark.parametrize("said", ["invalidated", "purged"])
def test_what_an_invalidation_or_a_purge_has_passed_is_not_said_to_be_stored(said: str) -> None:
    tower = Tower()
    seat = tower.join()
    if said == "purged":
        tower.store.purge(Scope.everything(), Hardness.HARD)
    else:
        tower.registry.invalidate(KEY)
    finish(tower.origin.answer(0, 200, CACHEABLE), b"old")
    assert isinstance(seat.landing, Attached)
    assert (seat.landing.stored, seat.landing.why) == (False, "kept-out")
    assert tower.stored is None


CARRIED = {"error": 503, "unreachable": None, "wait": None, "deadline": None}


def test_what_an_invalidation_has_passed_takes_nothing_away_from_who_asks_after_it() -> None:
    tower = Tower()
    tower.join(entry=tower.entry())
    old = tower.origin.answer(0, 200, CACHEABLE)
    old.send(b"bo")
    tower.store.discard(KEY)
    tower.registry.invalidate(KEY)
    tower.clock.advance(1)
    tower.join()
    tower.clock.advance(1)
    finish(old, b"dy")
    finish(tower.origin.answer(1, 200, CACHEABLE), b"new")
    assert tower.stored is not None and tower.stored.body == (b"new",)
    assert tower.at_rest()


@pytest.mark.parametrize("how", CARRIED)
@pytest.mark.parametrize("hardness", list(Hardness))
def test_an_entry_that_a_flight_carries_is_purged_as_any_other(how: str, hardness: Hardness) -> None:
    tower = Tower()
    entry = tower.entry()
    clocks = Clocks(wait_stale=1.0 if how == "wait" else 60.0, wait_deadline=5.0, leader_age=60.0)
    seat = tower.join(entry=entry, clocks=clocks)
    tower.store.purge(Scope.everything(), hardness)
    if how == "error":
        finish(tower.origin.answer(0, 503, ()))
    elif how == "unreachable":
        tower.origin.fail(0, Fault.UNREACHABLE)
    else:
        tower.clock.advance(1.1 if how == "wait" else 5.1)
    given = isinstance(seat.landing, Settled)
    assert given is (hardness is Hardness.SOFT), seat.landing
    tower.registry.close()


def test_what_was_purged_while_it_was_validated_is_fetched_anew() -> None:
    tower = Tower()
    seat = tower.join(entry=tower.entry())
    tower.store.purge(Scope.everything(), Hardness.HARD)
    tower.origin.answer(0, 304, CACHEABLE)
    assert seat.landing is None
    assert b"if-none-match" not in tower.origin.requests[1].head.fields
    finish(tower.origin.answer(1, 200, CACHEABLE), b"new")
    assert seat.data == b"new"
    assert tower.at_rest()


@pytest.mark.parametrize("said", ["invalidated", "purged"])
def test_what_was_purged_while_it_was_refreshed_is_not_fetched_anew_for_nobody(said: str) -> None:
    tower = Tower()
    tower.registry.refresh(tower.plan(entry=tower.entry()))
    if said == "purged":
        tower.store.purge(Scope.everything(), Hardness.HARD)
    else:
        tower.store.discard(KEY)
        tower.registry.invalidate(KEY)
    tower.origin.answer(0, 304, [(b"ETag", b'"1"'), *CACHEABLE])
    assert len(tower.origin.requests) == 1
    assert tower.stored is None
    assert tower.at_rest()


def test_a_purge_of_a_variant_passes_only_the_flights_for_it() -> None:
    tower = Tower()
    german = (b"Accept-Language", b"de")
    for fields in ((german,), ()):
        tower.join(*fields, names=(b"accept-language",))
    tower.store.purge(Scope.of_variant(b"", {b"Accept-Language": b"de"}), Hardness.HARD)
    tower.clock.advance(0.001)
    for fields in ((german,), ()):
        tower.join(*fields, names=(b"accept-language",))
    assert [request.head.fields.get(b"accept-language") for request in tower.origin.requests] == [b"de", None, b"de"]
    tower.registry.close()


def test_beyond_the_caps_it_is_stale_or_503() -> None:
    tower = Tower(waiters_per_key=2)
    entry = tower.entry()
    seats = [tower.join() for _ in range(2)]
    assert tower.join().landing == Failed(503, "overflow", 1)
    assert tower.join(entry=entry).landing == Settled(entry, collapsed=False, stale="overflow", asked=False)
    assert [seat.landing for seat in seats] == [None, None]


def test_beyond_the_bytes_in_flight_bodies_stream_unstored() -> None:
    tower = Tower(bytes_in_flight=3)
    seat = tower.join()
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert seat.data == b"body" and tower.stored is None
    assert tower.at_rest()


# -- large bodies ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [4, None])
def test_what_is_as_long_as_max_object_is_stored(length: int | None) -> None:
    tower = Tower()
    seat = tower.join(rules=Rules(max_object=4))
    finish(tower.origin.answer(0, 200, CACHEABLE, length))
    assert seat.data == b"body" and tower.stored is not None
    assert tower.marker is None
    assert tower.at_rest()


def test_over_max_object_nothing_is_stored_nobody_joins_and_the_origin_is_paused() -> None:
    tower = Tower(window=8)
    rules = Rules(max_object=10)
    slow, fast = tower.join(rules=rules), tower.join(rules=rules)
    slow.hold = True
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"12345678")
    late = tower.join(rules=rules)
    assert late.data == b"12345678"
    response.send(b"abcdefgh")
    assert response.paused
    too_late = tower.join(rules=rules)
    assert too_late.landing is None and len(tower.origin.requests) == 2
    slow.hold = False
    assert slow.reader is not None
    slow.reader.resumeProducing()
    assert not response.paused
    response.end()
    assert {seat.data for seat in (slow, fast, late)} == {b"12345678abcdefgh"}
    assert tower.stored is None


def test_a_reader_slower_than_the_minimum_does_not_stall_the_others() -> None:
    tower = Tower(window=8, min_rate=4)
    rules = Rules(max_object=1)
    slow, fast = tower.join(rules=rules), tower.join(rules=rules)
    slow.hold = True
    response = tower.origin.answer(0, 200, CACHEABLE)
    for _ in range(3):
        response.send(b"12345678")
    assert response.paused
    for _ in range(3):
        assert slow.ended == ""
        tower.clock.advance(1)
    assert slow.ended == "cut"
    assert not response.paused
    response.end()
    assert fast.data == b"12345678" * 3
    assert tower.at_rest()


def test_where_all_are_slow_nobody_is_dropped() -> None:
    tower = Tower(window=8, min_rate=4)
    rules = Rules(max_object=1)
    seats = [tower.join(rules=rules) for _ in range(2)]
    for seat in seats:
        seat.hold = True
    response = tower.origin.answer(0, 200, CACHEABLE)
    for _ in range(3):
        response.send(b"12345678")
    for _ in range(10):
        tower.clock.advance(1)
    assert [seat.ended for seat in seats] == ["", ""]
    tower.registry.close()
    assert [seat.ended for seat in seats] == ["cut", "cut"]
    assert tower.at_rest()


# -- HEAD --------------------------------------------------------------------------------------------------------------


def test_a_head_request_takes_the_head_of_a_get_in_the_air() -> None:
    tower = Tower()
    tower.join()
    head = Seat(tower.registry.join(tower.plan(method=b"HEAD"))[0])
    assert len(tower.origin.requests) == 1
    response = tower.origin.answer(0, 200, CACHEABLE)
    assert isinstance(head.landing, Attached)
    head.leave()
    finish(response)
    assert tower.stored is not None


def test_a_get_does_not_wait_for_a_head() -> None:
    tower = Tower()
    Seat(tower.registry.join(tower.plan(method=b"HEAD"))[0])
    tower.join()
    assert [request.head.method for request in tower.origin.requests] == [b"HEAD", b"GET"]


@pytest.mark.parametrize("fields", [(), PRIVATE, [*CACHEABLE, (b"Set-Cookie", b"a=b")]])
@pytest.mark.parametrize("status", [200, 503, None])
def test_what_becomes_of_a_head_says_nothing_of_a_get(fields: Any, status: int | None) -> None:
    tower = Tower()
    seats = [tower.join(method=b"HEAD"), tower.join(method=b"HEAD")]
    for number in range(1 if status == 200 else 2):
        if status is None:
            tower.origin.fail(number, Fault.RESET)
        else:
            finish(tower.origin.answer(number, status, fields), b"")
    assert all(seat.landing is not None for seat in seats)
    assert tower.marker is None
    assert tower.at_rest()


def test_a_head_for_one_client_does_not_say_that_a_get_may_be_shared() -> None:
    tower = Tower()
    tower.store.mark(KEY, Marker(MarkerKind.PRIVATE, tower.store.now() + 60, "private"))
    for method in (b"HEAD", b"GET"):
        Seat(tower.registry.solo(tower.plan(method=method, sharing=Sharing.SOLO)))
    finish(tower.origin.answer(0, 200, [(b"Cache-Control", b"max-age=0")]), b"")
    assert tower.marker is MarkerKind.PRIVATE
    finish(tower.origin.answer(1, 200, [(b"Cache-Control", b"max-age=0")]))
    assert tower.marker is None


# -- a crowd is told in turns, and nobody else waits for that ----------------------------------------------------------

AT_ONCE = Waiters.AT_ONCE


def crowd(tower: Tower, **more: Any) -> list[Seat]:
    return [tower.join(**more) for _ in range(2 * AT_ONCE + 10)]


def told(seats: list[Seat]) -> int:
    return sum(seat.landing is not None for seat in seats)


def counted(monkeypatch: pytest.MonkeyPatch, of: Any, name: str) -> list[None]:
    """One for each call of what is called ``name`` there, from now on."""
    function, calls = getattr(of, name), list[None]()

    def called(*arguments: Any, **more: Any) -> Any:
        calls.append(None)
        return function(*arguments, **more)

    monkeypatch.setattr(of, name, called)
    return calls


def turn(tower: Tower) -> None:
    """One of the reactor's, with what is due now and nothing that this brings about."""
    for call in tower.clock.getDelayedCalls():
        if call.getTime() <= tower.clock.seconds():
            due = partial(call.func, *call.args, **call.kw)  # type: ignore[attr-defined]
            call.cancel()
            due()


def turns(tower: Tower, seats: list[Seat]) -> list[int]:
    """How many are told by now, and after each of the turns that follow."""
    found = [told(seats)]
    while found[-1] < len(seats):
        turn(tower)
        assert told(seats) > found[-1]
        found.append(told(seats))
    return found


def arrives(tower: Tower) -> None:
    finish(tower.origin.answer(0, 200, CACHEABLE))


def may_not_be_shared(tower: Tower) -> None:
    finish(tower.origin.answer(0, 200, PRIVATE))


def fails_twice(tower: Tower) -> None:
    for number in range(2):
        tower.origin.fail(number, Fault.RESET)


def is_validated(tower: Tower) -> None:
    tower.origin.answer(0, 304, [*CACHEABLE, (b"ETag", b'"1"')])


def fails_with_stale(tower: Tower) -> None:
    tower.origin.answer(0, 500)


def never_comes(tower: Tower) -> None:
    tower.clock.rightNow += 15
    turn(tower)


def is_stored_elsewhere(tower: Tower) -> None:
    (flight,) = tower.registry.flights
    assert isinstance(flight, SharedFlight)
    assert flight.settle(Settled(tower.entry(initial_age=0.0, lifetime=60.0), collapsed=True))


def is_shut_down(tower: Tower) -> None:
    tower.registry.close()


@pytest.mark.parametrize(
    ("happens", "stale"),
    [
        (arrives, False),
        (may_not_be_shared, False),
        (fails_twice, False),
        (is_validated, True),
        (fails_with_stale, True),
        (never_comes, False),
        (is_shut_down, False),
    ],
)
def test_of_many_who_wait_only_some_are_told_in_one_turn(happens: Callable[[Tower], None], stale: bool) -> None:
    tower = Tower()
    clocks = Clocks(wait_stale=60, leader_age=60)
    entry = tower.entry() if stale else None
    seats = crowd(tower, entry=entry, clocks=clocks)
    happens(tower)
    # The leader may have more patience than the others.
    others = seats[1:]
    assert turns(tower, others)[-3:] == pytest.approx([AT_ONCE, 2 * AT_ONCE, len(others)], abs=1)


def waits_long_enough(tower: Tower) -> None:
    tower.clock.rightNow += 1
    turn(tower)


@pytest.mark.parametrize(
    ("happens", "stale", "where"),
    [
        (arrives, False, (SharedFlight, "_seat")),
        (may_not_be_shared, False, (SharedFlight, "_seat")),
        (is_validated, True, (policy, "judge")),
        (waits_long_enough, True, (policy, "tides_over")),
        (never_comes, False, (SharedFlight, "_late")),
    ],
)
def test_what_each_of_many_is_told_is_decided_in_his_turn(
    happens: Callable[[Tower], None], stale: bool, where: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = Tower()
    entry = tower.entry(if_error=600.0) if stale else None
    others = crowd(tower, entry=entry, clocks=Clocks(wait_stale=1, leader_age=60))[1:]
    decided = counted(monkeypatch, *where)
    happens(tower)
    while told(others) < len(others):
        assert len(decided) <= told(others) + AT_ONCE
        turn(tower)
    assert len(decided) >= len(others)


@pytest.mark.parametrize(("happens", "where"), [(is_stored_elsewhere, "judge"), (fails_with_stale, "stands_in")])
def test_where_it_hangs_on_all_of_many_what_becomes_of_a_flight_those_who_say_the_same_are_judged_once(
    happens: Callable[[Tower], None], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tower = Tower()
    entry = tower.entry() if happens is fails_with_stale else None
    plans = [tower.plan(fields, entry=entry) for fields in ([], [(b"Cache-Control", b"max-age=7")])]
    seats = [Seat(tower.registry.join(plan)[0]) for plan in plans * AT_ONCE]
    judged = counted(monkeypatch, policy, where)
    happens(tower)
    assert len(judged) <= 2 + AT_ONCE and told(seats) == AT_ONCE
    turns(tower, seats)
    assert tower.at_rest()


def test_a_fault_at_one_of_many_is_not_the_others(monkeypatch: pytest.MonkeyPatch, logged_failures: Any) -> None:
    tower = Tower()
    seats = crowd(tower)
    decide, decided = SharedFlight._seat, list[None]()

    def seat(flight: SharedFlight, *about: Any) -> Landing:
        decided.append(None)
        return 1 / 0 if len(decided) in (3, AT_ONCE + 3) else decide(flight, *about)  # type: ignore[return-value]

    monkeypatch.setattr(SharedFlight, "_seat", seat)
    finish(tower.origin.answer(0, 200, CACHEABLE))
    turns(tower, seats)
    faulty = [seats.pop(number) for number in (AT_ONCE + 2, 2)]
    assert [seat.landing for seat in faulty] == [Failed(502, "internal")] * 2
    assert {(seat.data, seat.ended) for seat in seats} == {(b"body", "delivered")}
    assert len(logged_failures.flush(ZeroDivisionError)) == 2
    assert tower.at_rest()


def test_who_is_told_in_a_later_turn_has_all_of_the_body_and_the_origin_waits_for_that() -> None:
    tower = Tower(window=8)
    seats = crowd(tower, rules=Rules(max_object=10))
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"0123456789")
    assert not response.paused
    response.send(b"abcdefgh")
    assert response.paused
    assert turns(tower, seats) == [AT_ONCE, 2 * AT_ONCE, len(seats)]
    assert not response.paused
    response.send(b"!")
    response.end()
    assert {(seat.data, seat.ended) for seat in seats} == {(b"0123456789abcdefgh!", "delivered")}
    assert tower.at_rest() and tower.stored is None


def test_a_flight_may_end_before_all_are_told_what_it_brought() -> None:
    tower = Tower()
    seats = crowd(tower)
    finish(tower.origin.answer(0, 200, CACHEABLE))
    assert not tower.registry.flights
    turns(tower, seats)
    assert {(seat.data, seat.ended) for seat in seats} == {(b"body", "delivered")}
    assert tower.at_rest() and len(tower.origin.requests) == 1


def test_an_answer_that_breaks_before_all_are_told_is_cut_for_each() -> None:
    tower = Tower()
    seats = crowd(tower)
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"bo")
    response.cut()
    turns(tower, seats)
    assert {seat.ended for seat in seats} == {"cut"}
    assert tower.at_rest()


def test_a_fault_once_all_are_told_is_the_flights_own(monkeypatch: pytest.MonkeyPatch, logged_failures: Any) -> None:
    tower = Tower()
    seats = crowd(tower)
    monkeypatch.setattr(SharedFlight, "_under_way", lambda flight: 1 / 0)
    tower.origin.answer(0, 200, CACHEABLE)
    turns(tower, seats)
    assert {seat.ended for seat in seats} == {"cut"}
    assert tower.at_rest() and logged_failures.flush(ZeroDivisionError)


def test_who_leaves_before_he_is_told_is_not_waited_for() -> None:
    tower = Tower()
    seats = crowd(tower, stored=False)
    response = tower.origin.answer(0, 200, CACHEABLE)
    for seat in seats:
        seat.leave()
    assert told(seats) == AT_ONCE
    assert response.aborted
    tower.clock.advance(0)
    assert told(seats) == AT_ONCE and tower.at_rest()


def test_what_replaces_an_entry_is_kept_for_those_who_are_still_to_be_told() -> None:
    tower = Tower()
    seats = crowd(tower, entry=tower.entry(), stored=False)
    response = tower.origin.answer(0, 200, CACHEABLE)
    response.send(b"bo")
    for seat in seats[:AT_ONCE]:
        seat.leave()
    response.send(b"dy")
    turns(tower, seats)
    response.end()
    assert {(seat.data, seat.ended) for seat in seats[AT_ONCE:]} == {(b"body", "delivered")}
    assert tower.at_rest() and tower.stored is None


def test_who_comes_while_a_crowd_is_told_is_answered_at_once() -> None:
    tower = Tower(waiters_per_key=2 * AT_ONCE + 10)
    seats = crowd(tower)
    response = tower.origin.answer(0, 200, CACHEABLE)
    late = tower.join()
    assert isinstance(late.landing, Attached) and told(seats) == AT_ONCE
    finish(response)
    turns(tower, [*seats, late])
    assert tower.at_rest()
