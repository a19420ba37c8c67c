"""Our own reason phrases: the origin's are never repeated (RFC 9110 §15.1).

Must not know: what is answered.
"""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["phrase"]

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def phrase(status: int) -> bytes:
    """The standard one, or ``Unknown`` where the registry has none."""
    return _PHRASES.get(status, b"Unknown")
