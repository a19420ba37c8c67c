"""What is on its way to Redis holds here until Redis has said yes or no; whatever becomes of it, it ends here."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from tests.store.samples import entry, key
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.memory import Shelf, Variant
from txstalecache.store.underway import Pending, UnderWay

PRIVATE = Marker(MarkerKind.PRIVATE, 200.0, "private")
COOKIE = Marker(MarkerKind.COOKIE, 200.0, "implicit")


def variant(began: float) -> Variant:
    return Variant.of(entry(began), began + 15)


def sent(under_way: UnderWay, began: float = 100.0) -> Deferred[Any]:
    """Something was written about a key; it is over when what is returned fires."""
    pending, writing = under_way.pend(key()), Deferred[Any]()
    pending.shelf.add(variant(began))
    under_way.send(pending, writing)
    return writing


def test_it_is_pending_until_the_last_write_about_the_key_is_over() -> None:
    under_way = UnderWay()
    first, second = sent(under_way), sent(under_way, 101.0)
    pending = under_way.about(key())
    assert pending is not None and len(under_way) == 1
    first.callback(True)
    assert under_way.about(key()) is pending
    second.callback(True)
    assert under_way.about(key()) is None and not under_way


def test_what_does_not_reach_redis_is_counted_and_no_longer_pending() -> None:
    under_way = UnderWay()
    sent(under_way).errback(Unavailable("away"))
    sent(under_way).errback(Refused("OOM"))
    assert under_way.unwritten == 2 and not under_way


def test_a_fault_of_ours_is_logged_and_ends_there(logged_failures: Any) -> None:
    under_way = UnderWay()
    sent(under_way).errback(ZeroDivisionError())

    async def broken(waiting: Deferred[None]) -> None:
        await waiting
        raise ZeroDivisionError

    later: Deferred[None] = Deferred()
    under_way.start(broken(later))
    later.callback(None)
    assert under_way.unwritten == 0 and not under_way
    assert len(logged_failures.flush(ZeroDivisionError)) == 2


def test_flushing_waits_for_what_was_begun_whatever_becomes_of_it_and_for_nothing_later() -> None:
    under_way = UnderWay()
    waiting: Deferred[None] = Deferred()

    async def running() -> None:
        await waiting

    writing = sent(under_way)
    under_way.start(running())
    flushed = under_way.flush()
    sent(under_way, 101.0)
    writing.errback(Unavailable("away"))
    assert not flushed.called
    waiting.callback(None)
    assert flushed.called
    assert UnderWay().flush().called


def test_it_lies_over_what_redis_says() -> None:
    said = Shelf(key(), complete=True)
    said.add(variant(90.0))
    said.advice, said.cookie = PRIVATE, COOKIE
    pending = Pending(Shelf(key()))
    pending.shelf.add(variant(100.0))
    pending.overlay(said)
    assert [one.request_time for one in said.variants.values()] == [100.0]
    assert said.advice == PRIVATE and said.cookie == COOKIE
    pending.unmarked = True
    pending.overlay(said)
    assert said.advice is None and said.cookie == COOKIE


def test_a_discard_on_its_way_takes_away_what_redis_still_has() -> None:
    said = Shelf(key(), complete=True)
    said.add(variant(90.0))
    pending = Pending(Shelf(key()))
    pending.shelf.discard(100.0)
    pending.shelf.complete = True
    pending.shelf.mark(PRIVATE)
    pending.overlay(said)
    assert not said.variants and said.advice == PRIVATE


def test_who_no_longer_waits_for_all_of_it_leaves_no_failure_behind(logged_failures: Any) -> None:
    """A service that stops waits for so long and no longer, as where the line to Redis is slow."""
    under_way = UnderWay()
    writing = sent(under_way)
    flushed = under_way.flush()
    flushed.addErrback(lambda failure: failure.trap(CancelledError) and None)
    flushed.cancel()
    del flushed
    gc.collect()
    assert not logged_failures.flush(CancelledError)
    writing.callback(True)
    assert not under_way
