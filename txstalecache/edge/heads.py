"""Request heads from the wire: bytes to a ``ReceivedRequest``, or ``Rejected``.

Everything that two recipients could read in two ways is refused: a request is passed on as one well-formed request or
not at all (RFC 9112 §11.2). ``examine`` is pure, so that whatever reads bytes from clients can ask it.
Must not know: sockets, clocks, Twisted, caching.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from ipaddress import AddressValueError, IPv6Address

from txstalecache.edge.limits import EdgeLimits
from txstalecache.http.fields import HOPELESS, LENGTH, LINES, is_token, lines
from txstalecache.http.messages import Fields, RequestHead, without_port
from txstalecache.http.values import enumeration

__all__ = [
    "BodyKind",
    "ReceivedRequest",
    "Rejected",
    "authority",
    "body_kind",
    "examine",
    "is_decisive",
    "origin_form",
    "served",
]

_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_SECTION = re.compile(LINES.pattern + rb"\r\n")
#: What is above the minor versions that are spoken here.
_ABOVE = frozenset(b"HTTP/1.%d" % minor for minor in range(2, 10))
#: An origin-form target: visible ASCII only, and nothing that starts a fragment (RFC 9112 §3.2.1).
_TARGET = re.compile(rb"/[!\"$-~]*+")
# A registered name without sub-delims and percent signs, which no name in the DNS needs and which are how two parsers
# come to disagree; an IPv4 address; an IPv6 literal (RFC 3986 §3.2.2).
_AUTHORITY = re.compile(rb"([A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5})?)?")

# What frames and routes a message. CGI and its heirs read "_" as "-": such a twin would say it a second time.
_DECISIVE = frozenset({b"connection", b"content-length", b"expect", b"host", b"transfer-encoding"})


def is_decisive(name: bytes) -> bool:
    """Whether the field ``name``, or what a careless reader takes it for, frames or routes a message."""
    return name.lower().replace(b"_", b"-") in _DECISIVE


class Rejected(Exception):
    """This request goes no further; ``status`` and ``why`` tell the client. ``why`` has no bytes of the client's."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@enumeration
class BodyKind(Enum):
    """What follows a head on the wire (RFC 9112 §6.3)."""

    NONE = "none"
    COUNTED = "counted"
    CHUNKED = "chunked"


@dataclass(slots=True)
class ReceivedRequest:
    """A request head that may go further, and what it says about its connection."""

    head: RequestHead
    """Its target in origin form, or ``*``; its fields as they came, with at most one Host, whose value in lower case is
    the authority; empty where HTTP/1.0 sent none."""
    version: bytes = b"HTTP/1.1"
    """``HTTP/1.0`` or ``HTTP/1.1``: the one it is to be taken for."""
    kind: BodyKind = BodyKind.NONE
    length: int = 0
    """Bytes of body to come; 0 unless ``kind`` is COUNTED."""
    persistent: bool = True
    """Whether the connection may carry another request (RFC 9112 §9.3). HTTP/1.0 is not asked."""
    expects: bool = False
    """Whether the client waits for ``100 Continue``."""
    end: int = 0
    """Where the head ends in what was examined."""


def examine(
    data: bytes | bytearray, limits: EdgeLimits, scheme: bytes = b"http", start: int = 0
) -> ReceivedRequest | None:
    """The request head at the start of ``data``; None while it is incomplete. Raises Rejected.

    ``start``: the length of what an earlier call found incomplete, which is not gone over again.
    """
    end = data.find(b"\r\n\r\n", max(start - 3, 0))
    if end < 0 or end + 4 > limits.head:
        _check_incomplete(data, limits, start)
        return None
    end += 4
    block = bytes(data[:end])
    first = block.index(b"\r\n") + 2
    method, target, version = _request_line(block[: first - 2], limits)
    if _SECTION.fullmatch(block, first) is None:
        raise Rejected(400, "malformed header field")
    pairs = lines(block, first)
    if len(pairs) > limits.fields:
        raise Rejected(431, "too many header fields")
    return _judge(method, target, version, Fields(pairs), limits, scheme, end)


def _check_incomplete(data: bytes | bytearray, limits: EdgeLimits, start: int) -> None:
    """Raises Rejected when no head can become of ``data``, so that rubbish need not run into a deadline."""
    longest = limits.target + 64  # and method and version
    if len(data) > longest and data.find(b"\r\n", 0, longest) < 0:
        raise Rejected(414, "target too long")
    if len(data) >= limits.head:
        raise Rejected(431, "header fields too large")
    if HOPELESS.search(data, max(start - 1, 0)):
        raise Rejected(400, "malformed line end")


def _request_line(line: bytes, limits: EdgeLimits) -> tuple[bytes, bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise Rejected(400, "malformed request line")
    method, target, version = parts
    if len(method) > 32 or not is_token(method):
        raise Rejected(400, "method is not a token")
    if version in _ABOVE:
        version = b"HTTP/1.1"  # RFC 9110 §2.5: the highest one spoken here
    elif version not in (b"HTTP/1.1", b"HTTP/1.0"):
        if _VERSION.fullmatch(version):
            raise Rejected(505, "only HTTP/1 is spoken here")
        raise Rejected(400, "malformed request line")
    if method in (b"CONNECT", b"TRACE"):
        raise Rejected(405, "method not allowed")
    if limits.methods is not None and method not in limits.methods:
        raise Rejected(501, "method not known here")
    if len(target) > limits.target:
        raise Rejected(414, "target too long")
    return method, target, version


def _judge(
    method: bytes, target: bytes, version: bytes, fields: Fields, limits: EdgeLimits, scheme: bytes, end: int
) -> ReceivedRequest:
    for name in fields.names:
        if b"_" in name and is_decisive(name):
            raise Rejected(400, "ambiguous header field name")
    host = authority(fields.get_all(b"host"), version)
    if limits.hosts is not None and not served(host, limits.hosts):
        raise Rejected(421, "no such host here")
    target = origin_form(method, target, scheme, host)
    kind, length = body_kind(fields.get_all(b"content-length"), fields.get_all(b"transfer-encoding"), version)
    if limits.body is not None and length > limits.body:
        raise Rejected(413, "body too large")
    expects = b"expect" in fields
    if expects and [value.lower() for value in fields.get_all(b"expect")] != [b"100-continue"]:
        raise Rejected(417, "expectation not understood")
    options = {option.strip(b" \t").lower() for value in fields.get_all(b"connection") for option in value.split(b",")}
    return ReceivedRequest(
        RequestHead(method, target, fields, scheme, host),
        version,
        kind,
        length,
        version == b"HTTP/1.1" and b"close" not in options,
        # RFC 9110 §10.1.1: from HTTP/1.0, or without a body, it is ignored.
        expects and version == b"HTTP/1.1" and kind is not BodyKind.NONE,
        end,
    )


def authority(hosts: list[bytes], version: bytes) -> bytes:
    """The value of the one Host field in lower case; empty when HTTP/1.0 sent none (RFC 9112 §3.2). Raises Rejected."""
    if len(hosts) != 1:
        if hosts or version != b"HTTP/1.0":
            raise Rejected(400, "exactly one Host is needed")
        return b""
    match = _AUTHORITY.fullmatch(hosts[0])
    if match is None or (match[2] is not None and int(match[2]) > 65535):
        raise Rejected(400, "Host is not a host")
    name = match[1]
    if name.startswith(b"["):
        try:
            IPv6Address(name[1:-1].decode("ascii"))
        except AddressValueError:
            raise Rejected(400, "Host is not a host") from None
    elif name.startswith(b".") or b".." in name:
        raise Rejected(400, "Host is not a host")
    return hosts[0].lower()


def served(host: bytes, hosts: frozenset[bytes]) -> bool:
    """Whether ``host``, a valid authority in lower case, is one of ``hosts`` (see ``EdgeLimits.hosts``)."""
    name = without_port(host).rstrip(b".")
    if name in hosts:
        return True
    _, dot, parent = name.partition(b".")
    while dot:
        if b"*." + parent in hosts:
            return True
        _, dot, parent = parent.partition(b".")
    return False


def origin_form(method: bytes, target: bytes, scheme: bytes, host: bytes) -> bytes:
    """The target as it is forwarded. An absolute form must name the host that Host names: RFC 9112 §3.2.2 has us prefer
    the target, others prefer Host, so only agreement is safe. OPTIONS of an absolute form without a path is about the
    server: ``*`` (RFC 9112 §3.2.4). Raises Rejected."""
    if target == b"*" and method == b"OPTIONS":
        return target
    if not target.startswith(b"/"):
        prefix = scheme + b"://" + host
        if not host or target[: len(prefix)].lower() != prefix:
            raise Rejected(400, "target is for another authority")
        rest = target[len(prefix) :]
        if rest and rest[:1] not in b"/?":
            raise Rejected(400, "target is for another authority")
        if not rest and method == b"OPTIONS":
            return b"*"
        target = rest if rest.startswith(b"/") else b"/" + rest
    if not _TARGET.fullmatch(target):
        raise Rejected(400, "target has bytes it may not have")
    return target


def body_kind(lengths: list[bytes], codings: list[bytes], version: bytes) -> tuple[BodyKind, int]:
    """RFC 9112 §6.3, refusing whatever could be read in two ways. Raises Rejected."""
    if len(lengths) > 1 or (lengths and not LENGTH.fullmatch(lengths[0])):
        raise Rejected(400, "malformed Content-Length")
    if codings:
        if lengths:
            raise Rejected(400, "both Content-Length and Transfer-Encoding")
        if version != b"HTTP/1.1":
            raise Rejected(400, "Transfer-Encoding in HTTP/1.0")
        if len(codings) > 1:
            raise Rejected(400, "repeated Transfer-Encoding")
        if codings[0].lower() != b"chunked":
            raise Rejected(501, "transfer coding not understood")
        return BodyKind.CHUNKED, 0
    length = int(lengths[0]) if lengths else 0
    return (BodyKind.COUNTED if length else BodyKind.NONE), length
