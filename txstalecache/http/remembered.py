"""What a pure function of bytes came to, remembered in bounded memory: so many values, and none that is long.

Strangers choose what is asked: without a bound on each value a few thousand of them would fill the memory.
Must not know: what for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import TypeVar

__all__ = ["remembered"]

_Result = TypeVar("_Result")


def remembered(most: int, longest: int) -> Callable[[Callable[[bytes], _Result]], Callable[[bytes], _Result]]:
    """A decorator: the results for the ``most`` values asked for last are kept, but for those longer than ``longest``,
    which are worked out each time."""

    def decorated(function: Callable[[bytes], _Result]) -> Callable[[bytes], _Result]:
        remembering = lru_cache(most)(function)

        @wraps(function)
        def asked(value: bytes) -> _Result:
            return remembering(value) if len(value) <= longest else function(value)

        return asked

    return decorated
