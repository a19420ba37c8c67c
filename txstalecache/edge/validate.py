"""From what Twisted parsed to a request head that may go further, or a reason why not (RFC 9112 §3, RFC 9110 §7.2).

Checked wherever the resource lives. ``CacheSite`` has checked the raw bytes before (``edge.heads``); behind another
``Site`` this is all there is, and what its parser has mended, merged or thrown away is not seen here.
Must not know: caching, the origin.
"""

from __future__ import annotations

import re

from twisted.web.http import Request

from txstalecache.edge.heads import Rejected, authority, body_kind, origin_form
from txstalecache.http.messages import Fields, RequestHead

__all__ = ["Rejected", "request_head"]

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*+")


def request_head(request: Request) -> RequestHead:
    """The validated head of ``request``. Raises Rejected."""
    method, version = request.method, request.clientproto
    if not _TOKEN.fullmatch(method):
        raise Rejected(400, "method is not a token")
    if method in (b"CONNECT", b"TRACE"):
        raise Rejected(405, "method not allowed")
    fields = Fields((name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values)
    for name, value in fields:
        if not (_TOKEN.fullmatch(name) and _VALUE.fullmatch(value)):
            raise Rejected(400, "malformed header field")
    host = authority(fields.get_all(b"host"), version)
    scheme = b"https" if request.isSecure() else b"http"
    target = origin_form(method, request.uri, scheme, host)
    body_kind(fields.get_all(b"content-length"), fields.get_all(b"transfer-encoding"), version)
    return RequestHead(method, target, fields, scheme, host)
