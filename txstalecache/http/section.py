"""The field section of heads that say the same, byte for byte: read once, and so is what is worked out from it.

Clients send the same lines with one target after the other, and most decisions about a request look at nothing else.
Must not know: what is worked out.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from txstalecache.http.messages import Fields

__all__ = ["Section"]

_Result = TypeVar("_Result")

_UNKNOWN: Any = object()
_ITSELF: Any = object()


class Section(Fields):
    """Fields that many heads have in common."""

    __slots__ = ("_known",)

    #: How many results are remembered. What answers vary by is part of some questions, and is the origin's to say.
    MOST = 8

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        super().__init__(pairs)
        self._known: dict[Hashable, Any] = {}

    def once(self, question: Hashable, worked_out: Callable[[Fields], _Result]) -> _Result:
        """See ``Fields``. Fields that come of it are a section too: as many have them in common."""
        known = self._known
        result: Any = known.get(question, _UNKNOWN)
        if result is _UNKNOWN:
            result = worked_out(self)
            if type(result) is Fields:
                result = Section(result)
            if len(known) >= self.MOST:
                known.clear()
            # Never a cycle: those are left to the garbage collector, which runs rarely.
            known[question] = _ITSELF if result is self else result
        return self if result is _ITSELF else result  # type: ignore[return-value]

    def forget(self) -> None:
        """Others look names up in it as well."""
