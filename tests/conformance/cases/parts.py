"""Parts kept without their whole (RFC 9110 §14.4, §15.3.7, RFC 9111 §3.3, §3.4)."""

from __future__ import annotations

from tests.conformance.transcript import Case, Step, ask, asked, case, origin, pause, told

__all__ = ["CASES"]

FRESH = "Cache-Control: max-age=3600"
TEN = "0123456789"
TAG = 'ETag: "1"'
BY_PART = "/by-part"
LONG = "/long"


def sent(start: int, stop: int, *lines: str, whole: str = TEN) -> Step:
    """The origin sends that part of ``whole``, fresh."""
    numbers = f"Content-Range: bytes {start}-{stop - 1}/{len(whole)}"
    return origin(206, FRESH, numbers, *lines, body=whole[start:stop])


def got(start: int, stop: int, *lines: str, whole: str = TEN) -> Step:
    """The client is told that part of ``whole``."""
    body = whole[start:stop]
    numbers = f"Content-Range: bytes {start}-{stop - 1}/{len(whole)}"
    return told(206, numbers, f"Content-Length: {len(body)}", *lines, body=body)


def within(name: str, wanted: str, start: int, stop: int, *, optional: str = "") -> Case:
    """``Range: wanted`` is answered from the last five bytes of ten, which the origin sent unasked."""
    return case(
        name,
        ask("Range: bytes=-5"),
        asked("!Range"),
        sent(5, 10, "A: 1"),
        got(5, 10, "A: 1"),
        ask(f"Range: {wanted}"),
        got(start, stop, "A: 1", "Age"),
        optional=optional,
    )


def never(name: str, *lines: str, body: str = "01234", status: int = 206, chunked: bool = False) -> tuple[Case, ...]:
    """What the origin answers so to a range answers nobody else, by default and under a route for parts."""
    return tuple(
        case(
            f"{name}, {under or 'by default'}",
            ask("Range: bytes=-5"),
            origin(status, *lines, body=body, chunked=chunked),
            told(status),
            ask("Range: bytes=-5"),
            sent(5, 10),
            got(5, 10),
            under=under,
        )
        for under in ("", BY_PART)
    )


def apart(name: str, first: tuple[str, ...], second: tuple[str, ...], whole: str = TEN) -> Case:
    """Two parts that touch and are not put together: neither a range across them nor the whole is answered."""
    return case(
        f"{name} are not put together",
        ask("Range: bytes=0-4"),
        sent(0, 5, *first),
        ask("Range: bytes=5-9"),
        sent(5, 10, *second, whole=whole),
        got(5, 10, whole=whole),
        ask("Range: bytes=4-5"),
        asked("Range: bytes=4-5"),
        sent(4, 6, whole="abcdefghij"),
        got(4, 6, whole="abcdefghij"),
        ask(),
        asked("!Range"),
        origin(200, FRESH, body="another one"),
        told(200, body="another one"),
        under=BY_PART,
    )


CASES = (
    case(
        "a part is asked for and answers whoever asks for it",
        ask("Range: bytes=-5"),
        asked("Range: bytes=-5", "!If-Range"),
        sent(5, 10, "A: 1"),
        got(5, 10, "A: 1"),
        ask("Range: bytes=-5"),
        got(5, 10, "A: 1", "Age"),
        optional="partial-store-partial-reuse-partial",
        under=BY_PART,
    ),
    within("a range within a part", "bytes=6-8", 6, 9, optional="partial-store-partial-reuse-partial-byterange"),
    within(
        "a range without end within a part", "bytes=6-", 6, 10, optional="partial-store-partial-reuse-partial-absent"
    ),
    within("a suffix within a part", "bytes=-1", 9, 10, optional="partial-store-partial-reuse-partial-suffix"),
    *never("six bytes announced and five sent", FRESH, "Content-Range: bytes 4-9/10"),
    *never("a part that ends before it begins", FRESH, "Content-Range: bytes 9-5/10"),
    *never("a part that ends past the end", FRESH, "Content-Range: bytes 6-10/10"),
    *never("a part of nobody knows how much", FRESH, "Content-Range: bytes 5-9/*"),
    *never("a part in another unit", FRESH, "Content-Range: lines 5-9/10"),
    *never("a 206 that does not say which part it is", FRESH),
    *never("a part whose length is not announced", FRESH, "Content-Range: bytes 5-9/10", body="56789", chunked=True),
    *never("a part that is private", "Cache-Control: private, max-age=60", "Content-Range: bytes 5-9/10", body="56789"),
    *never("a part that is not to be stored", "Cache-Control: no-store", "Content-Range: bytes 5-9/10", body="56789"),
    *never("a part that is stale already", "Cache-Control: max-age=9", "Age: 10", "Content-Range: bytes 5-9/10"),
    *never("a part with a Set-Cookie", FRESH, "Set-Cookie: a=b", "Content-Range: bytes 5-9/10", body="56789"),
    *never("several parts in one body", FRESH, "Content-Type: multipart/byteranges; boundary=x", body="--x--"),
    *never("a range that cannot be satisfied", FRESH, "Content-Range: bytes */4", status=416, body=""),
    case(
        "a part that was sent unasked is nobody's who asked for another one",
        ask("Range: bytes=0-4"),
        asked("!Range"),
        sent(5, 10),
        sent(0, 5),
        got(0, 5),
    ),
    case(
        "a part never answers for the whole",
        ask("Range: bytes=0-4"),
        asked("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask(),
        asked("!Range"),
        origin(200, FRESH, TAG, body=TEN),
        told(200, body=TEN),
        ask("Range: bytes=8-"),
        got(8, 10),
        under=BY_PART,
    ),
    case(
        "a part never answers a HEAD",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("HEAD", "Range: bytes=0-4"),
        origin(200, FRESH, TAG, body=TEN),
        told(200, "Content-Length: 10", body=""),
        under=BY_PART,
    ),
    case(
        "parts with one strong tag are put together, and are the whole once nothing is missing",
        ask("Range: bytes=6-9"),
        sent(6, 10, TAG),
        ask("Range: bytes=0-2"),
        sent(0, 3, TAG),
        ask("Range: bytes=7-8"),
        got(7, 9, TAG),
        ask("Range: bytes=2-6"),
        asked("Range: bytes=2-6"),
        sent(2, 7, TAG, "A: 3"),
        got(2, 7, TAG),
        ask(),
        told(200, "Content-Length: 10", "!Content-Range", TAG, "A: 3", "Age", body=TEN),
        ask("Range: bytes=1-8"),
        got(1, 9, TAG),
        under=BY_PART,
    ),
    case(
        "a part that is all there is is the whole",
        ask("Range: bytes=0-"),
        sent(0, 10),
        ask(),
        told(200, "Content-Length: 10", "!Content-Range", body=TEN),
        under=BY_PART,
    ),
    apart("parts without a validator", (), ()),
    apart("parts with the same date", ("Last-Modified: {-900}",), ("Last-Modified: {-900}",)),
    apart("parts with a weak tag", ('ETag: W/"1"',), ('ETag: W/"1"',)),
    apart("parts of which one has a tag", (TAG,), ()),
    apart("parts with other tags", (TAG,), ('ETag: "2"',)),
    case(
        "parts of different lengths are not put together",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("Range: bytes=5-9"),
        sent(5, 10, TAG, whole=TEN + "A"),
        ask("Range: bytes=0-1"),
        sent(0, 2, TAG, whole=TEN + "A"),
        got(0, 2, whole=TEN + "A"),
        under=BY_PART,
    ),
    case(
        "If-Range with the tag of the part",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("Range: bytes=1-2", 'If-Range: "1"'),
        got(1, 3),
        under=BY_PART,
    ),
    case(
        "If-Range with another tag is the origin's to answer",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("Range: bytes=1-2", 'If-Range: "2"'),
        asked("Range: bytes=1-2", 'If-Range: "2"'),
        origin(200, FRESH, TAG, body=TEN),
        told(200, body=TEN),
        ask("Range: bytes=8-9"),
        got(8, 10),
        under=BY_PART,
    ),
    case(
        "a condition on the tag of a part",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("Range: bytes=1-2", 'If-None-Match: "1"'),
        told(304, body=""),
        under=BY_PART,
    ),
    case(
        "a request that wants nothing stored gets no stored part",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("Range: bytes=1-2", "Cache-Control: no-cache"),
        asked("Range: bytes=1-2", "!If-None-Match"),
        sent(1, 3, TAG, whole="abcdefghij"),
        got(1, 3, whole="abcdefghij"),
        under=BY_PART,
    ),
    case(
        "only-if-cached takes a stored part, and nothing else",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("Range: bytes=1-2", "Cache-Control: only-if-cached"),
        got(1, 3),
        ask("Range: bytes=1-7", "Cache-Control: only-if-cached"),
        told(504),
        under=BY_PART,
    ),
    case(  # as Express sends its static files
        "a part that nobody can be given later is not stored",
        ask("Range: bytes=0-4"),
        origin(
            206,
            "Cache-Control: public, max-age=0",
            "Content-Range: bytes 0-4/10",
            'ETag: W/"a-19b76daa800"',
            "Last-Modified: {-9000}",
            body=TEN[:5],
        ),
        got(0, 5, "Cache-Status: txstalecache; fwd=uri-miss; fwd-status=206; detail=ttl-0"),
        under=BY_PART,
    ),
    case(
        "a part is kept for as long as it is fresh",
        ask("Range: bytes=0-4"),
        origin(
            206, "Cache-Control: max-age=1, stale-while-revalidate=60", "Content-Range: bytes 0-4/10", TAG, body="01234"
        ),
        pause(1.2),
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG, whole="abcdefghij"),
        got(0, 5, whole="abcdefghij"),
        under=BY_PART,
    ),
    case(
        "a success that changes something ends the parts too",
        ask("Range: bytes=0-4"),
        sent(0, 5, TAG),
        ask("POST"),
        origin(204),
        ask("Range: bytes=0-4"),
        sent(0, 5, 'ETag: "2"', whole="abcdefghij"),
        got(0, 5, whole="abcdefghij"),
        under=BY_PART,
    ),
    case(
        "parts vary as wholes do",
        ask("Range: bytes=0-4", "Foo: 1"),
        sent(0, 5, TAG, "Vary: Foo"),
        ask("Range: bytes=0-4", "Foo: 2"),
        sent(0, 5, 'ETag: "2"', "Vary: Foo", whole="abcdefghij"),
        got(0, 5, whole="abcdefghij"),
        ask("Range: bytes=0-4", "Foo: 1"),
        got(0, 5),
        ask("Range: bytes=0-4", "Foo: 2"),
        got(0, 5, whole="abcdefghij"),
        under=BY_PART,
    ),
    case(
        "an origin that sends the whole instead has it stored",
        ask("Range: bytes=0-4"),
        asked("Range: bytes=0-4"),
        origin(200, FRESH, body=TEN),
        got(0, 5),
        ask(),
        told(200, body=TEN),
        under=BY_PART,
    ),
    case(
        "a range that cannot be satisfied says nothing about the whole",
        ask("Range: bytes=20-29"),
        asked("Range: bytes=20-29"),
        origin(416, "Content-Range: bytes */10", body=""),
        told(416, "Content-Range: bytes */10"),
        ask(),
        origin(200, FRESH, body=TEN),
        told(200, "Cache-Status: ~.*; fwd=uri-miss; .*stored.*", body=TEN),
        under=BY_PART,
    ),
    case(
        "several ranges of what is not stored fetch the whole",
        ask("Range: bytes=0-1,3-4"),
        asked("!Range"),
        origin(200, FRESH, body=TEN),
        told(206, "Content-Type: ~multipart/byteranges; boundary=\\S+"),
        under=BY_PART,
    ),
    case(
        "a part of what is too long to be stored is fetched as such, at once the next time",
        ask("Range: bytes=5-6"),
        asked("!Range"),
        origin(200, FRESH, TAG, body=TEN + "A"),
        sent(5, 7, TAG, whole=TEN + "A"),
        got(5, 7, whole=TEN + "A"),
        ask("Range: bytes=8-9"),
        asked("Range: bytes=8-9"),
        sent(8, 10, TAG, whole=TEN + "A"),
        got(8, 10, whole=TEN + "A"),
        ask("Range: bytes=5-6"),
        got(5, 7, "Age", whole=TEN + "A"),
        under=LONG,
    ),
    case(
        "what is too long to be stored is sent as it comes to who wants its beginning, and to who wants it all",
        ask("Range: bytes=0-1"),
        asked("!Range"),
        origin(200, FRESH, body=TEN + "A"),
        got(0, 2, whole=TEN + "A"),
        ask(),
        asked("!Range"),
        origin(200, FRESH, body=TEN + "A"),
        told(200, body=TEN + "A"),
        under=LONG,
    ),
)
