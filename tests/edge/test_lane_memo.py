"""What the lane could not answer it says at once again, for as long as that is so, and no longer."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from txstalecache.config.routes import Route, Routes
from txstalecache.edge.asked import HeadReader
from txstalecache.edge.fastlane import FastLane
from txstalecache.edge.limits import EdgeLimits
from txstalecache.http.entry import Entry, Freshness, Selector
from txstalecache.http.messages import Fields
from txstalecache.observe.tally import Tally
from txstalecache.store.clock import FleetClock
from txstalecache.store.memory import MemoryTier, Shelf, Variant
from txstalecache.store.tiered import TieredStore

ASKED = b"GET /x HTTP/1.1\r\nHost: h\r\nAccept-Language: de\r\n\r\n"
GERMAN: Selector = ((b"accept-language", b"de"),)
PLAIN: Selector = ((b"accept-encoding", None),)


class Lane:
    """One with a store that the test puts things on, and a channel that remembers what was written."""

    client = "x"

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.store = TieredStore(MemoryTier(1 << 24), FleetClock(self.clock.seconds, self.clock.seconds))
        reader = HeadReader(EdgeLimits(body=None), b"http")
        self.lane = FastLane(self.store, Routes((Route(),)), lambda *_: None, self.clock, None, Tally(), reader)
        asked = self.lane.read(ASKED)
        assert asked is not None
        self.asked = asked
        self.shelf = Shelf(asked.key, complete=True)
        self.store.memory.put(self.shelf)
        self.looked = 0
        find = self.lane._find

        def counted(*args: Any) -> Any:
            self.looked += 1
            return find(*args)

        self.lane._find = counted  # type: ignore[method-assign,assignment]

    def put(self, head: bytes, body: tuple[bytes, ...], length: int) -> None:
        self.body = b"".join(body)

    def answers(self) -> bool:
        channel: Any = self
        return self.lane.serve(channel, self.asked)

    def add(self, chosen: Selector, body: bytes, lasts: float = 3600.0) -> Variant:
        now = self.store.now()
        entry = Entry(
            status=200,
            fields=Fields(((b"Date", b"Fri, 15 Jan 2027 08:00:00 GMT"), (b"Content-Length", b"%d" % len(body)))),
            body=(body,),
            request_time=now,
            response_time=now,
            freshness=Freshness(initial_age=0.0, lifetime=lasts),
            selector=chosen,
        )
        variant = Variant.of(entry, now + lasts)
        self.shelf.add(variant)
        return variant


def test_it_is_not_looked_for_again_while_nothing_changes() -> None:
    lane = Lane()
    assert [lane.answers() for _ in range(3)] == [False] * 3
    assert lane.looked == 1


def test_what_is_stored_then_is_found() -> None:
    lane = Lane()
    assert not lane.answers()
    lane.add(GERMAN, b"here")
    assert lane.answers() and lane.body == b"here"


def test_a_shelf_in_the_place_of_another_is_found() -> None:
    lane = Lane()
    assert not lane.answers()
    lane.shelf = Shelf(lane.asked.key, complete=True)
    lane.add(GERMAN, b"here")
    lane.store.memory.put(lane.shelf)
    assert lane.answers() and lane.body == b"here"


def test_once_a_variant_is_gone_that_stood_in_the_way_another_answers() -> None:
    lane = Lane()
    lane.add(GERMAN, b"older")
    lane.clock.advance(1)
    known = lane.add(PLAIN, b"", lasts=5.0)
    known.entry = None  # it is known that there is one, and no more
    assert not lane.answers()
    lane.clock.advance(6)
    assert lane.answers() and lane.body == b"older"


def test_once_a_variant_turns_out_not_to_be_had_another_answers() -> None:
    lane = Lane()
    lane.add(GERMAN, b"older")
    lane.clock.advance(1)
    lane.add(PLAIN, b"").entry = None
    assert not lane.answers()
    lane.shelf.forget(PLAIN)
    assert lane.answers() and lane.body == b"older"


def test_an_answer_that_is_not_kept_any_longer_is_made_again() -> None:
    lane = Lane()
    variant = lane.add(GERMAN, b"here")
    assert lane.answers()
    variant.ready = None
    assert lane.answers() and lane.looked == 2
