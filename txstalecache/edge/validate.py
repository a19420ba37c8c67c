"""From what Twisted parsed to a request head that may go further, or a reason why not (RFC 9112 §3, RFC 9110 §7.2).

This is checked wherever the resource lives; ``CacheSite`` checks more, on the raw bytes, before.
Must not know: caching, the origin.
"""

from __future__ import annotations

import re

from twisted.web.http import Request

from txstalecache.http.messages import Fields, RequestHead

__all__ = ["METHODS", "Rejected", "request_head"]

METHODS = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"})

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
#: An origin-form target: visible ASCII only, and nothing that starts a fragment (RFC 9112 §3.2.1).
_TARGET = re.compile(rb"/[!\"$-~]*\Z")
#: host [":" port], a registered name, an IPv4 address or an IPv6 literal (RFC 3986 §3.2.2).
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?\Z")


class Rejected(Exception):
    """This request goes no further; ``status`` and ``why`` tell the client."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def request_head(request: Request) -> RequestHead:
    """The validated head of ``request``. Raises Rejected."""
    method, version = request.method, request.clientproto
    if not _TOKEN.match(method):
        raise Rejected(400, "method is not a token")
    if method in (b"CONNECT", b"TRACE"):
        raise Rejected(405, "method not allowed")
    fields = Fields((name, value) for name, values in request.requestHeaders.getAllRawHeaders() for value in values)
    hosts = fields.get_all(b"host")
    if len(hosts) > 1 or (not hosts and version != b"HTTP/1.0"):
        raise Rejected(400, "exactly one Host is needed")
    authority = hosts[0].lower() if hosts else b""
    if hosts and not _AUTHORITY.match(authority):
        raise Rejected(400, "Host is not a host")
    scheme = b"https" if request.isSecure() else b"http"
    target = _origin_form(method, request.uri, scheme, authority)
    if b"transfer-encoding" in fields:
        if version != b"HTTP/1.1" or fields.get_all(b"transfer-encoding") != [b"chunked"]:
            raise Rejected(400, "transfer coding not understood")
        if b"content-length" in fields:
            raise Rejected(400, "both Content-Length and Transfer-Encoding")
    return RequestHead(method, target, fields, scheme, authority)


def _origin_form(method: bytes, target: bytes, scheme: bytes, authority: bytes) -> bytes:
    """The target as it is forwarded. An absolute form must name the host that ``Host`` names (RFC 9112 §3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        return target
    if not target.startswith(b"/"):
        prefix = scheme + b"://" + authority
        if not authority or target[: len(prefix)].lower() != prefix:
            raise Rejected(400, "target is for another authority")
        rest = target[len(prefix) :]
        if rest and rest[:1] not in b"/?":
            raise Rejected(400, "target is for another authority")
        target = rest if rest.startswith(b"/") else b"/" + rest
    if not _TARGET.match(target):
        raise Rejected(400, "target has bytes it may not have")
    return target
