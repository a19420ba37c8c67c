from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txstalecache.http import structured
from txstalecache.http.structured import (
    Date,
    InnerList,
    Item,
    String,
    Token,
    parse_dictionary,
    parse_list,
    serialize_string,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", []),
        (b"  ", []),
        (b"1", [1]),
        (b"-42", [-42]),
        (b"007", [7]),
        (b"999999999999999", [999999999999999]),
        (b"1.5", [Decimal("1.5")]),
        (b"-0.125", [Decimal("-0.125")]),
        (b"a", [Token(b"a")]),
        (b"*a/b:c", [Token(b"*a/b:c")]),
        (b'"a"', [String(b"a")]),
        (b'"a\\"b\\\\"', [String(b'a"b\\')]),
        (b'""', [String(b"")]),
        (b"?1", [True]),
        (b"?0", [False]),
        (b":aGVsbG8=:", [b"hello"]),
        (b":aGVsbG8:", [b"hello"]),
        (b"::", [b""]),
        (b"@1659578233", [Date(1659578233)]),
        (b'%"f%c3%bc"', [String("fü".encode())]),
        (b"a, b ,c", [Token(b"a"), Token(b"b"), Token(b"c")]),
        (b"a,\tb", [Token(b"a"), Token(b"b")]),
        (b" a ", [Token(b"a")]),
    ],
)
def test_a_list_of_items_is_read(text: bytes, expected: list[Any]) -> None:
    found = parse_list(text)
    assert found is not None
    assert [member.value for member in found if isinstance(member, Item)] == expected


@pytest.mark.parametrize(
    "text",
    [
        b"a,",
        b",a",
        b"a,,b",
        b"a b",
        b"1000000000000000",
        b"1.",
        b"1.2345",
        b"1234567890123.1",
        b"-",
        b"--1",
        b".5",
        b'"a',
        b'"a\\b"',
        b'"\xc3"',
        b'"\x7f"',
        b"?2",
        b"?",
        b":a:",
        b":aGVs!:",
        b":aGVs",
        b":aG=Vs:",
        b"@1.5",
        b"@",
        b'%"%C3%BC"',
        b'%"%ff"',
        b'%"%c3',
        b"&&&&&",
        b"(a",
        b"(a b",
        b"(a,b)",
        b"(a  b",
        b'("a""b")',
        b"a;",
        b"a;A",
        b"a;b=",
        b"\xff",
        b"{}",
    ],
)
def test_one_mistake_anywhere_makes_it_no_list(text: bytes) -> None:
    assert parse_list(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"a", {b"a": Item(True)}),
        (b"a=1", {b"a": Item(1)}),
        (b"a=?0", {b"a": Item(False)}),
        (b"a;x", {b"a": Item(True, ((b"x", True),))}),
        (b"a=1;x=2; y", {b"a": Item(1, ((b"x", 2), (b"y", True)))}),
        (b"a=1, a=2", {b"a": Item(2)}),
        (b"a=1,b,*c-1.d_e=t", {b"a": Item(1), b"b": Item(True), b"*c-1.d_e": Item(Token(b"t"))}),
        (b"a=( 1  2 );q", {b"a": InnerList((Item(1), Item(2)), ((b"q", True),))}),
        (b"a=()", {b"a": InnerList(())}),
        (b'a=("x";y)', {b"a": InnerList((Item(String(b"x"), ((b"y", True),)),))}),
    ],
)
def test_a_dictionary_is_read(text: bytes, expected: dict[bytes, Any]) -> None:
    assert parse_dictionary(text) == expected


@pytest.mark.parametrize(
    "text",
    [b"A=1", b"a =1", b"a= 1", b"a=", b"a=1,", b"a=1 b=2", b"1=a", b"=1", b"a==1", b"a=1;", b"a=(1,2)", b"a=1,,b=2"],
)
def test_one_mistake_anywhere_makes_it_no_dictionary(text: bytes) -> None:
    assert parse_dictionary(text) is None


@given(st.binary(max_size=100))
def test_no_bytes_raise(value: bytes) -> None:
    parse_list(value)
    parse_dictionary(value)


@given(st.text(alphabet='az09"\\:?()%@*;=,. -', max_size=30))
def test_near_misses_do_not_raise(value: str) -> None:
    parse_list(value.encode())
    parse_dictionary(value.encode())


@given(st.from_regex(rb"[ -~]*", fullmatch=True))
def test_a_string_survives_being_written_and_read(value: bytes) -> None:
    assert parse_list(serialize_string(value)) == [Item(String(value))]


@given(st.binary(max_size=50))
def test_whatever_is_written_as_a_string_is_one(value: bytes) -> None:
    assert parse_list(serialize_string(value)) is not None


@pytest.mark.parametrize("lines", [b"a%d=1;b=2", b"a%d;b=2", b"a%d"])
def test_as_many_members_are_read_as_a_parser_has_to_take(lines: bytes) -> None:
    value = b", ".join(lines % number for number in range(1024))
    found = parse_dictionary(value)
    assert found is not None and len(found) == 1024
    listed = parse_list(b", ".join([b'"a";b=2'] * 1024))
    assert listed is not None and len(listed) == 1024


@pytest.mark.parametrize("value", [b"a," * 30_000 + b"a", b"a" + b";a" * 30_000, b"(" + b"a " * 30_000 + b")"])
def test_a_value_without_end_is_given_up_early(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[object] = []
    take = structured._Reader.take

    def counted(reader: structured._Reader, pattern: re.Pattern[bytes]) -> re.Match[bytes]:
        taken.append(pattern)
        return take(reader, pattern)

    monkeypatch.setattr(structured._Reader, "take", counted)
    assert parse_list(value) is None
    assert parse_dictionary(value) is None
    assert len(taken) < 20_000
