"""The fast lane: hits written straight from memory, in front of the ordinary way through the channel.

::

    bytes ─ one whole plain request? ─ an answer that is ready, or can be made so? ─ written, logged; a refresh after it
              │ no                               │ no
              │                                  └──→ the straight line of the resource, with the head that was read
              └──→ the channel takes it apart, as whatever comes until it is idle again

What is not certain is never decided here. An answer is the ordinary path's own (``edge.ready``), and it is used only as
long as nothing that it was made from has changed.
Must not know: what any field means, what RFC 9111 says.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Final
from weakref import ReferenceType, ref

from twisted.internet.interfaces import IReactorTime

from txstalecache.config.routes import Route, Routes
from txstalecache.edge.asked import HeadReader, Shape, shape
from txstalecache.edge.channel import CacheChannel, Served
from txstalecache.edge.direct import DirectExchange
from txstalecache.edge.exchange import Exchange
from txstalecache.edge.heads import ReceivedRequest
from txstalecache.edge.prepare import prepared
from txstalecache.edge.ready import Answer, Ready, answer
from txstalecache.http.entry import Entry
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.observe.accesslog import Record
from txstalecache.observe.tally import Tally
from txstalecache.observe.trace import TraceContext, begun
from txstalecache.store.memory import Shelf
from txstalecache.store.tiered import TieredStore

__all__ = ["FastLane", "LaneChannel"]

#: Starts a refresh, unless one is under way: of what was asked, under which route and key, what is stale, what answers
#: vary by, and where in its trace the request is.
Refresh = Callable[[RequestHead, Route, Key, Entry, tuple[bytes, ...], TraceContext | None], None]


class Asked:
    """A request head as it was last read, and what answered it: the same bytes ask for the same again."""

    __slots__ = (
        "answer",
        "changes",
        "head",
        "key",
        "purges",
        "route",
        "session",
        "shape",
        "shelf",
        "trusted",
        "vain",
        "weight",
    )

    #: What it costs to remember, in bytes (a test measures it): by itself, and for each field, with what is worked out
    #: from them.
    EACH: Final = 2200
    FIELD: Final = HeadReader.FIELD

    def __init__(self, head: RequestHead, route: Route, length: int) -> None:
        self.weight = self.EACH + self.FIELD * len(head.fields) + 3 * length
        """Bytes of memory, of ``length`` bytes of head."""
        self.head = head
        self.route = route
        self.key = route.template.key(head)
        self.shape: Shape | None = None
        """Known once something is there that may answer it."""
        # Weakly: what the memory tier has let go of is not kept by who asked for it once.
        self.answer: ReferenceType[Answer] | None = None
        self.vain = False
        """Whether nothing was on the shelf to answer it with."""
        self.shelf: ReferenceType[Shelf] | None = None
        self.changes = self.session = self.purges = 0
        self.trusted = inf


class FastLane:
    """Answers hits for the channels of one site and scheme. Everything in it belongs to the resource that made it."""

    #: Bytes of a request head that is worth remembering.
    HEAD: Final = 4096
    #: All that is remembered about heads may cost this much, in bytes, and this part of the memory tier.
    MOST: Final = 2 * 1024 * 1024
    PART: Final = 1 / 32
    #: Seconds between two hits on one stale answer that ask for a refresh. The first one's is under way, or has just
    #: failed: there is no hurry to find out which.
    AGAIN: Final = 0.05

    def __init__(
        self,
        store: TieredStore,
        routes: Routes,
        refresh: Refresh,
        clock: IReactorTime,
        log: Callable[[Record], None] | None,
        tally: Tally,
        reader: HeadReader,
    ) -> None:
        self._store = store
        self._routes = routes
        self._refresh = refresh
        self._clock = clock
        self._log = log
        self._tally = tally
        self._now = store.now
        self._reader = reader
        # Two generations: when the younger is full it becomes the older; what is asked for again is young again.
        self._young: dict[bytes, Asked] = {}
        self._old: dict[bytes, Asked] = {}
        self._weight = 0
        # With what the reader keeps beside them.
        self._room = 0.4 * min(self.MOST, store.memory.limit * self.PART)
        reader.room = self._room / 2
        routes.watch(self._forget)

    def _forget(self) -> None:
        """Other routes hold from now on."""
        self._young, self._old, self._weight = {}, {}, 0

    # -- one request ---------------------------------------------------------------------------------------------

    def read(self, data: bytes) -> Asked | None:
        """The request that ``data`` is, no less and no more; None when that is not certain."""
        return self._young.get(data) or self._asked(data)

    def serve(self, channel: LaneChannel, asked: Asked) -> bool:
        """Answer what is ``asked``. False: nothing was done."""
        now = self._now()
        found = None if asked.answer is None else asked.answer()
        shelf = None if asked.shelf is None else asked.shelf()
        store = self._store
        same = (
            shelf is not None
            and now < asked.trusted
            and shelf.alive
            and shelf.changes == asked.changes
            and store.purges.version == asked.purges
            and store.memory.session == asked.session
        )
        if same and shelf is not None and found is not None and found.since <= now < found.until:
            if shelf.hits < 3:
                shelf.hits += 1  # as asking the tier would
        elif same and asked.vain:
            return False
        else:
            found = self._find(asked, now)
            if found is None:
                return False
        log, cell = self._log, found.cell
        renews = found.refreshes and not 0 <= now - found.renewed < self.AGAIN
        trace = begun(asked.head.fields) if renews else None
        cell.count += 1
        cell.sent += found.sent
        if log is None and cell.count < cell.due:
            channel.put(found.head, found.body, found.sent)
        else:
            began = self._clock.seconds()
            channel.put(found.head, found.body, found.sent)
            took = self._clock.seconds() - began
            if cell.count >= cell.due:
                head = asked.head
                self._tally.sample(cell, b"%b://%b%b" % (head.scheme, head.authority, head.target), found.sent, took)
            if log is not None:
                self._record(log, channel, asked.head, found, now, took, trace)
        if renews:
            # The client has its answer.
            found.renewed = now
            shelf = None if asked.shelf is None else asked.shelf()
            names = () if shelf is None else shelf.names
            self._refresh(asked.head, asked.route, asked.key, found.entry, names, trace)
        return True

    def _asked(self, data: bytes) -> Asked | None:
        """What ``data`` asks for, remembered or read; None when it is not certain."""
        asked = self._old.get(data)
        if asked is None:
            head = self._reader.read(data)
            if head is None:
                return None
            route = self._routes.pick(head)
            if not route.plain:
                return None
            asked = Asked(head, route, len(data))
        if len(data) <= self.HEAD:
            self._weight += asked.weight
            if self._weight > self._room:
                self._old, self._young = self._young, {}
                self._weight = asked.weight
            self._young[data] = asked
        return asked

    def _find(self, asked: Asked, now: float) -> Answer | None:
        """The answer to what was asked, from what is in memory now."""
        asked.answer, asked.shelf, asked.vain = None, None, False
        store = self._store
        held = store.held(asked.key, now)
        if held is None:
            return None
        shelf, asked.trusted = held
        asked.changes, asked.session, asked.purges = shelf.changes, store.memory.session, store.purges.version
        # Chosen by what the origin was asked; there is nothing to choose where it never looked at a field.
        sought = prepared(asked.route, asked.head) if shelf.names else asked.head
        variant = shelf.matching(sought, now, store.purges)
        if variant is None or variant.entry is None:
            # Nothing is there that could answer it, as long as nothing changes, and nothing is gone.
            asked.shelf, asked.vain = ref(shelf), True
            if variant is not None:
                asked.trusted = min(asked.trusted, variant.until)
            return None
        if asked.shape is None:
            asked.shape = shape(asked.head)
        ready = variant.ready
        if not isinstance(ready, Ready):
            ready = variant.ready = Ready()
        wanted = (id(asked.route), asked.shape)
        found = ready.answers.get(wanted)
        if (
            found is None
            or not found.since <= now < found.until
            or found.entry is not variant.entry
            or found.route is not asked.route
            or found.changes != shelf.changes
        ):
            made = answer(asked.head, asked.shape, asked.route, shelf, variant, now, self._reader.pseudonym)
            if made is None:
                return None
            extra = ready.keep(wanted, made)
            made.changes = shelf.changes
            made.cell = self._tally.cell(made.verdict, made.why, "hit", made.status)
            if extra:
                store.memory.charge(shelf, variant, extra)
            found = made
        asked.answer, asked.shelf = ref(found), ref(shelf)
        return found

    def _record(
        self,
        log: Callable[[Record], None],
        channel: LaneChannel,
        head: RequestHead,
        found: Answer,
        now: float,
        took: float,
        trace: TraceContext | None,
    ) -> None:
        log(
            Record(
                time=now,
                client=channel.client or "-",
                method=head.method,
                target=head.target,
                version=b"HTTP/1.1",
                fields=head.fields,
                status=found.status,
                sent=found.sent,
                verdict=found.verdict,
                why=found.why,
                role="hit",
                age=found.entry.age(now),
                duration=took,
                scheme=head.scheme,
                sent_on=trace,
            )
        )


class LaneChannel(CacheChannel):
    """A channel that offers what comes to a lane first, while nothing else is going on."""

    put: Callable[[bytes, tuple[bytes, ...], int], None]
    """Writes a whole answer: its head, its body, and the length of that."""
    lane: FastLane | None = None
    served: Callable[[Exchange], None] | None = None
    """Who answers on the channel itself; None: requests become those of ``twisted.web``."""
    met = False
    """Whether something has come from the client."""
    _place: tuple[Route, Key] | None = None
    """Where the request that is about to be opened belongs, as the lane has found out."""

    def connectionMade(self) -> None:
        super().connectionMade()
        self.put = self._outlet.put

    def dataReceived(self, data: bytes) -> None:
        if not self.met:
            self.met = True
            self.meet()
        lane = self.lane
        if lane is not None and self.vacant:
            asked = lane.read(data)
            if asked is not None:
                if lane.serve(self, asked):
                    self._blank_lines = 1
                    self._deadline.set(self._limits.idle)
                else:
                    self._place = (asked.route, asked.key)
                    self.take(ReceivedRequest(asked.head))
                return
        super().dataReceived(data)

    def opened(self, received: ReceivedRequest) -> Served:
        # The channel itself answers ``*``.
        if self.served is None or received.head.target == b"*":
            return super().opened(received)
        exchange = DirectExchange(self, self._clock, self.served)
        exchange.place, self._place = self._place, None
        return exchange
