"""The store that flights see: memory over Redis, with what is on its way to Redis in between.

An answer is looked for in memory, then among the writes that Redis has not confirmed yet, then in Redis. A write is
visible here at once; nobody waits for it to reach Redis. Nothing that goes wrong with Redis comes out of here.

Must not know: how Redis is talked to, what an entry means.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable
from math import inf
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txstalecache.http.entry import Entry, Marker, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.http.vary import selector
from txstalecache.store.clock import FleetClock
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.envelope import Opened
from txstalecache.store.interfaces import NOTHING, Found, IStore
from txstalecache.store.memory import MemoryTier, Shelf, Variant
from txstalecache.store.purges import Hardness, Purges, Record, Scope
from txstalecache.store.remote import Loaded, Remote

__all__ = ["TieredStore"]


class _Pending:
    """What was written about one key and Redis has not confirmed yet."""

    __slots__ = ("shelf", "unmarked", "writes")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.writes = 0
        self.unmarked = False
        """Whether a marker that Redis still knows was taken away."""


class _Trip:
    """One question to Redis about one key, and those who wait for its answer."""

    __slots__ = ("key", "session", "tainted", "waiters", "wanted")

    def __init__(self, key: Key, session: int) -> None:
        self.key = key
        self.session = session
        self.waiters: dict[Deferred[Found], RequestHead] = {}
        self.tainted = False
        """The key changed meanwhile: good for those who asked before, not to be kept."""
        self.wanted: list[Selector] = []
        """The variants that are brought whole, beside the entry that does not vary."""


@implementer(IStore)
class TieredStore:
    """Memory over Redis; over nothing when ``remote`` is None."""

    log = Logger()

    #: How long memory is believed when nobody tells of changes, in seconds.
    UNTRACKED = 1.0
    #: How long a discard is remembered against fetches in the air, in seconds.
    REMEMBER = 300.0
    #: Discards remembered, those among them that Redis has still to be told, and keys whose Vary is remembered.
    MOST = 10_000

    def __init__(
        self,
        memory: MemoryTier,
        clock: FleetClock,
        remote: Remote | None = None,
        purges: Purges | None = None,
    ) -> None:
        self.memory = memory
        self.clock = clock
        self.now = clock.now
        self.purges = Purges() if purges is None else purges
        self.session = 0
        """The tracking session that runs; 0: none."""
        self.unwritten = 0
        """Writes that did not reach Redis, so far."""
        self.asked = 0
        """Round trips to Redis to look something up, so far; lookups that shared one count once."""
        self.remote = remote
        self._unlearned = False
        """Whether something was purged, and it could not be found out what."""
        self._attempts = 0
        """To find out."""
        self._trips: dict[str, _Trip] = {}
        self._pending: dict[Key, _Pending] = {}
        self._under_way: set[Deferred[Any]] = set()
        self._names: OrderedDict[Key, tuple[bytes, ...]] = OrderedDict()
        self._cuts: OrderedDict[Key, float] = OrderedDict()
        self._untold: OrderedDict[Key, float] = OrderedDict()

    # -- reading ----------------------------------------------------------------------------------------------------

    def peek(self, key: Key, request: RequestHead) -> Found | None:
        now = self.clock.now()
        shelf = self.memory.get(key)
        if shelf is not None and self._believed(shelf, now):
            found = shelf.find(request, now, "memory", self.purges)
            if found is not None:
                return found
        pending = self._pending.get(key)
        if pending is not None:
            found = pending.shelf.find(request, now, "memory", self.purges)
            if found is not None:
                return found
        if self.remote is not None and self.remote.available:
            return None
        return self._guess(key, request)

    def held(self, key: Key) -> tuple[Shelf, float] | None:
        """The shelf of ``key`` in memory, and until when it may be believed as long as ``session`` and the shelf's
        ``alive`` and ``changes`` stay as they are. Counts as a use. What ``peek`` would not use is not here either."""
        shelf = self.memory.get(key)
        if shelf is None or not self._believed(shelf, self.clock.now()):
            return None
        if self.remote is None or (shelf.session and shelf.session == self.session):
            return shelf, inf
        return shelf, shelf.learned + self.UNTRACKED

    def lookup(self, key: Key, request: RequestHead) -> Deferred[Found]:
        found = self.peek(key, request)
        return self.load(key, request) if found is None else succeed(found)

    def load(self, key: Key, request: RequestHead) -> Deferred[Found]:
        done: Deferred[Found] = Deferred()
        trip = self._trips.get(key.digest)
        if trip is not None:
            trip.waiters[done] = request
            return done
        trip = self._trips[key.digest] = _Trip(key, self.session)
        trip.waiters[done] = request
        self._set_out(trip, request)
        return done

    def at_hand(self, key: Key) -> list[Variant]:
        """The variants of ``key`` that this process has, without counting as a use."""
        shelf, pending = self.memory.look(key), self._pending.get(key)
        found = dict(shelf.variants) if shelf is not None and self._believed(shelf, self.clock.now()) else {}
        if pending is not None:
            found.update(pending.shelf.variants)
        return list(found.values())

    def _believed(self, shelf: Shelf, now: float) -> bool:
        if shelf.suspect or (self._unlearned and self.remote is not None and self.remote.available):
            return False
        if self.remote is None or (shelf.session and shelf.session == self.session):
            return True
        return now - shelf.learned < self.UNTRACKED

    def _guess(self, key: Key, request: RequestHead) -> Found:
        """What can be said when Redis cannot be asked."""
        now = self.clock.now()
        shelf = self.memory.look(key)
        if shelf is not None and self._believed(shelf, now):
            return shelf.without_bodies(request, now, "memory", self.purges)
        pending = self._pending.get(key)
        if pending is None:
            return NOTHING
        return pending.shelf.without_bodies(request, now, "memory", self.purges)

    def _set_out(self, trip: _Trip, request: RequestHead) -> None:
        assert self.remote is not None
        self.asked += 1
        names = self._names.get(trip.key)
        if names:
            trip.wanted = [selector(names, request)]
        loading = self.remote.load(trip.key, trip.wanted, self._bodies(trip.key))
        loading.addCallback(self._arrived, trip).addErrback(self._unanswered, trip)

    def _arrived(self, loaded: Loaded, trip: _Trip) -> None:
        self._over(trip)
        if not trip.tainted:
            self._unlearned = False  # it came along
        shelf = self._shelve(trip, loaded)
        now = self.clock.now()
        found: list[tuple[Deferred[Found], Found]] = []
        absent: dict[Selector, dict[Deferred[Found], RequestHead]] = {}
        for done, asked in trip.waiters.items():
            answer = shelf.find(asked, now, "redis", self.purges)
            if answer is not None:
                found.append((done, answer))
                continue
            variant = shelf.matching(asked, now, self.purges)
            assert variant is not None
            absent.setdefault(variant.selector, {})[done] = asked
        trip.waiters = {}
        for chosen, waiters in absent.items():
            self._start(self._fetch(trip, shelf, chosen, waiters))
        for done, answer in found:
            if not done.called:  # cancelled
                done.callback(answer)

    def _unanswered(self, failure: Failure, trip: _Trip) -> None:
        if not failure.check(Unavailable, Refused):
            self._broken(failure)
        self._over(trip)
        self._settle(trip.waiters, lambda asked: self._guess(trip.key, asked))

    def _over(self, trip: _Trip) -> None:
        # From here on nobody joins: what is asked later is asked anew.
        if self._trips.get(trip.key.digest) is trip:
            del self._trips[trip.key.digest]

    async def _fetch(
        self, trip: _Trip, shelf: Shelf, chosen: Selector, waiters: dict[Deferred[Found], RequestHead]
    ) -> None:
        """A variant that the index told of: the second round trip of a process that does not know the key's Vary."""
        assert self.remote is not None
        opened: Opened | None = None
        try:
            opened = await self.remote.fetch(trip.key, chosen, self._bodies(trip.key))
        except (Unavailable, Refused):
            pass
        finally:
            if opened is None:
                shelf.variants.pop(chosen, None)
            else:
                shelf.add(_variant(opened))
            if shelf.alive:
                self.memory.put(shelf)
            self._settle(waiters, lambda asked: self._answer(shelf, asked))

    def _answer(self, shelf: Shelf, asked: RequestHead) -> Found:
        return shelf.without_bodies(asked, self.clock.now(), "redis", self.purges)

    def _shelve(self, trip: _Trip, loaded: Loaded) -> Shelf:
        """What was ``loaded`` as a shelf, with what is on its way on top; kept when nothing has changed meanwhile."""
        key = trip.key
        shelf = Shelf(key, complete=True, session=trip.session, learned=self.clock.now())
        shelf.cut = self._cuts.get(key, -1.0)
        for row in loaded.rows:
            if row.selector not in trip.wanted or row.selector in loaded.entries:
                shelf.add(Variant(row.selector, row.request_time, row.response_time, row.until))
        for opened in loaded.entries.values():
            shelf.add(_variant(opened))
        shelf.private, shelf.cookie = loaded.private, loaded.cookie
        if loaded.rows or trip.wanted:
            self._remember_names(shelf)
        # What is pending is about this process's own view: it does not go into what is kept.
        keep = not trip.tainted and trip.session == self.session
        pending = self._pending.get(key)
        if pending is not None:
            self._overlay(shelf, pending)
            keep = False
        if keep and (shelf.variants or shelf.private or shelf.cookie):
            self.memory.put(shelf)
        else:
            shelf.alive = False
        return shelf

    def _overlay(self, shelf: Shelf, pending: _Pending) -> None:
        over = pending.shelf
        if over.complete:
            shelf.discard(over.cut)
        for variant in over.variants.values():
            shelf.add(variant)
        if over.private is not None or pending.unmarked:
            shelf.private = over.private
        if over.cookie is not None:
            shelf.cookie = over.cookie

    def _bodies(self, key: Key) -> dict[str, Opened]:
        """Large bodies of ``key`` that memory has, by their id: what has the same id need not be read again."""
        shelf = self.memory.look(key)
        if shelf is None:
            return {}
        return {
            one.body_id: Opened(one.entry, one.until, None)
            for one in shelf.variants.values()
            if one.body_id and one.entry is not None
        }

    def _remember_names(self, shelf: Shelf) -> None:
        if shelf.names:
            self._names[shelf.key] = shelf.names
            self._names.move_to_end(shelf.key)
            if len(self._names) > self.MOST:
                self._names.popitem(last=False)

    def _settle(self, waiters: dict[Deferred[Found], RequestHead], answer: Callable[[RequestHead], Found]) -> None:
        while waiters:
            done, asked = waiters.popitem()
            if not done.called:  # cancelled
                done.callback(answer(asked))

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, key: Key, entry: Entry, keep: float) -> None:
        if keep <= 0 or self.left(key, entry) is None:
            return
        keep = min(keep, Remote.LONGEST)
        now = self.clock.now()
        remote = self.remote
        reachable = remote is not None and remote.writable
        body_id = Remote.body_id(entry) if reachable else ""
        variant = Variant.of(entry, now + keep, body_id)
        shelf = self._open(key, now)
        shelf.add(variant)
        shelf.private = None
        self.memory.put(shelf)
        if entry.selector:
            self._remember_names(shelf)
        self._taint(key)
        if remote is None:
            return
        if not reachable:
            self.unwritten += 1
            return
        writing = remote.put(key, entry, keep, variant.until, variant.body_id)
        pending = self._pend(key)
        pending.shelf.add(variant)
        pending.shelf.private = None
        pending.unmarked = True
        self._send(pending, writing.addCallback(self._put, key, variant))

    def _put(self, accepted: bool, key: Key, variant: Variant) -> None:
        if self._untold or (self.remote is not None and self.remote.purge_log.behind):
            # It was not away, but full, or somebody's replica; now it takes what it is told.
            self.reachable()
        if not accepted:
            # Redis has something newer, or it was discarded meanwhile: ours is not to be used.
            shelf = self.memory.look(key)
            if shelf is not None and shelf.variants.get(variant.selector) is variant:
                self.memory.drop(key)

    def mark(self, key: Key, marker: Marker) -> None:
        now = self.clock.now()
        if marker.until <= now:
            return
        shelf = self._open(key, now)
        shelf.mark(marker)
        self.memory.put(shelf)
        self._taint(key)
        remote = self.remote
        if remote is None or not remote.writable:
            return
        pending = self._pend(key)
        pending.shelf.mark(marker)
        self._send(pending, remote.mark(key, marker, marker.until - now))

    def unmark(self, key: Key) -> None:
        shelf = self.memory.look(key)
        if shelf is not None:
            shelf.private = None
            self.memory.put(shelf)
        self._taint(key)
        remote = self.remote
        if remote is None or not remote.writable:
            return
        pending = self._pend(key)
        pending.shelf.private = None
        pending.unmarked = True
        self._send(pending, remote.unmark(key))

    def discard(self, key: Key) -> None:
        when = self.clock.mark()
        self._cuts[key] = when
        self._cuts.move_to_end(key)
        while self._cuts:
            _, oldest = next(iter(self._cuts.items()))
            if len(self._cuts) <= self.MOST and oldest > when - self.REMEMBER:
                break
            self._cuts.popitem(last=False)
        shelf = self.memory.look(key)
        if shelf is not None:
            # Not changed in place: whoever holds on to a shelf asks only whether it is alive.
            self.memory.drop(key)
        if self.remote is None:
            if shelf is not None and (shelf.private or shelf.cookie):
                fresh = self._open(key, when)
                fresh.private, fresh.cookie = shelf.private, shelf.cookie
                self.memory.put(fresh)
            return
        self._taint(key)
        self._tell(key, when)

    def _tell(self, key: Key, when: float) -> None:
        remote = self.remote
        assert remote is not None
        if not remote.writable:
            self._tell_later(key, when)
            return
        pending = self._pend(key)
        pending.shelf.discard(when)
        pending.shelf.complete = True
        self._send(pending, remote.discard(key, when).addErrback(self._not_told, key, when))

    def _not_told(self, failure: Failure, key: Key, when: float) -> Failure:
        self._tell_later(key, when)
        return failure

    def _tell_later(self, key: Key, when: float) -> None:
        self._untold[key] = max(when, self._untold.pop(key, when))
        if len(self._untold) > self.MOST:
            self._untold.popitem(last=False)
            self.unwritten += 1

    def purge(self, scope: Scope, hardness: Hardness = Hardness.HARD) -> Deferred[bool]:
        """Let nothing of ``scope`` be used whose fetch began before now: at once here, and everywhere once Redis has
        heard of it. Fires with whether it has; if not, it is told when it is back. Never fails."""
        said = Record(scope, hardness, self.clock.mark())
        self.purges.add([said])
        told: Deferred[bool] = Deferred()
        if self.remote is None:
            self.purges.trim(self.clock.now() - Remote.USEFUL)
            told.callback(True)
        else:
            self._start(self._purge(self.remote, said, told))
        return told

    async def _purge(self, remote: Remote, said: Record, told: Deferred[bool]) -> None:
        known = False
        try:
            known = await remote.purge_log.tell(said)
            self.unwritten += not known
        finally:
            if not told.called:
                told.callback(known)

    def outdated(self, key: Key, began: float, tags: Iterable[bytes] = (), request: RequestHead | None = None) -> bool:
        if not self._cuts and not self.purges:
            return False
        return began <= max(self._cuts.get(key, -1.0), *self._purged(key, tags, request))

    def epoch(self, key: Key, request: RequestHead | None = None) -> float:
        return max(self._purged(key, (), request))

    def left(self, key: Key, entry: Entry) -> Entry | None:
        return None if entry.request_time <= self._cuts.get(key, -1.0) else self.purges.apply(key, entry)

    def _purged(self, key: Key, tags: Iterable[bytes], request: RequestHead | None) -> tuple[float, float]:
        return self.purges.newest(key, tags, None if request is None else lambda scope: scope.meant(request))

    def _open(self, key: Key, now: float) -> Shelf:
        """A shelf to write on: the one in memory where it can be believed for as long as a new one, else a new one."""
        shelf = self.memory.look(key)
        tracked = shelf is not None and shelf.session == self.session != 0
        if shelf is not None and not shelf.suspect and (self.remote is None or tracked):
            return shelf
        fresh = Shelf(key, complete=self.remote is None, session=self.session, learned=now)
        fresh.cut = self._cuts.get(key, -1.0)
        return fresh

    def _pend(self, key: Key) -> _Pending:
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = _Pending(Shelf(key))
        return pending

    def _send(self, pending: _Pending, writing: Deferred[Any]) -> None:
        pending.writes += 1
        self._under_way.add(writing)
        writing.addErrback(self._unwritten).addBoth(self._written, pending, writing)

    def _unwritten(self, failure: Failure) -> None:
        if failure.check(Unavailable, Refused):
            self.unwritten += 1
        else:
            self._broken(failure)

    def _written(self, _: object, pending: _Pending, writing: Deferred[Any]) -> None:
        self._under_way.discard(writing)
        pending.writes -= 1
        key = pending.shelf.key
        if not pending.writes and self._pending.get(key) is pending:
            del self._pending[key]

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        done: Deferred[None] = Deferred.fromCoroutine(coroutine)
        if done.called:
            done.addErrback(self._broken)
            return
        self._under_way.add(done)

        done.addErrback(self._broken).addBoth(lambda _: self._under_way.discard(done))

    def _broken(self, failure: Failure) -> None:
        self.log.failure("a fault of the store's own", failure)

    # -- what others do ---------------------------------------------------------------------------------------------

    def changed(self, digest: str | None) -> None:
        """Something about the key with this digest was changed elsewhere; None: perhaps everything."""
        if digest is None:
            for each in list(self._trips.values()):
                self._taint(each.key)
            self.memory.clear()
            return
        trip = self._trips.get(digest)
        if trip is not None:
            self._taint(trip.key)
        shelf = self.memory.called(digest)
        if shelf is None:
            return
        if any(one.body_id for one in shelf.variants.values()):
            # Large bodies are kept aside: what Redis says next may be that they are still the ones.
            shelf.suspect = True
            shelf.alive = False
        else:
            self.memory.drop(shelf.key)

    def tracked(self, session: int) -> None:
        """A tracking session has begun; 0: it is over, and what was learned in it may change unnoticed."""
        self.session = session
        # At the beginning too: what memory has by then was learned unwatched, and dated by another clock perhaps.
        self.changed(None)
        if session:
            # Watch, then look: what was purged before the first word.
            self.purged()

    def reachable(self) -> None:
        """Redis is there (again): it is told what it missed, and what it has lost."""
        untold, self._untold = self._untold, OrderedDict()
        now = self.clock.now()
        for key, when in untold.items():
            if when > now:
                # Said by the host's clock, which was wrong.
                when = self._cuts[key] = now
            self._tell(key, when)
        if self.remote is not None:
            self._start(self.remote.purge_log.catch_up())
            # Word of changes may have come before it could be asked.
            self.purged()

    def purged(self) -> None:
        """Somebody has purged something: learn what."""
        if self.remote is not None:
            self._start(self._learn(self.remote.purge_log.sync()))

    def emptied(self) -> None:
        """Redis was emptied (``FLUSHALL``): nothing is there any longer, but purges hold."""
        self.changed(None)
        if self.remote is not None:
            self._start(self._learn(self.remote.purge_log.compare()))

    async def _learn(self, learning: Coroutine[Any, Any, None]) -> None:
        self._attempts = attempt = self._attempts + 1
        try:
            await learning
            if attempt == self._attempts:  # else word has come since it was asked
                self._unlearned = False
        except (Unavailable, Refused):
            # Until it is known, memory is not to be believed; what Redis answers next brings it.
            self._unlearned = True
            self.changed(None)

    def _taint(self, key: Key) -> None:
        gone = self._trips.pop(key.digest, None)
        if gone is not None:
            gone.tainted = True

    # -- ending -----------------------------------------------------------------------------------------------------

    def flush(self) -> Deferred[None]:
        """Fires when what was written so far is in Redis, or has failed: at most the write time limit."""
        waiting: list[Deferred[None]] = []
        for done in self._under_way:
            one: Deferred[None] = Deferred()
            done.addBoth(_also, one)
            waiting.append(one)
        return DeferredList(waiting).addCallback(lambda _: None)


def _also(result: object, other: Deferred[None]) -> object:
    other.callback(None)
    return result


def _variant(opened: Opened) -> Variant:
    body_id = "" if opened.manifest is None else opened.manifest.body_id
    return Variant.of(opened.entry, opened.until, body_id)
