from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields as written
from txstalecache.http.fields import (
    FOREVER,
    delta_seconds,
    directives,
    end_to_end,
    format_date,
    is_token,
    lines,
    members,
    parse_date,
    unquote,
)
from txstalecache.http.messages import Fields


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"", []),
        (b" ", []),
        (b",", []),
        (b",,a, ,b,", [b"a", b"b"]),
        (b"a", [b"a"]),
        (b"a,b", [b"a", b"b"]),
        (b" a\t,\tb ", [b"a", b"b"]),
        (b'"a,b"', [b'"a,b"']),
        (b'x="a,b",c', [b'x="a,b"', b"c"]),
        (b'x="a\\",b",c', [b'x="a\\",b"', b"c"]),
        (b'x="a\\\\",b', [b'x="a\\\\"', b"b"]),
        (b'"", ""', [b'""', b'""']),
        (b'a="b, no-store', [b'a="b', b"no-store"]),
        (b'"a" "b,c', [b'"a" "b', b"c"]),
        (b'W/"a", "b"', [b'W/"a"', b'"b"']),
        (b"a\xffb,\x00", [b"a\xffb", b"\x00"]),
    ],
)
def test_a_list_is_split_at_commas_outside_quoted_strings(value: bytes, expected: list[bytes]) -> None:
    assert members(value) == expected


def test_a_hostile_list_takes_no_more_than_linear_time() -> None:
    for unit in (b'"', b'\\"', b'"\\', b'",', b'""'):
        assert len(members(unit * 50_000)) <= 50_001


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"max-age=3", [(b"max-age", b"3")]),
        (b"MAX-AGE=3, Public", [(b"max-age", b"3"), (b"public", None)]),
        (b'max-age="3"', [(b"max-age", b"3")]),
        (b"max-age =3", [(b"max-age", b"")]),
        (b"max-age= 3", [(b"max-age", b"")]),
        (b"max-age\t=\t3", [(b"max-age", b"")]),
        (b"no-store =x", [(b"no-store", b"")]),
        (b'ext="max-age=3", max-age=1', [(b"ext", b"max-age=3"), (b"max-age", b"1")]),
        (b'no-cache="a, B"', [(b"no-cache", b"a, B")]),
        (b"a=b=c", [(b"a", b"b=c")]),
        (b"=", [(b"", b"")]),
        (b"max-age='3'", [(b"max-age", b"'3'")]),
    ],
)
def test_directives_keep_their_order_and_lose_case_and_quotes(
    value: bytes, expected: list[tuple[bytes, bytes | None]]
) -> None:
    assert directives(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b'"a"', b"a"),
        (b'""', b""),
        (b'"', b'"'),
        (b"a", b"a"),
        (b'"a\\"b"', b'a"b'),
        (b'"a\\\\b"', b"a\\b"),
        (b'"a', b'"a'),
        (b"'a'", b"'a'"),
    ],
)
def test_unquoting_undoes_a_quoted_string_and_nothing_else(value: bytes, expected: bytes) -> None:
    assert unquote(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"0", 0),
        (b"60", 60),
        (b"0060", 60),
        (b"000", 0),
        (b"2147483647", 2147483647),
        (b"2147483648", FOREVER),
        (b"99999999999", FOREVER),
        (b"9" * 10_000, FOREVER),
        (b"0" * 10_000 + b"7", 7),
        (None, None),
        (b"", None),
        (b"-1", None),
        (b"+1", None),
        (b"1.0", None),
        (b"1 ", None),
        (b"1a", None),
        (b"a1", None),
        (b"\xd9\xa1", None),
        (b"1_0", None),
        (b"'60'", None),
    ],
)
def test_delta_seconds_are_digits_and_overflow_means_very_long(value: bytes | None, expected: int | None) -> None:
    assert delta_seconds(value) == expected


EXAMPLE = 784111777.0


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"Sun, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        (b"Sunday, 06-Nov-94 08:49:37 GMT", EXAMPLE),
        (b"Sun Nov  6 08:49:37 1994", EXAMPLE),
        (b"SUN, 06 NOV 1994 08:49:37 gmt", EXAMPLE),
        (b"sun, 06 nov 1994 08:49:37 GmT", EXAMPLE),
        (b"Mon, 06 Nov 1994 08:49:37 GMT", EXAMPLE),
        (b"Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        (b"Thu, 18 Aug 2050 02:01:18 GMT", 2544400878.0),
        (b"Thu, 29 Feb 2024 00:00:00 GMT", 1709164800.0),
        (b"Sat, 31 Dec 2016 23:59:60 GMT", 1483228799.0),
        (b"Saturday, 01-Jan-00 00:00:00 GMT", 946684800.0),
        (b"Thursday, 01-Jan-76 00:00:00 GMT", 3345062400.0),
        (b"Saturday, 01-Jan-77 00:00:00 GMT", 220924800.0),
        (b"Sun Nov 16 08:49:37 1994", EXAMPLE + 10 * 86400),
        (b"", None),
        (b"0", None),
        (b"-1", None),
        (b"now", None),
        (b"Thu, 18 Aug 2050 02:01:18 UTC", None),
        (b"Thu, 18 Aug 2050 02:01:18 +0000", None),
        (b"Thu, 18 Aug 2050 02:01:18", None),
        (b"Thu, 18 Aug 50 02:01:18 GMT", None),
        (b"Thu 18 Aug 2050 02:01:18 GMT", None),
        (b"Thu, 18  Aug  2050 02:01:18 GMT", None),
        (b"Thu, 18-Aug-2050 02:01:18 GMT", None),
        (b"Thu, 18 Aug 2050 02.01.18 GMT", None),
        (b"Thu, 18 Aug 2050 2:01:18 GMT", None),
        (b"Thu, 8 Aug 2050 02:01:18 GMT", None),
        (b"Thu, 30 Feb 2050 02:01:18 GMT", None),
        (b"Thu, 29 Feb 2023 02:01:18 GMT", None),
        (b"Thu, 00 Jan 2050 02:01:18 GMT", None),
        (b"Thu, 18 Foo 2050 02:01:18 GMT", None),
        (b"Xyz, 18 Aug 2050 02:01:18 GMT", None),
        (b"Thu, 18 Aug 2050 24:01:18 GMT", None),
        (b"Thu, 18 Aug 2050 02:60:18 GMT", None),
        (b"Thu, 18 Aug 2050 02:01:61 GMT", None),
        (b"Thu, 18 Aug 0000 02:01:18 GMT", None),
        (b"Thu, 18 Aug 2050 02:01:18 GMT ", None),
        (b"Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT", None),
        (b"Thu, 18-Aug-50 02:01:18 GMT", None),
        (b"784111777", None),
        (b"1994-11-06T08:49:37Z", None),
        (b"\xff" * 29, None),
    ],
)
def test_a_date_has_three_forms_and_no_more(value: bytes, expected: float | None) -> None:
    assert parse_date(value) == expected


@given(st.integers(min_value=-62_135_596_800, max_value=253_402_300_799))
def test_a_date_survives_being_written_and_read(seconds: int) -> None:
    assert parse_date(format_date(seconds)) == seconds


@given(st.floats(min_value=-1e15, max_value=1e15))
def test_any_time_can_be_written(seconds: float) -> None:
    assert format_date(seconds).endswith(b" GMT")


@pytest.mark.parametrize(("seconds", "expected"), [(0.999, b"00:00:00"), (-0.5, b"23:59:59"), (59.5, b"00:00:59")])
def test_a_fraction_of_a_second_is_cut_off(seconds: float, expected: bytes) -> None:
    assert expected in format_date(seconds)


@pytest.mark.parametrize(
    ("given_fields", "kept"),
    [
        ("A: 1\nB: 2", [b"A", b"B"]),
        ("Connection: close\nA: 1", [b"A"]),
        ("Connection: A, b\nA: 1\nB: 2\nC: 3", [b"C"]),
        ("Connection: a\nConnection: B\nA: 1\nB: 2\nC: 3", [b"C"]),
        ("CONNECTION: A\na: 1", []),
        ("Keep-Alive: x\nProxy-Connection: x\nTE: x\nTrailer: x\nTransfer-Encoding: x\nUpgrade: x\nA: 1", [b"A"]),
        ("Proxy-Authenticate: x\nProxy-Authorization: x\nProxy-Authentication-Info: x\nHTTP2-Settings: x", []),
        ("Connection: Host, Cache-Control\nHost: a\nCache-Control: b", [b"Host", b"Cache-Control"]),
        ("Connection: Cookie, Authorization\nCookie: a\nAuthorization: b", [b"Cookie", b"Authorization"]),
        ("Connection: Vary, Set-Cookie, Age\nVary: a\nSet-Cookie: b\nAge: 1", [b"Vary", b"Set-Cookie", b"Age"]),
        ("Connection: Content-Length\nContent-Length: 3", [b"Content-Length"]),
        ("Connection: X-Forwarded-For, Via\nX-Forwarded-For: a\nVia: b", [b"X-Forwarded-For", b"Via"]),
        ("Connection:\nA: 1", [b"A"]),
        ('Connection: "a, b"\nA: 1', [b"A"]),
    ],
)
def test_only_end_to_end_fields_travel_on(given_fields: str, kept: list[bytes]) -> None:
    assert [name for name, _ in end_to_end(written(given_fields))] == kept


def test_fields_that_all_travel_on_are_not_copied() -> None:
    known = written("A: 1")
    assert end_to_end(known) is known


@pytest.mark.parametrize(
    ("value", "expected"),
    [(b"a", True), (b"X-a_1", True), (b"", False), (b"a b", False), (b"a\n", False), (b"\xe4", False)],
)
def test_a_token_has_no_separators(value: bytes, expected: bool) -> None:
    assert is_token(value) is expected


@given(st.binary(max_size=200))
def test_no_bytes_from_the_network_raise(value: bytes) -> None:
    members(value)
    directives(value)
    unquote(value)
    delta_seconds(value)
    parse_date(value)
    end_to_end(Fields([(b"Connection", value), (value, value)]))


@given(st.lists(st.from_regex(rb"[!#-+\--:<-~]{1,9}", fullmatch=True), max_size=6))
def test_a_list_survives_being_joined_and_split(parts: list[bytes]) -> None:
    assert members(b" , ".join(parts)) == parts


VALUES = st.text(st.sampled_from("\t ,:a\xff"), max_size=6).map(lambda value: value.encode("latin-1"))


@given(st.lists(st.tuples(st.sampled_from([b"A", b"b-1", b"!#"]), VALUES), max_size=6))
def test_field_lines_are_taken_apart_at_their_first_colon_and_trimmed(pairs: list[tuple[bytes, bytes]]) -> None:
    block = b"first: line \r\n" + b"".join(b"%b:%b\r\n" % pair for pair in pairs) + b"\r\n"
    assert lines(block, 14) == [(name, value.strip(b" \t")) for name, value in pairs]
