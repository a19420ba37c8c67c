"""Our own reason phrases: the origin's are never repeated (RFC 9110 §15.1)."""

from __future__ import annotations

from http import HTTPStatus

__all__ = ["reason"]

_PHRASES = {status.value: status.phrase.encode("ascii") for status in HTTPStatus}


def reason(status: int) -> bytes:
    """The standard phrase, or ``Unknown`` where the registry has none."""
    return _PHRASES.get(status, b"Unknown")
