"""What the origin is told about the client's connection (``X-Forwarded-*``), on fetches for one client only.

Must not know: caching.
"""

from __future__ import annotations

from txstalecache.http.messages import Fields

__all__ = ["forwarded"]

_SAID_BY_CLIENTS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip")


def forwarded(fields: Fields, client: str | None, scheme: bytes, trusted: bool = False) -> Fields:
    """``fields`` with what the client claims about itself replaced by what its connection shows: its address (None: it
    has none) and ``scheme``. What a ``trusted`` proxy says of its own client stays, its address is added."""
    peer = (client or "-").encode("ascii", "replace")
    if not trusted:
        shown = ((b"X-Forwarded-For", peer), (b"X-Forwarded-Proto", scheme))
        return fields.without(*_SAID_BY_CLIENTS).extended(shown)
    before = fields.get(b"x-forwarded-for")
    fields = fields.replacing(b"X-Forwarded-For", peer if before is None else before + b", " + peer)
    return fields if b"x-forwarded-proto" in fields else fields.adding(b"X-Forwarded-Proto", scheme)
