"""Purges over a real Redis: effective at once here and soon everywhere, against fetches in the air, across restarts."""

from __future__ import annotations

import pytest

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import pause, until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.store import Hardness, Scope, StoreService
from txstalecache.store.layout import Layout
from txstalecache.store.purges import Record

PURGES = Layout("test:").purges
BLUE = frozenset({b"blue"})


async def stored(backend: StoreService, name: str = "/a", tags: frozenset[bytes] = BLUE) -> None:
    """An entry in Redis and in memory."""
    backend.store.put(key(name), entry(backend.store.now(), tags=tags, keep=60.0), 600)
    await backend.store.flush()
    await until(lambda: backend.store.peek(key(name), get()) is None)  # word of our own script
    assert (await backend.store.lookup(key(name), get())).entry is not None


@pytest.mark.parametrize(
    "scope", [Scope.everything(), Scope.of_tag(b"blue"), Scope.of_prefix(b"/", b"host"), Scope.of_url(b"/a")]
)
@async_test
async def test_it_works_at_once_here_and_soon_everywhere(
    shared_redis: RedisServer, make_store: MakeStore, scope: Scope
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    await stored(one)
    await two.store.lookup(key(), get())
    assert two.store.peek(key(), get()).entry is not None
    told = one.store.purge(scope)
    assert one.store.peek(key(), get()).entry is None
    assert await told is True
    # 100 ms are promised; a busy machine is given more.
    await until(lambda: (found := two.store.peek(key(), get())) is not None and found.entry is None, 1.0)
    for backend in (one, two):
        backend.memory.clear()
        assert (await backend.store.lookup(key(), get())).entry is None
    await stored(two)  # what is fetched from now on is not covered
    assert (await one.store.lookup(key(), get())).entry is not None


@async_test
async def test_one_that_begins_later_knows_of_it(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one = await make_store(shared_redis.url)
    await stored(one)
    await one.store.purge(Scope.of_tag(b"blue"))
    two = await make_store(shared_redis.url)
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_it_beats_fetches_in_the_air(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    began = two.store.now()
    assert not two.store.outdated(key(), began)
    await one.store.purge(Scope.of_url(b"/a"))
    two.store.put(key(), entry(began), 600)  # before it has heard, perhaps
    await until(lambda: two.store.outdated(key(), began))
    # By its own clock, which lags behind by as much as asking for the time takes.
    await until(lambda: not two.store.outdated(key(), two.store.now()))
    for backend in (one, two):
        assert (await backend.store.lookup(key(), get())).entry is None


@async_test
async def test_one_variant_goes_and_the_others_stay(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    now = one.store.now()
    german, english = get(accept_language="de"), get(accept_language="en")
    for language in (b"de", b"en"):
        one.store.put(key(), entry(now, language, selector=((b"accept-language", language),)), 600)
    await one.store.flush()
    assert (await two.store.lookup(key(), german)).entry is not None
    assert await two.store.purge(Scope.of_variant(b"/a", {b"Accept-Language": b"de"})) is True
    await until(lambda: one.store.outdated(key(), now, (), german))
    for backend in (one, two):
        assert not backend.store.outdated(key(), now, (), english)
        assert not backend.store.outdated(key(), now)
        assert backend.store.epoch(key(), german) > now > backend.store.epoch(key(), english)
        backend.memory.clear()
        assert (await backend.store.lookup(key(), german)).entry is None
        found = await backend.store.lookup(key(), english)
        assert found.entry is not None and found.entry.body == (b"en",)
    late = entry(now, b"de", selector=((b"accept-language", b"de"),))
    one.store.put(key(), late, 600)  # a fetch that was in the air
    assert (await one.store.lookup(key(), german)).entry is None


@async_test
async def test_a_soft_one_makes_stale(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    await stored(one)
    await two.store.lookup(key(), get())
    await one.store.purge(Scope.of_tag(b"blue"), Hardness.SOFT)
    await until(lambda: len(two.store.purges))
    for backend in (one, two):
        found = await backend.store.lookup(key(), get())
        assert found.entry is not None
        assert found.entry.age(backend.store.now()) >= found.entry.freshness.lifetime


@async_test
async def test_redis_brings_its_purges_along_where_nobody_tells_of_changes(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    await stored(one)
    two._tracking._changed = lambda name: None  # deaf
    await one.store.purge(Scope.everything())
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_said_while_redis_is_away_it_is_told_later(one_redis_server: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(one_redis_server.url), await make_store(one_redis_server.url)
    await stored(one)
    one_redis_server.pause()
    assert await one.store.purge(Scope.of_tag(b"blue")) is False
    one_redis_server.resume()
    await until(lambda: not one.degraded and not two.degraded)
    await until(lambda: not one.store._unpurged)
    two.memory.clear()
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_its_cost_does_not_depend_on_what_it_covers(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    for number in range(200):
        backend.store.put(key(f"/{number}"), entry(backend.store.now(), tags=BLUE), 600)
    await backend.store.flush()
    await pause(0.1)
    shared_redis.command("CONFIG", "RESETSTAT")
    await backend.store.purge(Scope.of_tag(b"blue"))
    await pause(0.1)
    stats = shared_redis.command("INFO", "commandstats")
    assert b"cmdstat_del:" not in stats and b"cmdstat_unlink:" not in stats and b"cmdstat_scan:" not in stats
    assert shared_redis.command("ZCARD", PURGES) == 1
    for number in range(200):
        assert (await backend.store.lookup(key(f"/{number}"), get())).entry is None


@async_test
async def test_records_are_trimmed_and_merged_and_later_ones_are_later(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url)
    old = Record(Scope.of_tag(b"old"), Hardness.HARD, 0).name()
    ancient = Record(Scope.of_tag(b"ancient"), Hardness.HARD, 0).name()
    now = round(backend.store.now() * 1_000_000)
    shared_redis.command("ZADD", PURGES, now - 10_000_000, old, now - 400 * 86400 * 1_000_000, ancient)
    await backend.store.purge(Scope.of_tag(b"a"))
    names = shared_redis.command("ZRANGE", PURGES, 0, -1)
    assert len(names) == 2 and old in names
    # A clock set back does not hide a purge from those who have seen later ones.
    shared_redis.command("ZADD", PURGES, now + 60_000_000, old)
    await backend.store.purge(Scope.of_tag(b"b"))
    latest = Record(Scope.of_tag(b"b"), Hardness.HARD, 0).name()
    assert int(float(shared_redis.command("ZSCORE", PURGES, latest))) > now + 60_000_000


@async_test
async def test_a_server_that_is_new_to_us_is_asked_for_all(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    await stored(backend)
    await stored(backend, "/b", frozenset({b"red"}))
    now = round(backend.store.now() * 1_000_000)
    shared_redis.command("ZADD", PURGES, now + 9_000_000, Record(Scope.of_tag(b"red"), Hardness.HARD, 0).name())
    await until(lambda: len(backend.store.purges) == 1)
    # Another server took over, whose clock is behind.
    backend._tracking._changed = lambda name: None
    shared_redis.command("DEL", PURGES)
    shared_redis.command("ZADD", PURGES, now, Record(Scope.of_tag(b"blue"), Hardness.HARD, 0).name())
    for wire in list(backend._client._writer.usable):
        wire.transport.abortConnection()
    await until(lambda: backend.degraded)
    await until(lambda: not backend.degraded)
    assert (await backend.store.lookup(key(), get())).entry is None


@async_test
async def test_rubbish_among_the_records_is_passed_over(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    now = round(backend.store.now() * 1_000_000)
    shared_redis.command("ZADD", PURGES, now, b"rubbish", "inf", b"!a0:", "-inf", b"!a0:x", "1e300", b"!t0:y")
    await stored(backend)
    shared_redis.command("SET", PURGES, "no sorted set")
    again = await make_store(shared_redis.url)
    assert (await again.store.lookup(key(), get())).entry is not None
    assert await again.store.purge(Scope.everything()) is True


@async_test
async def test_memory_alone_can_be_purged_too(make_store: MakeStore) -> None:
    backend = await make_store("memory")
    backend.store.put(key(), entry(backend.store.now(), tags=BLUE), 600)
    assert await backend.store.purge(Scope.of_tag(b"blue")) is True
    assert backend.store.peek(key(), get()).entry is None
    backend.store.put(key(), entry(backend.store.now(), tags=BLUE), 600)
    assert backend.store.peek(key(), get()).entry is not None
