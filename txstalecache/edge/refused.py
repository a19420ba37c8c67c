"""A request that gets no further than its connection: what its client is told, and what the log.

Must not know: connections, caching.
"""

from __future__ import annotations

import re
from time import time
from typing import Final

from twisted.internet.error import ConnectionAborted

from txstalecache.edge.heads import ReceivedRequest, Rejected
from txstalecache.edge.phrases import phrase
from txstalecache.edge.reply import ALLOWED, SERVER
from txstalecache.http.fields import LINES, format_date, is_token, lines
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.observe.accesslog import Record

__all__ = ["Refused", "canned", "glimpsed", "refused"]

#: Bytes of a head that are looked at once more.
MOST: Final = 16 * 1024

_VERSION = re.compile(rb"HTTP/[0-9]\.[0-9]")
_TARGET = re.compile(rb"[^\x00-\x20\x7f]+")


class Refused(ConnectionAborted):
    """A request ends because its connection has refused it, and has logged that."""


def glimpsed(data: bytes | bytearray, scheme: bytes) -> ReceivedRequest | None:
    """What can be told of the request whose head ``data`` begins with, and which goes no further: for the log, and for
    how it is answered. Its fields as far as they are well-formed; None where not even the first line is."""
    line, _, rest = bytes(data[:MOST]).partition(b"\r\n")
    words = line.split(b" ")
    if not 2 <= len(words) <= 3 or not is_token(words[0]) or not _TARGET.fullmatch(words[1]):
        return None
    block = LINES.match(rest)
    fields = Fields(lines(block[0], 0)) if block else Fields()
    version = words[2] if len(words) == 3 and _VERSION.fullmatch(words[2]) else b"-"
    return ReceivedRequest(RequestHead(words[0], words[1], fields, scheme), version)


def canned(status: int, why: str, method: bytes = b"-", *, retry_after: int | None = None) -> bytes:
    """A whole answer to a request of ``method`` that closes the connection, for a client that gets no further."""
    text = b"%d %s: %s\n" % (status, phrase(status), why.encode("ascii", "replace"))
    said = [
        b"HTTP/1.1 %d %s" % (status, phrase(status)),
        b"Server: " + SERVER,
        b"Date: " + format_date(time()),
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: %d" % len(text),
        b"Cache-Control: no-store",
        b"Connection: close",
    ]
    if status == 405:
        said.append(b"Allow: " + ALLOWED)
    if retry_after is not None:
        said.append(b"Retry-After: %d" % retry_after)
    # RFC 9110 §9.3.2: to HEAD what it says of a body is all.
    return b"\r\n".join(said) + b"\r\n\r\n" + (b"" if method == b"HEAD" else text)


def refused(
    rejected: Rejected, asked: ReceivedRequest | None, client: str | None, duration: float, sent: int
) -> Record:
    """What is logged of what was ``asked`` (None: it was not understood) by ``client`` (None: it has no address);
    ``sent`` are bytes of body."""
    return Record(
        time=time(),
        client=client or "-",
        method=asked.head.method if asked else b"-",
        target=asked.head.target if asked else b"-",
        version=asked.version if asked else b"-",
        fields=asked.head.fields if asked else Fields(),
        scheme=asked.head.scheme if asked else b"http",
        status=rejected.status,
        sent=sent,
        verdict="refuse",
        why=rejected.why,
        duration=duration,
    )
