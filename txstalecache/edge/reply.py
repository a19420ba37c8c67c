"""An answer ready to be sent, and its head in bytes.

Must not know: why it is the answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from txstalecache.edge.phrases import phrase
from txstalecache.flight.body import Body, Reader, Segment
from txstalecache.http.messages import Fields
from txstalecache.http.values import dataclass

__all__ = ["ALLOWED", "SERVER", "Reply", "head_bytes", "options", "refusal"]

#: What we call ourselves. No version: it is of use to attackers only.
SERVER = b"txstalecache"

#: The methods that requests commonly have here.
ALLOWED = b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"


@dataclass(frozen=True, slots=True)
class Reply:
    """A response head and the parts of a body that follow it. ``body`` None: no body."""

    status: int
    fields: Fields
    body: Body | None = None
    segments: Sequence[Segment] = Reader.WHOLE
    more: Sequence[tuple[bytes, bytes]] = ()
    """Lines behind ``fields``, of this proxy's own: none that says when it was made, or where its body ends."""


def refusal(status: int, why: str) -> Reply:
    """A short text, the same for everybody; never stored by anybody."""
    text = phrase(status) + b": " + why.encode("ascii", "replace") + b"\n"
    fields = Fields(
        (
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(text)),
            (b"Cache-Control", b"no-store"),
        )
    )
    return Reply(status, fields, Body.of((text,)))


def options() -> Reply:
    """What this proxy says of itself when it is asked (RFC 9110 §9.3.7)."""
    return Reply(200, Fields(((b"Allow", ALLOWED), (b"Content-Length", b"0"))))


def head_bytes(version: bytes, status: int, fields: Fields, more: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """The head on the wire: ``fields`` in their order, then ``more``. Whatever is in them, no line ends early."""
    lines = [b"%b %d %b" % (version, status, phrase(status)), *map(b": ".join, fields.pairs), *map(b": ".join, more)]
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    if not head.count(b"\n") == head.count(b"\r") == len(lines):
        # Neither the origin's nor a stored field comes this far with a line end in it. If one did: RFC 9110 §5.5.
        head = b"\r\n".join([*(b" ".join(line.splitlines()) for line in lines[:-1]), b"\r\n"])
    return head
