"""Parts of what is stored, and parts as the origin sends them (RFC 9110 §14, RFC 9111 §3.3, §3.4)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, asked, case, origin, told

__all__ = ["CASES"]

FRESH = "Cache-Control: max-age=3600"
WHOLE = "0123456789A"
MODIFIED = "Wed, 01 Jan 2020 00:00:00 GMT"


def part(name: str, wanted: str, body: str, content_range: str, *, optional: str = "") -> Case:
    """``Range: wanted`` of a stored whole."""
    return case(
        name,
        ask(),
        origin(200, FRESH, 'ETag: "1"', "A: 1", body=WHOLE),
        ask(f"Range: {wanted}"),
        told(
            206,
            f"Content-Range: {content_range}",
            f"Content-Length: {len(body)}",
            'ETag: "1"',
            "A: 1",
            "Age",
            body=body,
        ),
        optional=optional,
    )


def whole(name: str, *lines: str) -> Case:
    """A request that gets the whole though it asks for a part."""
    return case(
        name,
        ask(),
        origin(200, FRESH, 'ETag: "1"', "Last-Modified: {-3000}", "Date: {+0}", body=WHOLE),
        ask(*lines),
        told(200, "!Content-Range", body=WHOLE),
    )


def holds(name: str, condition: str) -> Case:
    """An If-Range that holds."""
    return case(
        name,
        ask(),
        origin(200, FRESH, 'ETag: "1"', f"Last-Modified: {MODIFIED}", "Date: {+0}", body=WHOLE),
        ask("Range: bytes=0-1", f"If-Range: {condition}"),
        told(206, body="01"),
    )


CASES = (
    part("a range with both ends", "bytes=0-1", "01", "bytes 0-1/11", optional="partial-store-complete-reuse-partial"),
    part(
        "a range without an end",
        "bytes=1-",
        WHOLE[1:],
        "bytes 1-10/11",
        optional="partial-store-complete-reuse-partial-no-last",
    ),
    part("the last byte", "bytes=-1", "A", "bytes 10-10/11", optional="partial-store-complete-reuse-partial-suffix"),
    part("a suffix longer than all there is", "bytes=-99", WHOLE, "bytes 0-10/11"),
    part("an end beyond the last byte", "bytes=9-99", "9A", "bytes 9-10/11"),
    part("a unit in capitals", "BYTES=0-1", "01", "bytes 0-1/11"),
    case(
        "a part has the fields of the whole",
        ask(),
        origin(200, FRESH, "A: 1", body=WHOLE),
        ask("Range: bytes=0-1"),
        told(206, "A: 1", body="01"),
        required="partial-use-headers partial-use-stored-headers",
    ),
    case(
        "several ranges are a multipart body",
        ask(),
        origin(200, FRESH, "Content-Type: text/plain", body=WHOLE),
        ask("Range: bytes=0-1, 4-5, -1"),
        told(206, "Content-Type: ~multipart/byteranges; boundary=\\S+", "!Content-Range", "Content-Length"),
    ),
    case(
        "a range beyond the end is a 416 that says how long it is",
        ask(),
        origin(200, FRESH, body=WHOLE),
        ask("Range: bytes=11-"),
        told(416, "Content-Range: bytes */11"),
    ),
    case(
        "a suffix of nothing is a 416",
        ask(),
        origin(200, FRESH, body=WHOLE),
        ask("Range: bytes=-0"),
        told(416, "Content-Range: bytes */11"),
    ),
    whole("another unit is ignored", "Range: lines=0-1"),
    whole("a malformed range is ignored", "Range: bytes=a-b"),
    whole("a range that ends before it begins is ignored", "Range: bytes=5-1"),
    whole("more than sixteen ranges are ignored", "Range: bytes=" + ",".join(["0-0"] * 17)),
    whole("ranges that overlap are ignored", "Range: bytes=0-5,3-8"),
    whole("If-Range with another tag", "Range: bytes=0-1", 'If-Range: "2"'),
    whole("If-Range with a weak tag", "Range: bytes=0-1", 'If-Range: W/"1"'),
    whole("If-Range with another date", "Range: bytes=0-1", "If-Range: {-2000}"),
    holds("If-Range with the same tag", '"1"'),
    holds("If-Range with the same date", MODIFIED),
    case(
        "a condition that holds beats a range",
        ask(),
        origin(200, FRESH, 'ETag: "1"', body=WHOLE),
        ask("Range: bytes=0-1", 'If-None-Match: "1"'),
        told(304, body=""),
    ),
    case(
        "a range of an error is ignored",
        ask(),
        origin(404, FRESH, body=WHOLE),
        ask("Range: bytes=0-1"),
        told(404, body=WHOLE),
    ),
    case(
        "a range on HEAD is ignored",
        ask(),
        origin(200, FRESH, body=WHOLE),
        ask("HEAD", "Range: bytes=0-1"),
        told(200, "Content-Length: 11", body=""),
    ),
    case(
        "a range on a cold key fetches the whole once",
        ask("Range: bytes=0-1"),
        asked("!Range"),
        origin(200, FRESH, body=WHOLE),
        told(206, "Content-Range: bytes 0-1/11", body="01"),
        ask(),
        told(200, body=WHOLE),
        ask("Range: bytes=-1"),
        told(206, body="A"),
    ),
    case(
        "a range of a stale entry is a part of what the origin sends now",
        ask(),
        origin(200, "Cache-Control: max-age=10", "Age: 11", body=WHOLE),
        ask("Range: bytes=0-1"),
        asked("!Range"),
        origin(200, FRESH, body="abcdefghijk"),
        told(206, body="ab"),
    ),
    case(
        "a range of an answer that is for one client only is a part of it too",
        ask("Range: bytes=0-1"),
        origin(200, "Cache-Control: private", body=WHOLE),
        told(206, body="01"),
    ),
    case(
        "a range of an answer of unknown length is answered with the whole",
        ask("Range: bytes=0-1"),
        origin(200, FRESH, body=WHOLE, chunked=True),
        told(200, body=WHOLE),
        ask("Range: bytes=0-1"),
        told(206, "Content-Range: bytes 0-1/11", body="01"),
    ),
    case(
        "a 206 never answers for the whole",
        ask("Range: bytes=0-4"),
        origin(206, FRESH, "Content-Range: bytes 0-4/11", body="01234"),
        told(206),
        ask(),
        asked("!Range"),
        origin(200, FRESH, body=WHOLE),
        told(200, body=WHOLE),
    ),
)
