"""Purges as epochs: "nothing of this scope whose fetch began before this time".

A purge costs the same whatever it covers, and beats the fetches in the air: entries are compared with it when they are
used, not looked for when it is said. **Hard**: what is older is gone. **Soft**: what is older has been stale since.

Must not know: Redis, the reactor; who purges and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from enum import Enum

from txstalecache.http import expect
from txstalecache.http.entry import Entry, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.values import dataclass
from txstalecache.http.vary import selector

__all__ = ["Hardness", "Kind", "Purge", "Purges", "Scope"]


class Kind(Enum):
    """What a purge covers; the value is its letter in the name of a purge."""

    ALL = "a"
    HOST = "h"
    PREFIX = "p"
    URL = "u"
    VARIANT = "v"
    TAG = "t"


class Hardness(Enum):
    """What becomes of what is covered; the value is its letter in the name of a purge."""

    HARD = "!"
    """Gone."""
    SOFT = "~"
    """Stale: still good for its stale windows, counted from the purge."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a purge covers. Made by the methods named after what it is."""

    kind: Kind
    value: bytes = b""
    host: bytes = b""
    """In lower case; empty for every host."""
    chosen: Selector = ()
    """For a variant: what requests say in the fields that were named."""

    def __post_init__(self) -> None:
        expect.of_kind(self.kind.name.lower(), self.value, bytes, "bytes")
        expect.of_kind("host", self.host, bytes, "bytes")

    @classmethod
    def everything(cls) -> Scope:
        """All there is under the store's prefix."""
        return cls(Kind.ALL)

    @classmethod
    def of_host(cls, host: bytes) -> Scope:
        """What was asked of ``host`` (as in the key: with its port when it has one)."""
        return cls(Kind.HOST, b"", host.lower())

    @classmethod
    def of_prefix(cls, prefix: bytes, host: bytes = b"") -> Scope:
        """Targets that begin with ``prefix``, at ``host`` or everywhere."""
        return cls(Kind.PREFIX, prefix, host.lower())

    @classmethod
    def of_url(cls, target: bytes, host: bytes = b"") -> Scope:
        """One target with its query, at ``host`` or everywhere: all its keys (methods, header fields) and variants."""
        return cls(Kind.URL, target, host.lower())

    @classmethod
    def of_variant(cls, target: bytes, fields: Mapping[bytes, bytes | None], host: bytes = b"") -> Scope:
        """What a request for one target could be answered that says this in these ``fields`` (None: is without them),
        whatever it says in others. ValueError without any."""
        if not fields:
            raise ValueError("a variant is chosen by one field at least")
        said = Fields([(name, value) for name, value in fields.items() if value is not None])
        names = {name.lower() for name in fields}
        return cls(Kind.VARIANT, target, host.lower(), selector(names, RequestHead(b"GET", target, said)))

    @classmethod
    def of_tag(cls, tag: bytes) -> Scope:
        """What carries ``tag``."""
        return cls(Kind.TAG, tag)

    def covers(self, selector: Selector) -> bool:
        """Whether what was chosen by ``selector`` could answer such a request: nothing in it says otherwise."""
        said = dict(selector)
        return all(said.get(name, value) == value for name, value in self.chosen)

    def meant(self, request: RequestHead) -> bool:
        """Whether ``request`` is such a one."""
        return selector([name for name, _ in self.chosen], request) == self.chosen


@dataclass(frozen=True, slots=True)
class Purge:
    """One purge: what, how, and when by the fleet's time."""

    scope: Scope
    hardness: Hardness
    when: float

    def name(self) -> bytes:
        """Scope and hardness as bytes; the newest purge of a name is the one that counts."""
        scope = self.scope
        parts = [self.hardness.value.encode() + scope.kind.value.encode() + _sized(scope.host)]
        if scope.chosen:
            for name, value in scope.chosen:
                parts += [_sized(name), b"-" if value is None else _sized(value)]
            parts.append(b".")
        return b"".join((*parts, scope.value))

    @classmethod
    def read(cls, name: object, when: float) -> Purge | None:
        """The purge called ``name``; None when it is none of ours."""
        if not isinstance(name, bytes):
            return None
        try:
            hardness, kind = Hardness(chr(name[0])), Kind(chr(name[1]))
            host, rest = _unsized(name[2:])
            chosen: list[tuple[bytes, bytes | None]] = []
            while kind is Kind.VARIANT and rest[:1] != b".":
                field, rest = _unsized(rest)
                value, rest = (None, rest[1:]) if rest[:1] == b"-" else _unsized(rest)
                chosen.append((field, value))
        except (ValueError, IndexError):
            return None
        if kind is Kind.VARIANT:
            rest = rest[1:]
            if not chosen:
                return None
        return cls(Scope(kind, rest, host, tuple(chosen)), hardness, when)


def _sized(text: bytes) -> bytes:
    return b"%d:%b" % (len(text), text)


def _unsized(data: bytes) -> tuple[bytes, bytes]:
    """What ``_sized`` wrote at the front of ``data``, and the rest. ValueError."""
    length, colon, rest = data.partition(b":")
    if not colon or not length.isdigit() or len(length) > 5 or int(length) > len(rest):
        raise ValueError("not a text with its length")
    return rest[: int(length)], rest[int(length) :]


_NEVER = (-1.0, -1.0)


class Purges:
    """The newest purge of each scope, hard and soft."""

    #: Scopes that are told apart; beyond them the oldest count as purges of everything.
    MOST = 50_000

    def __init__(self) -> None:
        self.version = 0
        """Changes whenever an answer may: what was found usable at one version need not be looked at again in it."""
        self._times: dict[Scope, tuple[float, float]] = {}
        self._lengths: dict[int, int] = {}
        self._variants: dict[tuple[bytes, bytes], list[Scope]] = {}
        """Scopes of variants by host and target."""

    def __len__(self) -> int:
        return len(self._times)

    def __iter__(self) -> Iterator[Purge]:
        """All of them, as they are now, whatever is added while somebody goes through them."""
        return self.later_than(_NEVER[0])

    def later_than(self, time: float) -> Iterator[Purge]:
        """Those from after ``time``."""
        return (
            Purge(scope, hardness, when)
            for scope, times in list(self._times.items())
            for hardness, when in zip((Hardness.HARD, Hardness.SOFT), times, strict=True)
            if when > time
        )

    def add(self, said: Iterable[Purge]) -> None:
        """Take note of what was ``said``, in any order, known ones too."""
        times = self._times
        for purge in said:
            if purge.when <= times.get(_EVERYTHING, _NEVER)[0]:
                continue
            hard, soft = had = times.get(purge.scope, _NEVER)
            if purge.hardness is Hardness.HARD:
                hard = max(hard, purge.when)
            else:
                soft = max(soft, purge.when)
            if (hard, soft) == had:
                continue
            if had is _NEVER:
                self._know(purge.scope)
            times[purge.scope] = (hard, soft)
            self.version += 1
            if purge.scope == _EVERYTHING and purge.hardness is Hardness.HARD:
                # What is older than that is gone whatever else is said of it.
                self.trim(hard)
        if len(times) > self.MOST:
            self._merge()

    def settle(self, said: Purge, when: float) -> None:
        """The purge ``said``, known by the time at which it was said, counts from ``when`` on, be that earlier: by a
        clock that knows better."""
        hard, soft = self._times.get(said.scope, _NEVER)
        hardly = said.hardness is Hardness.HARD
        if when < said.when == (hard if hardly else soft):
            self._times[said.scope] = (when, soft) if hardly else (hard, when)
            self.version += 1
        else:
            self.add([replace(said, when=when)])

    def newest(
        self, key: Key, tags: Iterable[bytes] = (), covered: Callable[[Scope], bool] | None = None
    ) -> tuple[float, float]:
        """When what is stored under ``key`` with ``tags`` was last purged: hard, soft. Before all time: never.
        ``covered`` says which purges of variants count; None: none of them."""
        times = self._times
        if not times:
            return _NEVER
        host, target = key.host.lower(), key.target
        hard, soft = times.get(_EVERYTHING, _NEVER)
        hosts = (host, b"") if host else (b"",)
        scopes = [Scope(Kind.TAG, tag) for tag in tags]
        scopes += [Scope(Kind.URL, target, one) for one in hosts]
        if host:
            scopes.append(Scope(Kind.HOST, b"", host))
        for length in self._lengths:
            if length <= len(target):
                scopes += [Scope(Kind.PREFIX, target[:length], one) for one in hosts]
        if self._variants and covered is not None:
            scopes += [scope for one in hosts for scope in self._variants.get((one, target), ()) if covered(scope)]
        for scope in scopes:
            found = times.get(scope)
            if found is not None:
                hard, soft = max(hard, found[0]), max(soft, found[1])
        return hard, soft

    def apply(self, key: Key, entry: Entry) -> Entry | None:
        """``entry`` as the purges leave it: as it is, stale, or None."""
        if not self._times:
            return entry
        hard, soft = self.newest(key, entry.tags, lambda scope: scope.covers(entry.selector))
        if entry.request_time <= hard:
            return None
        if entry.request_time > soft:
            return entry
        # Stale since the purge; its windows begin there (and it was, if it has been stale for longer).
        lifetime = min(entry.freshness.lifetime, entry.age(soft))
        return replace(entry, freshness=replace(entry.freshness, lifetime=lifetime))

    def trim(self, before: float) -> None:
        """Forget the purges from before ``before``: nothing so old lives. Changes no answer about what does."""
        old = [scope for scope, (hard, soft) in self._times.items() if max(hard, soft) < before]
        for scope in old:
            self._forget(scope)

    def _merge(self) -> None:
        until = sorted(map(max, self._times.values()))[self.MOST // 10 - 1]
        for scope in [scope for scope, times in self._times.items() if max(times) <= until]:
            self._forget(scope)
        self.add([Purge(_EVERYTHING, Hardness.HARD, until)])

    def _know(self, scope: Scope) -> None:
        if scope.kind is Kind.PREFIX:
            length = len(scope.value)
            self._lengths[length] = self._lengths.get(length, 0) + 1
        elif scope.kind is Kind.VARIANT:
            self._variants.setdefault((scope.host, scope.value), []).append(scope)

    def _forget(self, scope: Scope) -> None:
        del self._times[scope]
        if scope.kind is Kind.PREFIX:
            length = len(scope.value)
            self._lengths[length] -= 1
            if not self._lengths[length]:
                del self._lengths[length]
        elif scope.kind is Kind.VARIANT:
            scopes = self._variants[scope.host, scope.value]
            scopes.remove(scope)
            if not scopes:
                del self._variants[scope.host, scope.value]


_EVERYTHING = Scope.everything()
