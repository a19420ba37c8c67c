"""One holder at a time, across processes; nobody takes another's; a killed holder is not waited for long."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, gatherResults
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.store.changes import Changes
from txstalecache.store.interfaces import ILease, ILeases, Purpose
from txstalecache.store.layout import Layout
from txstalecache.store.lease import HOLD, LocalLeases

NAME = key().digest
HELD = Layout("test:").lease(NAME)


@async_test
async def test_one_of_many_gets_it(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backends = [await make_store(shared_redis.url) for _ in range(3)]
    asked = [backend.leases.acquire(NAME, Purpose.FETCH) for backend in backends for _ in range(5)]
    granted = [lease for lease in await gatherResults(asked) if lease is not None]
    assert len(granted) == 1
    assert verifyObject(ILease, granted[0])
    assert 2500 < shared_redis.command("PTTL", HELD) <= 5000
    granted[0].release()
    granted[0].release()
    await until(lambda: not shared_redis.command("EXISTS", HELD))
    assert await backends[1].leases.acquire(f"{NAME}:other", Purpose.FETCH) is not None


@async_test
async def test_nobody_takes_away_what_another_holds(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    late = await one.leases.acquire(NAME, Purpose.FETCH)
    assert late is not None
    shared_redis.command("DEL", HELD)  # as if it had run out
    now = await two.leases.acquire(NAME, Purpose.FETCH)
    assert now is not None
    held = shared_redis.command("GET", HELD)
    late.release()
    await pause(0.1)
    assert shared_redis.command("GET", HELD) == held
    assert await one.leases.acquire(NAME, Purpose.FETCH) is None
    now.release()
    await until(lambda: not shared_redis.command("EXISTS", HELD))
    late = await one.leases.acquire(NAME, Purpose.FETCH)
    assert late is not None
    shared_redis.command("SET", HELD, held)
    late.back_off()
    await pause(0.1)
    assert shared_redis.command("GET", HELD) == held


@async_test
async def test_it_is_kept_while_held_and_known_to_be_lost_once_it_is(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(one_redis_server.url)
    lease = await backend.leases.acquire(NAME, Purpose.FETCH)
    assert lease is not None
    one_redis_server.command("PEXPIRE", HELD, 3000)
    await until(lambda: one_redis_server.command("PTTL", HELD) > 4000)  # the heartbeat, at a third of 5 s
    assert not lease.lost
    one_redis_server.command("SET", HELD, "h:somebody:0")
    await until(lambda: lease.lost)
    lease.release()
    await pause(0.05)
    assert one_redis_server.command("GET", HELD) == b"h:somebody:0"


@async_test
async def test_a_process_that_was_stopped_knows_by_its_clock(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    lease = await backend.leases.acquire(NAME, Purpose.FETCH)
    assert lease is not None and not lease.lost
    ticks = backend.leases.ticks
    backend.leases.ticks = lambda: ticks() + HOLD + 0.1
    assert lease.lost
    backend.leases.ticks = ticks
    lease.release()


@async_test
async def test_after_a_failed_refresh_nobody_refreshes_for_a_while_but_fetches_go_on(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    lease = await one.leases.acquire(NAME, Purpose.REFRESH)
    assert lease is not None
    lease.back_off()
    lease.release()  # one or the other: it is over
    await until(lambda: shared_redis.command("GET", HELD).startswith(b"b:"))
    assert await two.leases.acquire(NAME, Purpose.REFRESH) is None
    fetch = await two.leases.acquire(NAME, Purpose.FETCH)
    assert fetch is not None
    fetch.release()  # it went well: the back-off is over
    await until(lambda: not shared_redis.command("EXISTS", HELD))
    assert await one.leases.acquire(NAME, Purpose.REFRESH) is not None


@async_test
async def test_the_back_off_doubles_from_1_s_to_60_s(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    for number, least in enumerate([1, 2, 4, 8, 16, 32, 60, 60, 60], 1):
        lease = await backend.leases.acquire(NAME, Purpose.FETCH)
        assert lease is not None
        before = backend.store.now()
        lease.back_off()
        await until(lambda: shared_redis.command("GET", HELD).startswith(b"b:"))
        after = backend.store.now()
        _, until_ms, count = shared_redis.command("GET", HELD).split(b":")
        # It is said when it ends, by Redis' clock, between the two.
        assert before + least - 0.5 < int(until_ms) / 1000 <= after + least * 1.25 + 0.5
        assert int(count) == number
    # When it is over a refresh is granted, and the next failure still knows how many there were.
    shared_redis.command("SET", HELD, "b:1:4", "PX", 60_000)
    lease = await backend.leases.acquire(NAME, Purpose.REFRESH)
    assert lease is not None
    assert shared_redis.command("GET", HELD).endswith(b":4")
    lease.release()


@pytest.mark.parametrize("junk", ["junk", "h:", "b:x:y", "::::", ""])
@async_test
async def test_a_foreign_value_does_not_lock_a_key(shared_redis: RedisServer, make_store: MakeStore, junk: str) -> None:
    backend = await make_store(shared_redis.url)
    shared_redis.command("SET", HELD, junk)
    assert await backend.leases.acquire(NAME, Purpose.REFRESH) is not None
    shared_redis.command("DEL", HELD)
    shared_redis.command("LPUSH", HELD, "x")
    assert await backend.leases.acquire(NAME, Purpose.REFRESH) is not None


@async_test
async def test_a_killed_holder_holds_for_no_more_than_5_s(shared_redis: RedisServer, make_store: MakeStore) -> None:
    # What a SIGKILL leaves is the value without its heartbeat.
    backend = await make_store(shared_redis.url)
    lease = await backend.leases.acquire(NAME, Purpose.FETCH)
    assert lease is not None
    lease._over = True  # no more heartbeats
    assert shared_redis.command("PTTL", HELD) <= 5000
    shared_redis.command("PEXPIRE", HELD, 200)
    changed = backend.leases.changed(key())
    while await backend.leases.acquire(NAME, Purpose.FETCH) is None:
        await changed
        changed = backend.leases.changed(key())
    changed.addErrback(lambda failure: failure.trap(CancelledError) and None)
    changed.cancel()


@async_test
async def test_waiters_elsewhere_are_woken_by_redis(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    two.changes.SHORTEST = two.changes.LONGEST = 60.0  # no polling
    for change in ("store", "mark", "release"):
        lease = await one.leases.acquire(NAME, Purpose.FETCH)
        assert lease is not None
        await heard(two, shared_redis)
        changed = two.leases.changed(key())
        other = two.leases.changed(key("/other"))
        assert not changed.called
        match change:
            case "store":
                one.store.put(key(), entry(one.store.now()), 15)
            case "mark":
                shared_redis.command("SET", Layout("test:").name(NAME, "m"), "x")
            case _:
                lease.release()
        await until(lambda: changed.called)  # noqa: B023
        assert not other.called
        other.addErrback(lambda failure: failure.trap(CancelledError) and None)
        other.cancel()
        lease.release()
        await until(lambda: not shared_redis.command("EXISTS", HELD))
    assert (await two.store.lookup(key(), get())).entry is not None


@async_test
async def test_without_redis_everybody_is_granted_and_back_offs_hold(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(redis_server.url)
    redis_server.kill()
    await until(lambda: backend.degraded)
    one, two = [await backend.leases.acquire(NAME, Purpose.REFRESH) for _ in range(2)]
    assert one is not None and two is not None
    one.back_off()
    assert await backend.leases.acquire(NAME, Purpose.REFRESH) is None
    three = await backend.leases.acquire(NAME, Purpose.FETCH)
    assert three is not None
    three.release()
    assert await backend.leases.acquire(NAME, Purpose.REFRESH) is not None


# -- within one process, with a clock of our own


def test_local_back_offs_double_and_pass() -> None:
    clock = Clock()
    leases = LocalLeases(clock)
    assert verifyObject(ILeases, leases)
    for least in (1, 2, 4, 8, 16, 32, 60, 60):
        lease = leases.grant(NAME, Purpose.REFRESH)
        assert lease is not None and not lease.lost
        lease.back_off()
        clock.advance(least * 0.99)
        assert leases.grant(NAME, Purpose.REFRESH) is None
        clock.advance(least * 0.26)
        assert leases.grant(NAME, Purpose.REFRESH) is not None


def test_what_is_said_of_a_lease_that_is_over_counts_no_more() -> None:
    clock = Clock()
    leases = LocalLeases(clock)
    failed, went_well = leases.grant(NAME, Purpose.FETCH), leases.grant("other", Purpose.FETCH)
    assert failed is not None and went_well is not None
    failed.back_off()
    failed.release()
    assert leases.rests(NAME)
    failed.back_off()
    clock.advance(1.25)
    assert not leases.rests(NAME)
    went_well.release()
    went_well.back_off()
    assert not leases.rests("other")


def test_the_net_under_lost_words_widens_from_50_to_500_ms() -> None:
    clock = Clock()
    changes = Changes(clock)
    waits = []
    for _ in range(6):
        began = clock.seconds()
        changed = changes.wait("a")
        while not changed.called:
            clock.advance(0.001)
        waits.append(clock.seconds() - began)
    for wait, longest in zip(waits, [0.05, 0.1, 0.2, 0.4, 0.5, 0.5], strict=True):
        assert 0.7 * longest <= wait <= longest + 0.002
    changes.happened("a")  # something moves: look closely again
    changed = changes.wait("a")
    clock.advance(0.051)
    assert changed.called
    assert not clock.getDelayedCalls()


def test_who_gives_up_the_wait_of_another_as_he_is_woken_keeps_nobody_from_being_woken() -> None:
    clock = Clock()
    changes = Changes(clock)
    first, given_up, last = (changes.wait("a") for _ in range(3))
    given_up.addErrback(lambda failure: failure.trap(CancelledError) and None)
    first.addCallback(lambda _: given_up.cancel())
    changes.happened("a")
    assert first.called and last.called
    assert not clock.getDelayedCalls() and not changes._waiting


def test_who_no_longer_cares_leaves_nothing_behind() -> None:
    clock = Clock()
    changes = Changes(clock)
    changed = changes.wait("a")
    changed.addErrback(lambda failure: failure.trap(CancelledError) and None)
    changed.cancel()
    assert not clock.getDelayedCalls() and not changes._waiting
    last = changes.wait("b")
    changes.close()
    assert last.called and not clock.getDelayedCalls()


@async_test
async def test_who_gets_it_is_told_whether_anything_is_stored(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    lease = await one.leases.acquire(NAME, Purpose.FETCH)
    assert lease is not None and lease.bare
    two.store.put(key(), entry(two.store.now()), 10)
    await two.store.flush()
    lease.release()
    again = await until_granted(one)
    assert not again.bare
    again.release()
    for letter in "xm":  # an index of variants, a marker
        shared_redis.command("FLUSHALL")
        shared_redis.command("SET", Layout("test:").name(NAME, letter), "x")
        again = await until_granted(one)
        assert not again.bare
        again.release()


async def until_granted(backend: Any) -> Any:
    while True:
        lease = await backend.leases.acquire(NAME, Purpose.FETCH)
        if lease is not None:
            return lease
        await pause(0.01)


@async_test
async def test_the_holder_is_told_that_somebody_waits_elsewhere(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    told: list[str] = []
    held = await one.leases.acquire(NAME, Purpose.FETCH, lambda send: told.append("held"))
    other = await one.leases.acquire(f"{NAME}:0a", Purpose.FETCH, lambda send: told.append("other"))
    assert held is not None and other is not None
    assert await two.leases.acquire(NAME, Purpose.REFRESH) is None  # nobody waits for a refresh
    await heard(one, shared_redis)
    assert not told
    assert await two.leases.acquire(NAME, Purpose.FETCH) is None
    await until(lambda: told)
    assert await two.leases.acquire(NAME, Purpose.FETCH) is None
    await heard(one, shared_redis)
    assert told == ["held"]
    held.release()
    other.release()
    assert not one.leases._held and not two.leases._held


@async_test
async def test_what_was_granted_unheard_is_not_locked_for_that(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(one_redis_server.url)
    one_redis_server.pause()
    alone = await backend.leases.acquire(NAME, Purpose.FETCH)
    assert alone is not None  # nobody waits for a Redis that does not answer
    one_redis_server.resume()
    await until(lambda: one_redis_server.command("EXISTS", HELD))
    await until(lambda: not backend.degraded)
    assert await backend.leases.acquire(NAME, Purpose.FETCH) is not None
