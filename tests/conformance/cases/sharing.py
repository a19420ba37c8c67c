"""What is for one client only (RFC 9111 §3, §3.5, §5.2.2)."""

from __future__ import annotations

from tests.conformance.cases.freshness import fresh, gone
from tests.conformance.transcript import Case, ask, asked, case, origin, told

__all__ = ["CASES"]


def authorized(name: str, control: str, *, shared: bool, required: str = "", optional: str = "") -> Case:
    """Whether the answer to a request with Authorization answers one without."""
    after = (told(200, body=1),) if shared else (asked("!Authorization"), origin(200), told(200, body=2))
    return case(
        name,
        ask("Authorization: Basic Zm9v"),
        asked("Authorization: Basic Zm9v"),
        origin(200, control, "Date: {+0}"),
        told(200, body=1),
        ask(),
        *after,
        required=required,
        optional=optional,
    )


def cookie(name: str, *lines: str, shared: bool) -> Case:
    """Whether an answer stored for nobody in particular answers a request with a Cookie."""
    after = (told(200, body=1),) if shared else (asked("Cookie: a=b"), origin(200), told(200, body=2))
    return case(name, ask(), origin(200, *lines), ask("Cookie: a=b"), *after)


CASES = (
    gone("private", "Cache-Control: private, max-age=3600", required="cc-resp-private-shared"),
    gone("private naming fields", 'Cache-Control: private="set-cookie", max-age=3600'),
    gone("no-store", "Cache-Control: no-store", required="cc-resp-no-store"),
    gone("no-store in mixed case", "Cache-Control: No-StOrE", required="cc-resp-no-store-case-insensitive"),
    gone(
        "no-store beside a lifetime",
        "Cache-Control: max-age=10000, no-store",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cc-resp-no-store-fresh",
    ),
    gone(
        "no-cache beside a lifetime",
        "Cache-Control: max-age=10000, no-cache",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cc-resp-no-cache",
    ),
    gone(
        "no-cache in mixed case",
        "Cache-Control: max-age=10000, No-CaChE",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cc-resp-no-cache-case-insensitive",
    ),
    case(
        "no-cache naming a field keeps that field out of the entry",
        ask(),
        origin(200, 'Cache-Control: no-cache="a"', "a: 1", "b: 2", "Cache-Control: max-age=3600"),
        told(200, "a: 1", "b: 2"),
        ask(),
        told(200, "!a", "b: 2", body=1),
    ),
    case(
        "no-cache naming several fields keeps them out of the entry",
        ask(),
        origin(200, 'Cache-Control: no-cache="a, b"', "a: 1", "b: 2", "c: 3", "Cache-Control: max-age=3600"),
        ask(),
        told(200, "!a", "!b", "c: 3", body=1),
    ),
    case(
        "an answer for one client is asked for once, whatever fields of its own the client sends",
        ask("Test-ID: 1", "Test-Name: a name", "Req-Num: 1", "Cache-Control: nothing-to-see-here", "Pragma: foo"),
        asked("Req-Num: 1"),
        origin(200, "Cache-Control: private"),
        told(200, body=1),
    ),
    # -- must-understand
    fresh(
        "must-understand beside no-store, and a status that is known",
        "Cache-Control: max-age=3600, no-store, must-understand",
        optional="status-200-must-understand",
    ),
    case(
        "must-understand beside no-store, and a status that is not known",
        ask(),
        origin(599, "Cache-Control: max-age=3600, no-store, must-understand"),
        ask(),
        origin(200),
        told(200, body=2),
        required="status-599-must-understand",
    ),
    # -- Authorization
    authorized("Authorization, and a lifetime only", "Expires: {+3600}", shared=False, required="other-authorization"),
    authorized("Authorization, and max-age only", "Cache-Control: max-age=3600", shared=False),
    authorized(
        "Authorization, and public",
        "Cache-Control: max-age=3600, public",
        shared=True,
        optional="other-authorization-public",
    ),
    authorized(
        "Authorization, and must-revalidate",
        "Cache-Control: max-age=3600, must-revalidate",
        shared=True,
        optional="other-authorization-must-revalidate",
    ),
    authorized(
        "Authorization, and s-maxage",
        "Cache-Control: s-maxage=3600",
        shared=True,
        optional="other-authorization-smaxage",
    ),
    case(
        "Authorization does not take what nobody said is for it",
        ask(),
        origin(200, "Cache-Control: max-age=3600"),
        ask("Authorization: Basic Zm9v"),
        asked("Authorization: Basic Zm9v"),
        origin(200),
        told(200, body=2),
        ask(),
        told(200, body=1),
    ),
    case(
        "Authorization takes what is public",
        ask(),
        origin(200, "Cache-Control: max-age=3600, public"),
        ask("Authorization: Basic Zm9v"),
        told(200, body=1),
    ),
    case(
        "a 401 is for the client that asked",
        ask(),
        origin(401, "Cache-Control: max-age=3600", "WWW-Authenticate: Basic"),
        told(401, "WWW-Authenticate: Basic"),
        ask(),
        origin(200),
        told(200, body=2),
    ),
    # -- cookies
    cookie("a Cookie takes what the origin said is for everybody", "Cache-Control: max-age=3600", shared=True),
    cookie("a Cookie takes what Expires says is for everybody", "Expires: {+3600}", "Date: {+0}", shared=True),
    cookie("a Cookie does not take what only seems fresh", "Last-Modified: {-100000}", "Date: {+0}", shared=False),
    case(
        "an answer for a request with a Cookie is fetched without it and shared",
        ask("Cookie: a=b"),
        asked("!Cookie"),
        origin(200, "Cache-Control: max-age=3600"),
        told(200, body=1),
        ask("Cookie: c=d"),
        told(200, body=1),
        ask(),
        told(200, body=1),
        optional="other-cookie",
    ),
    case(
        "an answer that does not say it is for everybody is asked for again with the Cookie",
        ask("Cookie: a=b"),
        asked("!Cookie"),
        origin(200),
        origin(200),
        told(200, body=2),
        ask("Cookie: a=b"),
        asked("Cookie: a=b"),
        origin(200),
        told(200, body=3),
    ),
    case(
        "an answer with Set-Cookie is for the client that asked, who gets the cookie",
        ask(),
        origin(200, "Cache-Control: max-age=3600", "Set-Cookie: a=b"),
        told(200, "Set-Cookie: a=b"),
        ask(),
        origin(200, "Cache-Control: max-age=3600", "Set-Cookie: a=c"),
        told(200, "Set-Cookie: a=c", body=2),
    ),
    case(
        "several cookies come each on its line",
        ask(),
        origin(200, "Cache-Control: no-store", "Set-Cookie: a=b; Path=/", "Set-Cookie: c=d, e"),
        told(200, "Set-Cookie: a=b; Path=/, c=d, e"),
    ),
)
