"""Keys, requests and entries to store."""

from __future__ import annotations

from txstalecache.http.entry import Entry, Freshness, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead

__all__ = ["entry", "get", "key"]


def key(name: str = "/a") -> Key:
    """A key by its path."""
    return Key((b"GET", b"http", b"host", name.encode()), b"host", name.encode())


def get(target: str = "/a", **fields: str) -> RequestHead:
    """A request; ``accept_encoding="gzip"`` is a field."""
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
    return RequestHead(b"GET", target.encode(), Fields(pairs))


def entry(
    now: float,
    body: bytes | tuple[bytes, ...] = b"hello",
    *,
    selector: Selector = (),
    lifetime: float = 10.0,
    keep: float = 5.0,
    tags: frozenset[bytes] = frozenset(),
) -> Entry:
    """An entry fetched at ``now``."""
    pieces = (body,) if isinstance(body, bytes) else body
    length = sum(map(len, pieces))
    return Entry(
        status=200,
        fields=Fields([(b"Date", b"Mon, 23 Nov 2026 10:00:00 GMT"), (b"Content-Length", b"%d" % length)]),
        body=tuple(piece for piece in pieces if piece),
        request_time=now,
        response_time=now + 0.001,
        freshness=Freshness(initial_age=0.0, lifetime=lifetime, keep=keep, while_revalidate=keep),
        selector=selector,
        tags=tags,
    )
