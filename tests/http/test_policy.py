from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import NOW, RULES, entry, fields, request, with_freshness
from txstalecache.http import forward
from txstalecache.http.entry import Entry, Marker, MarkerKind
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.policy import judge, stands_in, tides_over
from txstalecache.http.rules import Cookies, Rules
from txstalecache.http.vary import selector
from txstalecache.http.verdict import (
    Fresh,
    Miss,
    Pass,
    Refuse,
    Stale,
    Validate,
    Verdict,
)

PLAIN = entry("Cache-Control: max-age=60")
SWR = entry('Cache-Control: max-age=60, stale-while-revalidate=30\nETag: "a"')
GUESSED = entry("Last-Modified: @-600")  # 60 s
REVALIDATED = entry('Cache-Control: max-age=60, must-revalidate\nETag: "a"')
PROXY_REVALIDATED = entry('Cache-Control: max-age=60, proxy-revalidate\nETag: "a"')
TAGGED = entry('Cache-Control: max-age=60\nETag: "a"')


def judged(
    known: Entry | None = None,
    asked: str = "",
    at: float = 0.0,
    *,
    marker: Marker | None = None,
    rules: Rules = RULES,
    method: str = "GET",
    names: tuple[bytes, ...] = (),
) -> Verdict:
    return judge(request(asked, method), known, marker, rules, NOW + at, names)


def said(verdict: Verdict) -> str:
    """The verdict in a few words: ``Fresh hit``, ``Validate stale own``."""
    own = " own" if isinstance(verdict, Miss | Validate) and verdict.own else ""
    keeps = " store" if isinstance(verdict, Pass) and verdict.store else ""
    return f"{type(verdict).__name__} {verdict.why}{own}{keeps}"


@pytest.mark.parametrize(
    ("known", "at", "expected"),
    [
        (None, 0, "Miss miss"),
        (PLAIN, 0, "Fresh hit"),
        (PLAIN, 59.9, "Fresh hit"),
        (PLAIN, 60, "Validate stale"),
        (PLAIN, 359.9, "Validate stale"),
        (PLAIN, 360, "Miss stale"),
        (SWR, 59.9, "Fresh hit"),
        (SWR, 60, "Stale swr"),
        (SWR, 89.9, "Stale swr"),
        (SWR, 90, "Miss stale"),
        (GUESSED, 59.9, "Fresh hit"),
        (GUESSED, 60, "Validate stale"),
        (entry('Cache-Control: no-cache, max-age=60\nETag: "a"'), 0, "Validate no-cache"),
        (entry('ETag: "a"'), 0, "Validate stale"),
        (entry("Cache-Control: max-age=0, stale-while-revalidate=9"), 0, "Stale swr"),
        (entry('Cache-Control: s-maxage=60, stale-while-revalidate=30\nETag: "a"'), 61, "Validate stale"),
        (
            entry('Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=30\nETag: "a"'),
            61,
            "Validate stale",
        ),
        (entry("Cache-Control: max-age=60\nAge: 50"), 9, "Fresh hit"),
        (entry("Cache-Control: max-age=60\nAge: 50"), 10, "Validate stale"),
        (entry("", rules=Rules(ttl=5, stale=100)), 4.9, "Fresh hit"),
        (entry("", rules=Rules(ttl=5, stale=100)), 104.9, "Stale swr"),
        (entry("", rules=Rules(ttl=5, stale=100)), 105, "Miss stale"),
    ],
)
def test_an_entry_is_fresh_then_stale_then_gone(known: Entry | None, at: float, expected: str) -> None:
    assert said(judged(known, at=at)) == expected
    assert said(judged(known, at=at, method="HEAD")) == expected


def test_a_verdict_carries_the_entry_and_what_to_ask_with() -> None:
    assert judged(TAGGED, at=7) == Fresh(TAGGED)
    assert judged(TAGGED, at=61) == Validate(TAGGED, "stale", fields('If-None-Match: "a"'))
    assert judged(SWR, at=61) == Stale(SWR, "swr")
    assert judged(PLAIN, at=61) == Validate(PLAIN, "stale", Fields())


def test_a_clock_that_steps_back_makes_nothing_younger_than_it_came() -> None:
    known = entry("Cache-Control: max-age=60\nAge: 5")
    assert judged(known, at=-1000) == Fresh(known) and known.age(NOW - 1000) == 5.0


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "FOO", "get"])
def test_other_methods_pass(method: str) -> None:
    assert said(judged(PLAIN, method=method)) == "Pass method"
    assert said(judged(PLAIN, "Cache-Control: only-if-cached", method=method)) == "Pass method"


def test_post_is_judged_where_the_route_caches_it() -> None:
    assert said(judged(PLAIN, method="POST", rules=Rules(methods=frozenset({b"POST"})))) == "Fresh hit"


# -- what the request wishes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "known", "at", "expected"),
    [
        ("Cache-Control: no-store", PLAIN, 0, "Pass no-store"),
        ("Cache-Control: no-store", None, 0, "Pass no-store"),
        ("Cache-Control: no-cache", PLAIN, 0, "Validate reload own"),
        ("Cache-Control: no-cache", SWR, 61, "Validate reload own"),
        ("Cache-Control: no-cache", None, 0, "Miss reload own"),
        ("Cache-Control: NO-CACHE", PLAIN, 0, "Validate reload own"),
        ("Pragma: no-cache", PLAIN, 0, "Validate reload own"),
        ("Pragma: foo, No-Cache", PLAIN, 0, "Validate reload own"),
        ("Pragma: foo", PLAIN, 0, "Fresh hit"),
        ("Pragma: no-cache\nCache-Control: foo", PLAIN, 0, "Fresh hit"),
        ("Cache-Control: nothing-to-see-here", PLAIN, 0, "Fresh hit"),
        ("Cache-Control: nothing-to-see-here", SWR, 61, "Stale swr"),
        ("Cache-Control:", PLAIN, 0, "Fresh hit"),
        ("Cache-Control: max-age=0", PLAIN, 0, "Validate max-age own"),
        ("Cache-Control: max-age=0", None, 0, "Miss miss own"),
        ("Cache-Control: max-age=0", SWR, 61, "Validate stale own"),
        ("Cache-Control: max-age=5", PLAIN, 5, "Fresh hit"),
        ("Cache-Control: max-age=5", PLAIN, 6, "Validate max-age"),
        ("Cache-Control: max-age=600", PLAIN, 59, "Fresh hit"),
        ("Cache-Control: max-age=600", SWR, 61, "Validate stale"),
        ("Cache-Control: max-age=x", PLAIN, 6, "Fresh hit"),
        ("Cache-Control: max-age=5", entry("Cache-Control: max-age=60\nAge: 30"), 0, "Validate max-age"),
        ("Cache-Control: min-fresh=10", PLAIN, 50, "Fresh hit"),
        ("Cache-Control: min-fresh=10", PLAIN, 51, "Validate min-fresh"),
        ("Cache-Control: min-fresh=10", SWR, 61, "Validate stale"),
        ("Cache-Control: min-fresh=10", entry("Cache-Control: max-age=60\nAge: 51"), 0, "Validate min-fresh"),
        ("Cache-Control: max-stale", PLAIN, 61, "Stale max-stale"),
        ("Cache-Control: max-stale", PLAIN, 359, "Stale max-stale"),
        ("Cache-Control: max-stale=10", PLAIN, 70, "Stale max-stale"),
        ("Cache-Control: max-stale=10", PLAIN, 71, "Validate stale"),
        ("Cache-Control: max-stale=10", SWR, 71, "Validate stale"),
        ("Cache-Control: max-stale=x", SWR, 71, "Stale swr"),
        ("Cache-Control: max-stale", TAGGED, 61, "Stale max-stale"),
        (
            "Cache-Control: max-stale",
            REVALIDATED,
            61,
            "Validate stale",
        ),
        (
            "Cache-Control: max-stale",
            PROXY_REVALIDATED,
            61,
            "Validate stale",
        ),
        ("Cache-Control: max-stale", entry('Cache-Control: s-maxage=60\nETag: "a"'), 61, "Validate stale"),
        ("Cache-Control: max-stale", entry('Cache-Control: no-cache\nETag: "a"'), 1, "Validate no-cache"),
        ("", entry('Cache-Control: no-cache\nETag: "a"', rules=Rules(stale=90)), 1, "Validate no-cache"),
        ("Cache-Control: max-age=600, max-stale=10", PLAIN, 65, "Stale max-stale"),
        ("Cache-Control: max-age=5, max-stale", PLAIN, 59.5, "Validate max-age"),
        ("Cache-Control: max-age=61, max-stale", PLAIN, 61, "Stale max-stale"),
        ("Cache-Control: max-age=61, max-stale", PLAIN, 61.5, "Validate stale"),
        ("Cache-Control: max-age=5, max-stale=100", PLAIN, 61, "Validate stale"),
        ("Cache-Control: max-age=0, max-stale", PLAIN, 61, "Validate stale own"),
        ("Cache-Control: only-if-cached", PLAIN, 0, "Fresh hit"),
        ("Cache-Control: only-if-cached", SWR, 61, "Stale swr"),
        ("Cache-Control: only-if-cached", None, 0, "Refuse only-if-cached"),
        ("Cache-Control: only-if-cached", PLAIN, 61, "Refuse only-if-cached"),
        ("Cache-Control: only-if-cached, max-stale", PLAIN, 61, "Stale max-stale"),
        ("Cache-Control: only-if-cached, no-cache", PLAIN, 0, "Refuse only-if-cached"),
        ("Cache-Control: only-if-cached, no-store", PLAIN, 0, "Refuse only-if-cached"),
        ("Cache-Control: only-if-cached\nAuthorization: x", PLAIN, 0, "Refuse only-if-cached"),
        ("Cache-Control: max-age=0", entry("Cache-Control: max-age=60, immutable"), 1, "Fresh hit"),
        ("Cache-Control: max-age=5", entry("Cache-Control: max-age=60, immutable"), 9, "Validate max-age"),
        ("Cache-Control: no-cache", entry("Cache-Control: max-age=60, immutable"), 1, "Validate reload own"),
        ("Cache-Control: max-age=0", entry("Cache-Control: max-age=60, immutable"), 61, "Validate stale own"),
    ],
)
def test_what_a_request_wishes_is_honoured(asked: str, known: Entry | None, at: float, expected: str) -> None:
    assert said(judged(known, asked, at)) == expected


@pytest.mark.parametrize("asked", ['If-Match: "a"', "If-Unmodified-Since: @0"])
def test_a_precondition_is_for_the_origin_to_judge(asked: str) -> None:
    assert said(judged(PLAIN, asked)) == "Pass precondition"
    assert said(judged(None, asked, method="HEAD")) == "Pass precondition"


def test_only_if_cached_is_answered_504() -> None:
    assert judged(None, "Cache-Control: only-if-cached") == Refuse(504, "only-if-cached")


# -- Authorization -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directives", "expected"),
    [
        ("max-age=60", "Pass authorization store"),
        ("max-age=60, proxy-revalidate", "Pass authorization store"),
        ("max-age=60, public", "Fresh hit"),
        ("max-age=60, must-revalidate", "Fresh hit"),
        ("must-revalidate\nLast-Modified: @-600", "Fresh hit"),
        ("s-maxage=60", "Fresh hit"),
    ],
)
def test_authorization_takes_only_what_the_origin_gives_to_everybody(directives: str, expected: str) -> None:
    known = entry(f"Cache-Control: {directives}")
    assert said(judged(known, "Authorization: Basic x")) == expected


def test_authorization_asks_for_itself_when_there_is_nothing_fresh() -> None:
    known = entry('Cache-Control: max-age=60, public, stale-while-revalidate=30\nETag: "a"')
    assert judged(known, "Authorization: x", 91) == Pass("authorization", store=True, entry=known)
    assert judged(None, "Authorization: x") == Pass("authorization", store=True)


def test_authorization_takes_what_is_stale_where_everybody_may() -> None:
    known = entry("Cache-Control: max-age=60, public, stale-while-revalidate=30, stale-if-error=90")
    failing = marked(MarkerKind.ERROR, "origin-error", 503, until=200)
    assert said(judged(known, "Authorization: x", 61)) == "Stale swr"
    assert said(judged(known, "Authorization: x", 100, marker=failing)) == "Stale error"
    assert said(judged(known, "Authorization: x\nCache-Control: no-cache", 61)) == "Pass authorization store"
    not_public = entry("Cache-Control: max-age=60, stale-while-revalidate=30")
    assert judged(not_public, "Authorization: x", 61, marker=failing) == Pass("authorization", store=True)


def test_a_targeted_field_decides_for_authorization_too() -> None:
    known = entry("Cache-Control: public, max-age=60\nCDN-Cache-Control: max-age=60")
    assert said(judged(known, "Authorization: x")) == "Pass authorization store"
    known = entry("Cache-Control: no-store\nCDN-Cache-Control: max-age=60, public")
    assert said(judged(known, "Authorization: x")) == "Fresh hit"


def test_a_keyed_authorization_is_like_any_other_request() -> None:
    rules = Rules(keyed_fields=frozenset({b"authorization"}))
    assert said(judged(PLAIN, "Authorization: x", rules=rules)) == "Fresh hit"
    assert said(judged(None, "Authorization: x", rules=rules)) == "Miss miss"


# -- Cookie ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "at", "rules", "expected"),
    [
        (None, 0, RULES, "Miss miss"),
        (PLAIN, 0, RULES, "Fresh hit"),
        (PLAIN, 61, RULES, "Validate stale"),
        (SWR, 61, RULES, "Stale swr"),
        (GUESSED, 0, RULES, "Pass cookie"),
        (GUESSED, 61, RULES, "Pass cookie"),
        (entry('ETag: "a"'), 0, RULES, "Pass cookie"),
        (entry("Cache-Control: public\nLast-Modified: @-600"), 0, RULES, "Fresh hit"),
        (entry("Expires: @60"), 0, RULES, "Fresh hit"),
        (entry("CDN-Cache-Control: max-age=60"), 0, RULES, "Fresh hit"),
        (GUESSED, 0, Rules(cookies=Cookies.IGNORE), "Fresh hit"),
        (GUESSED, 0, Rules(cookies=Cookies.KEYED), "Fresh hit"),
        (GUESSED, 0, Rules(keyed_fields=frozenset({b"cookie"})), "Fresh hit"),
        (None, 0, Rules(ttl=5), "Pass cookie"),
        (PLAIN, 0, Rules(ttl=5), "Pass cookie"),
        (PLAIN, 0, Rules(ttl=5, cookies=Cookies.IGNORE), "Fresh hit"),
        (PLAIN, 0, Rules(ttl=5, cookies=Cookies.KEYED), "Fresh hit"),
        (PLAIN, 0, Rules(statuses={404: 5}), "Fresh hit"),
        (entry("", status=404, rules=Rules(statuses={404: 5})), 0, Rules(statuses={404: 5}), "Pass cookie"),
        (entry("Cache-Control: max-age=60"), 0, Rules(statuses={200: 5}), "Pass cookie"),
        (entry("", rules=Rules(default_ttl=5)), 0, Rules(default_ttl=5), "Pass cookie"),
    ],
)
def test_a_cookie_takes_only_what_the_origin_itself_gives_to_everybody(
    known: Entry | None, at: float, rules: Rules, expected: str
) -> None:
    assert said(judged(known, "Cookie: a=1", at, rules=rules)) == expected


def test_an_entry_chosen_by_the_cookie_is_for_that_cookie() -> None:
    chosen = replace(GUESSED, selector=selector([b"cookie"], request("Cookie: a=1")))
    assert said(judged(chosen, "Cookie: a=1")) == "Fresh hit"


@pytest.mark.parametrize("name", [b"cookie", b"authorization"])
def test_an_entry_chosen_by_credentials_is_not_refreshed_behind_their_back(name: bytes) -> None:
    chosen = replace(SWR, selector=((name, b"digest"),))
    assert said(judged(chosen, at=61)) == "Validate stale"
    assert said(judged(replace(SWR, selector=((b"foo", b"1"),)), at=61)) == "Stale swr"


# -- markers -----------------------------------------------------------------------------------------------------------


def marked(kind: MarkerKind, why: str = "x", status: int = 0, until: float = 100.0) -> Marker:
    return Marker(kind, NOW + until, why, status)


SIE = entry("Cache-Control: max-age=60, stale-if-error=30")


@pytest.mark.parametrize(
    ("marker", "known", "asked", "at", "expected"),
    [
        (marked(MarkerKind.PRIVATE), None, "", 0, "Pass hit-for-miss store"),
        (marked(MarkerKind.PRIVATE), PLAIN, "", 61, "Pass hit-for-miss store"),
        (marked(MarkerKind.PRIVATE), SWR, "", 61, "Pass hit-for-miss store"),
        (marked(MarkerKind.PRIVATE), PLAIN, "", 0, "Fresh hit"),
        (marked(MarkerKind.PRIVATE, until=0), None, "", 0, "Miss miss"),
        (marked(MarkerKind.PRIVATE), None, "Cache-Control: only-if-cached", 0, "Refuse only-if-cached"),
        (marked(MarkerKind.COOKIE), None, "", 0, "Miss miss"),
        (marked(MarkerKind.COOKIE), None, "Cookie: a", 0, "Pass cookie"),
        (marked(MarkerKind.COOKIE), SWR, "Cookie: a", 61, "Pass cookie"),
        (marked(MarkerKind.COOKIE), SWR, "", 61, "Stale swr"),
        (marked(MarkerKind.COOKIE), PLAIN, "Cookie: a", 0, "Fresh hit"),
        (marked(MarkerKind.COOKIE, until=0), None, "Cookie: a", 0, "Miss miss"),
        (marked(MarkerKind.ERROR, "origin-error", 503), None, "", 0, "Refuse error"),
        (marked(MarkerKind.ERROR, "connect", 502), None, "", 0, "Refuse error"),
        (marked(MarkerKind.ERROR, "connect", 502), None, "Cookie: a", 0, "Refuse error"),
        (marked(MarkerKind.LONG), None, "Cookie: a", 0, "Miss miss"),
        (marked(MarkerKind.ERROR, "origin-error", 503), PLAIN, "", 0, "Fresh hit"),
        (marked(MarkerKind.ERROR, "origin-error", 503), SWR, "", 61, "Stale swr"),
        (marked(MarkerKind.ERROR, "origin-error", 503), SIE, "", 61, "Stale error"),
        (marked(MarkerKind.ERROR, "origin-error", 501), SIE, "", 61, "Refuse error"),
        (marked(MarkerKind.ERROR, "origin-error", 503), PLAIN, "", 61, "Refuse error"),
        (marked(MarkerKind.ERROR, "connect", 502), PLAIN, "", 61, "Stale error"),
        (marked(MarkerKind.ERROR, "connect", 502), SIE, "", 91, "Refuse error"),
        (marked(MarkerKind.ERROR, "connect", 502, until=0), PLAIN, "", 61, "Validate stale"),
        (marked(MarkerKind.ERROR, "connect", 502, until=61), PLAIN, "", 61, "Validate stale"),
        (marked(MarkerKind.ERROR, "connect", 502), None, "Authorization: x", 0, "Pass authorization store"),
        (marked(MarkerKind.ERROR, "connect", 502), PLAIN, "Cache-Control: no-cache", 0, "Stale error"),
    ],
)
def test_what_is_known_about_a_key_counts_where_nothing_is_fresh(
    marker: Marker, known: Entry | None, asked: str, at: float, expected: str
) -> None:
    assert said(judged(known, asked, at, marker=marker)) == expected


def test_a_miss_says_where_answers_are_stored_for_requests_that_say_something_else() -> None:
    assert said(judged(names=(b"accept",))) == "Miss vary"
    assert said(judged(asked="Cache-Control: no-cache", names=(b"accept",))) == "Miss vary own"
    assert said(judged(PLAIN, at=361, names=(b"accept",))) == "Miss stale", "this one was chosen, and is too old"


def test_an_error_marker_answers_with_its_status_and_says_until_when() -> None:
    assert judged(marker=marked(MarkerKind.ERROR, "origin-error", 503)) == Refuse(503, "error", 100)
    assert judged(marker=marked(MarkerKind.ERROR, until=0.3)) == Refuse(502, "error", 1)


def test_an_error_that_the_request_may_have_provoked_answers_those_who_say_the_same() -> None:
    strange = "Accept: strange\nX-Theme: dark"
    keyed = replace(RULES, keyed_fields=frozenset({b"x-theme"}))

    def failed(rules: Rules = RULES, *names: bytes) -> Marker:
        told = forward.said(request(strange), rules.keyed_fields.union(names))
        return replace(marked(MarkerKind.ERROR, "origin-error", 500), said=told)

    assert said(judged(asked=strange, marker=failed())) == "Refuse error"
    assert said(judged(asked=strange + "\nTraceparent: 00", marker=failed())) == "Refuse error"
    assert said(judged(asked="Accept: strange", marker=failed())) == "Refuse error", "the other went no further"
    assert said(judged(asked="Accept: usual", marker=failed())) == "Miss miss"
    assert said(judged(PLAIN, "Accept: usual", 61, marker=failed())) == "Validate stale"
    assert said(judged(SIE, "Accept: usual", 61, marker=failed())) == "Stale error", "it fails all the same"
    assert said(judged(asked=strange, marker=failed(keyed), rules=keyed)) == "Refuse error"
    assert said(judged(asked="Accept: strange", marker=failed(keyed), rules=keyed)) == "Miss miss"
    assert said(judged(asked=strange, marker=failed(RULES, b"x-theme"), names=(b"x-theme",))) == "Refuse error"
    assert said(judged(asked="Accept: strange", marker=failed(RULES, b"x-theme"), names=(b"x-theme",))) == "Miss vary"


# -- standing in -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "asked", "at", "on_error", "when_unreachable"),
    [
        ("Cache-Control: max-age=60", "", 61, False, True),
        ("Cache-Control: max-age=60", "", 359, False, True),
        ("Cache-Control: max-age=60", "", 361, False, False),
        ("Cache-Control: max-age=60", "", 30, True, True),
        ("Cache-Control: max-age=60, stale-if-error=30", "", 89, True, True),
        ("Cache-Control: max-age=60, stale-if-error=30", "", 91, False, False),
        ("Cache-Control: max-age=60, stale-while-revalidate=30", "", 89, False, True),
        ('Cache-Control: max-age=60, must-revalidate\nETag: "a"', "", 61, False, False),
        ('Cache-Control: max-age=60, must-revalidate, stale-if-error=30\nETag: "a"', "", 61, False, False),
        ('Cache-Control: max-age=60, proxy-revalidate\nETag: "a"', "", 61, False, False),
        ('Cache-Control: s-maxage=60\nETag: "a"', "", 61, False, False),
        ('Cache-Control: no-cache\nETag: "a"', "", 0, False, False),
        ('Cache-Control: no-cache, max-age=60\nETag: "a"', "", 0, False, False),
        ("Cache-Control: max-age=60", "Cache-Control: stale-if-error=10", 69, True, True),
        ("Cache-Control: max-age=60", "Cache-Control: stale-if-error=10", 71, False, True),
        ("Cache-Control: max-age=60, stale-if-error=30", "", 90, False, False),
        ('Cache-Control: max-age=60, must-revalidate\nETag: "a"', "", 60, False, False),
        ("Cache-Control: max-age=60, stale-if-error=3", "Cache-Control: stale-if-error=10", 70, False, False),
        ("Cache-Control: max-age=60, stale-if-error=3", "Cache-Control: max-stale=10", 70, True, True),
        ("Cache-Control: max-age=60, stale-if-error=3", "Cache-Control: max-stale=10", 70.5, False, False),
        ("Cache-Control: max-age=60", "Cache-Control: max-stale=10", 69, True, True),
        ("Cache-Control: max-age=60", "Cache-Control: max-stale", 9999, True, True),
        ('Cache-Control: max-age=60, must-revalidate\nETag: "a"', "Cache-Control: max-stale", 61, False, False),
        ('Cache-Control: s-maxage=60\nETag: "a"', "Cache-Control: stale-if-error=99", 61, False, False),
        ('Cache-Control: no-cache\nETag: "a"', "Cache-Control: stale-if-error=99", 1, False, False),
    ],
)
def test_a_stale_entry_stands_in_only_where_that_is_allowed(
    text: str, asked: str, at: float, on_error: bool, when_unreachable: bool
) -> None:
    known = entry(text)
    for status in (500, 502, 503, 504):
        assert stands_in(known, request(asked), status, NOW + at) is on_error
    assert stands_in(known, request(asked), None, NOW + at) is when_unreachable


@pytest.mark.parametrize("status", [200, 304, 400, 404, 410, 429, 501, 505, 599])
def test_an_answer_that_is_no_failure_of_the_origin_is_not_replaced(status: int) -> None:
    known = with_freshness(SIE, if_error=1e9)
    assert not stands_in(known, request("Cache-Control: max-stale"), status, NOW + 61)


@pytest.mark.parametrize(
    ("text", "asked", "at", "expected"),
    [
        ("Cache-Control: max-age=60", "", 61, False),
        ("Cache-Control: max-age=60, stale-if-error=30", "", 89, True),
        ("Cache-Control: max-age=60, stale-if-error=30", "", 91, False),
        ("Cache-Control: max-age=60, stale-while-revalidate=30", "", 89, True),
        ("Cache-Control: max-age=60, stale-if-error=30, must-revalidate", "", 61, False),
        ("Cache-Control: no-cache, stale-if-error=30", "", 0, False),
        ("Cache-Control: max-age=60, stale-if-error=30", "Cache-Control: no-cache", 30, False),
        ("Cache-Control: max-age=60, stale-if-error=30", "Pragma: no-cache", 61, False),
        ("Cache-Control: max-age=60, stale-if-error=30", "Cache-Control: max-age=9", 30, False),
        ("Cache-Control: max-age=60, stale-if-error=30", "Cache-Control: max-age=600", 61, False),
        ("Cache-Control: max-age=60, stale-if-error=30", "Cache-Control: min-fresh=9", 61, False),
        ("Cache-Control: max-age=60", "Cache-Control: max-stale=30", 89, True),
        ("Cache-Control: max-age=60, stale-if-error=60", "Cache-Control: max-stale=30", 91, False),
    ],
)
def test_a_long_wait_is_ended_with_stale_only_inside_a_window_that_somebody_gave(
    text: str, asked: str, at: float, expected: bool
) -> None:
    known = entry(text + '\nETag: "a"')
    assert tides_over(known, request(asked), NOW + at) is expected


def test_a_window_of_the_routes_own_counts_for_a_long_wait() -> None:
    known = entry("", rules=Rules(ttl=60, stale=30))
    assert tides_over(known, request(""), NOW + 89) and not tides_over(known, request(""), NOW + 91)


ASKED = st.lists(
    st.tuples(
        st.sampled_from([b"Cache-Control", b"Pragma", b"Cookie", b"Authorization", b"Range"]),
        st.one_of(
            st.sampled_from([b"no-cache", b"max-age=0", b"max-stale", b"min-fresh=9", b"only-if-cached", b"no-store"]),
            st.binary(max_size=20),
        ),
    ),
    max_size=4,
)
MARKERS: Any = st.one_of(
    st.none(),
    st.builds(
        Marker, st.sampled_from(list(MarkerKind)), st.floats(NOW - 9, NOW + 999), st.text(max_size=3), st.just(503)
    ),
)


@given(
    ASKED,
    st.sampled_from([None, PLAIN, SWR, GUESSED, TAGGED, SIE]),
    MARKERS,
    st.floats(-1e4, 1e4),
    st.sampled_from([RULES, Rules(ttl=5), Rules(cookies=Cookies.IGNORE), Rules(statuses={200: 3})]),
)
def test_every_request_gets_a_verdict_and_no_stale_one_where_it_is_forbidden(
    pairs: list[tuple[bytes, bytes]], known: Entry | None, marker: Marker | None, at: float, rules: Rules
) -> None:
    head = RequestHead(b"GET", b"/a", Fields(pairs), b"http", b"example.com")
    for each in (known, None if known is None else with_freshness(known, must_revalidate=True, no_cache=True)):
        verdict = judge(head, each, marker, rules, NOW + at)
        assert verdict.why
        if each is not None and each.freshness.no_cache:
            assert not isinstance(verdict, Fresh | Stale)
        if each is not None:
            stands_in(each, head, 503, NOW + at)
