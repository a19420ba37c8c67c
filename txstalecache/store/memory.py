"""The memory tier: whole keys with all their variants, bounded by bytes, resistant to scans (S3-FIFO).

A shelf is what this process knows about one key. It is looked up by ``Key``, in no I/O and little time; whoever keeps a
reference to one (a fast lane) asks ``alive`` before each use, and may hang what it has prepared on ``Variant.ready``.

Must not know: Redis, the reactor, clocks: ``now`` is an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from operator import itemgetter

from txstalecache.http.entry import Entry, Marker, MarkerKind, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.vary import matches
from txstalecache.store.interfaces import Found
from txstalecache.store.purges import Purges
from txstalecache.store.scripts import MAX_VARIANTS

__all__ = ["MemoryTier", "Shelf", "Variant"]

_NAME = itemgetter(0)


class Variant:
    """One stored response, or, while ``entry`` is None, the knowledge that there is one."""

    __slots__ = (
        "body_id",
        "charged",
        "checked",
        "entry",
        "ready",
        "request_time",
        "response_time",
        "selector",
        "until",
    )

    def __init__(
        self,
        selector: Selector,
        request_time: float,
        response_time: float,
        until: float,
        entry: Entry | None = None,
        body_id: str = "",
    ) -> None:
        self.selector = selector
        self.request_time = request_time
        self.response_time = response_time
        self.until = until
        """Fleet time at which it is gone."""
        self.entry = entry
        self.body_id = body_id
        """Of a body that Redis keeps in pieces: the same id is the same body."""
        self.checked = -1
        """The version of the purges in which it was found usable (``Purges.version``)."""
        self.ready: object = None
        """Room for what answers fast; its bytes are reported to ``MemoryTier.charge``."""
        self.charged = 0
        """Bytes that hang on it so."""

    @classmethod
    def of(cls, entry: Entry, until: float, body_id: str = "") -> Variant:
        """The variant that ``entry`` is."""
        return cls(entry.selector, entry.request_time, entry.response_time, until, entry, body_id)


class Shelf:
    """What is known about one key."""

    __slots__ = (
        "__weakref__",
        "_names",
        "advice",
        "alive",
        "changes",
        "complete",
        "cookie",
        "cost",
        "cut",
        "hits",
        "key",
        "learned",
        "session",
        "suspect",
        "variants",
    )

    def __init__(self, key: Key, *, complete: bool = False, session: int = 0, learned: float = 0.0) -> None:
        self.key = key
        self.variants: dict[Selector, Variant] = {}
        self.advice: Marker | None = None
        """The marker that says how to fetch: PRIVATE, ERROR or LONG."""
        self.cookie: Marker | None = None
        self.complete = complete
        """Whether what is not here does not exist."""
        self.session = session
        """The tracking session in which it was learned; 0: nobody tells when it changes."""
        self.learned = learned
        """Fleet time at which it was learned."""
        self.suspect = False
        """Something about the key changed elsewhere: only what is identified by a body id may still be used."""
        self.cut = -1.0
        """Nothing whose fetch began at or before this time is to be added (a discard)."""
        self.alive = True
        """Whether the tier still holds it."""
        self.cost = self.hits = 0
        self.changes = 0
        """Goes up with every change: who remembers what was found here looks again."""
        self._names: tuple[bytes, ...] | None = None

    def add(self, variant: Variant) -> bool:
        """Put ``variant`` in its place, unless what is there is newer or it was discarded. At most 16 stay."""
        self.changes += 1
        if variant.request_time <= self.cut:
            return False
        had = self.variants.get(variant.selector)
        if had is not None and had.request_time > variant.request_time:
            return False
        # Last in the dict is the most recently added.
        self.variants.pop(variant.selector, None)
        self.variants[variant.selector] = variant
        self._names = None
        if len(self.variants) > MAX_VARIANTS:
            varied = [one for one in self.variants.values() if one.selector]
            if len(varied) > MAX_VARIANTS:
                oldest = min(varied, key=lambda one: one.request_time)
                del self.variants[oldest.selector]
        return True

    def forget(self, chosen: Selector) -> None:
        """There is no variant chosen by this, or none to be had."""
        self.changes += 1
        self.variants.pop(chosen, None)
        self._names = None

    def mark(self, marker: Marker) -> None:
        """Remember ``marker``; the kinds that say how to fetch replace one another, COOKIE stands beside them."""
        self.changes += 1
        if marker.kind is MarkerKind.COOKIE:
            self.cookie = marker
        else:
            self.advice = marker

    def unmark(self) -> None:
        """Forget the marker that says how to fetch."""
        self.changes += 1
        self.advice = None

    def discard(self, when: float) -> None:
        """Forget the variants whose fetch began at ``when`` or earlier, and refuse them from now on."""
        self.changes += 1
        self.cut = max(self.cut, when)
        self.variants = {chosen: one for chosen, one in self.variants.items() if one.request_time > self.cut}
        self._names = None

    @property
    def names(self) -> tuple[bytes, ...]:
        """The request fields that the variants are chosen by, sorted."""
        names = self._names
        if names is None:
            names = self._names = tuple(sorted({name for chosen in self.variants for name, _ in chosen}))
        return names

    def matching(self, request: RequestHead, now: float, purges: Purges | None = None) -> Variant | None:
        """The most recent variant, fetched or not, that answers ``request`` and is neither gone nor purged (RFC 9111
        §4.1). What was purged leaves the shelf; what was purged softly is stale from here on."""
        while self.variants:
            best = self._best(request, now)
            if best is None or purges is None or best.checked == purges.version or best.entry is None:
                return best
            left = purges.apply(self.key, best.entry)
            if left is not None:
                if left is not best.entry:
                    best.entry, best.ready, best.charged = left, None, 0
                best.checked = purges.version
                return best
            del self.variants[best.selector]
            self._names = None
        return None

    def _best(self, request: RequestHead, now: float) -> Variant | None:
        variants = self.variants
        if len(variants) == 1:
            only = variants.get(())
            if only is not None:
                return only if only.until > now else None
        best: Variant | None = None
        for chosen, one in variants.items():
            if one.until <= now or (best is not None and one.response_time < best.response_time):
                continue
            if matches(chosen, request):
                best = one
        return best

    def marker(self, now: float) -> Marker | None:
        """The marker that counts at ``now``."""
        if self.advice is not None and self.advice.until > now:
            return self.advice
        if self.cookie is not None and self.cookie.until > now:
            return self.cookie
        return None

    def find(self, request: RequestHead, now: float, where: str, purges: Purges | None = None) -> Found | None:
        """What can be said about ``request`` from here; None when it takes looking further."""
        best = self.matching(request, now, purges)
        if best is None:
            return Found(None, self.marker(now), self.names, where) if self.complete else None
        if best.entry is None:
            return None
        return Found(best.entry, self.marker(now), self.names, where)

    def without_bodies(self, request: RequestHead, now: float, where: str, purges: Purges | None = None) -> Found:
        """What can be said when looking further is of no use."""
        best = self.matching(request, now, purges)
        return Found(None if best is None else best.entry, self.marker(now), self.names, where)

    def weigh(self) -> int:
        """Bytes of memory it takes, by the sizes CPython's objects have (see the test that measures)."""
        key = self.key
        cost = 1250 + 41 * len(key) + sum(map(len, key)) + len(key.host) + len(key.target)
        for chosen, one in self.variants.items():
            cost += 300
            if chosen:
                cost += sum([150 + len(name) + (0 if value is None else len(value)) for name, value in chosen])
            entry = one.entry
            if entry is None:
                continue
            cost += one.charged
            # Between long pieces the allocator leaves room that fits nothing else.
            cost += 750 + 41 * len(entry.body) + 33 * sum(map(len, entry.body)) // 32
            cost += entry.fields.once(_weight, _weight)
            cost += 80 * len(entry.tags) + sum(map(len, entry.tags))
        return cost


def _weight(fields: Fields) -> int:
    # Each field: its pair, two strings, and the line in the index by lower-case name.
    pairs = fields.pairs
    return 366 * len(pairs) + sum(map(len, chain.from_iterable(pairs))) + sum(map(len, map(_NAME, pairs)))


class MemoryTier:
    """Shelves, up to ``limit`` bytes of them, by S3-FIFO: newcomers pass through a small queue, and only those asked
    for again while in it (or soon after) enter the main one, so that a scan does not wash out what is popular."""

    SMALL = 0.1

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.session = 0
        """The tracking session that runs: what was learned in another may have changed unnoticed; 0: none."""
        self.bytes = 0
        self._shelves: dict[Key, Shelf] = {}
        self._digests: dict[str, Shelf] = {}
        self._small: OrderedDict[Key, Shelf] = OrderedDict()
        self._main: OrderedDict[Key, Shelf] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._small_bytes = 0
        self.evicted = 0

    def __len__(self) -> int:
        return len(self._shelves)

    def __iter__(self) -> Iterator[Shelf]:
        return iter(list(self._shelves.values()))

    def get(self, key: Key) -> Shelf | None:
        """The shelf of ``key``; counts as a use."""
        shelf = self._shelves.get(key)
        if shelf is not None and shelf.hits < 3:
            shelf.hits += 1
        return shelf

    def look(self, key: Key) -> Shelf | None:
        """The shelf of ``key``, without counting."""
        return self._shelves.get(key)

    def put(self, shelf: Shelf) -> None:
        """Hold ``shelf`` in place of what was held for its key; call again after changing it. What costs more than a
        quarter of the tier is not held."""
        if not self.limit:
            shelf.alive = False
            return
        key = shelf.key
        had = self._shelves.get(key)
        cost = shelf.weigh()
        if cost > self.limit // 4:
            if had is not None:
                self.drop(key)
            shelf.alive = False
            return
        if had is not None:
            queue = self._small if key in self._small else self._main
            if queue is self._small:
                self._small_bytes += cost - had.cost
            self.bytes += cost - had.cost
            if had is not shelf:
                had.alive = False
                shelf.hits = had.hits
        else:
            remembered = hash(key) in self._ghosts
            if remembered:
                del self._ghosts[hash(key)]
            queue = self._main if remembered else self._small
            if queue is self._small:
                self._small_bytes += cost
            self.bytes += cost
        shelf.cost = cost
        shelf.alive = True
        queue[key] = self._shelves[key] = self._digests[key.digest] = shelf
        self._shrink()

    def charge(self, shelf: Shelf, variant: Variant, extra: int) -> None:
        """``extra`` more bytes hang on ``variant``, which is on ``shelf``; they go with it."""
        if shelf.alive:
            variant.charged += extra
            self.put(shelf)

    def drop(self, key: Key) -> None:
        """Hold nothing for ``key``."""
        shelf = self._shelves.pop(key, None)
        if shelf is None:
            return
        shelf.alive = False
        del self._digests[key.digest]
        self.bytes -= shelf.cost
        if self._small.pop(key, None) is not None:
            self._small_bytes -= shelf.cost
        else:
            del self._main[key]

    def changed(self, digest: str) -> None:
        """Something about the key with this digest was changed elsewhere: hold no more than what can still be used."""
        shelf = self._digests.get(digest)
        if shelf is None:
            return
        if any(one.body_id for one in shelf.variants.values()):
            # Large bodies are kept aside: what Redis says next may be that they are still the ones.
            shelf.suspect = True
            shelf.alive = False
        else:
            self.drop(shelf.key)

    def clear(self) -> None:
        """Hold nothing."""
        for shelf in self._shelves.values():
            shelf.alive = False
        self._shelves.clear()
        self._digests.clear()
        self._small.clear()
        self._main.clear()
        self.bytes = self._small_bytes = 0

    def _shrink(self) -> None:
        while self.bytes > self.limit:
            if self._small and (self._small_bytes > self.limit * self.SMALL or not self._main):
                key, shelf = next(iter(self._small.items()))
                if shelf.hits > 0:
                    del self._small[key]
                    self._small_bytes -= shelf.cost
                    shelf.hits = 0
                    self._main[key] = shelf
                    continue
                self._remember(key)
            else:
                key, shelf = next(iter(self._main.items()))
                if shelf.hits > 0:
                    shelf.hits -= 1
                    self._main.move_to_end(key)
                    continue
            self.drop(key)
            self.evicted += 1

    def _remember(self, key: Key) -> None:
        self._ghosts[hash(key)] = None
        while len(self._ghosts) > max(1000, len(self._main)):
            self._ghosts.popitem(last=False)
