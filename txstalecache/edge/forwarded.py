"""What the origin is told about the client's connection (``X-Forwarded-*``), on fetches for one client only.

Must not know: caching.
"""

from __future__ import annotations

from twisted.internet.interfaces import IAddress
from twisted.web.http import Request

from txstalecache.http.messages import Fields

__all__ = ["forwarded", "peer_host"]

_SAID_BY_CLIENTS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip")


def peer_host(address: IAddress | None) -> bytes:
    """The peer's address; ``-`` for a peer without one (a unix socket)."""
    host = getattr(address, "host", None)
    return str(host).encode("ascii", "replace") if host else b"-"


def forwarded(fields: Fields, request: Request, trusted: bool = False) -> Fields:
    """``fields`` with what the client claims about itself replaced by what its connection shows. What a ``trusted``
    proxy says of its own client stays, its address is added."""
    proto = b"https" if request.isSecure() else b"http"
    peer = peer_host(request.client)
    if not trusted:
        return fields.without(*_SAID_BY_CLIENTS).adding(b"X-Forwarded-For", peer).adding(b"X-Forwarded-Proto", proto)
    before = fields.get(b"x-forwarded-for")
    fields = fields.replacing(b"X-Forwarded-For", peer if before is None else before + b", " + peer)
    return fields if b"x-forwarded-proto" in fields else fields.adding(b"X-Forwarded-Proto", proto)
