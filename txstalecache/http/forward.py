"""The fields that go on: to the origin on everybody's behalf, to the origin for one client, and back to the client.

Must not know: connections, who the client is.
"""

from __future__ import annotations

from typing import Final

from txstalecache.http.fields import CREDENTIALS, end_to_end, members
from txstalecache.http.messages import Fields, RequestHead

__all__ = ["OVERRIDES", "PRECONDITIONS", "VIA", "alone", "looped", "replayed", "response", "shared", "shared_response"]

#: How this proxy calls itself in Via (RFC 9110 §7.6.3).
VIA: Final = b"txstalecache"

#: RFC 9110 §13.1. A cache answers a client's own; on a shared fetch only the cache's go upstream.
PRECONDITIONS: Final = frozenset(
    {b"if-match", b"if-none-match", b"if-modified-since", b"if-unmodified-since", b"if-range"}
)

#: Fields by which a client may talk an origin into answering for another host, path or method: poison where unkeyed.
OVERRIDES: Final = frozenset(
    b"""
    front-end-https x-forwarded-host x-forwarded-path x-forwarded-port x-forwarded-prefix x-forwarded-scheme
    x-forwarded-server x-forwarded-ssl x-forwarded-uri x-host x-http-destinationurl x-http-host-override x-http-method
    x-http-method-override x-method-override x-original-host x-original-method x-original-path x-original-uri
    x-original-url x-rewrite-uri x-rewrite-url x-url-scheme x-wap-profile
    """.split()
)

_NOT_SHARED = CREDENTIALS | PRECONDITIONS | OVERRIDES | {b"expect", b"range"}
_OF_A_BODY = frozenset(
    {b"content-encoding", b"content-language", b"content-length", b"content-location", b"content-type"}
)


def _with_via(fields: Fields, via: bytes) -> Fields:
    return fields.adding(b"Via", b"1.1 " + via)


def shared(request: RequestHead, keyed: frozenset[bytes], extra: Fields = Fields(), via: bytes = VIA) -> Fields:
    """The fields of a fetch whose answer anybody with the same key may get.

    Whatever says who asks, asks for a part, sets conditions, or overrides the target is left out, unless ``keyed``
    (lower case) contains it: then everybody who shares sent the same. ``extra`` is added: our own conditions.
    """
    drop = _NOT_SHARED - keyed
    if request.method in (b"GET", b"HEAD"):
        drop = drop | _OF_A_BODY
    kept = [pair for pair in end_to_end(request.fields).pairs if pair[0].lower() not in drop]
    return _with_via(Fields((*kept, *extra.pairs)), via)


def alone(request: RequestHead, via: bytes = VIA) -> Fields:
    """The fields of a fetch for this client only: all of its end-to-end fields."""
    return _with_via(end_to_end(request.fields), via)


def response(fields: Fields, via: bytes = VIA) -> Fields:
    """The fields of an answer on its way to a client (RFC 9110 §7.6)."""
    return _with_via(end_to_end(fields), via)


def replayed(fields: Fields, via: bytes = VIA) -> Fields:
    """The fields of an entry on their way to a client: end-to-end already."""
    return _with_via(fields, via)


def shared_response(fields: Fields, via: bytes = VIA) -> Fields:
    """As ``response``, for an answer that others get too: without what was set for the one who asked."""
    return _with_via(end_to_end(fields).without(b"set-cookie", b"set-cookie2"), via)


def looped(request: RequestHead, via: bytes = VIA) -> bool:
    """Whether the request has been through the proxy called ``via`` before (RFC 9110 §7.6.3)."""
    value = request.fields.get(b"via")
    if value is None:
        return False
    wanted = via.lower()
    for member in members(value):
        words = member.split(None, 2)
        if len(words) > 1 and words[1].lower() == wanted:
            return True
    return False
