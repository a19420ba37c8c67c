"""What odd spellings of Cache-Control, Age, Expires and Pragma mean (RFC 9111 §1.2.2, §5)."""

from __future__ import annotations

from tests.conformance.cases.freshness import fresh, gone
from tests.conformance.transcript import ask, case, origin, told

__all__ = ["CASES"]

AGED = ("Date: {+0}", "Cache-Control: max-age=3600")
DATED = ("Date: {+0}",)

CASES = (
    fresh("directives have no case", "Cache-Control: MaX-aGe=3600", optional="freshness-max-age-case-insenstive"),
    fresh("a number has leading zeros", "Cache-Control: max-age=003600", required="freshness-max-age-leading-zero"),
    fresh("a number is a quoted string", 'Cache-Control: max-age="3600"'),
    gone("single quotes are no quotes", "Cache-Control: max-age='3600'", required="freshness-max-age-single-quoted"),
    gone(
        "a max-age in another's quotes is none",
        'Cache-Control: extension="max-age=3600", max-age=1',
        "Age: 2",
        required="freshness-max-age-ignore-quoted",
    ),
    gone(
        "a max-age in later quotes is none",
        'Cache-Control: max-age=1, extension="max-age=3600"',
        "Age: 2",
        required="freshness-max-age-ignore-quoted-rev",
    ),
    gone(
        "a max-age behind an escaped quote is none", 'Cache-Control: extension="a\\", max-age=3600, b=\\"", max-age=0'
    ),
    gone(
        "a no-store in another's quotes is none, but there is no lifetime either", 'Cache-Control: extension="no-store"'
    ),
    fresh("a no-store in another's quotes is none", 'Cache-Control: max-age=3600, extension="no-store"'),
    fresh("a private in another's quotes is none", 'Cache-Control: max-age=3600, extension="a, private, b"'),
    gone("a space before the equals sign is none of RFC 9111", "Cache-Control: max-age =3600"),
    gone("a space after the equals sign is none of RFC 9111", "Cache-Control: max-age= 3600"),
    gone("a max-age with letters before it", "Cache-Control: max-age=a3600"),
    gone("a max-age with letters after it", "Cache-Control: max-age=3600a"),
    gone("a max-age with a fraction", "Cache-Control: max-age=3600.5"),
    gone("a max-age without a value", "Cache-Control: max-age"),
    gone("an empty max-age", "Cache-Control: max-age="),
    gone("of two the first max-age counts: the stale one", "Cache-Control: max-age=1, max-age=1800", "Age: 2"),
    fresh("of two the first max-age counts: the fresh one", "Cache-Control: max-age=1800, max-age=1", "Age: 2"),
    fresh("of two lines the first max-age counts", "Cache-Control: max-age=1800", "Cache-Control: max-age=1", "Age: 2"),
    fresh("several lines are one list", "Cache-Control: public", "Cache-Control: max-age=3600"),
    gone("no-store on another line counts", "Cache-Control: max-age=3600", "Cache-Control: no-store"),
    fresh("empty members are nothing", "Cache-Control: , ,max-age=3600,,"),
    fresh("tabs and spaces around members are nothing", "Cache-Control: \t public \t, \t max-age=3600 \t"),
    fresh("an empty line among others is nothing", "Cache-Control:", "Cache-Control: max-age=3600"),
    # -- Age
    fresh("an Age that is no number is ignored", *AGED, "Age: abc", required="age-parse-nonnumeric"),
    fresh("a negative Age is ignored", *AGED, "Age: -7200", required="age-parse-negative"),
    fresh("an Age with a fraction is ignored", *AGED, "Age: 7200.0", required="age-parse-float"),
    gone("an Age just below 2^31 is old", *AGED, "Age: 2147483647", required="age-parse-large-minus-one"),
    gone("an Age of 2^31 is old", *AGED, "Age: 2147483648", required="age-parse-large"),
    gone("an Age above 2^31 is old", *AGED, "Age: 2147483649", required="age-parse-larger"),
    gone("an Age of any length is old", *AGED, "Age: 99999999999999999999999999999999"),
    gone("of several in one line the first Age counts: old", *AGED, "Age: 7200, 0", required="age-parse-suffix"),
    fresh("of several in one line the first Age counts: new", *AGED, "Age: 0, 7200", required="age-parse-prefix"),
    gone(
        "of several lines the first Age counts: old", *AGED, "Age: 7200", "Age: 0", required="age-parse-suffix-twoline"
    ),
    fresh(
        "of several lines the first Age counts: new", *AGED, "Age: 0", "Age: 7200", required="age-parse-prefix-twoline"
    ),
    fresh("an Age said twice in one line", *AGED, "Age: 0, 0", required="age-parse-dup-0"),
    fresh("an Age said twice in two lines", *AGED, "Age: 0", "Age: 0", required="age-parse-dup-0-twoline"),
    fresh(
        "an Age said twice, not old",
        "Date: {+0}",
        "Cache-Control: max-age=10000",
        "Age: 3600",
        "Age: 3600",
        age=3600,
        required="age-parse-dup-old",
    ),
    # -- Expires
    fresh(
        "an Expires at the end of 32 bits",
        *DATED,
        "Expires: Tue, 19 Jan 2038 14:14:08 GMT",
        optional="freshness-expires-32bit",
    ),
    fresh(
        "an Expires far ahead",
        *DATED,
        "Expires: Sun, 21 Nov 2286 04:46:39 GMT",
        optional="freshness-expires-far-future",
    ),
    fresh(
        "an Expires in RFC 850's form",
        *DATED,
        "Expires: Thursday, 18-Aug-50 02:01:18 GMT",
        optional="freshness-expires-rfc850",
    ),
    fresh(
        "an Expires in asctime's form", *DATED, "Expires: Thu Aug  8 02:01:18 2050", optional="freshness-expires-ansi-c"
    ),
    fresh(
        "an Expires with a weekday in capitals",
        *DATED,
        "Expires: THU, 18 Aug 2050 02:01:18 GMT",
        optional="freshness-expires-wrong-case-weekday",
    ),
    fresh(
        "an Expires with a month in capitals",
        *DATED,
        "Expires: Thu, 18 AUG 2050 02:01:18 GMT",
        optional="freshness-expires-wrong-case-month",
    ),
    fresh(
        "an Expires with a zone in mixed case",
        *DATED,
        "Expires: Thu, 18 Aug 2050 02:01:18 gMT",
        optional="freshness-expires-wrong-case-tz",
    ),
    *(
        gone(f"an Expires is already past: {what}", *DATED, f"Expires: {value}", required=suite)
        for what, value, suite in (
            ("0", "0", "freshness-expires-invalid"),
            ("UTC", "Thu, 18 Aug 2050 02:01:18 UTC", "freshness-expires-invalid-utc"),
            ("another zone", "Thu, 18 Aug 2050 02:01:18 AEST", "freshness-expires-invalid-aest"),
            ("two digits of year", "Thu, 18 Aug 50 02:01:18 GMT", "freshness-expires-invalid-2-digit-year"),
            ("no comma", "Thu 18 Aug 2050 02:01:18 GMT", "freshness-expires-invalid-no-comma"),
            ("spaces", "Thu, 18  Aug  2050 02:01:18 GMT", "freshness-expires-invalid-multiple-spaces"),
            ("dashes", "Thu, 18-Aug-2050 02:01:18 GMT", "freshness-expires-invalid-date-dashes"),
            ("periods", "Thu, 18 Aug 2050 02.01.18 GMT", "freshness-expires-invalid-time-periods"),
            ("one digit of hour", "Thu, 18 Aug 2050 2:01:18 GMT", "freshness-expires-invalid-1-digit-hour"),
            ("-1", "-1", ""),
            ("a number of seconds", "3600", ""),
            ("ISO 8601", "2050-08-18T02:01:18Z", ""),
            ("no such day", "Thu, 31 Feb 2050 02:01:18 GMT", ""),
            ("no such hour", "Thu, 18 Aug 2050 25:01:18 GMT", ""),
        )
    ),
    gone(
        "two lines of Expires that are none",
        *DATED,
        "Expires: Thu, 18 Aug 2050 2:01:18 GMT",
        "Expires: Thu, 18 Aug 2050 2:01:19 GMT",
        required="freshness-expires-invalid-multiple-lines",
    ),
    # -- Pragma and unknown tokens
    case(
        "Pragma: no-cache in a request asks for validation where Cache-Control is absent",
        ask(),
        origin(200, "Cache-Control: max-age=3600"),
        ask("Pragma: no-cache"),
        origin(200, "Cache-Control: max-age=3600"),
        told(200, body=2),
    ),
    case(
        "Pragma in a request counts for nothing beside Cache-Control",
        ask(),
        origin(200, "Cache-Control: max-age=3600"),
        ask("Pragma: no-cache", "Cache-Control: max-age=600"),
        told(200, body=1),
    ),
    case(
        "an unknown token in a request's Pragma changes nothing",
        ask(),
        origin(200, "Cache-Control: max-age=3600"),
        ask("Pragma: unrecognised-extension"),
        told(200, body=1),
    ),
    case(
        "an unknown token in a request's Cache-Control changes nothing",
        ask(),
        origin(200, "Cache-Control: max-age=3600"),
        ask('Cache-Control: unrecognised, x="no-cache"'),
        told(200, body=1),
    ),
    fresh(
        "Pragma: no-cache in a response counts for nothing beside Cache-Control",
        "Cache-Control: max-age=3600",
        "Pragma: no-cache",
    ),
    gone(
        "Pragma: no-cache in a response forbids guessing a lifetime",
        "Last-Modified: {-10000}",
        "Date: {+0}",
        "Pragma: no-cache",
    ),
    fresh("an unknown token in a response's Pragma changes nothing", "Cache-Control: max-age=3600", "Pragma: other"),
)
