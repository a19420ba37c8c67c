"""A site's own Python, as a file names it by dotted name: each hook does one thing that can be seen, and fails at
``/fails``."""

from __future__ import annotations

from dataclasses import replace

from txstalecache.http.entry import Entry
from txstalecache.http.messages import RequestHead, ResponseHead

__all__ = ["before_store", "key", "storable", "tags", "tenant", "ttl"]


def _may_fail(request: RequestHead) -> None:
    if request.path == b"/fails":
        raise RuntimeError("a hook of the site's")


def key(request: RequestHead) -> bytes:
    """Each shop has its own answers."""
    _may_fail(request)
    return request.fields.get(b"x-shop") or b""


def tenant(request: RequestHead) -> bytes:
    """Each tenant has its own answers, and every client is one's: who is nobody's was not thought of."""
    return request.fields.get(b"x-tenant").lower()  # type: ignore[union-attr]


def storable(request: RequestHead, response: ResponseHead) -> bool:
    """Not what says so."""
    _may_fail(request)
    return b"x-never" not in response.fields


def ttl(request: RequestHead, response: ResponseHead) -> float | None:
    """500 s, where the path says so."""
    _may_fail(request)
    return 500.0 if request.path == b"/long" else None


def tags(request: RequestHead, response: ResponseHead) -> list[bytes]:
    """The first part of the path."""
    _may_fail(request)
    return [request.path.split(b"/")[1]]


def before_store(request: RequestHead, entry: Entry) -> Entry | None:
    """Marks what is stored; what is secret is not."""
    _may_fail(request)
    return None if request.path == b"/secret" else replace(entry, fields=entry.fields.replacing(b"X-Mark", b"1"))
