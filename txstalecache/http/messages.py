"""Request heads, response heads and their fields, as immutable values.

Must not know: sockets, the reactor, clocks, stores.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, KeysView, Sequence
from typing import Final, TypeVar

from txstalecache.http.values import dataclass

__all__ = ["BODILESS", "Fields", "RequestHead", "ResponseHead", "without_port"]

_Result = TypeVar("_Result")

#: Statuses of final answers that no body follows, whatever their fields say (RFC 9110 §6.4.1).
BODILESS: Final = frozenset({204, 304})


class Fields:
    """Header fields in the order received: an immutable sequence of ``(name, value)`` pairs of bytes.

    Names keep the case they came with and compare without regard to it (RFC 9110 §5.1). The order of lines with one
    name is kept (RFC 9110 §5.3).
    """

    __slots__ = ("_index", "pairs")

    pairs: tuple[tuple[bytes, bytes], ...]

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]] = ()) -> None:
        self.pairs = tuple(pairs)
        self._index: dict[bytes, list[bytes]] | None = None

    def _lines(self) -> dict[bytes, list[bytes]]:
        index = self._index
        if index is None:
            index = self._index = _indexed(self.pairs)
        return index

    def forget(self) -> None:
        """Free what makes looking up names quick; it is made again when next asked for."""
        self._index = None

    def once(self, question: Hashable, worked_out: Callable[[Fields], _Result]) -> _Result:
        """What is ``worked_out`` from these fields, which is all that it hangs on, beside the ``question``. Fields that
        many requests have remember it (``Section``)."""
        return worked_out(self)

    def get(self, name: bytes) -> bytes | None:
        """All values of ``name`` (lower case) joined with ``", "`` (RFC 9110 §5.2), or None when it is absent."""
        values = (self._index or self._lines()).get(name)
        if values is None:
            return None
        return values[0] if len(values) == 1 else b", ".join(values)

    def get_all(self, name: bytes) -> list[bytes]:
        """The values of each line named ``name`` (lower case), in order. Not to be changed by the caller."""
        return (self._index or self._lines()).get(name, [])

    @property
    def names(self) -> KeysView[bytes]:
        """The names there are, lower case, each once."""
        return (self._index or self._lines()).keys()

    def __contains__(self, name: object) -> bool:
        """Whether a line named ``name`` (lower case) is present."""
        return name in (self._index or self._lines())

    def without(self, *names: bytes) -> Fields:
        """A copy with no line named any of ``names`` (lower case)."""
        if self.names.isdisjoint(names):
            return self
        return Fields(pair for pair in self.pairs if pair[0].lower() not in names)

    def adding(self, name: bytes, value: bytes) -> Fields:
        """A copy with one more line at the end."""
        return self.extended(((name, value),))

    def extended(self, more: Sequence[tuple[bytes, bytes]]) -> Fields:
        """A copy with ``more`` at the end."""
        longer = Fields((*self.pairs, *more))
        index = self._index
        if index is not None:
            # What was looked up here will be there: an answer grows line by line.
            added = _indexed(more)
            for name in added.keys() & index.keys():
                added[name] = [*index[name], *added[name]]
            longer._index = {**index, **added}
        return longer

    def replacing(self, name: bytes, value: bytes) -> Fields:
        """A copy in which ``name`` has exactly one line, at the end when it was absent, else where it first stood."""
        wanted = name.lower()
        pairs: list[tuple[bytes, bytes]] = []
        placed = False
        for pair in self.pairs:
            if pair[0].lower() != wanted:
                pairs.append(pair)
            elif not placed:
                pairs.append((name, value))
                placed = True
        if not placed:
            pairs.append((name, value))
        return Fields(pairs)

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)

    def __eq__(self, other: object) -> bool:
        return self.pairs == other.pairs if isinstance(other, Fields) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.pairs)

    def __repr__(self) -> str:
        return f"Fields({list(self.pairs)!r})"


def _indexed(pairs: Sequence[tuple[bytes, bytes]]) -> dict[bytes, list[bytes]]:
    """The values of each name, lower case."""
    index = {name.lower(): [value] for name, value in pairs}
    if len(index) < len(pairs):
        index = {name: [] for name in index}
        for name, value in pairs:
            index[name.lower()].append(value)
    return index


def without_port(authority: bytes) -> bytes:
    """The host in ``authority``; an IPv6 address in its brackets."""
    return authority if authority.endswith(b"]") else authority.rpartition(b":")[0] or authority


_OWN_PORTS = {b"http": b"80", b"https": b"443"}


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A validated request head. ``target`` is in origin form, the exact bytes that are forwarded."""

    method: bytes
    target: bytes
    fields: Fields
    scheme: bytes = b"http"
    authority: bytes = b""

    @property
    def host(self) -> bytes:
        """The authority as one name has it, however it was written: in lower case, without the dot that may end a
        name, and without an empty port or the scheme's own."""
        host = self.authority.lower()
        if b":" not in host:
            return host.removesuffix(b".")
        if host.endswith(b"]"):
            return host
        name, _, port = host.rpartition(b":")
        name = name.removesuffix(b".")
        return b"%b:%b" % (name, port) if port and port != _OWN_PORTS.get(self.scheme) else name

    @property
    def path(self) -> bytes:
        """The target up to its first ``?``."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes | None:
        """What follows the first ``?`` of the target; None without one."""
        _, mark, query = self.target.partition(b"?")
        return query if mark else None


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """A validated response head. The reason phrase is not kept: it means nothing (RFC 9110 §15.1)."""

    status: int
    fields: Fields
