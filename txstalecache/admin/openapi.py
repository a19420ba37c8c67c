"""The description of the admin interface, as OpenAPI 3.1 has it. A test holds the interface to it.

Must not know: how any of it is done.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["DOCUMENT"]

DOCUMENT: Final[Mapping[str, Any]] = {}
