"""``dataclass`` and ``enumeration``: to type checkers frozen dataclasses and Enums, at run time as cheap as plain
classes.

A frozen dataclass sets each of its fields by a call of its own, and Python before 3.12 looks up each member of an
enumeration by one; a request makes dozens of the former and names dozens of the latter, and a tenth of its time went
there, each. So ``frozen`` is left to mypy, which is strict here, and to the hash; and members are put where they are
found at once. ``enumeration`` may go when Python 3.11 does.
Must not know: HTTP.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from enum import Enum, EnumMeta
from typing import TYPE_CHECKING, Any, TypeVar

__all__ = ["dataclass", "enumeration"]

E = TypeVar("E", bound=Enum)

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, **options: Any) -> Any:
        """As ``dataclasses.dataclass``."""
        return dataclasses.dataclass(unsafe_hash=frozen, **options)


class _Members(type):
    """Stands for an enumeration, whose members are its attributes."""

    _enumeration: type[Enum]

    def __call__(cls, value: object) -> Enum:
        return cls._enumeration(value)

    def __getitem__(cls, name: str) -> Enum:
        return cls._enumeration[name]

    def __iter__(cls) -> Iterator[Enum]:
        return iter(cls._enumeration)

    def __len__(cls) -> int:
        return len(cls._enumeration)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, cls._enumeration)


def enumeration(of: type[E]) -> type[E]:
    """The enumeration ``of``, for what every request comes by. Before Python 3.12 a class that has its members, finds
    them by value and name, goes through them and knows them; it is not derived from Enum."""
    if not hasattr(EnumMeta, "__getattr__"):
        return of
    about = {"__doc__": of.__doc__, "__module__": of.__module__, "__qualname__": of.__qualname__}
    body = {**about, **of.__members__, "__members__": of.__members__, "_enumeration": of}
    members: Any = _Members(of.__name__, (), body)
    # Where pickle finds what the members are made by.
    of.__qualname__ += "._enumeration"
    return members  # type: ignore[no-any-return]
