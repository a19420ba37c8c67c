"""Cache-Status: what this cache did with a request, in one member of a structured list (RFC 9211).

Must not know: how it came to be decided.
"""

from __future__ import annotations

from functools import lru_cache
from math import floor, isnan

from txstalecache.http.fields import is_token
from txstalecache.http.messages import Fields
from txstalecache.http.pseudonym import OURS
from txstalecache.http.structured import parse_list, serialize_string
from txstalecache.http.values import dataclass

__all__ = ["CacheStatus", "legible"]

# RFC 9651 §3.3.6 has integers of at most 15 digits.
_MOST = 10**15 - 1


def _text(value: str) -> bytes:
    """A token where it is one, else a string (RFC 9211 §2.8)."""
    encoded = value.encode("utf-8", "replace")
    first = encoded[:1]
    return encoded if is_token(encoded) and (first.isalpha() or first == b"*") else serialize_string(encoded)


@lru_cache(256)
def _begun(name: bytes, hit: bool, fwd: str | None, fwd_status: int | None) -> bytes:
    """A member as far as its status."""
    parts = [name if is_token(name) and name[:1].isalpha() else serialize_string(name)]
    if hit:
        parts.append(b"hit")
    elif fwd is not None:
        # RFC 9211 §2.2: a token, and never beside hit.
        parts.append(b"fwd=" + (_text(fwd) if fwd else b"miss"))
    if fwd_status is not None:
        parts.append(b"fwd-status=%d" % fwd_status)
    return b"; ".join(parts)


@lru_cache(256)
def _ended(stored: bool, collapsed: bool | None, detail: str | None) -> bytes:
    """What comes behind its time to live."""
    ended = b"; stored" if stored else b""
    if collapsed is not None:
        ended += b"; collapsed" if collapsed else b"; collapsed=?0"
    return ended if detail is None else ended + b"; detail=" + _text(detail)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheStatus:
    """The parameters of RFC 9211 §2; None and False are left out. Whatever is put in, the member is well-formed."""

    hit: bool = False
    fwd: str | None = None
    """``bypass``, ``method``, ``uri-miss``, ``vary-miss``, ``miss``, ``request``, ``stale`` or ``partial``."""
    fwd_status: int | None = None
    ttl: float | None = None
    """What is left of the lifetime in seconds, below zero when stale."""
    stored: bool = False
    collapsed: bool | None = None
    detail: str | None = None

    def member(self, name: bytes = OURS.name) -> bytes:
        """The list member of the cache called ``name``."""
        member = _begun(name, self.hit, self.fwd, self.fwd_status)
        if self.ttl is not None and not isnan(self.ttl):
            member += b"; ttl=%d" % floor(min(max(self.ttl, -_MOST), _MOST))
        return member + _ended(self.stored, self.collapsed, self.detail)


def legible(fields: Fields) -> Fields:
    """``fields``, to which one more member may be added behind those of the caches before this one (RFC 9211 §2): what
    they wrote is dropped when it is no structured list, as ours would be unreadable behind it."""
    before = fields.get(b"cache-status")
    return fields if before is None or parse_list(before) else fields.without(b"cache-status")
