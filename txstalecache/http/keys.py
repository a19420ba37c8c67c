"""Cache keys: what identifies a cached resource, before ``Vary`` chooses among its variants.

Must not know: Redis, prefixes, requests' connections.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

__all__ = ["Key"]


@dataclass(frozen=True)
class Key:
    """Identifies what is cached. Equal parts mean an equal key; different parts never collide.

    ``host`` and ``target`` are kept beside the parts for purging by host, path and URL, and for logs.
    """

    parts: tuple[bytes, ...]
    host: bytes = b""
    target: bytes = b""

    @cached_property
    def digest(self) -> str:
        """A 160-bit hash over the length-prefixed parts, in hex."""
        hashed = blake2b(digest_size=20)
        for part in self.parts:
            hashed.update(b"%d:" % len(part))
            hashed.update(part)
        return hashed.hexdigest()

    def __hash__(self) -> int:
        return hash(self.parts)

    def __eq__(self, other: object) -> bool:
        return self.parts == other.parts if isinstance(other, Key) else NotImplemented
