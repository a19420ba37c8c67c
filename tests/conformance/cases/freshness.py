"""How long an answer is fresh (RFC 9111 §4.2)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, asked, case, origin, pause, told

__all__ = ["CASES"]


def fresh(name: str, *lines: str, required: str = "", optional: str = "", age: int = 0) -> Case:
    """An answer with ``lines`` is used again."""
    return case(
        name,
        ask(),
        origin(200, *lines),
        told(200),
        ask(),
        told(200, f"Age >= {age}", body=1),
        required=required,
        optional=optional,
    )


def gone(name: str, *lines: str, required: str = "", optional: str = "") -> Case:
    """An answer with ``lines`` is not used again."""
    return case(
        name,
        ask(),
        origin(200, *lines),
        told(200),
        ask(),
        origin(200),
        told(200, body=2),
        required=required,
        optional=optional,
    )


CASES = (
    gone("without lifetime or validator nothing is used again"),
    fresh("max-age makes an answer fresh", "Cache-Control: max-age=3600", optional="freshness-max-age"),
    case(
        "when max-age has passed the origin is asked",
        ask(),
        origin(200, "Cache-Control: max-age=1"),
        ask(),
        told(200, body=1),
        pause(1.1),
        ask(),
        origin(200),
        told(200, body=2),
        required="freshness-max-age-stale",
    ),
    gone("max-age=0 is stale at once", "Cache-Control: max-age=0", required="freshness-max-age-0"),
    gone(
        "max-age=0 beats a future Expires",
        "Cache-Control: max-age=0",
        "Expires: {+3600}",
        "Date: {+0}",
        required="freshness-max-age-0-expires",
    ),
    gone("a negative max-age is stale", "Cache-Control: max-age=-3600", required="freshness-max-age-negative"),
    fresh("max-age just below 2^31", "Cache-Control: max-age=2147483647", optional="freshness-max-age-max-minus-1"),
    fresh("max-age of 2^31", "Cache-Control: max-age=2147483648", optional="freshness-max-age-max"),
    fresh("max-age above 2^31", "Cache-Control: max-age=2147483649", optional="freshness-max-age-max-plus-1"),
    fresh("max-age far beyond 32 bits", "Cache-Control: max-age=99999999999", optional="freshness-max-age-max-plus"),
    fresh("max-age beyond 64 bits", "Cache-Control: max-age=99999999999999999999999999"),
    fresh(
        "max-age beats a past Expires",
        "Cache-Control: max-age=3600",
        "Expires: {-7200}",
        "Date: {+0}",
        optional="freshness-max-age-expires",
    ),
    fresh(
        "max-age beats an invalid Expires",
        "Cache-Control: max-age=3600",
        "Expires: 0",
        "Date: {+0}",
        optional="freshness-max-age-expires-invalid",
    ),
    fresh(
        "an unknown directive beside max-age changes nothing",
        "Cache-Control: foobar, max-age=3600",
        optional="freshness-max-age-extension",
    ),
    fresh("s-maxage makes an answer fresh", "Cache-Control: s-maxage=3600", optional="freshness-s-maxage-shared"),
    gone(
        "s-maxage beats a longer max-age",
        "Cache-Control: max-age=3600, s-maxage=1",
        "Age: 2",
        required="freshness-max-age-s-maxage-shared-longer",
    ),
    gone(
        "s-maxage beats a longer max-age that comes after it",
        "Cache-Control: s-maxage=1, max-age=3600",
        "Age: 2",
        required="freshness-max-age-s-maxage-shared-longer-reversed",
    ),
    gone(
        "s-maxage beats a longer max-age on another line",
        "Cache-Control: max-age=3600",
        "Cache-Control: s-maxage=1",
        "Age: 2",
        required="freshness-max-age-s-maxage-shared-longer-multiple",
    ),
    fresh(
        "s-maxage beats a shorter max-age",
        "Cache-Control: max-age=1, s-maxage=3600",
        "Age: 2",
        age=2,
        optional="freshness-max-age-s-maxage-shared-shorter",
    ),
    fresh(
        "s-maxage beats max-age=0 and a past Expires",
        "Cache-Control: max-age=0, s-maxage=3600",
        "Expires: {-10}",
        optional="freshness-max-age-s-maxage-shared-shorter-expires",
    ),
    gone(
        "an Age above max-age is stale",
        "Date: {+0}",
        "Cache-Control: max-age=3600",
        "Age: 7200",
        required="freshness-max-age-age",
    ),
    gone("a Date longer ago than max-age is stale", "Date: {-7200}", "Cache-Control: max-age=3600"),
    fresh("a Date in the future does not make an age negative", "Date: {+7200}", "Cache-Control: max-age=3600"),
    case(
        "the time the origin took to answer counts as age",
        ask(),
        origin(200, "Cache-Control: max-age=1", "Age: 1", seconds=0.3),
        ask(),
        origin(200),
        told(200, body=2),
    ),
    fresh(
        "a future Expires makes an answer fresh", "Expires: {+3600}", "Date: {+0}", optional="freshness-expires-future"
    ),
    gone("a past Expires is stale", "Expires: {-3600}", "Date: {+0}", required="freshness-expires-past"),
    gone("an Expires of now is stale", "Expires: {+0}", "Date: {+0}", required="freshness-expires-present"),
    gone(
        "an Expires before a Date is stale though both lie ahead",
        "Expires: {+300}",
        "Date: {+400}",
        required="freshness-expires-old-date",
    ),
    fresh(
        "Expires counts from now when Date is no date",
        "Date: foo",
        "Expires: {+3600}",
        optional="freshness-expires-invalid-date",
    ),
    fresh("Expires counts from now when there is no Date", "Expires: {+3600}"),
    gone(
        "an Age above Expires - Date is stale, Date being slow",
        "Date: {-10}",
        "Expires: {+10}",
        "Age: 25",
        required="freshness-expires-age-slow-date",
    ),
    gone(
        "an Age above Expires - Date is stale, Date being fast",
        "Date: {+10}",
        "Expires: {+20}",
        "Age: 15",
        required="freshness-expires-age-fast-date",
    ),
    *(
        fresh(
            f"Last-Modified {ago} s ago makes an answer fresh for a tenth of that",
            f"Last-Modified: {{-{ago}}}",
            "Date: {+0}",
        )
        for ago in (600, 3600, 12 * 3600, 24 * 3600)
    ),
    case(
        "a heuristic lifetime ends",
        ask(),
        origin(200, "Last-Modified: {-300}", "Date: {-31}"),
        ask(),
        asked("If-Modified-Since"),
        origin(200),
        told(200, body=2),
    ),
    fresh(
        "a heuristic lifetime is for attachments too",
        "Last-Modified: {-100000}",
        "Date: {+0}",
        "Content-Disposition: attachment; filename=example.txt",
    ),
    gone("Last-Modified in the future gives no lifetime", "Last-Modified: {+3600}", "Date: {+0}"),
    case(
        "an answer with a validator and no lifetime is validated each time",
        ask(),
        origin(200, 'ETag: "1"'),
        ask(),
        asked('If-None-Match: "1"'),
        origin(304, 'ETag: "1"'),
        told(200, body=1),
        ask(),
        asked('If-None-Match: "1"'),
        origin(304, 'ETag: "1"'),
        told(200, body=1),
    ),
)
