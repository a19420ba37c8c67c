"""Conditional requests: a client's, answered from what is stored; and ours, asking whether it still holds.

RFC 9110 §13, RFC 9111 §4.3. If-Match and If-Unmodified-Since do not apply to a cache (RFC 9111 §4.3.2): the policy
passes such requests on.
Must not know: stores, flights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from txstalecache.http import tags, vary
from txstalecache.http.admission import stored_fields
from txstalecache.http.entry import Entry, Freshness, Times
from txstalecache.http.fields import date_in, members, parse_date, updated
from txstalecache.http.freshness import initial_age
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.targeted import governing
from txstalecache.http.values import dataclass
from txstalecache.http.verdict import Admission, Store, Withhold

__all__ = ["Validation", "conditions", "freshen", "freshen_by_head", "not_modified", "not_modified_fields"]

# RFC 9110 §15.4.5: metadata of the representation that the client has already.
_NOT_IN_304 = frozenset(
    b"""
    accept-ranges content-digest content-disposition content-encoding content-language content-length content-md5
    content-range content-type digest repr-digest trailer transfer-encoding
    """.split()
)


def _entity_tag(fields: Fields) -> bytes | None:
    """The entity tag: of several, which no server should send, the first."""
    lines = fields.get_all(b"etag")
    return lines[0] if lines else None


def _opaque(tag: bytes) -> bytes:
    """What weak comparison looks at (RFC 9110 §8.8.3.2)."""
    return tag[2:] if tag[:2] == b"W/" else tag


def not_modified(request: RequestHead, status: int, fields: Fields) -> bool:
    """Whether the client has what the stored response ``fields`` would send (RFC 9110 §13.2, RFC 9111 §4.3.2)."""
    asked = request.fields
    if b"if-none-match" in asked:
        if status // 100 != 2 or request.method not in (b"GET", b"HEAD"):
            return False
        # If-None-Match present: If-Modified-Since is not looked at, whatever comes of it.
        tag = _entity_tag(fields)
        wanted = asked.get(b"if-none-match") or b""
        if wanted == b"*":
            return True
        return tag is not None and _opaque(tag) in {_opaque(member) for member in members(wanted)}
    since = asked.get(b"if-modified-since")
    if since is None or status // 100 != 2 or request.method not in (b"GET", b"HEAD"):
        return False
    then = parse_date(since)
    if then is None:
        return False
    # RFC 9111 §4.3.2: the Date stands in for a Last-Modified that is not there.
    changed = date_in(fields, b"last-modified" if b"last-modified" in fields else b"date")
    return changed is not None and changed <= then


def not_modified_fields(fields: Fields) -> Fields:
    """What of a 200's fields a 304 carries (RFC 9110 §15.4.5)."""
    # Last-Modified only where there is no entity tag to go by.
    dropped = _NOT_IN_304 | {b"last-modified"} if b"etag" in fields else _NOT_IN_304
    return Fields(pair for pair in fields.pairs if pair[0].lower() not in dropped)


def conditions(entry: Entry) -> Fields:
    """The fields that ask whether ``entry`` still holds: both of its validators (RFC 9111 §4.3.1). May be empty."""
    pairs: list[tuple[bytes, bytes]] = []
    tag = _entity_tag(entry.fields)
    if tag is not None:
        pairs.append((b"If-None-Match", tag))
    modified = entry.fields.get_all(b"last-modified")
    if modified and parse_date(modified[0]) is not None:
        pairs.append((b"If-Modified-Since", modified[0]))
    return Fields(pairs)


def _fits(entry: Entry, fields: Fields) -> bool:
    """Whether a 304 is about ``entry`` (RFC 9111 §4.3.4): a strong tag must be the same, a weak one or a date match."""
    tag, own = _entity_tag(fields), _entity_tag(entry.fields)
    if tag is not None:
        if tag[:2] != b"W/":
            return tag == own
        return own is not None and _opaque(tag) == _opaque(own)
    if b"last-modified" in fields and b"last-modified" in entry.fields:
        return date_in(fields, b"last-modified") == date_in(entry.fields, b"last-modified")
    return True  # no validator, or none to compare with: it answers the conditions that were sent


@dataclass(frozen=True, slots=True)
class Validation:
    """What the origin has said of an entry that it was asked about, by conditions or by HEAD."""

    request: RequestHead
    """As it was sent."""
    response: ResponseHead
    times: Times
    admit: Callable[[RequestHead, ResponseHead], Admission]
    """Who may have the entry under its newer head, and for how long: ``admission.admit``, and whoever may add to it."""
    fixed: frozenset[bytes] = frozenset()
    """As ``vary.names`` has it."""


def _renewed(entry: Entry, said: Validation) -> Entry | None:
    """``entry`` with a newer head: its freshness starts again. None when it may no longer be shared."""
    request, fields = said.request, said.response.fields
    request_time, response_time = said.times
    newer = stored_fields(fields, response_time)
    merged = updated(entry.fields, newer)
    merged = merged.without(*governing(merged).control.withheld)
    age = fields.get_all(b"age")
    # What decides is the merged head as if it had just come, with the Age that really came.
    head = Fields((*merged.pairs, *((b"Age", value) for value in age[:1])))
    asked = replace(request, method=b"GET") if request.method == b"HEAD" else request
    admission = said.admit(asked, ResponseHead(entry.status, head))
    if isinstance(admission, Withhold):
        return None
    if isinstance(admission, Store):
        decided = admission.freshness
    else:
        # It answers those who wait for it, and is gone.
        decided = Freshness(initial_age=initial_age(head, said.times), lifetime=0.0)
    return Entry(
        status=entry.status,
        fields=merged,
        body=entry.body,
        request_time=request_time,
        response_time=response_time,
        freshness=decided,
        selector=vary.selector(vary.names(merged, said.fixed) or (), request),
        tags=tags.of(request, merged),
    )


def freshen(entry: Entry, said: Validation) -> Entry | None:
    """The entry after a 304 to a request that carried its conditions (RFC 9111 §4.3.4).

    Every field of the 304 takes the stored one's place, but those that go with the body; freshness starts again. None
    when the 304 is about another representation, or when by it the response may no longer be shared: the entry is then
    of no use, and what holds must be fetched without conditions. A Set-Cookie in the 304 goes to nobody.
    """
    if said.response.status != 304 or not _fits(entry, said.response.fields):
        return None
    return _renewed(entry, said)


def freshen_by_head(entry: Entry, said: Validation) -> Entry | None:
    """The GET entry after the answer to a HEAD request that would have chosen it (RFC 9111 §4.3.5).

    The same object when the answer says nothing about it: not a 200, or without a validator, when what it is the head
    of may be anything by now. None when it shows that the entry no longer holds.
    """
    if said.response.status != 200 or said.request.method != b"HEAD" or entry.status != 200:
        return entry
    fields = said.response.fields
    validators = [name for name in (b"etag", b"last-modified") if name in fields]
    if any(fields.get(name) != entry.fields.get(name) for name in validators):
        return None
    length = fields.get(b"content-length")
    if length is not None and length != b"%d" % entry.length:
        return None
    renewed = _renewed(entry, said)
    return entry if renewed is not None and not validators else renewed
