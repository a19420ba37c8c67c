"""A client's own conditions, answered from what is stored (RFC 9110 §13, RFC 9111 §4.3.2)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, asked, case, origin, told

__all__ = ["CASES"]

FRESH = "Cache-Control: max-age=3600"


def has(
    name: str,
    stored: tuple[str, ...],
    *asking: str,
    yes: bool = True,
    required: str = "",
    optional: str = "",
) -> Case:
    """Whether a client that asks so is told that it has what is stored."""
    outcome = told(304, body="") if yes else told(200, body=1)
    return case(
        name, ask(), origin(200, FRESH, *stored), told(200), ask(*asking), outcome, required=required, optional=optional
    )


TAG = ('ETag: "abcdef"',)
MODIFIED = ("Last-Modified: {-3000}", "Date: {+0}")

CASES = (
    has("the same strong tag", TAG, 'If-None-Match: "abcdef"', optional="conditional-etag-strong-respond"),
    has(
        "the same weak tag",
        ('ETag: W/"abcdef"',),
        'If-None-Match: W/"abcdef"',
        optional="conditional-etag-weak-respond",
    ),
    has("a weak tag of what is stored as strong", TAG, 'If-None-Match: W/"abcdef"'),
    has("a strong tag of what is stored as weak", ('ETag: W/"abcdef"',), 'If-None-Match: "abcdef"'),
    has("another tag", TAG, 'If-None-Match: "other"', yes=False),
    has(
        "the first of several tags",
        TAG,
        'If-None-Match: "abcdef", "1234", "5678"',
        optional="conditional-etag-strong-respond-multiple-first",
    ),
    has(
        "the second of several tags",
        TAG,
        'If-None-Match: "1234", "abcdef", "5678"',
        optional="conditional-etag-strong-respond-multiple-second",
    ),
    has(
        "the last of several tags",
        TAG,
        'If-None-Match: "1234", "5678", "abcdef"',
        optional="conditional-etag-strong-respond-multiple-last",
    ),
    has("a tag on a second line", TAG, 'If-None-Match: "1234"', 'If-None-Match: "abcdef"'),
    has("a tag with a comma in it", ('ETag: "abc,def"',), 'If-None-Match: "1", "abc,def"'),
    has("a part of a tag with a comma in it", ('ETag: "abc,def"',), 'If-None-Match: "def"', yes=False),
    has("a tag with bytes above ASCII", ('ETag: "abcdef\xfc"',), 'If-None-Match: "abcdef\xfc"'),
    has("any tag", TAG, "If-None-Match: *"),
    has("any tag, of what has none", (), "If-None-Match: *"),
    has("a tag, of what has none", (), 'If-None-Match: "abcdef"', yes=False),
    has(
        "a matching tag beats a date that does not match",
        (*TAG, "Last-Modified: {-5000}"),
        'If-None-Match: "abcdef"',
        "If-Modified-Since: {-9000}",
        required="conditional-etag-precedence",
    ),
    has(
        "a tag that does not match beats a date that does",
        (*TAG, "Last-Modified: {-5000}"),
        'If-None-Match: "other"',
        "If-Modified-Since: {-1}",
        yes=False,
    ),
    has("the same date", MODIFIED, "If-Modified-Since: {-3000}", optional="conditional-lm-fresh"),
    has("a later date", MODIFIED, "If-Modified-Since: {-2000}", optional="conditional-lm-fresh-earlier"),
    has("an earlier date", MODIFIED, "If-Modified-Since: {-4000}", yes=False),
    has(
        "the same date in RFC 850's form",
        MODIFIED,
        "If-Modified-Since: {rfc850 -3000}",
        optional="conditional-lm-fresh-rfc850",
    ),
    has("the same date in asctime's form", MODIFIED, "If-Modified-Since: {asctime -3000}"),
    has(
        "a date later than the Date of what has no Last-Modified",
        ("Date: {-10}",),
        "If-Modified-Since: {-5}",
    ),
    has(
        "a date earlier than the Date of what has no Last-Modified",
        ("Date: {-10}",),
        "If-Modified-Since: {-3000}",
        yes=False,
    ),
    has("what is no date", MODIFIED, "If-Modified-Since: yesterday", yes=False),
    case(
        "a 304 carries what a cache needs and nothing that describes the body",
        ask(),
        origin(
            200,
            FRESH,
            *TAG,
            "Date: {-5}",
            "Vary: Accept",
            "Expires: {+60}",
            "Content-Location: {path}/en",
            "Content-Type: text/plain",
            "Content-Language: en",
        ),
        ask('If-None-Match: "abcdef"'),
        told(
            304,
            'ETag: "abcdef"',
            "Date: {-5}",
            "Vary: Accept",
            FRESH,
            "Expires: {+60}",
            "Content-Location: {path}/en",
            "Age >= 5",
            "!Content-Type",
            "!Content-Language",
            "!Content-Length",
        ),
        required="conditional-304-etag",
    ),
    case(
        "a client's conditions stay here when the whole is fetched for everybody",
        ask('If-None-Match: "1"', "If-Modified-Since: {-60}"),
        asked("!If-None-Match", "!If-Modified-Since"),
        origin(200, FRESH, 'ETag: "1"'),
        told(304, 'ETag: "1"', body=""),
        ask(),
        told(200, body=1),
    ),
    case(
        "conditions that do not hold bring the whole on a cold key",
        ask('If-None-Match: "0"'),
        origin(200, FRESH, 'ETag: "1"'),
        told(200, body=1),
    ),
    case(
        "conditions on HEAD are answered alike",
        ask(),
        origin(200, FRESH, *TAG),
        ask("HEAD", 'If-None-Match: "abcdef"'),
        told(304, body=""),
    ),
    case(
        "conditions do not turn an error into a 304",
        ask(),
        origin(404, FRESH, *TAG),
        ask('If-None-Match: "abcdef"'),
        told(404, body=1),
    ),
    case(
        "If-Match is the origin's to judge",
        ask(),
        origin(200, FRESH, *TAG),
        ask('If-Match: "other"'),
        asked('If-Match: "other"'),
        origin(412),
        told(412),
    ),
    case(
        "If-Unmodified-Since is the origin's to judge",
        ask(),
        origin(200, FRESH, *MODIFIED),
        ask("If-Unmodified-Since: {-9000}"),
        asked("If-Unmodified-Since: {-9000}"),
        origin(412),
        told(412),
    ),
    case(
        "the conditions of a request that goes alone go with it, and its answer is passed on",
        ask("POST", 'If-Match: "1"', body=b"x"),
        asked('If-Match: "1"', body=b"x"),
        origin(412),
        told(412),
    ),
)
