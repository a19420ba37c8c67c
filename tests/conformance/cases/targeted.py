"""Targeted cache control (RFC 9213): TXSC-Cache-Control, then CDN-Cache-Control, then Cache-Control."""

from __future__ import annotations

from tests.conformance.cases.freshness import fresh, gone
from tests.conformance.transcript import ask, asked, case, origin, told

__all__ = ["CASES"]

CASES = (
    fresh("CDN-Cache-Control makes an answer fresh", "CDN-Cache-Control: max-age=3600", optional="cdn-max-age"),
    fresh("CDN-Cache-Control of 2^31", "CDN-Cache-Control: max-age=2147483648", optional="cdn-max-age-max"),
    fresh(
        "CDN-Cache-Control far beyond 32 bits",
        "CDN-Cache-Control: max-age=99999999999",
        optional="cdn-max-age-max-plus",
    ),
    gone(
        "Age counts against CDN-Cache-Control",
        "Date: {+0}",
        "CDN-Cache-Control: max-age=3600",
        "Age: 7200",
        required="cdn-max-age-age",
    ),
    gone("CDN-Cache-Control: max-age=0", "CDN-Cache-Control: max-age=0", required="cdn-max-age-0"),
    fresh(
        "an extension in CDN-Cache-Control", "CDN-Cache-Control: foobar, max-age=3600", optional="cdn-max-age-extension"
    ),
    fresh(
        "CDN-Cache-Control beats a past Expires",
        "CDN-Cache-Control: max-age=3600",
        "Expires: {-10000}",
        "Date: {+0}",
        optional="cdn-max-age-expires",
    ),
    fresh(
        "CDN-Cache-Control beats an invalid Expires",
        "CDN-Cache-Control: max-age=3600",
        "Expires: 0",
        "Date: {+0}",
        optional="cdn-max-age-cc-max-age-invalid-expires",
    ),
    gone(
        "CDN-Cache-Control: max-age=0 beats a future Expires",
        "CDN-Cache-Control: max-age=0",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cdn-max-age-0-expires",
    ),
    fresh(
        "CDN-Cache-Control beats a shorter max-age",
        "Cache-Control: max-age=1",
        "CDN-Cache-Control: max-age=3600",
        "Age: 2",
        optional="cdn-max-age-short-cc-max-age",
    ),
    gone(
        "CDN-Cache-Control beats a longer max-age",
        "Cache-Control: max-age=3600",
        "CDN-Cache-Control: max-age=1",
        "Age: 2",
        required="cdn-max-age-long-cc-max-age",
    ),
    gone(
        "CDN-Cache-Control: private",
        "CDN-Cache-Control: private",
        "Cache-Control: max-age=10000",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cdn-private",
    ),
    gone(
        "CDN-Cache-Control: no-cache",
        "CDN-Cache-Control: no-cache",
        "Cache-Control: max-age=10000",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cdn-no-cache",
    ),
    gone(
        "CDN-Cache-Control: no-store",
        "CDN-Cache-Control: no-store",
        "Cache-Control: max-age=10000",
        "Expires: {+10000}",
        "Date: {+0}",
        required="cdn-no-store-cc-fresh",
    ),
    fresh(
        "CDN-Cache-Control beats no-store",
        "Cache-Control: no-store",
        "CDN-Cache-Control: max-age=10000",
        required="cdn-fresh-cc-nostore",
    ),
    fresh("CDN-Cache-Control beats private", "Cache-Control: private", "CDN-Cache-Control: max-age=10000"),
    gone(
        "CDN-Cache-Control that is malformed is ignored",
        "CDN-Cache-Control: max-age=10000, &&&&&",
        "Cache-Control: no-store",
        required="cdn-cc-invalid-sh-type-unknown",
    ),
    gone(
        "CDN-Cache-Control with a value of the wrong type is ignored",
        'CDN-Cache-Control: max-age="10000"',
        "Cache-Control: no-store",
        required="cdn-cc-invalid-sh-type-wrong",
    ),
    gone(
        "CDN-Cache-Control with a space before the equals sign is ignored",
        "Cache-Control: max-age=1",
        "Age: 2",
        "CDN-Cache-Control: max-age =100",
    ),
    gone(
        "CDN-Cache-Control with a space after the equals sign is ignored",
        "Cache-Control: max-age=1",
        "Age: 2",
        "CDN-Cache-Control: max-age= 100",
    ),
    gone(
        "CDN-Cache-Control with capitals is no structured field",
        "CDN-Cache-Control: MaX-aGe=3600",
        "Cache-Control: no-store",
    ),
    fresh("an empty CDN-Cache-Control is ignored", "CDN-Cache-Control:", "Cache-Control: max-age=3600"),
    fresh(
        "CDN-Cache-Control with a decimal is ignored", "CDN-Cache-Control: max-age=0.5", "Cache-Control: max-age=3600"
    ),
    fresh(
        "CDN-Cache-Control with a list for a value is ignored",
        "CDN-Cache-Control: max-age=(0 1)",
        "Cache-Control: max-age=3600",
    ),
    fresh(
        "CDN-Cache-Control with a number for a flag is ignored",
        "CDN-Cache-Control: max-age=0, no-store=1",
        "Cache-Control: max-age=3600",
    ),
    fresh("parameters of a targeted directive are ignored", "CDN-Cache-Control: max-age=3600;a=b"),
    gone("of two in a dictionary the last counts", "CDN-Cache-Control: max-age=3600, max-age=0"),
    fresh(
        "several lines of CDN-Cache-Control are one dictionary",
        "CDN-Cache-Control: max-age=3600",
        "CDN-Cache-Control: public",
        "Cache-Control: no-store",
    ),
    fresh(
        "TXSC-Cache-Control beats CDN-Cache-Control",
        "TXSC-Cache-Control: max-age=3600",
        "CDN-Cache-Control: no-store",
        "Cache-Control: no-store",
    ),
    gone(
        "TXSC-Cache-Control: no-store beats CDN-Cache-Control",
        "TXSC-Cache-Control: no-store",
        "CDN-Cache-Control: max-age=3600",
        "Cache-Control: max-age=3600",
    ),
    fresh(
        "TXSC-Cache-Control that is malformed leaves it to CDN-Cache-Control",
        "TXSC-Cache-Control: no-store, &",
        "CDN-Cache-Control: max-age=3600",
        "Cache-Control: no-store",
    ),
    gone(
        "another cache's targeted field is not ours",
        "Example-CDN-Cache-Control: max-age=3600",
        "Cache-Control: no-store",
    ),
    case(
        "targeted fields are forwarded unchanged",
        ask(),
        origin(200, "Cache-Control: max-age=10000", "CDN-Cache-Control: foo", "TXSC-Cache-Control: max-age=60;a"),
        told(200, "CDN-Cache-Control: foo", "TXSC-Cache-Control: max-age=60;a", "Cache-Control: max-age=10000"),
        ask(),
        told(200, "CDN-Cache-Control: foo", "TXSC-Cache-Control: max-age=60;a", "Cache-Control: max-age=10000"),
    ),
    case(
        "stale-while-revalidate in a targeted field",
        ask(),
        origin(200, "CDN-Cache-Control: max-age=10, stale-while-revalidate=60", "Age: 11", "Cache-Control: no-store"),
        ask(),
        told(200, body=1),
        origin(200),
    ),
    case(
        "stale-if-error in a targeted field",
        ask(),
        origin(200, "CDN-Cache-Control: max-age=10, stale-if-error=60", "Age: 11", "Cache-Control: no-store"),
        ask(),
        origin(503),
        told(200, body=1),
    ),
    case(
        "a targeted field without a lifetime leaves no lifetime",
        ask(),
        origin(200, "CDN-Cache-Control: public", "Cache-Control: max-age=3600", 'ETag: "1"'),
        ask(),
        asked('If-None-Match: "1"'),
        origin(304, 'ETag: "1"'),
        told(200, body=1),
    ),
)
