from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields, request
from txstalecache.http import tags
from txstalecache.http.messages import Fields, RequestHead

A, B = b"group:http://example.com:a", b"group:http://example.com:b"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ("Surrogate-Key: a b  c", {b"a", b"b", b"c"}),
        ("xkey: a\nxkey: b", {b"a", b"b"}),
        ("Cache-Tag: a, b c ,,d", {b"a", b"b c", b"d"}),
        ("Surrogate-Key: a\nCache-Tag: b\nxkey: c", {b"a", b"b", b"c"}),
        ('Cache-Groups: "a", "b";x=1', {b"a", b"b", A, B}),
        ('Cache-Groups: "a"\nCache-Groups: "b"', {b"a", b"b", A, B}),
        ("Cache-Groups: a, b", set()),
        ('Cache-Groups: "a", b', set()),
        ('Cache-Groups: "a", ("b")', set()),
        ('Cache-Groups: "a', set()),
        ("Surrogate-Key:", set()),
    ],
)
def test_tags_are_collected_from_all_their_fields(text: str, expected: set[bytes]) -> None:
    assert tags.of(request(), fields(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", set()),
        ('Cache-Group-Invalidation: "a", "b"', {A, B}),
        ("Cache-Group-Invalidation: a", set()),
        ('Cache-Groups: "a"', set()),
    ],
)
def test_groups_are_invalidated_by_their_own_field(text: str, expected: set[bytes]) -> None:
    assert tags.invalidated(request(), fields(text)) == expected


def test_a_group_belongs_to_its_origin() -> None:
    other = request()
    assert tags.group_tag(other, b"a") == A
    assert tags.group_tag(type(other)(b"GET", b"/", Fields(), b"https", b"EXAMPLE.com"), b"a") != A


@pytest.mark.parametrize(
    ("scheme", "authority", "same"),
    [
        (b"http", b"EXAMPLE.com:80", True),
        (b"http", b"example.com:443", False),
        (b"http", b"example.com:8080", False),
        (b"https", b"example.com", False),
    ],
)
def test_a_group_is_one_however_its_origin_is_written(scheme: bytes, authority: bytes, same: bool) -> None:
    other = RequestHead(b"PUT", b"/", Fields(), scheme, authority)
    assert (tags.group_tag(other, b"a") == A) is same
    assert (tags.invalidated(other, fields('Cache-Group-Invalidation: "a"')) == {A}) is same


@given(st.binary(max_size=80))
def test_no_bytes_raise(value: bytes) -> None:
    names = (b"Surrogate-Key", b"xkey", b"Cache-Tag", b"Cache-Groups", b"Cache-Group-Invalidation")
    head = Fields([(name, value) for name in names])
    tags.of(request(), head)
    tags.invalidated(request(), head)
