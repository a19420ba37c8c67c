"""What a change makes worthless, at once (RFC 9111 §4.4)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, case, fails, origin, told

__all__ = ["CASES"]

FRESH = "Cache-Control: max-age=3600"
METHODS = ("POST", "PUT", "DELETE", "M-SEARCH")


def ends(method: str, status: int = 200) -> Case:
    return case(
        f"{method} answered {status} ends the entry",
        ask(),
        origin(200, FRESH),
        ask(method, body=b"abc"),
        origin(status),
        told(status),
        ask(),
        origin(200, FRESH),
        told(200, body=3),
        required=f"invalidate-{method}" if status == 200 and method in METHODS else "",
    )


def leaves(method: str, status: int = 500) -> Case:
    return case(
        f"{method} answered {status} leaves the entry",
        ask(),
        origin(200, FRESH),
        ask(method, body=b"abc"),
        origin(status),
        told(status),
        ask(),
        told(200, body=1),
        optional=f"invalidate-{method}-failed" if status == 500 else "",
    )


def elsewhere(method: str, name: str, value: str, *, ended: bool = True, required: str = "") -> Case:
    """What ``method`` answered with ``name: value`` does to the entry at ``/there``."""
    after = (origin(200, FRESH), told(200, body=3)) if ended else (told(200, body=1),)
    return case(
        f"{method} answered with {name}: {value} {'ends' if ended else 'leaves'} the entry at /there",
        ask(at="/there"),
        origin(200, FRESH),
        ask(method, at="/here", body=b"abc"),
        origin(201, f"{name}: {value}"),
        ask(at="/there"),
        *after,
        required=required,
    )


CASES = (
    *(ends(method) for method in METHODS),
    ends("PATCH"),
    ends("FOO"),
    *(ends("POST", status) for status in (201, 204, 302, 303)),
    *(leaves(method) for method in ("POST", "PUT", "DELETE", "M-SEARCH")),
    *(leaves("POST", status) for status in (400, 404, 409, 503)),
    *(leaves(method, 200) for method in ("OPTIONS", "PROPFIND", "QUERY")),
    *(
        elsewhere(method, "Location", "{base}/there", required=f"invalidate-{method}-location")
        for method in ("POST", "PUT", "DELETE", "M-SEARCH")
    ),
    *(
        elsewhere(method, "Content-Location", "{base}/there", required=f"invalidate-{method}-cl")
        for method in ("POST", "PUT", "DELETE", "M-SEARCH")
    ),
    elsewhere("POST", "Location", "{path}/there"),
    elsewhere("POST", "Location", "there"),
    elsewhere("POST", "Content-Location", "./x/../there"),
    elsewhere("POST", "Location", "{path}/there#fragment"),
    elsewhere("POST", "Location", "http://other.example{path}/there", ended=False),
    elsewhere("POST", "Location", "https://localhost{path}/there", ended=False),
    elsewhere("POST", "Location", "http://localhost:8443{path}/there", ended=False),
    elsewhere("POST", "Location", "http://[bad", ended=False),
    elsewhere("GET", "Location", "{base}/there", ended=False),
    case(
        "every variant ends",
        ask("Foo: 1"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 2"),
        origin(200, FRESH, "Vary: Foo"),
        ask("POST", body=b"x"),
        origin(200),
        ask("Foo: 1"),
        origin(200, FRESH, "Vary: Foo"),
        ask("Foo: 2"),
        origin(200, FRESH, "Vary: Foo"),
        told(200, body=5),
    ),
    case(
        "a stale entry that was ended does not stand in for an origin that fails",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-if-error=600", "Age: 11"),
        ask("DELETE"),
        origin(204),
        ask(),
        fails(),
        told(502),
    ),
    case(
        "another path is left alone",
        ask(at="/there"),
        origin(200, FRESH),
        ask("POST", at="/here", body=b"x"),
        origin(200),
        ask(at="/there"),
        told(200, body=1),
    ),
    case(
        "another query is left alone",
        ask(at="?a=1"),
        origin(200, FRESH),
        ask("POST", at="?a=2", body=b"x"),
        origin(200),
        ask(at="?a=1"),
        told(200, body=1),
    ),
)
