"""Requests to the wire: exactly one well-formed head, or ``ValueError``.

What the edge has let through is checked once more: this is the last place where a line break in the wrong place can be
kept from becoming a second request. Must not know: sockets, clocks.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from twisted.web.iweb import UNKNOWN_LENGTH

from txstalecache.http.fields import HOP_BY_HOP, TOKEN, VALUE
from txstalecache.http.messages import Fields
from txstalecache.origin.interfaces import OriginRequest

__all__ = ["encode_head", "sent_fields"]

# Framing and the connection are ours; Expect is between the client and us (RFC 9110 §10.1.1).
_OURS = HOP_BY_HOP | {b"content-length", b"expect"}

# Methods that mean a body: without one they say so (RFC 9110 §8.6).
_WITH_BODY = frozenset({b"POST", b"PUT", b"PATCH"})

_LINE = re.compile(TOKEN.pattern + rb" (?:/[\x21\x22\x24-\x7e]*+|\*) HTTP/1\.1\r\n")
_SECTION = re.compile(rb"(?:%b: %b\r\n)*+" % (TOKEN.pattern, VALUE.pattern))


def sent_fields(fields: Fields) -> Sequence[tuple[bytes, bytes]]:
    """The lines of ``fields`` that go to the origin: without those that are about framing or the connection."""
    if fields.names.isdisjoint(_OURS):
        return fields.pairs
    return [pair for pair in fields.pairs if pair[0].lower() not in _OURS]


def encode_head(request: OriginRequest, authority: bytes) -> bytes:
    """The head of ``request``, its fields in their order. ``authority`` becomes the ``Host`` when there is none.

    Raises ValueError for what would not be one HTTP/1.1 request: line breaks, NUL or other controls anywhere, a method
    or a name that is no token, a target that is not in origin form, more than one Host.
    """
    head = request.head
    line = b"%s %s HTTP/1.1\r\n" % (head.method, head.target)
    if _LINE.fullmatch(line) is None:
        raise ValueError("not one well-formed request")
    section = head.fields.once(encode_head, _section)
    if b"host" not in head.fields:
        section = _written([(b"Host", authority)]) + section
    if request.body is not None:
        length = request.body.length
        section += b"Transfer-Encoding: chunked\r\n" if length is UNKNOWN_LENGTH else b"Content-Length: %d\r\n" % length
        if length != 0:
            # The connection carries nothing after a body: an origin that takes one for a request is not to answer it.
            section += b"Connection: close\r\n"
    elif head.method in _WITH_BODY:
        section += b"Content-Length: 0\r\n"
    return b"%b%b\r\n" % (line, section)


def _section(fields: Fields) -> bytes:
    """The lines of ``fields`` that are sent."""
    if len(fields.get_all(b"host")) > 1:
        raise ValueError("more than one Host")
    return _written(sent_fields(fields))


def _written(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    lines = b"".join([b"%b: %b\r\n" % pair for pair in pairs])
    # The pattern alone would take an injected line for one more field: the number of lines must be ours as well.
    if lines.count(b"\n") != len(pairs) or _SECTION.fullmatch(lines) is None:
        raise ValueError("not one well-formed request")
    return lines
