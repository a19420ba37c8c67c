"""The seam towards the upstream.

Must not know: how any origin is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.web.iweb import IBodyProducer
from zope.interface import Attribute, Interface

from txstalecache.http import expect
from txstalecache.http.messages import RequestHead, ResponseHead
from txstalecache.http.values import dataclass, enumeration

__all__ = ["Deadlines", "Fault", "Framing", "IOrigin", "IOriginResponse", "OriginError", "OriginRequest", "Sink"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """Time limits of one fetch, in seconds."""

    connect: float = 3.0
    first_byte: float = 15.0
    between_bytes: float = 15.0
    total: float = 60.0

    def __post_init__(self) -> None:
        expect.numbers(self, ("connect", "first_byte", "between_bytes", "total"))


@dataclass(frozen=True, slots=True)
class OriginRequest:
    """One request as it goes to the origin: end-to-end fields only, ``Host`` included; framing is the origin's work.

    ``body`` is None for no body; its ``length`` may be ``UNKNOWN_LENGTH`` (sent chunked).
    ``informational`` is called with each 1xx head but 100 and 101, in order, before the final head.
    """

    head: RequestHead
    body: IBodyProducer | None = None
    informational: Callable[[ResponseHead], None] | None = None
    deadlines: Deadlines = Deadlines()
    affinity: bytes = b""
    """Equal for requests that had better go to the same of several servers."""


@enumeration
class Fault(Enum):
    """Why an origin gave no (complete) answer; the value is the word in the log and in ``Cache-Status``."""

    UNREACHABLE = "connect"
    """Refused, no route, DNS failure, TLS failure."""
    CONNECT_TIMEOUT = "connect-timeout"
    TIMEOUT = "timeout"
    """Connected, but no head, or no progress, in time."""
    RESET = "reset"
    """Connection lost before a complete head."""
    MALFORMED = "malformed"
    """Not a response we pass on: bad syntax, caps exceeded."""
    OVERLOADED = "overloaded"
    """No free connection within the queue's limits."""
    TRUNCATED = "truncated"
    """The body ended before its announced end."""
    CANCELLED = "cancelled"
    INTERNAL = "internal"
    """Not the origin's: one of the code that asks it."""


class OriginError(Exception):
    """The origin gave no answer. ``status`` is what a client is told when nothing better is at hand."""

    def __init__(self, fault: Fault, detail: str = "") -> None:
        super().__init__(f"{fault.value}: {detail}" if detail else fault.value)
        self.fault = fault

    @property
    def status(self) -> int:
        """502, 503 or 504 (RFC 9110 §15.6)."""
        match self.fault:
            case Fault.CONNECT_TIMEOUT | Fault.TIMEOUT:
                return 504
            case Fault.OVERLOADED:
                return 503
            case _:
                return 502


@enumeration
class Framing(Enum):
    """How the end of a body was known."""

    DELIMITED = "delimited"
    """Content-Length, chunked, or none by definition: complete for certain."""
    CLOSE = "close"
    """Ended by the connection's end: may be cut short, so never stored."""


class Sink(Protocol):
    """Receives a body. Exactly one of ``complete`` and ``broken`` is called, last; neither after ``abort``."""

    def write(self, data: bytes) -> None:
        """Some bytes, never empty."""

    def complete(self, framing: Framing) -> None:
        """All of it has come."""

    def broken(self, error: OriginError) -> None:
        """No more will come, and some is missing."""


class IOriginResponse(Interface):
    """A response whose head is here and whose body waits to be delivered."""

    head = Attribute("ResponseHead: end-to-end fields only, Content-Length among them when the origin sent one.")
    length = Attribute("Bytes of body to come, or None when unknown. 0 for HEAD, 204 and 304.")
    framing = Attribute("Framing: how the end of its body will be known, as far as its head tells.")

    def deliver(sink: Sink) -> None:
        """Start the body into ``sink``; call once. May call it before returning. Until then nothing is read."""

    def pause() -> None:
        """Read no more from the origin for now; idempotent. The between-bytes clock stops."""

    def resume() -> None:
        """Read on; idempotent."""

    def abort() -> None:
        """Nobody wants the rest: close the connection, call the sink no more. Idempotent; the owner of a response that
        is not delivered must call it."""


class IOrigin(Interface):
    """The way to the upstream. One fetch is one request, sent at most once unless configured otherwise."""

    def fetch(request: OriginRequest) -> Deferred[IOriginResponse]:
        """Fires with the response head, or fails with OriginError. Cancelling closes the connection."""

    def close() -> Deferred[None]:
        """Close idle connections; fires when they are gone."""
