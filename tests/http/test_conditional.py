from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import NOW, RULES, bare_entry, entry, fields, request, response, with_freshness
from txstalecache.http.admission import admit
from txstalecache.http.conditional import (
    Validation,
    conditions,
    freshen,
    freshen_by_head,
    not_modified,
    not_modified_fields,
)
from txstalecache.http.entry import Entry
from txstalecache.http.fields import format_date
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Rules

RFC850 = "Tuesday, 14-Nov-23 22:13:20 GMT"  # NOW


@pytest.mark.parametrize(
    ("asked", "stored", "expected"),
    [
        # If-None-Match: weak comparison
        ('If-None-Match: "a"', 'ETag: "a"', True),
        ('If-None-Match: "a"', 'ETag: "b"', False),
        ('If-None-Match: W/"a"', 'ETag: "a"', True),
        ('If-None-Match: "a"', 'ETag: W/"a"', True),
        ('If-None-Match: W/"a"', 'ETag: W/"a"', True),
        ('If-None-Match: "a"', "", False),
        ('If-None-Match: "A"', 'ETag: "a"', False),
        # lists
        ('If-None-Match: "a", "b", "c"', 'ETag: "a"', True),
        ('If-None-Match: "a", "b", "c"', 'ETag: "b"', True),
        ('If-None-Match: "a","b","c"', 'ETag: "c"', True),
        ('If-None-Match: "a", "b"', 'ETag: "c"', False),
        ('If-None-Match: "a"\nIf-None-Match: "b"', 'ETag: "b"', True),
        ('If-None-Match: "a"', 'ETag: "a"\nETag: "b"', True),
        ('If-None-Match: "b"', 'ETag: "a"\nETag: "b"', False),
        ('If-None-Match: "a,b"', 'ETag: "a,b"', True),
        ('If-None-Match: "a,b"', 'ETag: "a"', False),
        ('If-None-Match: ,"a",', 'ETag: "a"', True),
        # star
        ("If-None-Match: *", 'ETag: "a"', True),
        ("If-None-Match: *", "", True),
        ('If-None-Match: "*"', 'ETag: "a"', False),
        # odd ones: the same bytes are the same tag
        ('If-None-Match: "abcdef\xfc"', 'ETag: "abcdef\xfc"', True),
        ("If-None-Match: abc", "ETag: abc", True),
        ("If-None-Match: abc", 'ETag: "abc"', False),
        ('If-None-Match: w/"a"', 'ETag: w/"a"', True),
        ('If-None-Match: w/"a"', 'ETag: "a"', False),
        ("If-None-Match:", 'ETag: "a"', False),
        ('If-None-Match: "a', 'ETag: "a"', False),
        # it beats If-Modified-Since, whatever comes of it
        ('If-None-Match: "a"\nIf-Modified-Since: @-9000', 'ETag: "a"\nLast-Modified: @-5000', True),
        ('If-None-Match: "b"\nIf-Modified-Since: @0', 'ETag: "a"\nLast-Modified: @-5000', False),
        ('If-None-Match: "b"\nIf-Modified-Since: @0', "Last-Modified: @-5000", False),
        # If-Modified-Since
        ("If-Modified-Since: @-3000", "Last-Modified: @-3000", True),
        ("If-Modified-Since: @-2000", "Last-Modified: @-3000", True),
        ("If-Modified-Since: @-3001", "Last-Modified: @-3000", False),
        (f"If-Modified-Since: {RFC850}", "Last-Modified: @0", True),
        (f"If-Modified-Since: {RFC850}", "Last-Modified: @1", False),
        ("If-Modified-Since: @0", "Date: @0", True),
        ("If-Modified-Since: @-1", "Date: @0", False),
        ("If-Modified-Since: @0", "", False),
        ("If-Modified-Since: @0", "Last-Modified: junk\nDate: @-9", False),
        ("If-Modified-Since: junk", "Last-Modified: @-3000", False),
        ("If-Modified-Since: @0\nIf-Modified-Since: @0", "Last-Modified: @-3000", False),
        ("", 'ETag: "a"', False),
        # not for a cache
        ('If-Match: "a"', 'ETag: "a"', False),
        ("If-Unmodified-Since: @0", "Last-Modified: @-9", False),
    ],
)
def test_a_client_that_has_it_already_is_told_so(asked: str, stored: str, expected: bool) -> None:
    assert not_modified(request(asked), 200, fields(stored)) is expected
    assert not_modified(request(asked, "HEAD"), 200, fields(stored)) is expected


@pytest.mark.parametrize("asked", ['If-None-Match: "a"', "If-None-Match: *", "If-Modified-Since: @0"])
@pytest.mark.parametrize(("method", "status"), [("GET", 404), ("GET", 301), ("GET", 500), ("POST", 200)])
def test_conditions_count_only_for_a_successful_get(asked: str, method: str, status: int) -> None:
    assert not not_modified(request(asked, method), status, fields('ETag: "a"\nLast-Modified: @-9'))


@pytest.mark.parametrize("status", [200, 203, 204, 299])
def test_conditions_count_for_any_success(status: int) -> None:
    assert not_modified(request('If-None-Match: "a"'), status, fields('ETag: "a"'))
    assert not_modified(request("If-Modified-Since: @0"), status, fields("Last-Modified: @-9"))


def test_a_304_carries_what_a_cache_needs_and_not_what_describes_the_body() -> None:
    text = (
        'Date: @0\nETag: "a"\nVary: Foo\nCache-Control: max-age=5\nExpires: @9\nContent-Location: /c\nX-Any: 1\n'
        "Content-Security-Policy: default-src\nAge: 3\nCDN-Cache-Control: max-age=9"
    )
    more = "\nContent-Type: a/b\nContent-Length: 3\nContent-Encoding: gzip\nContent-Language: en\nLast-Modified: @-9"
    assert list(not_modified_fields(fields(text + more))) == list(fields(text))
    assert b"last-modified" in not_modified_fields(fields("Last-Modified: @-9"))


@pytest.mark.parametrize(
    "name",
    b"""
    accept-ranges content-digest content-disposition content-encoding content-language content-length content-md5
    content-range content-type digest repr-digest trailer transfer-encoding
    """.split(),
)
def test_a_304_does_not_say_again_what_the_client_has(name: bytes) -> None:
    assert name not in not_modified_fields(Fields([(name, b"x")]))


@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("", ""),
        ('ETag: "a"', 'If-None-Match: "a"'),
        ('ETag: W/"a"', 'If-None-Match: W/"a"'),
        ("Last-Modified: @-9", "If-Modified-Since: @-9"),
        ('ETag: "a"\nLast-Modified: @-9', 'If-None-Match: "a"\nIf-Modified-Since: @-9'),
        ("Last-Modified: junk", ""),
    ],
)
def test_both_validators_are_sent(stored: str, expected: str) -> None:
    assert conditions(bare_entry(stored)) == fields(expected)


# -- freshening --------------------------------------------------------------------------------------------------------

LATER = NOW + 100
STORED = (
    'Cache-Control: max-age=60\nETag: "a"\nLast-Modified: @-1000\nA: 1\nContent-Type: text/plain\nContent-Length: 10'
)


def said(asked: RequestHead, head: ResponseHead, rules: Rules = RULES) -> Validation:
    times = (LATER, LATER)
    return Validation(asked, head, times, lambda asked, head: admit(asked, head, rules, times))


def freshened(
    text: str, stored: str = STORED, *, asked: str = "", rules: Rules = RULES, status: int = 304
) -> Entry | None:
    known = entry(stored)
    return freshen(known, said(request(asked), response(text, status), rules))


@pytest.mark.parametrize(
    ("text", "stored", "fits"),
    [
        ("", STORED, True),
        ('ETag: "a"', STORED, True),
        ('ETag: "b"', STORED, False),
        ('ETag: W/"a"', STORED, True),
        ('ETag: W/"b"', STORED, False),
        ('ETag: "a"', 'Cache-Control: max-age=60\nETag: W/"a"', False),
        ('ETag: W/"a"', 'Cache-Control: max-age=60\nETag: W/"a"', True),
        ('ETag: "a"', "Cache-Control: max-age=60\nLast-Modified: @-1000", False),
        ('ETag: W/"a"', "Cache-Control: max-age=60\nLast-Modified: @-1000", False),
        ("Last-Modified: @-1000", STORED, True),
        ("Last-Modified: @-999", STORED, False),
        (f"Last-Modified: {RFC850}", "Cache-Control: max-age=60\nLast-Modified: @0", True),
        (f"Last-Modified: {RFC850}", "Cache-Control: max-age=60\nLast-Modified: @1", False),
        ("Last-Modified: junk", STORED, False),
        ("Last-Modified: junk", 'Cache-Control: max-age=60\nETag: "a"\nLast-Modified: junk', True),
        ('ETag: "a"\nLast-Modified: @-999', STORED, True),
        ("Last-Modified: @-999", 'Cache-Control: max-age=60\nETag: "a"', True),
    ],
)
def test_a_304_fits_the_entry_it_is_about(text: str, stored: str, fits: bool) -> None:
    assert (freshened(text, stored) is not None) is fits


@pytest.mark.parametrize("status", [200, 404, 500, 206])
def test_nothing_but_a_304_freshens(status: int) -> None:
    assert freshened("", status=status) is None


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("", b"a", b"1"),
        ("A: 2", b"a", b"2"),
        ("A: 2\nA: 3", b"a", b"2, 3"),
        ("B: 2", b"b", b"2"),
        ("Content-Type: text/html", b"content-type", b"text/html"),
        ("Content-Location: /x", b"content-location", b"/x"),
        ("Content-Foo: x", b"content-foo", b"x"),
        ("Cache-Control: max-age=5", b"cache-control", b"max-age=5"),
        ("Content-Security-Policy: x", b"content-security-policy", b"x"),
        ("Content-Length: 99", b"content-length", b"10"),
        ("Content-Encoding: gzip", b"content-encoding", None),
        ("Content-Range: bytes 0-1/2", b"content-range", None),
        ("Transfer-Encoding: chunked", b"transfer-encoding", None),
        ("Connection: B\nB: 1", b"b", None),
        ("Age: 3", b"age", None),
        ("Set-Cookie: a=1", b"set-cookie", None),
        ('Cache-Control: max-age=60, no-cache="A"', b"a", None),
    ],
)
def test_every_field_of_a_304_takes_the_stored_ones_place_but_those_of_the_body(
    text: str, name: bytes, expected: bytes | None
) -> None:
    found = freshened(text)
    assert found is not None
    assert found.fields.get(name) == expected


def test_fields_stay_where_they_were() -> None:
    found = freshened("New: 1\nA: 2")
    assert found is not None
    assert [name for name, _ in found.fields] == [
        b"Cache-Control", b"ETag", b"Last-Modified", b"A", b"Content-Type", b"Content-Length", b"Date", b"New",
    ]  # fmt: skip


def test_freshness_starts_again() -> None:
    found = freshened("Cache-Control: max-age=600\nAge: 7")
    assert found is not None
    assert (found.freshness.lifetime, found.age(LATER), found.request_time) == (600.0, 7.0, LATER)
    assert found.body is not None and found.status == 200


def test_freshness_starts_again_without_a_date_in_the_304() -> None:
    found = freshened("")
    assert found is not None
    assert found.age(LATER) == 0.0
    assert found.fields.get(b"date") == format_date(LATER)


def test_an_old_expires_stays_old() -> None:
    found = freshened("Date: @100", 'Expires: @60\nETag: "a"')
    assert found is not None and found.freshness.lifetime == 0.0
    again = freshened("Date: @100\nExpires: @200", 'Expires: @60\nETag: "a"')
    assert again is not None and again.freshness.lifetime == 100.0


def test_a_received_age_of_the_first_answer_does_not_count_for_ever() -> None:
    known = entry('Cache-Control: max-age=600\nETag: "a"\nAge: 500')
    found = freshen(known, said(request(), response("")))
    assert found is None  # a 200
    found = freshen(known, said(request(), response("", 304)))
    assert found is not None and found.age(LATER) == 0.0


@pytest.mark.parametrize("directives", ["private", "no-store", "private, max-age=60"])
def test_a_304_that_forbids_sharing_ends_the_entry(directives: str) -> None:
    assert freshened(f"Cache-Control: {directives}") is None


def test_a_304_with_vary_star_ends_the_entry() -> None:
    assert freshened("Vary: *") is None


def test_a_304_may_change_what_the_response_varies_by() -> None:
    found = freshened("Vary: Foo", asked="Foo: 1")
    assert found is not None and found.selector == ((b"foo", b"1"),)


def test_an_answer_that_stays_valid_for_no_time_still_answers() -> None:
    found = freshened("Cache-Control: max-age=0", "Cache-Control: max-age=60\nLast-Modified: @-9")
    assert found is not None and found.freshness.lifetime == 0.0


def test_a_304_older_than_its_own_life_answers_those_who_wait_and_nobody_later() -> None:
    found = freshened("Cache-Control: max-age=60\nAge: 5000")
    assert found is not None
    assert (found.age(LATER), found.freshness.lifetime, found.expiry(LATER)) == (5000.0, 0.0, -5000.0)


def test_a_validation_by_head_freshens_too() -> None:
    found = freshen(entry(STORED), said(request(method="HEAD"), response("", 304)))
    assert found is not None and found.freshness.lifetime == 60.0


def test_forced_lifetimes_hold_for_a_304_too() -> None:
    found = freshened("", rules=Rules(ttl=5.0, stale=9.0))
    assert found is not None
    assert (found.freshness.lifetime, found.freshness.keep) == (5.0, 9.0)


TEXTS = st.lists(
    st.tuples(
        st.sampled_from([b"A", b"B", b"Date", b"Age", b"Cache-Control", b"Vary", b"Expires", b"Connection", b"ETag"]),
        st.one_of(
            st.sampled_from([b"max-age=5", b"Foo", b'"a"', b"3", b"no-cache", format_date(NOW + 50), b'no-cache="a"']),
            st.binary(max_size=10),
        ),
    ),
    max_size=6,
)


@given(TEXTS)
def test_freshening_twice_with_the_same_304_is_freshening_once(pairs: list[tuple[bytes, bytes]]) -> None:
    head = ResponseHead(304, Fields(pairs))
    once = freshen(entry(STORED), said(request(), head))
    if once is None:
        return
    assert once.age(LATER) >= 0
    twice = freshen(once, said(request(), head))
    assert twice == once


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(max_size=50))
def test_no_bytes_raise(tag: bytes, since: bytes, stored: bytes) -> None:
    head = RequestHead(b"GET", b"/", Fields([(b"If-None-Match", tag)]))
    known = Fields([(b"ETag", stored), (b"Last-Modified", since)])
    not_modified(head, 200, known)
    not_modified(RequestHead(b"GET", b"/", Fields([(b"If-Modified-Since", since)])), 200, known)
    conditions(replace(bare_entry(), fields=known))


# -- HEAD --------------------------------------------------------------------------------------------------------------


def by_head(text: str, status: int = 200, stored: str = STORED) -> tuple[Entry, Entry | None]:
    known = entry(stored)
    return known, freshen_by_head(known, said(request(method="HEAD"), response(text, status)))


@pytest.mark.parametrize(
    "text",
    [
        'ETag: "a"\nCache-Control: max-age=600',
        "Last-Modified: @-1000\nContent-Length: 10\nCache-Control: max-age=600",
    ],
)
def test_an_answer_to_head_that_agrees_freshens_the_get_entry(text: str) -> None:
    known, found = by_head(text)
    assert found is not None
    assert (found.freshness.lifetime, found.age(LATER), found.body) == (600.0, 0.0, known.body)
    assert found.fields.get(b"a") == b"1"


@pytest.mark.parametrize(
    "text", ['ETag: "b"', 'ETag: W/"a"', "Last-Modified: @-5", "Content-Length: 11", "Content-Length: x"]
)
def test_an_answer_to_head_that_differs_ends_the_get_entry(text: str) -> None:
    _, found = by_head(text)
    assert found is None


@pytest.mark.parametrize("text", ["Cache-Control: max-age=600", "Content-Length: 10\nCache-Control: max-age=600"])
def test_an_answer_to_head_without_a_validator_freshens_nothing(text: str) -> None:
    known, found = by_head(text)
    assert found is known
    known, found = by_head(text, stored="Cache-Control: max-age=60")
    assert found is known


def test_an_answer_to_head_that_is_not_for_everybody_ends_the_get_entry() -> None:
    _, found = by_head("Cache-Control: private")
    assert found is None


@pytest.mark.parametrize("status", [304, 404, 500, 503])
def test_other_answers_to_head_say_nothing_about_it(status: int) -> None:
    known, found = by_head('ETag: "b"', status)
    assert found is known


def test_an_answer_to_head_says_nothing_about_an_entry_of_another_status() -> None:
    known = entry('Cache-Control: max-age=60\nETag: "a"', status=404)
    assert freshen_by_head(known, said(request(method="HEAD"), response('ETag: "b"'))) is known


def test_an_answer_to_get_does_not_freshen_as_one_to_head_does() -> None:
    known = entry(STORED)
    assert freshen_by_head(known, said(request(), response('ETag: "b"'))) is known


def test_an_entry_can_be_given_another_life() -> None:
    assert with_freshness(entry(), lifetime=1.0).freshness.lifetime == 1.0
