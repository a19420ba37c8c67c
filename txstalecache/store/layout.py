"""What things are called in Redis.

All keys of one resource carry its digest in braces, so that a cluster keeps them on one node:

========================================  ========================================================================
``{prefix}v1:{<digest>}:e``               the entry that does not vary (string)
``{prefix}v1:{<digest>}:v:<variant>``     one variant (string)
``{prefix}v1:{<digest>}:x``               the index of the variants (hash: variant -> row)
``{prefix}v1:{<digest>}:b:<id>:<n>``      piece n of a large body (string)
``{prefix}v1:{<digest>}:m``               the marker that says how to fetch: PRIVATE, ERROR or LONG (string)
``{prefix}v1:{<digest>}:c``               the marker COOKIE (string)
``{prefix}v1:{<digest>}:d``               when the key was last discarded (string: a stamp)
``{prefix}v1:{<digest>}:l[:<variant>]``   the lease, or the back-off after a failed refresh (string)
``{prefix}v1:{<digest>}:w:<token>``       whether who waits for its holder need wait for others (string)
``{prefix}v1:{<digest>}:h:<token>``       the head of what the holder relays to them (string)
``{prefix}v1:{<digest>}:s:<token>``       its body as it comes (stream)
``{prefix}v1:{<digest>}:r:<token>``       how far those are who read it (hash: who -> number of the record)
``{prefix}v1:purges``                     purges (sorted set: name of the purge -> microseconds), see ``purgelog``
``{prefix}v1:probe[:<n>]``                never written; read to learn whether Redis answers reads
``{prefix}v1:trial``                      gone as soon as it is there: what is done to keys is tried on it
========================================  ========================================================================

Must not know: connections, commands.
"""

from __future__ import annotations

import re
from hashlib import blake2b

from txstalecache.http.entry import Selector

__all__ = ["Layout", "variant_id"]

_PREFIX = re.compile(r"[!-z|~]{0,64}\Z")
_DIGEST = re.compile(rb"\{([0-9a-f]+)\}:([a-z]*):?([0-9a-f]*)")


def variant_id(selector: Selector) -> str:
    """The short name of a variant: a hash over its length-prefixed selector."""
    hashed = blake2b(digest_size=12)
    for name, value in selector:
        hashed.update(b"%d:%b" % (len(name), name))
        hashed.update(b"-" if value is None else b"%d:%b" % (len(value), value))
    return hashed.hexdigest()


class Layout:
    """Names keys under ``prefix``; ValueError when it could not be one."""

    def __init__(self, prefix: str) -> None:
        if not _PREFIX.match(prefix):
            raise ValueError(f"not a usable Redis prefix: {prefix!r} (up to 64 visible ASCII characters, no braces)")
        self.root = f"{prefix}v1:".encode()
        self.probe = self.root + b"probe"
        self.trial = self.root + b"trial"
        self.purges = self.root + b"purges"

    def name(self, digest: str, suffix: str) -> bytes:
        """The key of ``digest`` with ``suffix``."""
        return b"%b{%b}:%b" % (self.root, digest.encode(), suffix.encode())

    def variant(self, digest: str, selector: Selector) -> bytes:
        """Where the variant chosen by ``selector`` is; with an empty one the entry that does not vary."""
        return self.name(digest, f"v:{variant_id(selector)}" if selector else "e")

    def lease(self, name: str) -> bytes:
        """The lease called ``name``: a digest, or a digest, a colon and what tells variants apart."""
        digest, colon, rest = name.partition(":")
        return self.name(digest, f"l:{rest}" if colon else "l")

    def read(self, name: bytes) -> tuple[str, str, str] | None:
        """The digest of a key of ours, its letter, and what follows that; None for any other."""
        if not name.startswith(self.root):
            return None
        found = _DIGEST.match(name, len(self.root))
        return (found[1].decode(), found[2].decode(), found[3].decode()) if found else None
