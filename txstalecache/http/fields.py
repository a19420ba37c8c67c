"""The grammar that fields share: lists, quoted strings, directives, delta-seconds, dates; and which fields travel on.

Everything here takes bytes from the network and never raises on them.
Must not know: what any directive means.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from txstalecache.http.messages import Fields
from txstalecache.http.remembered import remembered

__all__ = [
    "CREDENTIALS",
    "DESCRIBING",
    "FOREVER",
    "HOPELESS",
    "HOP_BY_HOP",
    "LENGTH",
    "LINES",
    "LONGEST",
    "TOKEN",
    "VALUE",
    "date_in",
    "delta_seconds",
    "directives",
    "end_to_end",
    "format_date",
    "identifying",
    "is_token",
    "lines",
    "members",
    "parse_date",
    "unquote",
    "updated",
]

#: RFC 9111 §1.2.2: a larger number of seconds means this one.
FOREVER = 2**31

#: RFC 9110 §7.6.1, with what else is for one hop only: proxy authentication (§11.7) and trailers, which we do not pass.
HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authentication-info",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)

#: What a message says about its body, beside its length (RFC 9110 §8.3 to §8.7).
DESCRIBING = frozenset({b"content-encoding", b"content-language", b"content-location", b"content-type"})

#: Request fields by which HTTP itself says who is asking.
CREDENTIALS = frozenset({b"authorization", b"cookie", b"cookie2", b"proxy-authorization"})

# Words in the names of others by which applications know their users: keys, tokens, sessions.
_IDENTIFYING = frozenset(
    b"""
    accesstoken account apikey auth authenticated authentication authorization authtoken bearer credential credentials
    csrf csrftoken customer email identity jwt key login oidc password principal saml secret session sessionid sso
    tenant token user userid username xsrf
    """.split()
)
# Standard ones with such a word, by which nobody is known.
_ANYBODYS = frozenset({b"sec-fetch-user", b"user-agent"})

# RFC 9111 §3.2: these go with the stored body.
_WITH_BODY = frozenset({b"content-encoding", b"content-length", b"content-range", b"transfer-encoding", b"age"})

# RFC 9110 §7.6.1: "A sender MUST NOT send a connection option corresponding to a field that is intended for all
# recipients". Whoever does would take a field away from between key, decision and origin (hop-by-hop abuse).
_END_TO_END = frozenset(
    b"""
    accept accept-charset accept-encoding accept-language accept-ranges age allow authorization cache-control
    cache-group-invalidation cache-groups cache-status cache-tag cdn-cache-control content-disposition content-encoding
    content-language content-length content-location content-range content-security-policy content-type cookie cookie2
    date etag expect expires forwarded from host if-match if-modified-since if-none-match if-range if-unmodified-since
    last-modified location max-forwards origin pragma range referer retry-after server set-cookie set-cookie2
    strict-transport-security surrogate-control surrogate-key txsc-cache-control user-agent vary via www-authenticate
    x-content-type-options x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-frame-options
    x-http-method-override x-real-ip xkey
    """.split()
)

# A quoted string, or one of the two characters that matter outside of it. Possessive: linear on any input.
_SEPARATOR = re.compile(rb'"(?:[^"\\]|\\.)*+"|[",]', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)

#: A token (RFC 9110 §5.6.2), and a field's value as it may be passed on: no controls but tab (§5.5).
TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")
#: Field lines as they come: no space before the colon (RFC 9112 §5.1), no obs-fold (§5.2). Linear on any input.
LINES = re.compile(rb"(?:%b:%b\r\n)*+" % (TOKEN.pattern, VALUE.pattern))
#: What no head can have, however it goes on: a bare LF, a CR that no LF follows (RFC 9112 §2.2), a NUL.
HOPELESS = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|\x00")
#: A length in bytes, as long as any is (RFC 9110 §8.6).
LENGTH = re.compile(rb"[0-9]{1,18}")

#: Bytes of a value that says how a response may be kept: a longer one is not taken apart, which would hold up everybody
#: else, and such a response is kept by nobody.
LONGEST = 4096

_LINE = re.compile(rb"([^:\r\n]++):[\t ]*+([^\r\n]*+)\r\n")


def lines(block: bytes, start: int) -> list[tuple[bytes, bytes]]:
    """Name and value of each field line of ``block``, a head that is known to be well-formed, from ``start``."""
    pairs: list[tuple[bytes, bytes]] = _LINE.findall(block, start)
    if block.find(b" \r", start) >= 0 or block.find(b"\t\r", start) >= 0:
        return [(name, value.rstrip(b" \t")) for name, value in pairs]
    return pairs


def is_token(value: bytes) -> bool:
    """Whether ``value`` is a token."""
    return TOKEN.fullmatch(value) is not None


@remembered(2048, longest=64)
def identifying(name: bytes) -> bool:
    """Whether the request field ``name`` (lower case) says who is asking, or looks like it. What it says is never
    written anywhere: only digests of it. What CGI and its heirs make of a name counts: ``_`` is ``-``."""
    plain = name.replace(b"_", b"-").replace(b".", b"-")
    return plain in CREDENTIALS or (plain not in _ANYBODYS and not _IDENTIFYING.isdisjoint(plain.split(b"-")))


def members(value: bytes) -> list[bytes]:
    """The members of a comma-separated list, trimmed, without the empty ones (RFC 9110 §5.6.1).

    Commas in quoted strings do not separate. A quote that is never closed is taken as an ordinary character.
    """
    if b'"' not in value:
        return [member for part in value.split(b",") if (member := part.strip(b" \t"))]
    parts: list[bytes] = []
    start = 0
    for match in _SEPARATOR.finditer(value):
        begin, end = match.span()
        if end - begin > 1:
            continue
        if value[begin] == 0x22:
            parts.extend(value[start:].split(b","))
            break
        parts.append(value[start:begin])
        start = end
    else:
        parts.append(value[start:])
    return [member for part in parts if (member := part.strip(b" \t"))]


def unquote(value: bytes) -> bytes:
    """The text of a quoted string (RFC 9110 §5.6.4); anything else as it is."""
    if len(value) < 2 or value[:1] != b'"' or value[-1:] != b'"':
        return value
    return _ESCAPE.sub(rb"\1", value[1:-1])


def directives(value: bytes) -> list[tuple[bytes, bytes | None]]:
    """The directives of a Cache-Control value in order: lower-case name, and argument without quotes (None: none).

    RFC 9111 §5.2 allows no space around ``=``. The name counts all the same, as it may be one that restricts; the
    argument is then ``b""``, which is none of the arguments that any directive takes.
    """
    found: list[tuple[bytes, bytes | None]] = []
    for member in members(value):
        name, equals, argument = member.partition(b"=")
        if not equals:
            found.append((name.lower(), None))
        elif name[-1:] in (b" ", b"\t") or argument[:1] in (b" ", b"\t"):
            found.append((name.strip(b" \t").lower(), b""))
        else:
            found.append((name.lower(), unquote(argument)))
    return found


def delta_seconds(value: bytes | None) -> int | None:
    """A non-negative integer of seconds, at most ``FOREVER`` (RFC 9111 §1.2.2); None when it is not one."""
    if value is None or not value.isdigit():
        return None
    digits = value.lstrip(b"0")
    return FOREVER if len(digits) > 10 else min(int(digits or b"0"), FOREVER)


_MONTH_NAMES = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_MONTHS = {name.lower(): number for number, name in enumerate(_MONTH_NAMES, 1)}
_DAY = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_LONG_DAY = rb"(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)"
_CLOCK = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_DATES = tuple(
    re.compile(form)
    for form in (
        # IMF-fixdate, rfc850-date, asctime-date: RFC 9110 §5.6.7.
        _DAY + rb", (?P<day>\d\d) (?P<month>[a-z]{3}) (?P<year>\d{4}) " + _CLOCK + rb" gmt",
        _LONG_DAY + rb", (?P<day>\d\d)-(?P<month>[a-z]{3})-(?P<year>\d\d) " + _CLOCK + rb" gmt",
        _DAY + rb" (?P<month>[a-z]{3}) (?P<day>[ \d]\d) " + _CLOCK + rb" (?P<year>\d{4})",
    )
)
# RFC 9110 §5.6.7 lets a two-digit year mean at most 50 years from now. There is no clock here: "now" is this year.
_PIVOT = 2026 + 50
_EPOCH = date(1970, 1, 1).toordinal()


@lru_cache(maxsize=1024)
def _parse_date(text: bytes) -> float | None:
    for form in _DATES:
        match = form.fullmatch(text)
        if match is not None:
            break
    else:
        return None
    month = _MONTHS.get(match["month"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if month is None or hour > 23 or minute > 59 or second > 60:
        return None
    year = int(match["year"])
    if len(match["year"]) == 2:
        year += 2000 if year + 2000 <= _PIVOT else 1900
    try:
        days = date(year, month, int(match["day"])).toordinal() - _EPOCH
    except ValueError:
        return None
    return float(days * 86400 + hour * 3600 + minute * 60 + min(second, 59))


def parse_date(value: bytes) -> float | None:
    """Seconds since the epoch of an HTTP-date in one of its three forms (RFC 9110 §5.6.7); None for anything else.

    Letters count without regard to case, and no zone but GMT is one (RFC 9111 §4.2). The weekday is not checked.
    """
    return _parse_date(value.lower()) if len(value) <= 40 else None


def date_in(fields: Fields, name: bytes) -> float | None:
    """The date in the first line of ``fields`` named ``name`` (lower case); None without one, or where it is none."""
    lines = fields.get_all(name)
    return parse_date(lines[0]) if lines else None


_DAY_NAMES = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_LAST_DAY = date.max.toordinal()


@lru_cache(maxsize=256)
def _format_date(seconds: int) -> bytes:
    days, rest = divmod(seconds, 86400)
    day = date.fromordinal(min(max(days + _EPOCH, 1), _LAST_DAY))
    return b"%s, %02d %s %04d %02d:%02d:%02d GMT" % (
        _DAY_NAMES[day.weekday()],
        day.day,
        _MONTH_NAMES[day.month - 1],
        day.year,
        rest // 3600,
        rest // 60 % 60,
        rest % 60,
    )


def format_date(seconds: float) -> bytes:
    """The IMF-fixdate of a time in seconds since the epoch, its fraction cut off (RFC 9110 §5.6.7)."""
    return _format_date(int(seconds // 1))


def end_to_end(fields: Fields) -> Fields:
    """What travels on: without hop-by-hop fields and those that ``Connection`` lists (RFC 9110 §7.6.1).

    A well-known end-to-end field is kept even when it is listed: the rest of the decision has been made with it.
    """
    if fields.names.isdisjoint(HOP_BY_HOP):
        return fields
    drop = HOP_BY_HOP
    listed = fields.get(b"connection")
    if listed is not None:
        named = {name.lower() for name in members(listed)} - _END_TO_END
        if not named <= drop:
            drop = drop | named
    return Fields([pair for pair in fields.pairs if pair[0].lower() not in drop])


def updated(stored: Fields, newer: Fields) -> Fields:
    """The stored fields with those of a newer head put in their places, but those of the body (RFC 9111 §3.2)."""
    put: dict[bytes, list[tuple[bytes, bytes]]] = {}
    for name, value in newer.pairs:
        lowered = name.lower()
        if lowered not in _WITH_BODY:
            put.setdefault(lowered, []).append((name, value))
    pairs: list[tuple[bytes, bytes]] = []
    for pair in stored.pairs:
        lowered = pair[0].lower()
        if lowered not in put:
            pairs.append(pair)
        else:
            pairs.extend(put[lowered])
            put[lowered] = []
    for added in put.values():
        pairs.extend(added)
    return Fields(pairs)
