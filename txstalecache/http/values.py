"""Dataclasses that type checkers hold to be frozen, at the price of others.

A frozen dataclass sets each of its fields by a call of its own; a request makes dozens of them, and a tenth of its time
went there. So ``frozen`` is left to mypy, which is strict here, and to the hash.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **options: Any) -> Any:
        """As ``dataclasses.dataclass``."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)
