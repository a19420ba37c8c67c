from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields, request
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.ranges import (
    MOST_RANGES,
    Part,
    Parts,
    Selection,
    Unsatisfiable,
    Whole,
    boundary,
    multipart,
    multipart_head,
    partial_head,
    select,
    unsatisfiable_head,
)

TEN = b"0123456789"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-1", Part(0, 2)),
        ("bytes=0-0", Part(0, 1)),
        ("bytes=1-", Part(1, 10)),
        ("bytes=9-9", Part(9, 10)),
        ("bytes=-1", Part(9, 10)),
        ("bytes=-10", Part(0, 10)),
        ("bytes=-99", Part(0, 10)),
        ("bytes=0-99", Part(0, 10)),
        ("bytes=5-99999999999999999", Part(5, 10)),
        ("bytes=5-9223372036854775807", Part(5, 10)),
        ("bytes=5-" + "9" * 5000, Part(5, 10)),
        ("bytes=-9223372036854775807", Part(0, 10)),
        ("bytes=" + "0" * 30 + "5-" + "0" * 30 + "6", Part(5, 7)),
        ("BYTES=0-1", Part(0, 2)),
        ("bytes= 0-1 ", Part(0, 2)),
        ("bytes=0-1,", Part(0, 2)),
        ("bytes=0-1" + "," * 64, Part(0, 2)),
        ("bytes=0-1" + "," * 65, Whole()),
        ("bytes=0-1,3-4", Parts(((0, 2), (3, 5)))),
        ("bytes=3-4, 0-1", Parts(((3, 5), (0, 2)))),
        ("bytes=0-1,-1", Parts(((0, 2), (9, 10)))),
        ("bytes=0-1,2-3", Parts(((0, 2), (2, 4)))),
        ("bytes=0-1,50-60", Part(0, 2)),
        ("bytes=10-", Unsatisfiable()),
        ("bytes=10-20", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=99999999999999999999-", Unsatisfiable()),
        ("bytes=9223372036854775807-9223372036854775807", Unsatisfiable()),
        ("bytes=10-,20-", Unsatisfiable()),
        ("bytes=0-5,4-6", Whole()),
        ("bytes=0-,0-", Whole()),
        ("bytes=" + ",".join(f"{each}-{each}" for each in range(MOST_RANGES + 1)), Whole()),
        ("bytes=" + "0-," * 5000, Whole()),
        ("bytes=2-1", Whole()),
        ("bytes=0-1,2-1", Whole()),
        ("bytes=-", Whole()),
        ("bytes=", Whole()),
        ("bytes", Whole()),
        ("", Whole()),
        ("bytes=a-b", Whole()),
        ("bytes=0-1x", Whole()),
        ("bytes=--1", Whole()),
        ("bytes=+0-1", Whole()),
        ("bytes=0 - 1", Whole()),
        ("bytes:0-1", Whole()),
        ("bytes =0-1", Whole()),
        ("lines=0-1", Whole()),
        ("bytes=0-1, lines=3-4", Whole()),
    ],
)
def test_the_part_that_was_asked_for(asked: str, expected: Selection) -> None:
    assert select(request(f"Range: {asked}"), 200, fields(), 10) == expected


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, 10), ("POST", 200, 10), ("GET", 206, 10), ("GET", 404, 10), ("GET", 304, 10), ("GET", 200, None)],
)
def test_only_a_complete_200_to_get_has_parts(method: str, status: int, length: int | None) -> None:
    assert select(request("Range: bytes=0-1", method), status, fields(), length) == Whole()


def test_as_many_parts_as_that_are_sent() -> None:
    asked = ",".join(f"{2 * each}-{2 * each}" for each in range(MOST_RANGES))
    found = select(request(f"Range: bytes={asked}"), 200, fields(), 100)
    assert isinstance(found, Parts) and len(found.parts) == 16


def test_without_range_it_is_whole() -> None:
    assert select(request(), 200, fields(), 10) == Whole()


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=0-", Unsatisfiable()),
        ("bytes=0-4", Unsatisfiable()),
        ("bytes=-5", Whole()),
        ("bytes=-0", Unsatisfiable()),
    ],
)
def test_an_empty_body_has_no_part_that_could_be_named(asked: str, expected: Selection) -> None:
    assert select(request(f"Range: {asked}"), 200, fields(), 0) == expected


@pytest.mark.parametrize(
    ("condition", "stored", "holds"),
    [
        ('"a"', 'ETag: "a"', True),
        ('"a"', 'ETag: "b"', False),
        ('"a"', 'ETag: W/"a"', False),
        ('W/"a"', 'ETag: W/"a"', False),
        ('W/"a"', 'ETag: "a"', False),
        ('"a"', "", False),
        ('"', 'ETag: "', False),
        ('""', 'ETag: ""', True),
        ("@-100", "Last-Modified: @-100\nDate: @0", True),
        ("@-100", "Last-Modified: @-101\nDate: @0", False),
        ("@-99", "Last-Modified: @-100\nDate: @0", False),
        ("@0", "Last-Modified: @0\nDate: @0", False),
        ("@-1", "Last-Modified: @-1\nDate: @0", True),
        ("@-100", "Last-Modified: @-100", False),
        ("@-100", "", False),
        ("junk", 'ETag: "a"', False),
        ("junk", "Last-Modified: junk\nDate: @0", False),
        ("", 'ETag: "a"', False),
        ("*", 'ETag: "a"', False),
    ],
)
def test_if_range_wants_exactly_what_is_stored(condition: str, stored: str, holds: bool) -> None:
    found = select(request(f"Range: bytes=0-1\nIf-Range: {condition}"), 200, fields(stored), 10)
    assert found == (Part(0, 2) if holds else Whole())


def test_if_range_without_range_means_nothing() -> None:
    assert select(request('If-Range: "a"'), 200, fields('ETag: "a"'), 10) == Whole()


def test_a_single_part_says_where_it_comes_from() -> None:
    for of in ("Content-Length: 10", "Content-Range: bytes 0-4/10\nContent-Range: bytes 5-9/10"):
        head = partial_head(fields(f'ETag: "a"\n{of}'), Part(2, 5), 10)
        assert head == fields('ETag: "a"\nContent-Range: bytes 2-4/10\nContent-Length: 3')


@pytest.mark.parametrize("said", ["Content-Digest: sha-256=:x:", "Content-MD5: x"])
def test_a_part_has_no_digest_of_the_whole_message(said: str) -> None:
    whole = fields(f"Repr-Digest: sha-256=:x:\n{said}")
    for head in (partial_head(whole, Part(2, 5), 10), multipart_head(whole, b"b", 99)):
        assert said.partition(":")[0].lower().encode() not in head and b"repr-digest" in head


def test_416_says_how_long_the_whole_is() -> None:
    head = unsatisfiable_head(fields("Content-Type: text/html\nDate: @0\nContent-Length: 10\nAge: 5"), 10)
    assert head.get(b"content-range") == b"bytes */10"
    assert head.get(b"content-length") == b"0"
    assert b"content-type" not in head and b"date" in head
    assert head.get(b"age") == b"5"  # it is worked out from what is stored


@pytest.mark.parametrize("name", [b"cache-status", b"vary", b"via"])
def test_416_says_where_it_comes_from_and_what_it_was_chosen_by(name: bytes) -> None:
    assert name in unsatisfiable_head(Fields([(name, b"x")]), 10)


def test_several_parts_make_a_multipart_body_of_the_length_it_announces() -> None:
    mark = boundary(b"x")
    segments, size = multipart(Parts(((0, 2), (8, 10))), b"text/plain", 10, mark)
    body = b"".join(each if isinstance(each, bytes) else TEN[each[0] : each[1]] for each in segments)
    assert len(body) == size
    assert body == (
        b"\r\n--" + mark + b"\r\nContent-Type: text/plain\r\nContent-Range: bytes 0-1/10\r\n\r\n01"
        b"\r\n--" + mark + b"\r\nContent-Type: text/plain\r\nContent-Range: bytes 8-9/10\r\n\r\n89"
        b"\r\n--" + mark + b"--\r\n"
    )
    head = multipart_head(fields("Content-Type: text/plain\nContent-Length: 10\nContent-Range: x"), mark, size)
    assert head.get(b"content-type") == b"multipart/byteranges; boundary=" + mark
    assert head.get(b"content-length") == b"%d" % size
    assert b"content-range" not in head


def test_parts_without_a_type_have_none() -> None:
    segments, _ = multipart(Parts(((0, 1), (2, 3))), None, 10, b"b")
    assert b"Content-Type" not in b"".join(each for each in segments if isinstance(each, bytes))


@given(st.binary(max_size=60), st.binary(max_size=40), st.integers(0, 50))
def test_no_bytes_raise_and_parts_lie_within(asked: bytes, condition: bytes, length: int) -> None:
    for value in (asked, b"bytes=" + asked):
        head = RequestHead(b"GET", b"/", Fields([(b"Range", value)]))
        found = select(head, 200, Fields(), length)
        parts = (
            found.parts if isinstance(found, Parts) else ((found.start, found.stop),) if isinstance(found, Part) else ()
        )
        assert all(0 <= start < stop <= length for start, stop in parts)
        select(RequestHead(b"GET", b"/", Fields([(b"Range", value), (b"If-Range", condition)])), 200, Fields(), length)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=16), st.integers(1, 30))
def test_what_is_sent_is_what_was_asked_for(asked: list[tuple[int, int]], length: int) -> None:
    asked = [(min(pair), max(pair)) for pair in asked]
    text = "bytes=" + ",".join(f"{first}-{last}" for first, last in asked)
    found = select(request(f"Range: {text}"), 200, fields(), length)
    wanted = [(first, min(last + 1, length)) for first, last in asked if first < length]
    match found:
        case Part(start, stop):
            assert wanted == [(start, stop)]
        case Parts(parts):
            assert list(parts) == wanted
        case Unsatisfiable():
            assert wanted == []
        case Whole():
            assert len(wanted) > 1  # they overlap
