"""Trace context: the ``traceparent`` of a request (W3C Trace Context, level 1, §3.2).

A proxy takes part in a trace as any vendor does that forwards requests (§3.3, §4.3): the trace id goes on, and the
parent id becomes the one of what this proxy did. A header that is not well-formed counts as none, and ``tracestate``
with it.
Must not know: requests, who collects spans.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from random import SystemRandom

from txstalecache.http.messages import Fields

__all__ = ["TraceContext", "begun", "passed_on"]

_RANDOM = SystemRandom()

# §3.2.2: version 00 ends here; of a later one what is known is read, if anything follows a dash.
_FORMAT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE, _NO_PARENT = b"0" * 32, b"0" * 16


@dataclass(frozen=True, slots=True)
class TraceContext:
    """Which trace a request belongs to, and what in it led to the request."""

    trace_id: bytes
    """32 hex digits, lower case, not all zero."""
    parent_id: bytes
    """16 hex digits, likewise."""
    flags: int = 0
    caller: bytes = b""
    """The parent id that came, where ``parent_id`` is ours."""

    @classmethod
    def read(cls, lines: list[bytes]) -> TraceContext | None:
        """From the lines of a request's ``traceparent``; None when there is not exactly one that is well-formed."""
        if len(lines) != 1:
            return None
        found = _FORMAT.fullmatch(lines[0].strip(b" \t"))
        if found is None:
            return None
        version, trace_id, parent_id, flags, more = found.groups()
        if version == b"ff" or (version == b"00" and more) or trace_id == _NO_TRACE or parent_id == _NO_PARENT:
            return None
        return cls(trace_id, parent_id, int(flags, 16))

    @property
    def sampled(self) -> bool:
        """Whether the caller may have recorded it (§3.2.2.5.1)."""
        return bool(self.flags & 1)

    def child(self) -> TraceContext:
        """The same trace, with a parent id of its own: for the request that this one leads to."""
        ours = b"%016x" % (_RANDOM.getrandbits(64) or 1)
        return replace(self, parent_id=ours, flags=self.flags & 1, caller=self.parent_id)

    @property
    def header(self) -> bytes:
        """The field's value, in version 00 (§4.3)."""
        return b"00-%b-%b-%02x" % (self.trace_id, self.parent_id, self.flags & 1)


def begun(fields: Fields) -> TraceContext | None:
    """Where in its trace a request with ``fields`` is here, as all that it leads to is to be told."""
    known = TraceContext.read(fields.get_all(b"traceparent"))
    return None if known is None else known.child()


def passed_on(fields: Fields, ours: TraceContext | None = None) -> tuple[Fields, TraceContext | None]:
    """The fields of a request to the origin, with this proxy in the trace they belong to; and where in it that is:
    ``ours``, where that has been said already."""
    lines = fields.get_all(b"traceparent")
    if not lines:
        return fields.without(b"tracestate"), None
    ours = ours or begun(fields)
    if ours is None:
        return fields.without(b"traceparent", b"tracestate"), None
    return fields.replacing(b"traceparent", ours.header), ours
