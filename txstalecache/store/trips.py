"""Looking up in Redis: one trip for all who ask for one key at a time, and what becomes of what it brings.

A trip brings what is known about the key: markers, the index of variants, the entry that does not vary, and the variant
that fits the request which began it, as far as this process knows what answers vary by. What the others need is fetched
on a second trip. What is brought is kept in memory, unless the key has changed meanwhile (**tainted**): then it is good
for those who asked before, and nobody joins them.

Whoever is answered goes on then and there. So of many only some are answered in one turn of the reactor.

Must not know: how Redis is talked to, who asks, and why.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txstalecache.http.entry import Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.http.vary import selector
from txstalecache.store.athand import AtHand
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.envelope import Opened
from txstalecache.store.interfaces import NOTHING, Found
from txstalecache.store.memory import Shelf, Variant
from txstalecache.store.remote import Loaded
from txstalecache.store.tiers import Tiers

__all__ = ["Trips"]

#: Those who wait for an answer, with what they ask.
_Waiters = deque[tuple[Deferred[Found], RequestHead]]


class _Trip:
    """One question to Redis about one key, and those who wait for its answer."""

    __slots__ = ("key", "session", "tainted", "waiters", "wanted")

    def __init__(self, key: Key, session: int) -> None:
        self.key = key
        self.session = session
        self.waiters: _Waiters = deque()
        self.tainted = False
        """The key changed meanwhile: good for those who asked before, not to be kept."""
        self.wanted: list[Selector] = []
        """The variants that are brought whole, beside the entry that does not vary."""


class Trips:
    """The way to Redis, for what is not ``at_hand``."""

    #: Keys whose Vary is remembered.
    MOST = 10_000
    #: Answered in one turn, at most.
    AT_ONCE = 64

    def __init__(self, tiers: Tiers, at_hand: AtHand) -> None:
        self._tiers = tiers
        self._purges = tiers.epochs.purges
        self._at_hand = at_hand
        self.asked = 0
        """Trips so far, the second ones apart; lookups that shared one count once."""
        self._trips: dict[str, _Trip] = {}
        self._names: OrderedDict[Key, tuple[bytes, ...]] = OrderedDict()

    def load(self, key: Key, request: RequestHead) -> Deferred[Found]:
        """See ``IStore``."""
        done: Deferred[Found] = Deferred()
        trip = self._trips.get(key.digest)
        if trip is not None:
            trip.waiters.append((done, request))
            return done
        trip = self._trips[key.digest] = _Trip(key, self._tiers.memory.session)
        trip.waiters.append((done, request))
        self._set_out(trip, request)
        return done

    def taint(self, digest: str) -> None:
        """What is known about the key with this digest changes now."""
        gone = self._trips.pop(digest, None)
        if gone is not None:
            gone.tainted = True

    def taint_all(self) -> None:
        """Perhaps everything changes now."""
        for digest in list(self._trips):
            self.taint(digest)

    def remember(self, shelf: Shelf) -> None:
        """Take note of what answers vary by under the key of ``shelf``."""
        if shelf.names:
            self._names[shelf.key] = shelf.names
            self._names.move_to_end(shelf.key)
            if len(self._names) > self.MOST:
                self._names.popitem(last=False)

    # -- there and back ---------------------------------------------------------------------------------------------

    def _set_out(self, trip: _Trip, request: RequestHead) -> None:
        assert self._tiers.remote is not None
        self.asked += 1
        names = self._names.get(trip.key)
        if names:
            trip.wanted = [selector(names, request)]
        loading = self._tiers.remote.load(trip.key, trip.wanted, self._bodies(trip.key))
        loading.addCallback(self._arrived, trip).addErrback(self._unanswered, trip)

    def _arrived(self, loaded: Loaded, trip: _Trip) -> None:
        self._over(trip)
        if not trip.tainted:
            self._at_hand.unlearned = False  # it came along
        shelf = self._shelve(trip, loaded)
        absent: dict[Selector, _Waiters] = {}

        def answer(done: Deferred[Found], asked: RequestHead) -> Found | None:
            now = self._tiers.clock.now()
            found = shelf.find(asked, now, "redis", self._purges)
            if found is None:
                variant = shelf.matching(asked, now, self._purges)
                assert variant is not None
                absent.setdefault(variant.selector, deque()).append((done, asked))
            return found

        def answered() -> None:
            for chosen, waiters in absent.items():
                self._tiers.under_way.start(self._fetch(trip, shelf, chosen, waiters))

        self._answer(trip.waiters, answer, answered)

    def _unanswered(self, failure: Failure, trip: _Trip) -> None:
        if not failure.check(Unavailable, Refused):
            self._tiers.under_way.broken(failure)
        self._over(trip)
        self._answer(trip.waiters, lambda _, asked: self._at_hand.guess(trip.key, asked))

    def _answer(
        self,
        waiters: _Waiters,
        answer: Callable[[Deferred[Found], RequestHead], Found | None],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        """Give each of ``waiters`` what ``answer`` says, in this order and in as many turns as it takes; None: he waits
        on. ``then`` is called once that is done."""
        for _ in range(min(self.AT_ONCE, len(waiters))):
            done, asked = waiters.popleft()
            if done.called:
                continue  # cancelled
            try:
                found = answer(done, asked)
            except Exception:
                # The others are still to be answered.
                self._tiers.under_way.broken(Failure())
                found = NOTHING
            if found is not None:
                done.callback(found)
        if waiters:
            assert self._tiers.remote is not None
            self._tiers.remote.turn().addCallback(lambda _: self._answer(waiters, answer, then))
        else:
            then()

    def _over(self, trip: _Trip) -> None:
        # From here on nobody joins: what is asked later is asked anew.
        if self._trips.get(trip.key.digest) is trip:
            del self._trips[trip.key.digest]

    async def _fetch(self, trip: _Trip, shelf: Shelf, chosen: Selector, waiters: _Waiters) -> None:
        """A variant that the index told of: the second round trip of a process that does not know the key's Vary."""
        assert self._tiers.remote is not None
        told_of = shelf.variants.get(chosen)
        try:
            opened = await self._tiers.remote.fetch(trip.key, chosen, self._bodies(trip.key))
        except (Unavailable, Refused):
            pass  # It is there all the same: whoever comes next asks for it anew.
        else:
            if opened is None:
                if shelf.variants.get(chosen) is told_of:  # else it was stored anew meanwhile
                    shelf.forget(chosen)
            else:
                shelf.add(_variant(opened))
            if shelf.alive:
                self._tiers.memory.put(shelf)
        finally:
            self._answer(waiters, lambda _, asked: self._left_on(shelf, asked))

    def _left_on(self, shelf: Shelf, asked: RequestHead) -> Found:
        return shelf.without_bodies(asked, self._tiers.clock.now(), "redis", self._purges)

    # -- what was brought -------------------------------------------------------------------------------------------

    def _shelve(self, trip: _Trip, loaded: Loaded) -> Shelf:
        """What was ``loaded`` as a shelf, with what is on its way on top; kept when nothing has changed meanwhile."""
        key = trip.key
        shelf = Shelf(key, complete=True, session=trip.session, learned=self._tiers.clock.now())
        shelf.cut = self._tiers.epochs.discarded(key)
        for row in loaded.rows:
            if row.selector not in trip.wanted or row.selector in loaded.entries:
                shelf.add(Variant(row.selector, row.request_time, row.response_time, row.until))
        for opened in loaded.entries.values():
            shelf.add(_variant(opened))
        shelf.advice, shelf.cookie = loaded.advice, loaded.cookie
        if loaded.rows or trip.wanted:
            self.remember(shelf)
        # What is pending is about this process's own view: it does not go into what is kept.
        keep = not trip.tainted and trip.session == self._tiers.memory.session
        pending = self._tiers.under_way.about(key)
        if pending is not None:
            pending.overlay(shelf)
            keep = False
        if keep and (shelf.variants or shelf.advice or shelf.cookie):
            self._tiers.memory.put(shelf)
        else:
            shelf.alive = False
        return shelf

    def _bodies(self, key: Key) -> dict[str, Opened]:
        """Large bodies of ``key`` that memory has, by their id: what has the same id need not be read again."""
        shelf = self._tiers.memory.look(key)
        if shelf is None:
            return {}
        return {
            one.body_id: Opened(one.entry, one.until, None)
            for one in shelf.variants.values()
            if one.body_id and one.entry is not None
        }


def _variant(opened: Opened) -> Variant:
    body_id = "" if opened.manifest is None else opened.manifest.body_id
    return Variant.of(opened.entry, opened.until, body_id)
