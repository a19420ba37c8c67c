"""What is discarded is gone here at once, elsewhere as soon as Redis listens, and not brought back by what was in the
air."""

from __future__ import annotations

import pytest

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import pause, until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.store.discards import Discards
from txstalecache.store.layout import Layout

LAYOUT = Layout("test:")


@async_test
async def test_a_lookup_in_the_air_does_not_bring_back_what_was_discarded(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    # Fetched earlier than it is discarded by the other's clock, too, whatever measuring both has cost.
    one.store.put(key(), entry(one.store.now() - 1), 15)
    await one.store.flush()
    asked = two.store.lookup(key(), get())
    two.store.discard(key())
    after = two.store.lookup(key(), get())
    assert (await asked).entry is None
    assert (await after).entry is None
    await two.store.flush()
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_what_was_fetched_before_a_discard_is_not_stored_after_it_anywhere(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    in_the_air = entry(one.store.now())
    one.store.discard(key())
    one.store.put(key(), in_the_air, 15)
    assert (await one.store.lookup(key(), get())).entry is None
    await one.store.flush()
    two.store.put(key(), in_the_air, 15)
    await two.store.flush()
    await until(lambda: two.memory.look(key()) is None)
    assert (await two.store.lookup(key(), get())).entry is None
    later = entry(one.store.now() + 0.01)  # later than the discard, by the clock that dated it
    two.store.put(key(), later, 15)
    await two.store.flush()
    assert (await one.store.lookup(key(), get())).entry == later


@async_test
async def test_a_discard_reaches_redis_even_if_it_is_away_meanwhile(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(one_redis_server.url), await make_store(one_redis_server.url)
    one.store.put(key(), entry(one.store.now()), 60)
    await one.store.flush()
    one_redis_server.pause()
    one.store.discard(key())
    await pause(1.3)
    one.store.discard(key("/b"))
    one_redis_server.resume()
    await until(lambda: not one.degraded and not two.degraded)
    assert (await one.store.lookup(key(), get())).entry is None
    await until(lambda: not one.store._discards.behind)
    two.memory.clear()
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_however_many_are_said_while_redis_is_away_none_is_lost(
    one_redis_server: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Discards, "MOST", 20)
    one, two = await make_store(one_redis_server.url), await make_store(one_redis_server.url)
    names = [f"/{number}" for number in range(50)]
    for name in names:
        one.store.put(key(name), entry(one.store.now()), 60)
    await one.store.flush()
    one_redis_server.pause()
    await until(lambda: not one.store.remote.writable and not two.store.remote.writable)
    for name in names:
        one.store.discard(key(name))
    one_redis_server.resume()
    await until(lambda: not one.degraded and not two.degraded)
    await until(lambda: not one.store._discards.behind and not one.store._purging.behind)
    await one.store.flush()
    for backend in (one, two):
        for name in names:
            assert (await backend.store.lookup(key(name), get())).entry is None
    # What is fetched from now on is not covered.
    one.store.put(key(), entry(one.store.now() + 0.01), 60)
    await one.store.flush()
    assert (await two.store.lookup(key(), get())).entry is not None


@pytest.mark.parametrize(
    "junk", [("RPUSH", "x"), ("SET", ""), ("SET", "rubbish"), ("SET", "9" * 21)], ids=["list", "empty", "words", "long"]
)
@async_test
async def test_what_is_no_time_in_the_place_of_a_discard_keeps_nothing_from_being_stored_or_discarded(
    shared_redis: RedisServer, make_store: MakeStore, junk: tuple[str, str]
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    place = LAYOUT.name(key().digest, "d")
    command, value = junk
    shared_redis.command(command, place, value)
    stored = entry(one.store.now() - 1)
    one.store.put(key(), stored, 15)
    await one.store.flush()
    assert one.store.unwritten == 0 and shared_redis.command("EXISTS", place) == 0
    assert (await two.store.lookup(key(), get())).entry == stored
    shared_redis.command(command, place, value)
    one.store.discard(key())
    await one.store.flush()
    assert one.store.unwritten == 0
    two.store.put(key(), stored, 15)  # what was in the air
    await two.store.flush()
    assert shared_redis.command("EXISTS", LAYOUT.name(key().digest, "e")) == 0


@async_test
@pytest.mark.parametrize("trouble", ["a replica missing", "scripts lost"])
async def test_what_redis_did_not_take_it_is_told_again_though_nothing_else_is_written(
    redis_server: RedisServer, make_store: MakeStore, trouble: str
) -> None:
    one, two = await make_store(redis_server.url), await make_store(redis_server.url)
    keys = [key(path) for path in ("/a", "/b", "/c")]
    for each in keys:
        two.store.put(each, entry(two.store.now() - 1, lifetime=600.0), 600)
    await two.store.flush()
    if trouble == "a replica missing":
        redis_server.command("CONFIG", "SET", "min-replicas-to-write", "1")
    else:
        redis_server.command("SCRIPT", "FLUSH")
    for each in keys:
        one.store.discard(each)
    await one.store.flush()
    redis_server.command("CONFIG", "SET", "min-replicas-to-write", "0")
    assert all(redis_server.command("EXISTS", LAYOUT.variant(each.digest, ())) for each in keys)
    await until(lambda: not any(redis_server.command("EXISTS", LAYOUT.variant(each.digest, ())) for each in keys))
    for each in keys:
        assert (await two.store.lookup(each, get())).entry is None
