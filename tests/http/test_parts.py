from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import NOW, bare_entry, fields, request
from txstalecache.http.entry import Entry
from txstalecache.http.keys import DEFAULT_TEMPLATE
from txstalecache.http.messages import Fields
from txstalecache.http.parts import LITTLE, MOST_PARTS, announced, beside, cut, held, joined, single
from txstalecache.http.ranges import Part

TEN = b"0123456789"
STRONG = 'ETag: "1"'
MUCH = 1_000_000


def part(start: int, stop: int, whole: bytes = TEN, tag: str = STRONG, *, extra: str = "", time: float = NOW) -> Entry:
    """An entry of the one part of ``whole``."""
    text = f"Content-Range: bytes {start}-{stop - 1}/{len(whole)}\nContent-Length: {stop - start}\n{tag}\n{extra}"
    made = bare_entry(text, status=206, body=whole[start:stop])
    return replace(made, request_time=time, response_time=time)


def got(asked: str, entry: Entry) -> bytes | None:
    """What of ``entry`` answers ``Range: asked``."""
    found = cut(request(f"Range: {asked}"), entry.fields, entry.length)
    if found is None:
        return None
    wanted, at, _ = found
    return b"".join(entry.body)[at : at + wanted.stop - wanted.start]


@pytest.mark.parametrize(
    ("content_range", "length", "spans"),
    [
        ("bytes 0-4/10", 5, ((0, 5),)),
        ("bytes 5-9/10", 5, ((5, 10),)),
        ("bytes 9-9/10", 1, ((9, 10),)),
        ("bytes 0-9/10", 10, ((0, 10),)),
        ("BYTES 0-4/10", 5, ((0, 5),)),
        ("bytes  0-4/10", 5, ((0, 5),)),
    ],
)
def test_a_part_holds_what_its_numbers_say(content_range: str, length: int, spans: tuple[tuple[int, int], ...]) -> None:
    found = held(fields(f"Content-Range: {content_range}"), length)
    assert found is not None
    assert (found.spans, found.complete) == (spans, 10)


CONTRADICTIONS = [
    ("bytes 4-9/10", 5),  # six announced, five here
    ("bytes 0-4/10", 4),
    ("bytes 0-4/10", 0),
    ("bytes 5-4/10", 0),
    ("bytes 9-5/10", 5),
    ("bytes 6-10/10", 5),
    ("bytes 10-14/10", 5),
    ("bytes 0-0/0", 1),
    ("bytes 0-4/*", 5),
    ("bytes */10", 0),
    ("lines 0-4/10", 5),
    ("bytes=0-4/10", 5),
    ("bytes 0-4", 5),
    ("bytes -4/10", 5),
    ("bytes 0-/10", 5),
    ("bytes 0-4/10, bytes 0-4/10", 10),
    ("bytes 0-4/" + "9" * 19, 5),
    ("0-4/10", 5),
    ("", 5),
]


@pytest.mark.parametrize(("content_range", "length"), CONTRADICTIONS)
def test_numbers_that_contradict_one_another_hold_nothing(content_range: str, length: int) -> None:
    assert held(fields(f"Content-Range: {content_range}"), length) is None
    assert announced(fields(f"Content-Range: {content_range}\nContent-Length: {length}")) is None
    wrong = bare_entry(f"Content-Range: {content_range}\n{STRONG}", status=206, body=TEN[:length])
    assert got("bytes=0-0", wrong) is None
    assert joined(None, wrong, MUCH) is None
    assert joined(part(5, 10), wrong, MUCH) is None


def test_nothing_is_held_in_no_bytes_without_a_content_range() -> None:
    assert held(fields("Content-Length: 0"), 0) is None


def test_without_a_content_range_nothing_is_held() -> None:
    assert held(fields("Content-Length: 5"), 5) is None


@pytest.mark.parametrize(
    "second",
    [
        "bytes 5-9/11",  # of another length
        "bytes 4-8/10",  # overlaps: then which bytes are whose
    ],
)
def test_several_spans_agree_or_hold_nothing(second: str) -> None:
    assert held(fields("Content-Range: bytes 0-4/10\nContent-Range: bytes 5-9/10"), 10) is not None
    assert held(fields(f"Content-Range: bytes 0-4/10\nContent-Range: {second}"), 10) is None


@pytest.mark.parametrize(
    "length", ["", "Content-Length: 4", "Content-Length: five", "Content-Length: 5\nContent-Length: 5"]
)
def test_what_is_announced_needs_its_length(length: str) -> None:
    assert announced(fields("Content-Range: bytes 0-4/10\nContent-Length: 5")) is not None
    assert announced(fields(f"Content-Range: bytes 0-4/10\n{length}")) is None


def test_an_origin_announces_one_part() -> None:
    assert announced(fields("Content-Range: bytes 0-4/10\nContent-Range: bytes 5-9/10\nContent-Length: 10")) is None


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("bytes=3-6", b"3456"),
        ("bytes=3-7", b"34567"),
        ("bytes=3-3", b"3"),
        ("bytes=7-7", b"7"),
        ("bytes=4-5", b"45"),
        ("bytes=2-3", None),
        ("bytes=7-8", None),
        ("bytes=0-", None),
        ("bytes=3-", None),
        ("bytes=-1", None),
        ("bytes=10-", None),
        ("bytes=3-4,6-7", None),
        ("bytes=a-b", None),
        ("lines=3-4", None),
    ],
)
def test_a_part_answers_what_is_within_it(asked: str, expected: bytes | None) -> None:
    assert got(asked, part(3, 8)) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("bytes=-5", b"56789"), ("bytes=-1", b"9"), ("bytes=6-", b"6789"), ("bytes=6-99", b"6789"), ("bytes=-6", None)],
)
def test_a_part_at_the_end_answers_what_has_no_end(asked: str, expected: bytes | None) -> None:
    assert got(asked, part(5, 10)) == expected


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("GET", ""),
        ("HEAD", "Range: bytes=3-4"),
        ("POST", "Range: bytes=3-4"),
        ("GET", "Range: bytes=3-4,50-60"),
    ],
)
def test_what_asks_for_the_whole_gets_no_part(method: str, text: str) -> None:
    known = part(3, 8)
    assert cut(request(text, method), known.fields, known.length) is None
    assert not single(request(text, method))


@pytest.mark.parametrize(
    ("condition", "holds"),
    [('"1"', True), ('"2"', False), ('W/"1"', False), ("@-50", True), ("@-49", False), ("@0", False), ("soon", False)],
)
def test_if_range_wants_the_representation_that_the_part_is_of(condition: str, holds: bool) -> None:
    known = part(3, 8, extra="Last-Modified: @-50\nDate: @0")
    asked = request(f"Range: bytes=3-4\nIf-Range: {condition}")
    assert (cut(asked, known.fields, known.length) is not None) is holds


def test_one_range_is_worth_asking_for() -> None:
    assert single(request("Range: bytes=0-4"))
    assert single(request("Range: bytes=-4"))
    assert not single(request("Range: bytes=0-4,6-7"))
    assert not single(request("Range: bytes=4-0"))


@pytest.mark.parametrize(
    ("first", "second", "spans", "body"),
    [
        ((0, 3), (3, 6), ((0, 6),), b"012345"),
        ((3, 6), (0, 3), ((0, 6),), b"012345"),
        ((0, 4), (2, 6), ((0, 6),), b"012345"),
        ((2, 6), (0, 4), ((0, 6),), b"012345"),
        ((2, 3), (0, 6), ((0, 6),), b"012345"),
        ((0, 6), (2, 3), ((0, 6),), b"012345"),
        ((0, 6), (0, 6), ((0, 6),), b"012345"),
        ((0, 2), (5, 7), ((5, 7), (0, 2)), b"5601"),
        ((5, 7), (0, 2), ((0, 2), (5, 7)), b"0156"),
    ],
)
def test_parts_of_one_representation_are_put_together(
    first: tuple[int, int], second: tuple[int, int], spans: tuple[tuple[int, int], ...], body: bytes
) -> None:
    kept = joined(part(*first), part(*second), MUCH)
    assert kept is not None
    found = held(kept.fields, kept.length)
    assert found is not None
    assert (kept.status, found.spans, b"".join(kept.body)) == (206, spans, body)
    for start, stop in spans:
        assert got(f"bytes={start}-{stop - 1}", kept) == TEN[start:stop]


def test_a_part_in_the_middle_joins_its_neighbours() -> None:
    kept = joined(part(0, 2), part(5, 7), MUCH)
    kept = joined(kept, part(2, 5), MUCH)
    assert kept is not None
    assert (b"".join(kept.body), kept.fields.get(b"content-range")) == (TEN[:7], b"bytes 0-6/10")


def test_what_is_put_together_has_no_digest_of_one_of_its_parts() -> None:
    digest = "Content-Digest: sha-256=:x:\nRepr-Digest: sha-256=:y:"
    kept = joined(joined(None, part(0, 5, extra=digest), MUCH), part(5, 10, extra=digest), MUCH)
    assert kept is not None and kept.status == 200
    assert b"content-digest" not in kept.fields and b"repr-digest" in kept.fields


NOT_THE_SAME = [
    (STRONG, 'ETag: "2"'),
    ('ETag: W/"1"', 'ETag: W/"1"'),
    (STRONG, 'ETag: W/"1"'),
    ('ETag: W/"1"', STRONG),
    ("", ""),
    (STRONG, ""),
    ("", STRONG),
    ("Last-Modified: @-900", "Last-Modified: @-900"),
    ("ETag: 1", "ETag: 1"),
    ('ETag: "', 'ETag: "'),
    ('ETag: "1"\nETag: "2"', 'ETag: "1"\nETag: "2"'),
]


@pytest.mark.parametrize(("first", "second"), NOT_THE_SAME)
def test_nothing_is_put_together_without_the_same_strong_entity_tag(first: str, second: str) -> None:
    kept = joined(part(0, 5, tag=first), part(5, 10, tag=second), MUCH)
    assert kept is not None
    assert (kept.status, b"".join(kept.body)) == (206, b"56789")
    assert got("bytes=0-0", kept) is None


def test_nothing_is_put_together_of_different_lengths() -> None:
    kept = joined(part(0, 5), part(5, 10, TEN + b"A"), MUCH)
    assert kept is not None
    assert got("bytes=0-0", kept) is None


@pytest.mark.parametrize(
    ("first", "second"), [((0, 5), (5, 10)), ((5, 10), (0, 5)), ((2, 8), (0, 10)), ((0, 9), (1, 10))]
)
def test_once_nothing_is_missing_it_is_the_whole(first: tuple[int, int], second: tuple[int, int]) -> None:
    kept = joined(part(*first), part(*second), MUCH)
    assert kept is not None
    assert (kept.status, b"".join(kept.body)) == (200, TEN)
    assert kept.fields.get_all(b"content-length") == [b"10"]
    assert b"content-range" not in kept.fields


def test_a_part_that_is_all_there_is_needs_no_tag() -> None:
    kept = joined(None, part(0, 10, tag=""), MUCH)
    assert kept is not None
    assert (kept.status, b"".join(kept.body)) == (200, TEN)


def test_the_newer_fields_and_their_life_count_and_the_older_fetch() -> None:
    first = part(0, 5, extra="A: 1\nB: 1", time=NOW - 30)
    second = part(5, 9, extra="A: 2", time=NOW)
    kept = joined(first, second, MUCH)
    assert kept is not None
    assert (kept.fields.get(b"a"), kept.fields.get(b"b")) == (b"2", b"1")
    assert kept.freshness is second.freshness
    assert (kept.request_time, kept.response_time) == (NOW - 30, NOW)


def test_of_too_many_bytes_the_oldest_part_is_given_up() -> None:
    hundred = bytes(range(100))
    kept: Entry | None = None
    for start in (0, 20, 40):
        kept = joined(kept, part(start, start + 10, hundred), 25)
    assert kept is not None
    found = held(kept.fields, kept.length)
    assert found is not None
    assert found.spans == ((40, 50), (20, 30))
    assert got("bytes=20-29", kept) == hundred[20:30]


def test_as_many_bytes_as_that_are_kept_together() -> None:
    kept = joined(part(0, 5), part(5, 9), 9)
    assert kept is not None
    assert b"".join(kept.body) == TEN[:9]


def test_what_would_be_too_much_together_is_begun_anew() -> None:
    kept = joined(part(0, 5), part(5, 9), 8)
    assert kept is not None
    assert (kept.fields.get_all(b"content-range"), b"".join(kept.body)) == ([b"bytes 5-8/10"], b"5678")


def test_a_small_part_does_not_have_much_written_again() -> None:
    much = bytes(2 * LITTLE)
    many = joined(None, part(0, LITTLE, much), len(much))
    few = joined(None, part(0, LITTLE - 1, much), len(much))
    assert [
        held(kept.fields, kept.length).spans  # type: ignore[union-attr]
        for kept in (
            joined(many, part(LITTLE + 1, LITTLE + 2, much), len(much)),
            joined(few, part(LITTLE + 1, LITTLE + 2, much), len(much)),
            joined(many, part(LITTLE + 1, LITTLE + LITTLE // 8, much), len(much)),
        )
        if kept is not None
    ] == [
        ((LITTLE + 1, LITTLE + 2),),
        ((LITTLE + 1, LITTLE + 2), (0, LITTLE - 1)),
        ((LITTLE + 1, LITTLE + LITTLE // 8), (0, LITTLE)),
    ]


def test_there_are_so_many_parts_and_no_more() -> None:
    much = bytes(200)
    kept: Entry | None = None
    for start in range(0, 4 * (MOST_PARTS + 3), 4):
        kept = joined(kept, part(start, start + 1, much), MUCH)
    assert kept is not None
    found = held(kept.fields, kept.length)
    assert found is not None
    assert len(found.spans) == MOST_PARTS
    assert found.spans[0] == (4 * (MOST_PARTS + 2), 4 * (MOST_PARTS + 2) + 1)


def test_parts_are_nowhere_where_a_request_looks() -> None:
    key = DEFAULT_TEMPLATE.key(request())
    assert beside(key) != key
    assert (beside(key).host, beside(key).target) == (key.host, key.target)
    assert b"\0" in beside(key)[-1]


@given(st.lists(st.binary(max_size=40), max_size=3), st.integers(0, 50))
def test_nothing_in_a_content_range_raises(lines: list[bytes], length: int) -> None:
    found = held(Fields((b"Content-Range", line) for line in lines), length)
    assert found is None or sum(stop - start for start, stop in found.spans) == length


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)), min_size=1, max_size=6), st.integers(1, 12))
def test_whatever_is_put_together_every_byte_is_the_origins(ends: list[tuple[int, int]], most: int) -> None:
    kept: Entry | None = None
    for start, length in ends:
        stop = min(start + length, 10)
        kept = joined(kept if kept is None or kept.status == 206 else None, part(start, stop), most)
        assert kept is not None
        assert kept.length <= max(most, stop - start)
        if kept.status == 200:
            assert b"".join(kept.body) == TEN
            continue
        for at in range(10):
            assert got(f"bytes={at}-{at}", kept) in (None, TEN[at : at + 1])
        assert got(f"bytes={start}-{stop - 1}", kept) == TEN[start:stop]


def test_a_cut_says_where_in_the_body_it_begins() -> None:
    kept = joined(part(0, 2), part(5, 9), MUCH)
    assert kept is not None
    assert cut(request("Range: bytes=6-7"), kept.fields, kept.length) == (Part(6, 8), 1, 10)
    assert cut(request("Range: bytes=1-1"), kept.fields, kept.length) == (Part(1, 2), 5, 10)
