from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import NOW, RULES, fields, request, response
from txstalecache.http.admission import admit, make_entry, provoked
from txstalecache.http.entry import Freshness
from txstalecache.http.fields import LONGEST
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.http.rules import Cookies, Rules
from txstalecache.http.verdict import Admission, Share, Store, Withhold

LM = "Last-Modified: @-1000\nDate: @0"
FORCED = Rules(ttl=5.0, stale=100.0)


def admitted(text: str, asked: str = "", status: int = 200, method: str = "GET", rules: Rules = RULES) -> Admission:
    text = text if "Date:" in text else f"{text}\nDate: @0"
    return admit(request(asked, method), response(text, status), rules, (NOW, NOW))


def stored(text: str, asked: str = "", status: int = 200, rules: Rules = RULES) -> Freshness:
    found = admitted(text, asked, status, rules=rules)
    assert isinstance(found, Store), found
    return found.freshness


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Cache-Control: private, max-age=60", "private"),
        ('Cache-Control: private="x", max-age=60', "private"),
        ("Cache-Control: PRIVATE", "private"),
        ("Cache-Control: no-store", "no-store"),
        ("Cache-Control: no-store, max-age=60", "no-store"),
        ("Cache-Control: max-age=60\nCache-Control: No-StOrE\nExpires: @100", "no-store"),
        ("Cache-Control: no-store=x", "no-store"),
        ("Cache-Control: max-age=60\nVary: *", "vary"),
        ("Cache-Control: max-age=60\nVary: Foo, *", "vary"),
        ("Cache-Control: max-age=60\nSet-Cookie: a=1", "set-cookie"),
        ("Cache-Control: public, max-age=60\nSet-Cookie: a=1", "set-cookie"),
        ('Cache-Control: max-age=60, no-cache="set-cookie"\nSet-Cookie: a=1', "set-cookie"),
        ("CDN-Cache-Control: private\nCache-Control: max-age=60\nExpires: @100", "private"),
        ("CDN-Cache-Control: no-store\nCache-Control: max-age=60\nExpires: @100", "no-store"),
        ("CDN-Cache-Control: max-age=60, &\nCache-Control: no-store", "no-store"),
        ('CDN-Cache-Control: max-age="60"\nCache-Control: no-store', "no-store"),
    ],
)
def test_what_is_for_one_client_only_is_withheld(text: str, why: str) -> None:
    assert admitted(text) == Withhold(why)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Cache-Control: public, max-age=60, x=", "private"),
        ('Cache-Control: public, max-age=60, x="', "private"),
        ("CDN-Cache-Control: public, max-age=60, x=", "private"),
        ("Cache-Control: max-age=60\nVary: x, ", "vary"),
    ],
)
@pytest.mark.parametrize("rules", [RULES, Rules(ttl=5.0), Rules(honour_cache_control=False, ttl=5.0)])
def test_what_is_too_long_to_be_read_is_for_one_client_only_and_is_not_taken_apart(
    text: str, why: str, rules: Rules, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = LONGEST - len(text.splitlines()[-1].partition(": ")[2])
    assert isinstance(admitted(text + "a" * room, rules=rules), Store)
    for place in ("cachecontrol.directives", "targeted.parse_dictionary", "vary.members"):
        monkeypatch.setattr(f"txstalecache.http.{place}", only_short)
    assert admitted(text + "a" * (room + 1), rules=rules) == Withhold(why)


def only_short(value: bytes) -> list[object]:
    assert len(value) < 100
    return []


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (100, "interim"),
        (103, "interim"),
        (206, "partial"),
        (304, "not-modified"),
        (401, "unauthorized"),
        (407, "unauthorized"),
        (412, "precondition"),
        (416, "range"),
    ],
)
def test_an_answer_to_what_was_never_asked_is_withheld(status: int, why: str) -> None:
    assert admitted("Cache-Control: public, max-age=60", status=status) == Withhold(why)


PART = "Content-Range: bytes 0-4/10\nContent-Length: 5\n"


@pytest.mark.parametrize(
    ("text", "lifetime"),
    [
        ("Cache-Control: max-age=60", 60.0),
        ("Last-Modified: @-1000", 100.0),  # 206 has a heuristic lifetime (RFC 9110 §15.1)
        ("Cache-Control: no-store, must-understand, max-age=60", 60.0),
    ],
)
def test_a_part_whose_numbers_agree_is_stored_as_a_whole_would_be(text: str, lifetime: float) -> None:
    found = admitted(f"{PART}{text}", status=206)
    assert isinstance(found, Store)
    assert found.freshness.lifetime == lifetime


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('Cache-Control: public, max-age=0\nETag: W/"9f7f-19b76daa800"\nLast-Modified: @-1000', Share(True, "ttl-0")),
        ("Cache-Control: max-age=0, stale-while-revalidate=60", Share(False, "ttl-0")),
        ("Cache-Control: max-age=60, stale-if-error=60\nAge: 60", Share(True, "expired")),
        ("Cache-Control: no-cache\nLast-Modified: @-1000", Share(False, "no-cache")),
    ],
)
def test_a_part_that_is_not_fresh_and_never_joins_others_is_not_stored(text: str, found: Share) -> None:
    assert admitted(f"{PART}{text}", status=206) == found


@pytest.mark.parametrize(
    "text",
    [
        f'{PART}ETag: "strong"',
        'Content-Range: bytes 0-9/10\nContent-Length: 10\nETag: W/"all there is"',
    ],
)
def test_a_part_that_is_not_fresh_is_stored_where_it_may_become_a_whole(text: str) -> None:
    assert isinstance(admitted(f"{text}\nCache-Control: max-age=0", status=206), Store)


def test_a_part_that_never_joins_others_is_kept_for_as_long_as_it_is_fresh() -> None:
    found = admitted(f"{PART}Cache-Control: max-age=60, stale-while-revalidate=60\nLast-Modified: @-1000", status=206)
    assert isinstance(found, Store)
    assert (found.freshness.lifetime, found.freshness.keep) == (60.0, 0.0)


@pytest.mark.parametrize(
    "numbers",
    [
        "Content-Range: bytes 4-9/10\nContent-Length: 5",
        "Content-Range: bytes 0-4/*\nContent-Length: 5",
        "Content-Range: bytes 0-4/10",
        "Content-Length: 5",
        "Content-Range: bytes 0-4/10\nContent-Length: 5\nContent-Length: 5",
        "Content-Type: multipart/byteranges; boundary=x\nContent-Length: 5",
    ],
)
def test_a_part_whose_numbers_contradict_one_another_is_withheld(numbers: str) -> None:
    assert admitted(f"{numbers}\nCache-Control: public, max-age=60", status=206) == Withhold("partial")


@pytest.mark.parametrize("text", ["Cache-Control: private", "Cache-Control: no-store", "Vary: *", "Set-Cookie: a=1"])
def test_a_part_for_one_client_is_withheld_as_a_whole_would_be(text: str) -> None:
    assert isinstance(admitted(f"{PART}{text}\nExpires: @60", status=206), Withhold)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "FOO"])
def test_methods_that_are_not_cached_are_withheld(method: str) -> None:
    assert admitted("Cache-Control: max-age=60", method=method) == Withhold("method")


def test_post_is_stored_where_the_route_says_so() -> None:
    rules = Rules(methods=frozenset({b"GET", b"POST"}))
    assert isinstance(admitted("Cache-Control: max-age=60", method="POST", rules=rules), Store)


def test_an_answer_to_head_is_never_stored() -> None:
    assert admitted("Cache-Control: max-age=60", method="HEAD") == Share(True, "head")
    assert admitted("Cache-Control: private", method="HEAD") == Withhold("private")


@pytest.mark.parametrize(
    "status", [200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599]
)
def test_any_final_status_is_stored_with_an_explicit_lifetime(status: int) -> None:
    assert stored("Cache-Control: max-age=60", status=status).lifetime == 60
    assert stored("Expires: @60", status=status).lifetime == 60


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("", 200, Share(False, "no-freshness")),
        ("Cache-Control: foo", 200, Share(False, "no-freshness")),
        ("Cache-Control: public", 200, Share(True, "no-freshness")),
        (LM, 201, Share(False, "no-freshness")),
        ('Cache-Control: no-cache\nETag: "a"', 302, Share(False, "no-freshness")),
        ('Cache-Control: no-cache\nETag: "a"', 403, Share(False, "no-freshness")),
        (LM, 302, Share(False, "no-freshness")),
        (LM, 403, Share(False, "no-freshness")),
        (LM, 502, Share(False, "no-freshness")),
        (LM, 599, Share(False, "no-freshness")),
        ("Cache-Control: max-age=0", 200, Share(False, "ttl-0")),
        ("Cache-Control: max-age=abc", 200, Share(False, "ttl-0")),
        ("Cache-Control: max-age=-1", 200, Share(False, "ttl-0")),
        ("Cache-Control: max-age =60", 200, Share(False, "ttl-0")),
        ("Expires: 0", 200, Share(False, "ttl-0")),
        ("Expires: @-100", 200, Share(False, "ttl-0")),
        ("Expires: @0", 200, Share(False, "ttl-0")),
        ("Cache-Control: max-age=0\nExpires: @1000", 200, Share(False, "ttl-0")),
        ("Cache-Control: s-maxage=0, max-age=60", 200, Share(False, "ttl-0")),
        ("Cache-Control: no-cache", 200, Share(False, "no-cache")),
        ("Cache-Control: no-cache, max-age=60", 200, Share(False, "no-cache")),
        ("Cache-Control: public, no-cache", 200, Share(True, "no-cache")),
        ("CDN-Cache-Control: no-cache\nCache-Control: max-age=60", 200, Share(False, "no-cache")),
        ("CDN-Cache-Control: max-age=0\nExpires: @1000", 200, Share(False, "ttl-0")),
        ("Pragma: no-cache", 200, Share(False, "no-cache")),
        ("Cache-Control: max-age=60\nAge: 1000", 200, Share(True, "expired")),
        ("Cache-Control: max-age=10, must-revalidate\nAge: 15", 200, Share(True, "expired")),
        ("Cache-Control: s-maxage=10\nDate: @-15", 200, Share(True, "expired")),
        ("Cache-Control: s-maxage=15\nDate: @-15", 200, Share(True, "expired")),
    ],
)
def test_what_nobody_may_have_later_is_shared_with_those_who_wait(text: str, status: int, expected: Share) -> None:
    assert admitted(text, status=status) == expected


@pytest.mark.parametrize(
    ("text", "status", "lifetime", "explicit"),
    [
        ("Cache-Control: max-age=60", 200, 60, True),
        ("Cache-Control: max-age=60, s-maxage=600", 200, 600, True),
        ("Expires: @60", 200, 60, True),
        ("CDN-Cache-Control: max-age=60\nCache-Control: no-store", 200, 60, True),
        ("TXSC-Cache-Control: max-age=60\nCDN-Cache-Control: no-store", 200, 60, True),
        (LM, 200, 100, False),
        (LM, 404, 100, False),
        (LM + "\nCache-Control: public", 599, 100, True),
        ('ETag: "a"', 200, 0, False),
        ('Cache-Control: no-cache\nETag: "a"', 200, 0, False),
        ('Cache-Control: no-cache, max-age=60\nETag: "a"', 200, 60, False),
        ('Cache-Control: no-cache, public\nETag: "a"', 200, 0, True),
        ('Cache-Control: max-age=0\nETag: "a"', 200, 0, False),
        ("Cache-Control: max-age=0\nLast-Modified: @-5", 200, 0, False),
        ('Cache-Control: no-cache="a", max-age=60', 200, 60, True),
        ("Cache-Control: max-age=0, stale-while-revalidate=60", 200, 0, False),
        ("Cache-Control: max-age=0, stale-if-error=60", 200, 0, False),
        ("Cache-Control: max-age=60\nPragma: no-cache", 200, 60, True),
        ("Cache-Control: no-store, must-understand, max-age=60", 200, 60, True),
    ],
)
def test_what_may_be_used_again_is_stored(text: str, status: int, lifetime: float, explicit: bool) -> None:
    found = admitted(text, status=status)
    assert isinstance(found, Store)
    assert (found.freshness.lifetime, found.explicit) == (lifetime, explicit)


@pytest.mark.parametrize("status", [428, 429, 431, 511])
def test_what_no_cache_may_store_is_stored_where_the_operator_says_so_and_nowhere_else(status: int) -> None:
    text = "Cache-Control: public, max-age=60"
    assert admitted(text, status=status) == Share(False, "never-stored")
    assert admitted(text, status=status, rules=Rules(ttl=5, default_ttl=5)) == Share(False, "never-stored")
    assert isinstance(admitted(text, status=status, rules=Rules(statuses={status: 5})), Store)
    assert admitted("Cache-Control: private", status=status) == Withhold("private")


UNDERSTOOD = (
    *(200, 203, 204, 300, 301, 302, 303, 307, 308),
    *(400, 403, 404, 405, 410, 414, 421, 451, 500, 501, 502, 503, 504),
)


@pytest.mark.parametrize(
    ("status", "understood"),
    [*((status, True) for status in UNDERSTOOD), *((status, False) for status in (201, 299, 305, 409, 599))],
)
def test_must_understand_means_the_statuses_this_cache_knows(status: int, understood: bool) -> None:
    for text in ("Cache-Control: must-understand, no-store, max-age=60", "Cache-Control: must-understand, max-age=60"):
        found = admitted(text, status=status)
        assert isinstance(found, Store) if understood else found == Withhold("must-understand")


def test_a_lifetime_is_counted_from_age_0() -> None:
    found = admit(request(), response("Cache-Control: max-age=60\nAge: 20\nDate: @0"), RULES, (NOW - 3, NOW))
    assert isinstance(found, Store)
    assert (found.freshness.initial_age, found.freshness.lifetime) == (23.0, 60.0)


# -- Authorization and Cookie ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("directives", "shared"),
    [
        ("max-age=60", False),
        ("max-age=60, proxy-revalidate", False),
        ("max-age=60, public", True),
        ("max-age=60, must-revalidate", True),
        ("s-maxage=60", True),
    ],
)
def test_an_answer_to_authorization_is_shared_only_where_the_origin_says_so(directives: str, shared: bool) -> None:
    found = admitted(f"Cache-Control: {directives}", "Authorization: Basic x")
    assert isinstance(found, Store) if shared else found == Withhold("authorization")


def test_a_keyed_authorization_shares_with_itself() -> None:
    rules = Rules(keyed_fields=frozenset({b"authorization"}))
    assert isinstance(admitted("Cache-Control: max-age=60", "Authorization: Basic x", rules=rules), Store)


@pytest.mark.parametrize(
    ("text", "shared"),
    [
        ("Cache-Control: max-age=60", False),
        ("Cache-Control: max-age=60, public", True),
        ("Cache-Control: s-maxage=60", True),
        ("CDN-Cache-Control: max-age=60", True),
        ("Cache-Control: max-age=60\nVary: Cookie", True),
        ("", False),
    ],
)
def test_an_answer_to_a_cookie_is_stored_only_where_the_origin_means_everybody(text: str, shared: bool) -> None:
    found = admitted(text, "Cookie: a=1")
    assert isinstance(found, Store) if shared else found == Withhold("cookie")


@pytest.mark.parametrize(
    "rules", [Rules(cookies=Cookies.IGNORE), Rules(cookies=Cookies.KEYED), Rules(keyed_fields=frozenset({b"cookie"}))]
)
def test_a_cookie_that_is_ignored_or_keyed_changes_nothing(rules: Rules) -> None:
    assert isinstance(admitted("Cache-Control: max-age=60", "Cookie: a=1", rules=rules), Store)


# -- stale windows -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        # while revalidating, on errors, unreachable, kept
        ("Cache-Control: max-age=60", (0, 0, 300, 300)),
        ('Cache-Control: max-age=60\nETag: "a"', (0, 0, 300, 300)),
        ("Cache-Control: max-age=60, stale-while-revalidate=9", (9, 0, 9, 9)),
        ("Cache-Control: max-age=60, stale-while-revalidate=1", (1, 0, 1, 1)),
        ("Cache-Control: max-age=60, stale-if-error=9", (0, 9, 9, 9)),
        ("Cache-Control: max-age=60, stale-while-revalidate=9, stale-if-error=7", (9, 7, 9, 9)),
        ('Cache-Control: max-age=60, stale-while-revalidate=9\nETag: "a"', (9, 0, 9, 9)),
        ("Cache-Control: max-age=60, must-revalidate", (0, 0, 0, 0)),
        ("Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=9, stale-if-error=9", (0, 0, 0, 0)),
        ("Cache-Control: max-age=60, proxy-revalidate, stale-if-error=9", (0, 0, 0, 0)),
        ("Cache-Control: s-maxage=60, stale-while-revalidate=9", (0, 0, 0, 0)),
        ('Cache-Control: s-maxage=60\nETag: "a"', (0, 0, 0, 300)),
        ('Cache-Control: max-age=60, must-revalidate\nETag: "a"', (0, 0, 0, 300)),
        ('Cache-Control: no-cache, stale-while-revalidate=9\nETag: "a"', (0, 0, 0, 300)),
        ("CDN-Cache-Control: max-age=60, stale-while-revalidate=9\nCache-Control: must-revalidate", (9, 0, 9, 9)),
    ],
)
def test_stale_only_where_the_origin_allows_it(text: str, windows: tuple[float, ...]) -> None:
    found = stored(text)
    assert (found.while_revalidate, found.if_error, found.if_unreachable, found.keep) == windows


@pytest.mark.parametrize(
    ("text", "must_revalidate", "no_cache"),
    [
        ("Cache-Control: max-age=60", False, False),
        ("Cache-Control: max-age=60, must-revalidate", True, False),
        ("Cache-Control: max-age=60, proxy-revalidate", True, False),
        ("Cache-Control: s-maxage=60", True, False),
        ('Cache-Control: no-cache\nETag: "a"', True, True),
        ('Cache-Control: max-age=60, no-cache="a"', False, False),
    ],
)
def test_what_needs_validation_is_recorded(text: str, must_revalidate: bool, no_cache: bool) -> None:
    found = stored(text)
    assert (found.must_revalidate, found.no_cache) == (must_revalidate, no_cache)


# -- what a route forces -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["", "Cache-Control: max-age=0", "Cache-Control: max-age=999", "Expires: 0", LM])
def test_a_forced_ttl_and_stale_window_are_exactly_that(text: str) -> None:
    found = stored(text, rules=FORCED)
    assert (found.lifetime, found.while_revalidate, found.keep) == (5.0, 100.0, 100.0)
    assert not found.must_revalidate


def test_a_forced_ttl_counts_from_now() -> None:
    found = stored("Age: 1000", rules=FORCED)
    assert (found.initial_age, found.lifetime) == (1000.0, 1005.0)


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("Cache-Control: private", 200, Withhold("private")),
        ("Cache-Control: no-store", 200, Withhold("no-store")),
        ("Vary: *", 200, Withhold("vary")),
        ("Set-Cookie: a=1", 200, Withhold("set-cookie")),
        ("", 401, Withhold("unauthorized")),
        ("", 206, Withhold("partial")),
        ("Cache-Control: no-cache", 200, Share(False, "no-cache")),
        ("", 404, Share(False, "no-freshness")),
        ("", 500, Share(False, "no-freshness")),
    ],
)
def test_a_forced_ttl_does_not_share_what_may_not_be_shared_nor_store_errors(
    text: str, status: int, expected: Admission
) -> None:
    assert admitted(text, status=status, rules=FORCED) == expected


@pytest.mark.parametrize("status", [200, 203, 204, 300, 301, 302, 303, 307, 308])
def test_a_forced_ttl_is_for_these(status: int) -> None:
    assert stored("", status=status, rules=FORCED).lifetime == 5.0


def test_statuses_have_their_own_ttl() -> None:
    rules = Rules(ttl=60.0, statuses={404: 5.0, 500: 1.0, 200: 9.0})
    assert [stored("", status=status, rules=rules).lifetime for status in (200, 301, 404, 500)] == [9, 60, 5, 1]
    alone = Rules(statuses={404: 5.0})
    assert stored("", status=404, rules=alone).lifetime == 5.0
    assert admitted("", status=200, rules=alone) == Share(False, "no-freshness")


def test_a_default_ttl_is_for_answers_without_one() -> None:
    rules = Rules(default_ttl=7.0)
    assert stored("", rules=rules).lifetime == 7.0
    assert stored("Age: 100", rules=rules).lifetime == 107.0
    assert stored("Cache-Control: max-age=60", rules=rules).lifetime == 60.0
    assert stored(LM, rules=rules).lifetime == 100.0
    assert admitted("Cache-Control: max-age=0", rules=rules) == Share(False, "ttl-0")
    assert admitted("", status=500, rules=rules) == Share(False, "no-freshness")
    assert admitted("Cache-Control: private", rules=rules) == Withhold("private")


def test_what_says_public_is_stored_to_be_validated_whatever_its_status() -> None:
    assert stored('Cache-Control: public\nETag: "a"', status=599).lifetime == 0.0


def test_a_max_ttl_cuts_what_is_left_of_longer_lifetimes() -> None:
    rules = Rules(max_ttl=30.0)
    assert stored("Cache-Control: max-age=60", rules=rules).lifetime == 30.0
    assert stored("Cache-Control: max-age=60\nAge: 20", rules=rules).lifetime == 50.0
    assert stored("Cache-Control: max-age=60\nAge: 35", rules=rules).lifetime == 60.0
    assert stored("Cache-Control: max-age=9", rules=rules).lifetime == 9.0
    assert stored(LM, rules=rules).lifetime == 30.0
    assert stored("", rules=replace(rules, ttl=99.0)).lifetime == 30.0


def test_a_forced_ttl_is_for_a_part_too_and_not_for_what_says_no_cache() -> None:
    assert stored(PART, status=206, rules=FORCED).lifetime == 5.0
    assert stored('Cache-Control: no-cache, max-age=3\nETag: "a"', rules=FORCED).lifetime == 3.0


def test_a_default_ttl_does_not_make_an_answer_everybodys() -> None:
    found = admitted("", rules=Rules(default_ttl=7.0))
    assert isinstance(found, Store) and not found.explicit


def test_a_forced_stale_window_outranks_the_origin() -> None:
    rules = Rules(stale=50.0, stale_if_error=80.0)
    found = stored("Cache-Control: max-age=60, must-revalidate, stale-while-revalidate=9", rules=rules)
    assert (found.while_revalidate, found.if_error, found.if_unreachable, found.keep) == (50, 80, 80, 80)
    assert not found.must_revalidate


def test_a_stale_window_forced_to_nothing_is_nothing() -> None:
    found = stored('Cache-Control: max-age=60, stale-while-revalidate=9\nETag: "a"', rules=Rules(stale=0.0))
    assert (found.while_revalidate, found.if_unreachable, found.keep) == (0, 0, 0)


def test_a_forced_ttl_alone_leaves_the_grace() -> None:
    found = stored("", rules=Rules(ttl=5.0))
    assert (found.lifetime, found.if_unreachable, found.keep) == (5.0, 300.0, 300.0)


def test_cache_control_is_not_honoured_where_the_route_says_so_but_private_is() -> None:
    rules = Rules(ttl=5.0, honour_cache_control=False)
    for text in ("Cache-Control: no-store", "Cache-Control: no-cache", "Cache-Control: must-revalidate, max-age=0"):
        found = stored(text, rules=rules)
        assert (found.lifetime, found.no_cache, found.must_revalidate) == (5.0, False, False)
    assert admitted("Cache-Control: private", rules=rules) == Withhold("private")
    assert admitted("Set-Cookie: a", rules=rules) == Withhold("set-cookie")
    silent = Rules(honour_cache_control=False)
    assert stored('Cache-Control: max-age=60\nETag: "a"', rules=silent).lifetime == 0.0
    assert admitted("Cache-Control: max-age=60", rules=silent) == Share(True, "no-freshness")


def test_set_cookie_is_stored_without_the_field_where_the_route_says_so() -> None:
    rules = Rules(ttl=5.0, store_set_cookie=True)
    head = response("Set-Cookie: a=1\nA: 1")
    found = admit(request(), head, rules, (NOW, NOW))
    assert isinstance(found, Store)
    made = make_entry(request(), head, (), found, (NOW, NOW))
    assert b"set-cookie" not in made.fields and b"a" in made.fields
    assert admitted("Cache-Control: max-age=60\nSet-Cookie: a", rules=Rules(store_set_cookie=True)) == Withhold(
        "set-cookie"
    )


@pytest.mark.parametrize(
    ("status", "admission", "expected"),
    [
        (400, Withhold("private"), True),
        (400, Share(False, "no-freshness"), True),
        (400, Share(True, "ttl-0"), False),
        (400, Store(Freshness(initial_age=0.0, lifetime=60.0), explicit=True), False),
        (404, Withhold("private"), False),
        (401, Withhold("unauthorized"), False),
        (429, Share(False, "never-stored"), True),
        (511, Share(False, "never-stored"), True),
        (500, Share(False, "no-freshness"), False),
        (302, Share(False, "no-freshness"), False),
    ],
)
def test_only_an_error_of_the_client_that_nobody_says_is_for_everybody_may_have_been_provoked(
    status: int, admission: Admission, expected: bool
) -> None:
    assert provoked(status, admission) is expected


# -- what is kept ------------------------------------------------------------------------------------------------------


def kept(text: str, asked: str = "", body: bytes = b"") -> Fields:
    head = response(text)
    return make_entry(
        request(asked), head, (body,), Store(Freshness(initial_age=0, lifetime=1), True), (NOW, NOW)
    ).fields


def test_everything_else_is_kept_in_order() -> None:
    text = 'B: 2\nDate: @-5\na: 1\nB: 3\nETag: "x"\nCDN-Cache-Control: max-age=5\nCache-Status: origin'
    assert list(kept(text)) == list(fields(text))


@pytest.mark.parametrize(
    ("text", "gone"),
    [
        ("Age: 5", b"age"),
        ("Set-Cookie: a", b"set-cookie"),
        ("Connection: A\nA: 1", b"a"),
        ("Connection: close", b"connection"),
        ("Transfer-Encoding: chunked", b"transfer-encoding"),
        ("Keep-Alive: 1", b"keep-alive"),
        ("Proxy-Authenticate: x", b"proxy-authenticate"),
        ("Upgrade: x", b"upgrade"),
        ("TE: x", b"te"),
        ('Cache-Control: no-cache="a, b"\nA: 1\nC: 3', b"a"),
        ("Content-Length: 99", b"content-length"),
    ],
)
def test_these_are_not_kept(text: str, gone: bytes) -> None:
    assert gone not in kept(text)


def test_a_content_length_that_is_true_is_kept() -> None:
    assert kept("Content-Length: 3", body=b"abc").get(b"content-length") == b"3"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "@0"),
        ("Date: junk", "@0"),
        ("Date: @-9", "@-9"),
        ("Date: @-9\nDate: @-8", "@-9"),
        ("Date: x\nDate: @-8", "@0"),
    ],
)
def test_a_date_is_added_where_there_is_none_and_never_rewritten(text: str, expected: str) -> None:
    assert kept(text).get_all(b"date") == fields(f"Date: {expected}").get_all(b"date")


def test_an_entry_is_chosen_by_what_the_client_said_where_something_else_was_sent() -> None:
    chosen = ((b"foo", b"2"),)
    life = Store(Freshness(initial_age=0, lifetime=1), True)
    assert make_entry(request("Foo: 1"), response("Vary: Foo"), (), life, (NOW, NOW), chosen).selector == chosen


def test_an_entry_knows_what_it_was_chosen_by_and_its_tags() -> None:
    head = response("Vary: Foo, Accept-Encoding\nSurrogate-Key: x y")
    made = make_entry(
        request("Foo: 1"), head, (b"ab", b"c"), Store(Freshness(initial_age=0, lifetime=1), True), (NOW - 2, NOW)
    )
    assert made.selector == ((b"accept-encoding", None), (b"foo", b"1"))
    assert made.tags == {b"x", b"y"}
    assert (made.request_time, made.response_time, made.length) == (NOW - 2, NOW, 3)


NAMES = st.sampled_from(
    [b"Cache-Control", b"CDN-Cache-Control", b"Expires", b"Date", b"Age", b"Vary", b"ETag", b"Last-Modified", b"Pragma"]
)
WORDS = st.sampled_from(
    [b"max-age=5", b"max-age=x", b"no-cache", b"public", b"s-maxage=9", b"*", b"Foo", b"0", b"-1", b"stale-if-error=3",
     b"must-revalidate", b"Thu, 18 Aug 2050 02:01:18 GMT", b'"a"', b"\xff", b",", b"="]
)  # fmt: skip


@given(
    st.lists(st.tuples(NAMES, st.one_of(WORDS, st.binary(max_size=20))), max_size=8),
    st.integers(100, 999),
    st.floats(-1e10, 1e10),
    st.floats(-1e10, 1e10),
)
def test_no_answer_raises_and_what_is_stored_has_a_life(
    pairs: list[tuple[bytes, bytes]], status: int, sent: float, received: float
) -> None:
    head = ResponseHead(status, Fields(pairs))
    found = admit(request(), head, RULES, (sent, received))
    if isinstance(found, Store):
        life = found.freshness
        assert life.lifetime >= 0 and life.initial_age >= 0
        assert life.lifetime + life.keep > life.initial_age
        assert life.keep >= max(life.while_revalidate, life.if_error, life.if_unreachable)
        made = make_entry(request(), head, (b"x",), found, (sent, received))
        assert made.age(received) >= 0 and made.expiry(received) > 0
