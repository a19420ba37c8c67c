"""Any final status with a lifetime of its own is stored; a guessed lifetime is for some (RFC 9111 §3, §4.2.2), and
four are never stored (RFC 6585)."""

from __future__ import annotations

from tests.conformance.transcript import Case, ask, case, origin, told

__all__ = ["CASES"]

EXPLICIT = (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599)
OTHERS = (201, 202, 300, 305, 402, 403, 405, 409, 414, 418, 421, 451, 501, 505)
GUESSED = (200, 203, 204, 404, 405, 410, 414, 501)
NOT_GUESSED = (201, 202, 403, 502, 503, 504, 599)
NEVER = (428, 429, 431, 511)


def fresh(status: int, optional: bool) -> Case:
    return case(
        f"{status} with a lifetime is used again",
        ask(),
        origin(status, "Cache-Control: max-age=3600", "X-A: 1"),
        told(status, body=1),
        ask(),
        told(status, "X-A: 1", "Age", body=1),
        optional=f"status-{status}-fresh" if optional else "",
    )


def stale(status: int) -> Case:
    return case(
        f"{status} whose lifetime has passed is not",
        ask(),
        origin(status, "Expires: {-5000}", "Last-Modified: {-100000}", "Date: {+0}"),
        told(status),
        ask(),
        origin(status),
        told(status, body=2),
        required=f"status-{status}-stale",
    )


def guessed(status: int, lines: tuple[str, ...] = (), *, suffix: str = "") -> Case:
    return case(
        f"{status} with Last-Modified{suffix} is used again",
        ask(),
        origin(status, "Last-Modified: {-86400}", "Date: {+0}", *lines),
        ask(),
        told(status, body=1),
        optional=f"heuristic-{status}-cached",
    )


def not_guessed(status: int) -> Case:
    return case(
        f"{status} with Last-Modified is not",
        ask(),
        origin(status, "Last-Modified: {-86400}", "Date: {+0}"),
        ask(),
        origin(status),
        told(status, body=2),
        required=f"heuristic-{status}-not_cached",
    )


def never(status: int) -> Case:
    return case(
        f"{status} with a lifetime is not used again",
        ask(),
        origin(status, "Cache-Control: public, max-age=3600"),
        told(status),
        ask(),
        origin(200, "Cache-Control: max-age=3600"),
        told(200, body=2),
        ask(),
        told(200, "Age", body=2),
    )


def takes_nothing_away(status: int) -> Case:
    return case(
        f"{status} with a lifetime, where a refresh was answered, leaves what was stored",
        ask(),
        origin(200, "Cache-Control: max-age=10, stale-while-revalidate=3600", "Age: 20"),
        ask(),
        told(200, "Cache-Status: ~.*hit.*swr", body=1),
        origin(status, "Cache-Control: public, max-age=3600"),
        ask(),
        told(200, "Cache-Status: ~.*hit.*swr", body=1),
    )


CASES = (
    *(fresh(status, True) for status in EXPLICIT),
    *(fresh(status, False) for status in OTHERS),
    *(stale(status) for status in EXPLICIT),
    *(guessed(status) for status in GUESSED),
    guessed(599, ("Cache-Control: public",), suffix=" and public"),
    *(not_guessed(status) for status in NOT_GUESSED),
    *(never(status) for status in NEVER),
    *(takes_nothing_away(status) for status in NEVER),
)
