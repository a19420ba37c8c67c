"""Who may have the answer whose head has arrived, and who does what instead: one wait each, decided purely."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from txstalecache.flight.arrival import Arrival
from txstalecache.flight.clocks import Clocks
from txstalecache.flight.landing import Alone, Failed, Regroup
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.waiters import Waiter, Waiters
from txstalecache.http import policy
from txstalecache.http.admission import admit
from txstalecache.http.fields import format_date
from txstalecache.http.forward import shared
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Rules

NOW = 1_000_000.0
FRESH = [(b"Cache-Control", b"max-age=60"), (b"ETag", b'"1"')]
UNSAID = [(b"ETag", b'"1"'), (b"Last-Modified", b"Sun, 11 Jan 1970 00:00:00 GMT")]
PRIVATE = [(b"Cache-Control", b"private")]
COOKIE = (b"Cookie", b"sid=1")
API_KEY = (b"Session-Token", b"secret")


def request(*fields: tuple[bytes, bytes]) -> RequestHead:
    return RequestHead(b"GET", b"/x", Fields(((b"Host", b"h"), *fields)), b"http", b"h")


def plan(*fields: tuple[bytes, bytes], **more: Any) -> Plan:
    asked = request(*fields)
    fetch = replace(asked, fields=shared(asked, frozenset(more.get("names", ()))))
    return Plan(key=Key((b"k",)), request=asked, fetch=fetch, rules=more.pop("rules", Rules()), **more)


def arrival(
    answer: list[tuple[bytes, bytes]], status: int = 200, asked: Plan | None = None, length: int | None = 5, **more: Any
) -> Arrival:
    asked = plan() if asked is None else asked
    head = ResponseHead(status, Fields(answer))
    admission = admit(asked.fetch, head, asked.rules, (NOW, NOW))
    return Arrival(asked, head, length, admission, (NOW, NOW), **more)


def waiter(*fields: tuple[bytes, bytes], leads: bool = False) -> Waiter:
    crowd = Waiters(Clocks(), lambda step: None, lambda: None, Clock().callLater)
    return crowd.add(request(*fields), None, 0.0, leads=leads)


def refused(found: Arrival, *fields: tuple[bytes, bytes], leads: bool = False) -> Any:
    return found.refused(waiter(*fields, leads=leads), 7)


def test_what_is_for_everybody_is_for_whoever_waits() -> None:
    assert refused(arrival(FRESH)) is None
    assert refused(arrival(FRESH), COOKIE) is None, "the origin has said explicitly that it is"


def test_what_is_not_for_everybody_is_for_the_one_it_was_asked_for() -> None:
    found = arrival(PRIVATE)
    assert found.withheld
    assert refused(found, leads=True) is None
    assert refused(found) == Alone("private")


def test_the_leader_goes_alone_too_where_the_fetch_did_not_say_who_it_is() -> None:
    asked = plan(COOKIE)
    assert refused(arrival(PRIVATE, asked=asked), COOKIE, leads=True) == Alone("private")


@pytest.mark.parametrize(("field", "why"), [(COOKIE, "cookie"), (API_KEY, "credentials")])
def test_who_says_who_he_is_takes_only_what_is_said_to_be_for_everybody(field: tuple[bytes, bytes], why: str) -> None:
    assert refused(arrival(UNSAID), field) == Alone(why)
    assert refused(arrival(UNSAID)) is None
    assert refused(arrival(FRESH), field) is None


def test_another_variant_is_for_those_who_send_the_same() -> None:
    vary = (b"Vary", b"Accept-Language")
    asked = plan((b"Accept-Language", b"de"), names=(b"accept-language",))
    found = arrival([*FRESH, vary], asked=asked)
    assert found.fits(request((b"Accept-Language", b"de")))
    assert refused(found, (b"Accept-Language", b"de")) is None
    assert refused(found, (b"Accept-Language", b"en")) == Regroup((b"accept-language",))


def test_an_answer_chosen_otherwise_than_asked_for_is_for_those_who_asked_the_same_where_nothing_is_new() -> None:
    """Asking once more, with the same known, would bring the same."""
    vary = (b"Vary", b"Accept-Language")
    german, english = (b"Accept-Language", b"de"), (b"Accept-Language", b"en")
    asked = plan(german, names=(b"accept-language",))
    asked = replace(asked, fetch=replace(asked.fetch, fields=Fields(((b"Host", b"h"),))))
    found = arrival([*FRESH, vary], asked=asked)
    assert refused(found, german) is None
    assert refused(found, english) == Regroup((b"accept-language",))
    unknown = arrival([*FRESH, vary], asked=replace(asked, names=()))
    assert refused(unknown, german, leads=True) == Regroup((b"accept-language",))


def test_what_another_process_fetched_is_its_variant_and_nobodys_own() -> None:
    asked = plan((b"Accept-Language", b"de"), names=(b"accept-language",))
    vary = (b"Vary", b"Accept-Language")
    found = arrival([*FRESH, vary], asked=asked, chosen=((b"accept-language", b"en"),))
    assert refused(found, (b"Accept-Language", b"de"), leads=True) == Regroup((b"accept-language",))
    assert refused(arrival(PRIVATE, chosen=()), leads=True) == Alone("private")


def test_an_origin_that_fails_is_not_asked_once_for_each_who_waits() -> None:
    vary = [(b"Vary", b"Accept-Language")]
    asked = plan((b"Accept-Language", b"de"), names=(b"accept-language",))
    failed = Failed(503, policy.ORIGIN_ERROR, 7)
    assert refused(arrival(vary, 503, asked), (b"Accept-Language", b"en")) == failed
    assert refused(arrival(PRIVATE, 503)) == failed
    assert refused(arrival([], 503), COOKIE) == failed
    assert refused(arrival([], 503)) is None, "an error that is for everybody is passed on as it is"


def test_an_error_that_one_client_may_have_provoked_is_asked_for_again_once() -> None:
    found = arrival([], 400)
    assert found.provoked
    assert refused(found) == Regroup((), provoked=True)
    assert refused(found, leads=True) is None
    again = arrival([], 400, plan(provoked=True))
    assert refused(again) is None


def test_a_part_is_for_those_who_ask_for_no_more() -> None:
    fields = [*FRESH, (b"Content-Range", b"bytes 0-4/10"), (b"Content-Length", b"5")]
    found = arrival(fields, 206)
    assert refused(found, (b"Range", b"bytes=0-4")) is None
    assert refused(found, (b"Range", b"bytes=2-3")) is None
    assert refused(found, (b"Range", b"bytes=5-9")) == Alone("partial")
    assert refused(found) == Alone("partial")


def test_what_is_too_long_to_be_stored_is_not_waited_for_by_who_wants_its_end() -> None:
    asked = plan(rules=Rules(max_object=100))
    found = arrival(FRESH, asked=asked, length=1000)
    assert found.too_long
    assert not found.storable
    assert refused(found, (b"Range", b"bytes=900-")) == Regroup((), part=True)
    assert refused(found, (b"Range", b"bytes=0-9")) is None
    assert refused(found) is None


def test_nobody_shares_what_was_asked_for_alone() -> None:
    asked = plan(COOKIE, sharing=Sharing.SOLO)
    found = arrival(PRIVATE, asked=asked)
    assert not found.withheld
    assert refused(found, COOKIE, leads=True) is None


@pytest.mark.parametrize(
    ("more", "length", "stored"),
    [
        ({}, 5, True),
        ({}, None, True),
        ({"sharing": Sharing.SOLO}, 5, True),
        ({"sharing": Sharing.PRIVATE}, 5, False),
        ({"stored": False}, 5, False),
        ({"rules": Rules(min_size=6)}, 5, False),
        ({"rules": Rules(min_size=6)}, None, True),
        ({"rules": Rules(max_object=4)}, 5, False),
    ],
)
def test_it_is_stored_as_far_as_the_plan_and_its_length_allow(
    more: dict[str, Any], length: int | None, stored: bool
) -> None:
    assert arrival(FRESH, asked=plan(**more), length=length).storable is stored


@pytest.mark.parametrize("field", [COOKIE, API_KEY])
def test_what_was_fetched_in_somebodys_name_is_stored_only_where_it_is_said_to_be_for_everybody(
    field: tuple[bytes, bytes],
) -> None:
    asked = replace(plan(sharing=Sharing.SOLO), fetch=request(field))
    public = [(b"Cache-Control", b"public, max-age=60")]
    assert arrival(public, asked=asked).storable
    assert not arrival(UNSAID, asked=asked).storable


def test_the_entry_is_the_answer_with_what_it_was_chosen_by() -> None:
    asked = plan((b"Accept-Language", b"de"), names=(b"accept-language",))
    found = arrival([*FRESH, (b"Vary", b"Accept-Language")], asked=asked)
    entry = found.entry((b"hello",))
    assert (entry.body, entry.selector) == ((b"hello",), ((b"accept-language", b"de"),))
    assert (entry.request_time, entry.response_time) == (NOW, NOW)


@pytest.mark.parametrize(
    ("said", "after", "late"),
    [
        (b"max-age=60", 0, True),
        (b"max-age=60", 59, True),
        (b"max-age=60", 60, False),
        (b"max-age=0", 0, False),
        (b"max-age=1, stale-while-revalidate=60", 2, False),
        (b"no-cache, max-age=60", 0, False),
        (b"private", 0, False),
    ],
)
def test_who_comes_after_the_head_takes_only_what_is_fresh_by_then(said: bytes, after: int, late: bool) -> None:
    found = arrival([(b"Cache-Control", said), (b"ETag", b'"1"')])
    assert found.keeps_fresh(NOW + after) is found.suits(request(), NOW + after) is late


@pytest.mark.parametrize(
    ("wish", "suits"),
    [
        (b"max-age=16", True),
        (b"max-age=15", True),
        (b"max-age=14", False),
        (b"min-fresh=45", True),
        (b"min-fresh=46", False),
        (b"no-cache", False),
        (b"max-age=0", False),
    ],
)
def test_who_comes_after_the_head_takes_only_what_he_would_have_of_a_store(wish: bytes, suits: bool) -> None:
    found = arrival([*FRESH, (b"Age", b"10")])
    assert found.suits(request((b"Cache-Control", wish)), NOW + 5) is suits


def test_who_is_told_at_once_to_ask_alone_need_not_wait_for_another_flight() -> None:
    assert arrival(UNSAID).suits(request(COOKIE), NOW)


def test_who_comes_after_the_head_gets_it_as_a_store_would_send_it() -> None:
    said = [(b"Cache-Control", b'max-age=60, no-cache="x-secret"'), (b"X-Secret", b"1")]
    found = arrival([*said, (b"Age", b"10"), (b"Content-Length", b"5")])
    fields = found.later(NOW + 5.5).fields
    assert (fields.get_all(b"age"), fields.get(b"content-length")) == ([b"15"], b"5")
    assert fields.get(b"date") == format_date(NOW), "when it came, not when somebody asked for it"
    assert b"x-secret" not in fields
    assert found.later(NOW + 6.5).fields.get(b"age") == b"16"
