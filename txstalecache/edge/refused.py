"""A request that gets no further than its connection: what its client is told, and what the log.

Must not know: connections, caching.
"""

from __future__ import annotations

from time import time

from twisted.web.http import datetimeToString

from txstalecache.edge.heads import ReceivedRequest, Rejected
from txstalecache.edge.phrases import phrase
from txstalecache.edge.reply import ALLOWED, SERVER
from txstalecache.observe.accesslog import Record

__all__ = ["canned", "refused"]


def canned(status: int, why: str, *, retry_after: int | None = None) -> bytes:
    """A whole answer that closes the connection, for a client that gets no further."""
    text = b"%d %s: %s\n" % (status, phrase(status), why.encode("ascii", "replace"))
    lines = [
        b"HTTP/1.1 %d %s" % (status, phrase(status)),
        b"Server: " + SERVER,
        b"Date: " + datetimeToString(),
        b"Content-Type: text/plain; charset=utf-8",
        b"Content-Length: %d" % len(text),
        b"Cache-Control: no-store",
        b"Connection: close",
    ]
    if status == 405:
        lines.append(b"Allow: " + ALLOWED)
    if retry_after is not None:
        lines.append(b"Retry-After: %d" % retry_after)
    return b"\r\n".join(lines) + b"\r\n\r\n" + text


def refused(rejected: Rejected, asked: ReceivedRequest | None, client: str | None, duration: float) -> Record:
    """What is logged of what was ``asked`` (None: it was not understood) by ``client`` (None: it has no address)."""
    return Record(
        time=time(),
        client=client or "-",
        method=asked.head.method if asked else b"-",
        target=asked.head.target if asked else b"-",
        version=asked.version if asked else b"-",
        status=rejected.status,
        sent=0,
        verdict="refuse",
        why=rejected.why,
        duration=duration,
    )
