"""Numbers as they are said on the command line: what ``argparse`` calls with each text.

Must not know: which option it was said with.
"""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from math import nan

__all__ = ["number", "whole"]


def whole(text: str) -> int:
    """A whole number. How large it may be says who is asked."""
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ArgumentTypeError(f"expected a number, got {text[:40]!a}")
    return int(text)


def number(expected: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """Reads a number that ``fits``; of any other it says what was ``expected``."""

    def read(text: str) -> float:
        try:
            found = float(text)
        except ValueError:
            found = nan
        if not fits(found):
            raise ArgumentTypeError(f"expected {expected}, got {text[:40]!a}")
        return found

    return read
