"""An answer ready to be sent.

Must not know: why it is the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from txstalecache.edge.reasons import reason
from txstalecache.flight.body import Body, Segment
from txstalecache.http.messages import Fields

__all__ = ["WHOLE", "Reply", "refusal"]

WHOLE: tuple[Segment, ...] = ((0, None),)


@dataclass(frozen=True, slots=True)
class Reply:
    """A response head and the parts of a body that follow it. ``body`` None: no body."""

    status: int
    fields: Fields
    body: Body | None = None
    segments: Sequence[Segment] = WHOLE


def refusal(status: int, why: str) -> Reply:
    """A short text, the same for everybody; never stored by anybody."""
    text = reason(status) + b": " + why.encode("ascii", "replace") + b"\n"
    fields = Fields(
        (
            (b"Content-Type", b"text/plain; charset=utf-8"),
            (b"Content-Length", b"%d" % len(text)),
            (b"Cache-Control", b"no-store"),
        )
    )
    return Reply(status, fields, Body.of((text,)))
