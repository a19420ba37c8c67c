"""What somebody's Python gives is what is meant, or said not to be where it is given: not request by request, or never.

Must not know: what is done with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from txstalecache.http.fields import TOKEN, VALUE

__all__ = ["field_names", "number", "numbers", "of_kind", "pairs", "providing", "several"]


def of_kind(name: str, value: object, kind: Any, what: str) -> None:
    """TypeError unless ``value`` is a ``kind``."""
    if not isinstance(value, kind):
        raise _other(name, value, what)


def providing(name: str, value: object, interface: Any, what: str) -> None:
    """TypeError unless ``value`` provides ``interface``."""
    if not interface.providedBy(value):
        raise _other(name, value, what)


def _other(name: str, value: object, what: str) -> TypeError:
    # Its type alone: a URL has passwords in it.
    return TypeError(f"{name}: expected {what}, not {type(value).__name__}")


def number(name: str, value: object) -> None:
    """TypeError unless ``value`` is a number, ValueError when it is below 0."""
    of_kind(name, value, int | float, "a number")
    if not value >= 0:  # type: ignore[operator]
        raise ValueError(f"{name} {value}: expected at least 0")


def numbers(of: object, names: Iterable[str]) -> None:
    """``number`` of each of these attributes."""
    for name in names:
        number(name, getattr(of, name))


def several(name: str, values: object, kind: Any, what: str) -> None:
    """TypeError unless ``values`` are some of ``kind``: ``what``, in the plural."""
    of_kind(name, values, tuple | list | set | frozenset, what)
    for value in values:  # type: ignore[attr-defined]
        of_kind(name, value, kind, what)


def field_names(name: str, values: Any) -> None:
    """As ``several``, of bytes; ValueError for a name that is not in lower case."""
    several(name, values, bytes, "names of fields as bytes")
    for value in values:
        if value != value.lower():
            raise ValueError(f"{name}: expected names in lower case, not {value!r}")


def pairs(name: str, values: Any, second: Any = bytes) -> None:
    """TypeError unless ``values`` are pairs of bytes and ``second``; ValueError where they can be no field's."""
    several(name, values, tuple, "pairs of bytes")
    for pair in values:
        if len(pair) != 2 or not (isinstance(pair[0], bytes) and isinstance(pair[1], second)):
            raise TypeError(f"{name}: expected pairs of bytes, not {tuple(type(one).__name__ for one in pair)}")
        if not (TOKEN.fullmatch(pair[0]) and VALUE.fullmatch(pair[1] or b"")):
            raise ValueError(f"{name}: no field can be {pair!r}")
