"""What a request may ask of a cache (RFC 9111 §5.2.1, RFC 8246)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, asked, case, fails, origin, told

__all__ = ["CASES"]


def wish(name: str, stored: tuple[str, ...], *asking: str, served: bool) -> Case:
    """Whether a request that asks so is answered from what is stored."""
    after = (told(200, body=1),) if served else (origin(200), told(200, body=2))
    return case(name, ask(), origin(200, *stored), told(200), ask(*asking), *after)


FRESH = ("Cache-Control: max-age=3600",)
AGED = ("Cache-Control: max-age=3600", "Age: 1800")
STALE = ("Cache-Control: max-age=1500", "Age: 1700")

CASES = (
    wish("max-age=0 of what is fresh", FRESH, "Cache-Control: max-age=0", served=False),
    wish("max-age of what is younger", FRESH, "Cache-Control: max-age=600", served=True),
    wish("max-age of what is older", AGED, "Cache-Control: max-age=600", served=False),
    wish("max-age that is no number", AGED, "Cache-Control: max-age=x", served=True),
    wish(
        "max-age=0 of what is immutable",
        ("Cache-Control: max-age=3600, immutable",),
        "Cache-Control: max-age=0",
        served=True,
    ),
    wish(
        "no-cache of what is immutable",
        ("Cache-Control: max-age=3600, immutable",),
        "Cache-Control: no-cache",
        served=False,
    ),
    wish(
        "max-age=0 of what was immutable and is stale",
        ("Cache-Control: max-age=10, immutable", "Age: 11"),
        "Cache-Control: max-age=0",
        served=False,
    ),
    wish("min-fresh of what stays fresh longer", FRESH, "Cache-Control: min-fresh=600", served=True),
    wish(
        "min-fresh of what does not stay fresh as long",
        ("Cache-Control: max-age=1500",),
        "Cache-Control: min-fresh=2000",
        served=False,
    ),
    wish(
        "min-fresh of what is too old for it",
        ("Cache-Control: max-age=1500", "Age: 1000"),
        "Cache-Control: min-fresh=1000",
        served=False,
    ),
    wish("no-cache of what is fresh", FRESH, "Cache-Control: no-cache", served=False),
    wish("no-store of what is fresh", FRESH, "Cache-Control: no-store", served=False),
    wish("only-if-cached of what is fresh", FRESH, "Cache-Control: only-if-cached", served=True),
    case(
        "no-cache validates with the tag",
        ask(),
        origin(200, *FRESH, 'ETag: "1"'),
        ask("Cache-Control: no-cache"),
        asked('If-None-Match: "1"'),
        origin(304, 'ETag: "1"'),
        told(200, "Cache-Status: ~txstalecache; fwd=request; fwd-status=304; ttl=\\d+; stored", body=1),
    ),
    case(
        "no-cache validates with the date",
        ask(),
        origin(200, *FRESH, "Last-Modified: {-10000}", "Date: {+0}"),
        ask("Cache-Control: no-cache"),
        asked("If-Modified-Since: {-10000}"),
        origin(304),
        told(200, body=1),
    ),
    case(
        "what no-cache brings is stored",
        ask(),
        origin(200, *FRESH),
        ask("Cache-Control: no-cache"),
        origin(200, *FRESH),
        told(200, "Cache-Status: txstalecache; fwd=request; fwd-status=200; stored", body=2),
        ask(),
        told(200, body=2),
    ),
    case(
        "max-age=0 says in Cache-Status that the request wanted it",
        ask(),
        origin(200, *FRESH),
        ask("Cache-Control: max-age=0"),
        origin(200, *FRESH),
        told(200, "Cache-Status: txstalecache; fwd=request; fwd-status=200; stored", body=2),
    ),
    case(
        "no-cache on a cold key is a miss",
        ask("Cache-Control: no-cache"),
        origin(200, *FRESH),
        told(200, "Cache-Status: ~txstalecache; fwd=(uri-miss|request); fwd-status=200; stored", body=1),
        ask(),
        told(200, body=1),
    ),
    case(
        "what a request with no-store brings is not stored",
        ask("Cache-Control: no-store"),
        origin(200, *FRESH),
        told(200, body=1),
        ask(),
        origin(200, *FRESH),
        told(200, body=2),
    ),
    case(
        "a request with no-store leaves what is stored",
        ask(),
        origin(200, *FRESH),
        ask("Cache-Control: no-store"),
        origin(200, *FRESH),
        told(200, body=2),
        ask(),
        told(200, body=1),
    ),
    case(
        "only-if-cached without anything stored is a 504",
        ask("Cache-Control: only-if-cached"),
        told(504),
    ),
    case(
        "only-if-cached of what is stale is a 504",
        ask(),
        origin(200, *STALE),
        ask("Cache-Control: only-if-cached"),
        told(504),
    ),
    case(
        "only-if-cached of what stale-while-revalidate lets be sent is that, and refreshes it",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 11"),
        ask("Cache-Control: only-if-cached"),
        told(200, body=1),
        origin(200, *FRESH),
    ),
    *(
        case(
            f"{wanted} of what is stale is answered with that, which is refreshed",
            ask(),
            origin(200, *STALE),
            ask(f"Cache-Control: {wanted}"),
            told(200, "Age >= 1700", body=1),
            origin(200, *FRESH),
            ask(),
            told(200, body=2),
        )
        for wanted in ("max-stale", "max-stale=1000", "only-if-cached, max-stale")
    ),
    wish("max-stale of what is too stale for it", STALE, "Cache-Control: max-stale=100", served=False),
    wish("max-stale that is no number", STALE, "Cache-Control: max-stale=x", served=False),
    wish(
        "max-stale of what must be validated",
        ("Cache-Control: max-age=10, must-revalidate", "Age: 11"),
        "Cache-Control: max-stale",
        served=False,
    ),
    wish(
        "max-stale of what a shared cache must validate",
        ("Cache-Control: max-age=10, proxy-revalidate", "Age: 11"),
        "Cache-Control: max-stale",
        served=False,
    ),
    wish(
        "max-stale of what has s-maxage",
        ("Cache-Control: s-maxage=10", "Age: 11"),
        "Cache-Control: max-stale",
        served=False,
    ),
    wish(
        "max-age without max-stale of what stale-while-revalidate lets be sent",
        ("Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 11"),
        "Cache-Control: max-age=600",
        served=False,
    ),
    wish(
        "no-cache of what stale-while-revalidate lets be sent",
        ("Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 11"),
        "Cache-Control: no-cache",
        served=False,
    ),
    wish("no-transform changes nothing", FRESH, "Cache-Control: no-transform", served=True),
    case(
        "no-cache and an origin that does not answer: what is fresh stands in",
        ask(),
        origin(200, *FRESH),
        ask("Cache-Control: no-cache"),
        fails(),
        told(200, body=1),
    ),
    case(
        "a request's Cache-Control is forwarded",
        ask("Cache-Control: max-age=60, x-y"),
        asked("Cache-Control: max-age=60, x-y"),
        origin(200),
    ),
    case(
        "that one client takes what is stale is not said for all who share",
        ask("Cache-Control: no-transform, max-stale=60, stale-if-error=60"),
        asked("Cache-Control: no-transform"),
        origin(200, "Cache-Control: private"),
        ask("Cache-Control: no-transform, max-stale=60, stale-if-error=60"),
        asked("Cache-Control: no-transform, max-stale=60, stale-if-error=60"),
        origin(200),
    ),
)
