"""Purges as epochs: "nothing of this scope whose fetch began before this time".

A purge costs the same whatever it covers, and beats the fetches in the air: entries are compared with it when they are
used, not looked for when it is said. **Hard**: what is older is gone. **Soft**: what is older has been stale since.

Must not know: Redis, the reactor; who purges and why.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import Enum

from txstalecache.http.entry import Entry
from txstalecache.http.keys import Key

__all__ = ["Hardness", "Kind", "Purges", "Record", "Scope"]


class Kind(Enum):
    """What a purge covers; the value is its letter in the record."""

    ALL = "a"
    HOST = "h"
    PREFIX = "p"
    URL = "u"
    TAG = "t"


class Hardness(Enum):
    """What becomes of what is covered; the value is its letter in the record."""

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
    def of_tag(cls, tag: bytes) -> Scope:
        """What carries ``tag``."""
        return cls(Kind.TAG, tag)


@dataclass(frozen=True, slots=True)
class Record:
    """One purge: what, how, and when by the fleet's time."""

    scope: Scope
    hardness: Hardness
    when: float

    def name(self) -> bytes:
        """Scope and hardness as bytes; the newest record of a name is the one that counts."""
        scope = self.scope
        letters = (self.hardness.value + scope.kind.value).encode()
        return b"%b%d:%b%b" % (letters, len(scope.host), scope.host, scope.value)

    @classmethod
    def read(cls, name: object, when: float) -> Record | None:
        """The record called ``name``; None when it is none of ours."""
        if not isinstance(name, bytes):
            return None
        head, colon, rest = name.partition(b":")
        length = head[2:]
        if not colon or not length.isdigit() or len(length) > 5 or int(length) > len(rest):
            return None
        try:
            hardness, kind = Hardness(chr(head[0])), Kind(chr(head[1]))
        except ValueError:
            return None
        return cls(Scope(kind, rest[int(length) :], rest[: int(length)]), hardness, when)


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

    def __len__(self) -> int:
        return len(self._times)

    def add(self, records: Iterable[Record]) -> None:
        """Take note of ``records``, in any order, known ones too."""
        times = self._times
        for record in records:
            hard, soft = had = times.get(record.scope, _NEVER)
            if record.hardness is Hardness.HARD:
                hard = max(hard, record.when)
            else:
                soft = max(soft, record.when)
            if (hard, soft) == had:
                continue
            if had is _NEVER and record.scope.kind is Kind.PREFIX:
                length = len(record.scope.value)
                self._lengths[length] = self._lengths.get(length, 0) + 1
            times[record.scope] = (hard, soft)
            self.version += 1
        if len(times) > self.MOST:
            self._merge()

    def newest(self, key: Key, tags: Iterable[bytes] = ()) -> tuple[float, float]:
        """When what is stored under ``key`` with ``tags`` was last purged: hard, soft. Before all time: never."""
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
        for scope in scopes:
            found = times.get(scope)
            if found is not None:
                hard, soft = max(hard, found[0]), max(soft, found[1])
        return hard, soft

    def apply(self, key: Key, entry: Entry) -> Entry | None:
        """``entry`` as the purges leave it: as it is, stale, or None."""
        if not self._times:
            return entry
        hard, soft = self.newest(key, entry.tags)
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
        oldest = sorted(self._times, key=lambda scope: max(self._times[scope]))[: self.MOST // 10]
        until = max(max(self._times[scope]) for scope in oldest)
        for scope in oldest:
            self._forget(scope)
        self.add([Record(_EVERYTHING, Hardness.HARD, until)])

    def _forget(self, scope: Scope) -> None:
        del self._times[scope]
        if scope.kind is Kind.PREFIX:
            length = len(scope.value)
            self._lengths[length] -= 1
            if not self._lengths[length]:
                del self._lengths[length]


_EVERYTHING = Scope.everything()
