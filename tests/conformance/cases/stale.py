"""When a stale answer may be sent (RFC 9111 §4.2.4, RFC 5861)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, asked, case, fails, origin, pause, told

__all__ = ["CASES"]


def on_error(name: str, *lines: str, status: int = 503, served: bool = True, asking: tuple[str, ...] = ()) -> Case:
    """Whether an answer with ``lines`` stands in for ``status``."""
    outcome = told(200, "Age", body=1) if served else told(status, body=2)
    return case(name, ask(), origin(200, *lines), ask(*asking), origin(status), outcome)


def unreachable(name: str, *lines: str, served: bool, required: str = "") -> Case:
    """Whether an answer with ``lines`` stands in for an origin that does not answer."""
    outcome = told(200, "Age", body=1) if served else told(502)
    return case(name, ask(), origin(200, *lines), ask(), fails(), outcome, required=required)


STALE = "Age: 11"

CASES = (
    case(
        "stale-while-revalidate answers at once and asks behind the client's back",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=3600", STALE, 'ETag: "1"'),
        ask(),
        told(200, "Age >= 11", "Cache-Status: ~txstalecache; hit; ttl=-\\d+; detail=swr", body=1),
        asked('If-None-Match: "1"'),
        origin(200, "Cache-Control: max-age=3600", 'ETag: "2"'),
        ask(),
        told(200, 'ETag: "2"', body=2),
        optional="stale-while-revalidate",
    ),
    case(
        "a refresh that is answered 304 makes the entry fresh",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=3600", STALE, 'ETag: "1"'),
        ask(),
        told(200, body=1),
        origin(304, "Cache-Control: max-age=3600", 'ETag: "1"'),
        ask(),
        told(200, "Cache-Control: max-age=3600", "Age: ~[0-5]", body=1),
    ),
    case(
        "a refresh that fails leaves the entry, and stale goes on being served",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=3600", STALE),
        ask(),
        told(200, body=1),
        origin(503),
        ask(),
        told(200, body=1),
    ),
    case(
        "past its window stale-while-revalidate goes to the origin first",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=5", "Age: 20", 'ETag: "1"'),
        ask(),
        origin(200),
        told(200, body=2),
        required="stale-while-revalidate-window",
    ),
    case(
        "a window that ends while stored goes to the origin first",
        ask(),
        origin(200, "Cache-Control: max-age=1, stale-while-revalidate=1", 'ETag: "1"', "Age: 1"),
        ask(),
        told(200, body=1),
        origin(200, "Cache-Control: max-age=1, stale-while-revalidate=1", 'ETag: "2"', "Age: 1"),
        pause(1.1),
        ask(),
        origin(200),
        told(200, body=3),
    ),
    case(
        "the request of a refresh says nothing about the client",
        ask("Cookie: a=b", "Range: bytes=0-1", 'If-None-Match: "other"'),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=3600, public", STALE, 'ETag: "1"'),
        ask("Cookie: a=b", 'If-None-Match: "other"'),
        told(200, body=1),
        asked("!Cookie", "!Range", 'If-None-Match: "1"'),
        origin(304, 'ETag: "1"'),
    ),
    *(
        case(
            f"stale-while-revalidate beside {forbidding} answers nothing stale",
            ask(),
            origin(200, f"Cache-Control: max-age=10, {forbidding}, stale-while-revalidate=3600", STALE),
            ask(),
            origin(200),
            told(200, body=2),
        )
        for forbidding in ("must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache")
    ),
    case(
        "without any permission a stale answer is not sent while the origin answers",
        ask(),
        origin(200, "Cache-Control: max-age=10", STALE),
        ask(),
        origin(200),
        told(200, body=2),
    ),
    *(
        on_error(
            f"stale-if-error stands in for {status}",
            "Cache-Control: max-age=10, stale-if-error=60",
            STALE,
            status=status,
        )
        for status in (500, 502, 503, 504)
    ),
    *(
        on_error(
            f"stale-if-error does not stand in for {status}",
            "Cache-Control: max-age=10, stale-if-error=60",
            STALE,
            status=status,
            served=False,
        )
        for status in (404, 403, 501)
    ),
    on_error(
        "past its window stale-if-error does not stand in",
        "Cache-Control: max-age=10, stale-if-error=5",
        "Age: 20",
        'ETag: "1"',
        served=False,
    ),
    on_error("without stale-if-error an error is passed on", "Cache-Control: max-age=10", STALE, served=False),
    on_error(
        "stale-while-revalidate past its lifetime is not stale-if-error",
        "Cache-Control: max-age=10, stale-while-revalidate=2",
        "Age: 20",
        served=False,
    ),
    on_error(
        "a request's stale-if-error stands in",
        "Cache-Control: max-age=10",
        STALE,
        asking=("Cache-Control: stale-if-error=60",),
    ),
    on_error(
        "a request's stale-if-error has an end",
        "Cache-Control: max-age=10",
        "Age: 100",
        asking=("Cache-Control: stale-if-error=60",),
        served=False,
    ),
    on_error(
        "a request's stale-if-error does not beat must-revalidate",
        "Cache-Control: max-age=10, must-revalidate",
        STALE,
        'ETag: "1"',
        asking=("Cache-Control: stale-if-error=60",),
        served=False,
    ),
    on_error(
        "stale-if-error does not beat must-revalidate",
        "Cache-Control: max-age=10, must-revalidate, stale-if-error=60",
        STALE,
        'ETag: "1"',
        served=False,
    ),
    case(
        "an error does not replace what stands in for it",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-if-error=60", STALE),
        ask(),
        origin(503, "Cache-Control: max-age=3600"),
        told(200, body=1),
        ask(),
        told(200, body=1),  # and the origin is left in peace for a while
    ),
    unreachable(
        "stale-if-error stands in for an origin that does not answer",
        "Cache-Control: max-age=10, stale-if-error=60",
        STALE,
        served=True,
    ),
    unreachable(
        "an origin that does not answer is stood in for by default", "Cache-Control: max-age=10", STALE, served=True
    ),
    unreachable(
        "must-revalidate forbids it",
        "Cache-Control: max-age=10, must-revalidate",
        STALE,
        served=False,
        required="stale-close-must-revalidate",
    ),
    unreachable(
        "proxy-revalidate forbids it",
        "Cache-Control: max-age=10, proxy-revalidate",
        STALE,
        served=False,
        required="stale-close-proxy-revalidate",
    ),
    unreachable(
        "no-cache forbids it",
        "Cache-Control: max-age=10, no-cache",
        STALE,
        'ETag: "1"',
        served=False,
        required="stale-close-no-cache",
    ),
    unreachable(
        "s-maxage forbids it",
        "Cache-Control: max-age=10, s-maxage=10",
        STALE,
        'ETag: "1"',
        served=False,
        required="stale-close-s-maxage=2",
    ),
    case("an origin that never answered is a 502", ask(), fails(), told(502)),
    case(
        "an entry that can be validated outlives its lifetime",
        ask(),
        origin(200, "Cache-Control: max-age=10, must-revalidate", 'ETag: "1"'),
        ask(),
        told(200, body=1),
        optional="cc-resp-must-revalidate-fresh",
    ),
    case(
        "must-revalidate is validated when stale",
        ask(),
        origin(200, "Cache-Control: max-age=10, must-revalidate", STALE, 'ETag: "1"'),
        ask(),
        asked('If-None-Match: "1"'),
        origin(304, "Cache-Control: max-age=10, must-revalidate", 'ETag: "1"'),
        told(200, body=1),
        ask(),
        told(200, body=1),
        required="cc-resp-must-revalidate-stale",
    ),
)
