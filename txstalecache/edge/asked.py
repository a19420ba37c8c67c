"""A plain request read fast: a head that is certain in every respect, or None.

What is read here must mean exactly what ``edge.heads`` reads. So only the plainest shape is read at all: one whole GET
or HEAD of HTTP/1.1, by a strict parser (llhttp), without a body, an upgrade or anything else about its connection. None
is no verdict: ``edge.heads`` is asked then.
Must not know: sockets, stores, answers.
"""

from __future__ import annotations

import re
from typing import Final

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from txstalecache.edge.forwarded import with_scheme
from txstalecache.edge.heads import Rejected, authority, origin_form, served
from txstalecache.edge.limits import EdgeLimits
from txstalecache.http import forward
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.http.section import Section

__all__ = ["SHAPING", "HeadReader", "Shape", "shape", "shaped"]

#: With one of these a request is not plain: what its connection does next hangs on it.
_NOT_PLAIN: Final = frozenset(
    b"""
    content-length expect http2-settings keep-alive proxy-connection te trailer transfer-encoding upgrade
    """.split()
)

#: A request line that every parser takes for the same (RFC 3986 §3.3, §3.4).
_PLAIN_LINE: Final = re.compile(rb"(GET|HEAD) (/[A-Za-z0-9\-._~!$&'()*+,;=:@%/?]*+) HTTP/1\.1")

#: The request fields, beside those that Vary and the key name, that any decision about a stored answer looks at. Of the
#: first two only whether they are there.
SHAPING: Final = (
    b"authorization",
    b"cookie",
    b"cache-control",
    b"pragma",
    b"if-match",
    b"if-unmodified-since",
    b"if-none-match",
    b"if-modified-since",
    b"range",
    b"if-range",
)
_ONLY_WHETHER: Final = 2

#: What tells requests for one variant apart: the method, and the value of each of ``SHAPING`` (None: absent).
Shape = tuple[bytes | None, ...]


def shape(head: RequestHead) -> Shape:
    """What about ``head`` makes a difference once the variant is chosen."""
    get = head.fields.get
    values = [get(name) for name in SHAPING]
    for at in range(_ONLY_WHETHER):
        if values[at] is not None:
            values[at] = b"-"
    return (head.method, *values)


def shaped(head: RequestHead, shape: Shape) -> RequestHead:
    """``head`` with nothing but its shape: what is worked out from it holds for every request of this shape."""
    fields = Fields((name, value) for name, value in zip(SHAPING, shape[1:], strict=True) if value is not None)
    return RequestHead(head.method, head.target, fields, head.scheme, head.authority)


class HeadReader:
    """Reads heads for connections with ``limits`` and ``scheme`` to the proxy called ``pseudonym``; where they are
    ``trusted``, the scheme is the one that they say. Not to be entered twice."""

    #: Values of Host remembered, good ones.
    HOSTS = 256
    #: Bytes of a field section that is worth remembering.
    LONGEST = 4096
    #: What a section costs to remember, in bytes, with what is worked out from it: by itself, and for each field.
    EACH, FIELD = 800, 420
    #: All of them may cost this much; whoever owns the reader may say otherwise.
    room: float = 256 * 1024

    def __init__(self, limits: EdgeLimits, scheme: bytes, trusted: bool = False, pseudonym: Pseudonym = OURS) -> None:
        self.pseudonym = pseudonym
        self._limits = limits
        self._scheme = scheme
        self._trusted = trusted
        self._hosts: dict[bytes, bytes] = {}
        self._sections: dict[bytes, tuple[Section, bytes]] = {}
        """By all that follows the request line: what it comes to, and the host that it names."""
        self._weight = 0
        self._new_parser()

    def _new_parser(self) -> None:
        self._parser = HttpRequestParser(self)
        self._target = b""
        self._fields: list[tuple[bytes, bytes]] = []
        self._ended = 0

    # -- what the parser calls -----------------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name, value.strip(b" \t")))  # llhttp leaves what trails

    def on_message_complete(self) -> None:
        self._ended += 1

    # -- reading -------------------------------------------------------------------------------------------------

    def read(self, data: bytes) -> RequestHead | None:
        """The request that ``data`` is, nothing before and nothing after it; None when there is any doubt."""
        if len(data) > self._limits.head or data[-4:] != b"\r\n\r\n":
            return None
        end = data.find(b"\r\n")
        known = self._sections.get(data[end:])
        if known is not None:
            line = _PLAIN_LINE.fullmatch(data, 0, end)
            if line is not None:
                return self._asking(line[1], line[2], *known)
        return self._parsed(data, end)

    def forget(self) -> None:
        """Keep no section."""
        self._sections.clear()
        self._weight = 0

    def _parsed(self, data: bytes, end: int) -> RequestHead | None:
        """The same, of a head whose request line ends at ``end``; its section is known from then on."""
        if data[:4] not in (b"GET ", b"HEAD"):
            return None
        self._fields = []
        self._target = b""
        self._ended = 0
        parser = self._parser
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade):
            self._new_parser()
            return None
        if self._ended != 1 or not parser.should_keep_alive():
            self._new_parser()
            return None
        method = parser.get_method()
        # The parser forgives spaces here that others do not.
        if data[:end] != b"%b %b HTTP/1.1" % (method, self._target):
            return None
        section = self._section(data)
        if section is None:
            return None
        if len(data) - end <= self.LONGEST:
            self._weight += self.EACH + self.FIELD * len(section[0]) + 3 * (len(data) - end)
            if self._weight > self.room:
                self.forget()
            self._sections[data[end:]] = section
        return self._asking(method, self._target, *section)

    def _asking(self, method: bytes, target: bytes, fields: Fields, host: bytes) -> RequestHead | None:
        """What asks for ``target``, if it may."""
        limits = self._limits
        if len(target) > limits.target or target[:1] != b"/":
            return None
        if limits.methods is not None and method not in limits.methods:
            return None
        try:
            if origin_form(method, target, self._scheme, host) != target:
                return None
        except Rejected:
            return None
        head = RequestHead(method, target, fields, self._scheme, host)
        said = fields.get(b"x-forwarded-proto")
        if said is None:
            return head
        head = with_scheme(head, self._trusted)
        return head if head.scheme == said else None  # the origin would be told otherwise

    def _section(self, data: bytes) -> tuple[Section, bytes] | None:
        """The fields of ``data``, as they were parsed, and the host that they name."""
        pairs = self._fields
        lines = len(pairs) + 2
        # As many line ends as lines: none was folded, none came before the request line or after the head.
        if data.count(b"\n") != lines or data.count(b"\r") != lines:
            return None
        if len(pairs) > self._limits.fields:
            return None
        fields = Section(pairs)
        names = fields.names
        if not _NOT_PLAIN.isdisjoint(names):
            return None
        # ``keep-alive`` is what HTTP/1.1 does anyway (RFC 9112 §9.3); many clients say it all the same.
        if b"connection" in names and [line.lower() for line in fields.get_all(b"connection")] != [b"keep-alive"]:
            return None
        # Some read "_" in a name as "-": ``edge.heads`` knows which of them matter.
        if b"_" in data and any(b"_" in name for name in names):
            return None
        try:
            host = self._host(fields.get_all(b"host"))
        except Rejected:
            return None
        # Whether a key or a token takes the answer is for ``policy.judge`` to say.
        if host is None or forward.looped(fields, self.pseudonym) or forward.identified(fields, ()):
            return None
        return fields, host

    def _host(self, hosts: list[bytes]) -> bytes | None:
        if len(hosts) != 1:
            return None
        known = self._hosts.get(hosts[0])
        if known is not None:
            return known
        host = authority(hosts, b"HTTP/1.1")
        if self._limits.hosts is not None and not served(host, self._limits.hosts):
            return None
        if len(self._hosts) >= self.HOSTS:
            self._hosts.clear()
        self._hosts[hosts[0]] = host
        return host
