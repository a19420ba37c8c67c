"""What several files here start."""

from __future__ import annotations

from tests.safety.watched import watched

__all__ = ["watched"]
