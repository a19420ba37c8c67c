from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import NOW, bare_entry, fields, with_freshness
from txstalecache.http.fields import FOREVER
from txstalecache.http.freshness import (
    Source,
    age_value,
    date_value,
    early,
    explicitly_shared,
    has_validator,
    initial_age,
    lifetime,
)
from txstalecache.http.messages import Fields
from txstalecache.http.targeted import governing

OLD = fields("Last-Modified: @-1000\nDate: @0")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("Age: 30", 30),
        ("Age: 0030", 30),
        ("Age: abc", 0),
        ("Age: -7200", 0),
        ("Age: 7200.0", 0),
        ("Age:", 0),
        ("Age: 7200,0", 7200),
        ("Age: 7200 , 0", 7200),
        ("Age: 0, 7200", 0),
        ("Age: 7200\nAge: 0", 7200),
        ("Age: 0\nAge: 7200", 0),
        ("Age: x\nAge: 7200", 0),
        ("Age: 99999999999999", FOREVER),
        ('Age: "30"', 0),
    ],
)
def test_the_first_age_counts_and_only_as_a_number(text: str, expected: float) -> None:
    assert age_value(fields(text)) == expected


@pytest.mark.parametrize(
    ("text", "delay", "expected"),
    [
        ("Date: @0", 0.0, 0.0),
        ("Date: @0", 2.5, 2.5),
        ("Date: @0\nAge: 30", 0.0, 30.0),
        ("Date: @0\nAge: 30", 2.5, 32.5),
        ("Date: @-10", 0.0, 10.0),
        ("Date: @-10", 2.5, 10.0),
        ("Date: @-10\nAge: 25", 0.0, 25.0),
        ("Date: @10", 0.0, 0.0),
        ("Date: @10\nAge: 15", 0.0, 15.0),
        ("", 1.0, 1.0),
        ("Date: junk", 0.0, 0.0),
        ("Age: 5", -100.0, 5.0),
    ],
)
def test_the_initial_age_is_the_larger_of_what_date_and_age_say(text: str, delay: float, expected: float) -> None:
    assert initial_age(fields(text), (NOW - delay, NOW)) == expected


def test_a_date_cut_off_to_seconds_does_not_make_an_answer_older() -> None:
    assert initial_age(fields("Date: @0"), (NOW + 0.75, NOW + 0.75)) == 0.0
    assert initial_age(fields("Date: @0"), (NOW + 1.25, NOW + 1.25)) == 1.0


@given(st.binary(max_size=30), st.binary(max_size=40), st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_an_age_is_never_negative(age: bytes, date: bytes, sent: float, received: float) -> None:
    assert initial_age(Fields([(b"Age", age), (b"Date", date)]), (sent, received)) >= 0.0


def test_the_fractions_of_an_age_add_up() -> None:
    known = with_freshness(bare_entry(), initial_age=initial_age(fields("Date: @0"), (NOW - 0.6, NOW)))
    assert int(known.age(NOW + 0.5)) == 1


@pytest.mark.parametrize(
    ("text", "status", "seconds", "source"),
    [
        ("Cache-Control: max-age=60", 200, 60, Source.EXPLICIT),
        ("Cache-Control: max-age=60\nExpires: @-10000\nDate: @0", 200, 60, Source.EXPLICIT),
        ("Cache-Control: max-age=60\nExpires: 0\nDate: @0", 200, 60, Source.EXPLICIT),
        ("Cache-Control: max-age=0\nExpires: @10000\nDate: @0", 200, 0, Source.EXPLICIT),
        ("Cache-Control: max-age=60, s-maxage=5", 200, 5, Source.EXPLICIT),
        ("Cache-Control: s-maxage=500, max-age=60", 200, 500, Source.EXPLICIT),
        ("Cache-Control: s-maxage=5\nCache-Control: max-age=60", 200, 5, Source.EXPLICIT),
        ("Cache-Control: s-maxage=x, max-age=60", 200, 0, Source.EXPLICIT),
        ("Cache-Control: s-maxage=5\nExpires: @100\nDate: @0", 200, 5, Source.EXPLICIT),
        ("Expires: @100\nDate: @0", 200, 100, Source.EXPLICIT),
        ("Expires: @100\nDate: @0\nCache-Control: foo", 200, 100, Source.EXPLICIT),
        ("Expires: @0\nDate: @0", 200, 0, Source.EXPLICIT),
        ("Expires: @-100\nDate: @0", 200, 0, Source.EXPLICIT),
        ("Expires: @300\nDate: @400", 200, 0, Source.EXPLICIT),
        ("Expires: @400\nDate: @300", 200, 100, Source.EXPLICIT),
        ("Expires: @100", 200, 100, Source.EXPLICIT),
        ("Expires: @10\nDate: foo", 200, 10, Source.EXPLICIT),
        ("Expires: 0\nDate: @0", 200, 0, Source.EXPLICIT),
        ("Expires:\nDate: @0", 200, 0, Source.EXPLICIT),
        ("Expires: Thu, 18 Aug 2050 02:01:18 UTC\nDate: @0", 200, 0, Source.EXPLICIT),
        ("Expires: @100\nExpires: @1\nDate: @0", 200, 100, Source.EXPLICIT),
        ("Expires: @100\nDate: @0", 599, 100, Source.EXPLICIT),
        ("Cache-Control: no-store\nCDN-Cache-Control: max-age=9", 200, 9, Source.EXPLICIT),
        ("Expires: @100\nDate: @0\nCDN-Cache-Control: max-age=9", 200, 9, Source.EXPLICIT),
        ("Expires: @100\nDate: @0\nCDN-Cache-Control: foo", 200, 0, Source.NONE),
        ("Cache-Control: max-age=99\nCDN-Cache-Control: max-age=1", 200, 1, Source.EXPLICIT),
        ("Last-Modified: @-1000\nDate: @0", 200, 100, Source.HEURISTIC),
        ("Last-Modified: @-1000\nDate: @0\nCDN-Cache-Control: foo", 200, 100, Source.HEURISTIC),
        ("Last-Modified: @-100000000\nDate: @0", 200, 86400, Source.HEURISTIC),
        ("Last-Modified: @0\nDate: @0", 200, 0, Source.HEURISTIC),
        ("Last-Modified: @100\nDate: @0", 200, 0, Source.HEURISTIC),
        ("Last-Modified: @-1000", 200, 100, Source.HEURISTIC),
        ("Last-Modified: junk\nDate: @0", 200, 0, Source.NONE),
        ("Last-Modified: @-1000\nDate: @0", 599, 0, Source.NONE),
        ("Last-Modified: @-1000\nDate: @0\nCache-Control: public", 599, 100, Source.HEURISTIC),
        ("Date: @0", 200, 0, Source.NONE),
        ("Date: @0\nCache-Control: public", 200, 0, Source.NONE),
        ('ETag: "a"\nDate: @0', 200, 0, Source.NONE),
        ('Cache-Control: ext="max-age=60"', 200, 0, Source.NONE),
    ],
)
def test_the_lifetime_comes_from_the_first_that_gives_one(
    text: str, status: int, seconds: float, source: Source
) -> None:
    said = fields(text)
    found = lifetime(status, said, governing(said), NOW)
    assert (found.seconds, found.source) == (seconds, source)


@pytest.mark.parametrize("status", [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501])
def test_these_statuses_have_a_heuristic_lifetime(status: int) -> None:
    assert lifetime(status, OLD, governing(OLD), NOW).source is Source.HEURISTIC


@pytest.mark.parametrize("status", [201, 202, 302, 303, 307, 400, 401, 403, 429, 500, 502, 503, 504, 599])
def test_other_statuses_have_no_heuristic_lifetime(status: int) -> None:
    assert lifetime(status, OLD, governing(OLD), NOW).source is Source.NONE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ('ETag: "a"', True),
        ('ETag: W/"a"', True),
        ("Last-Modified: @-5", True),
        ("Last-Modified: junk", False),
    ],
)
def test_a_validator_is_a_tag_or_a_date(text: str, expected: bool) -> None:
    assert has_validator(fields(text)) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("Cache-Control: max-age=1", True),
        ("Cache-Control: max-age=0", False),
        ("Cache-Control: max-age=x", False),
        ("Cache-Control: s-maxage=1", True),
        ("Cache-Control: s-maxage=0, max-age=9", False),
        ("Cache-Control: public", True),
        ("Cache-Control: public, max-age=0", True),
        ("Cache-Control: max-age=9, no-cache", False),
        ("Expires: @1\nDate: @0", True),
        ("Expires: @0\nDate: @0", False),
        ("Expires: 0", False),
        ("CDN-Cache-Control: max-age=1", True),
        ("CDN-Cache-Control: max-age=1\nCache-Control: private", True),
        ("Last-Modified: @-1000\nDate: @0", False),
        ('ETag: "a"', False),
    ],
)
def test_only_the_origin_makes_an_answer_everybodys(text: str, expected: bool) -> None:
    said = fields(text)
    assert explicitly_shared(said, governing(said), NOW) is expected


@pytest.mark.parametrize(
    ("text", "expected"), [("", NOW), ("Date: @-5", NOW - 5), ("Date: x", NOW), ("Date: x\nDate: @-5", NOW)]
)
def test_the_time_of_receipt_stands_in_for_a_date(text: str, expected: float) -> None:
    assert date_value(fields(text), NOW) == expected


def test_refreshing_ahead_is_the_likelier_the_nearer_the_end_and_the_longer_the_fetch_took() -> None:
    def chance(left: float, took: float) -> float:
        """Of a refresh, with ``left`` seconds of 100 to go."""
        entry = replace(bare_entry(lifetime=100.0), request_time=NOW - took)
        return sum(early(entry, NOW + 100.0 - left, 1.0, number / 1000) for number in range(1, 1001)) / 1000

    # The probability is e^(-left/took) (Vattani, Chierichetti, Lowenstein 2015).
    for left, took, expected in ((10, 10, 0.368), (1, 10, 0.905), (50, 10, 0.007), (10, 1, 0.0), (90, 1, 0.0)):
        assert abs(chance(left, took) - expected) < 0.005
