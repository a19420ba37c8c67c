"""Purges over a real Redis: effective at once here and soon everywhere, against fetches in the air, across restarts."""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import pytest
from twisted.internet.defer import Deferred, fail

from tests.store.conftest import MakeStore, heard_of
from tests.store.samples import entry, get, key
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.store import Hardness, Scope, StoreService
from txstalecache.store.clock import FleetClock
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.layout import Layout
from txstalecache.store.purgelog import AGAIN, PurgeLog
from txstalecache.store.purges import Purge, Purges

PURGES = Layout("test:").purges
BLUE = frozenset({b"blue"})


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What was logged about purges."""
    with heard_of("purgelog") as observer:
        yield observer.lines


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
    await heard(two, shared_redis)
    await two.store.lookup(key(), get())
    assert two.store.peek(key(), get()).entry is not None
    told = one.store.purge(scope)
    assert one.store.peek(key(), get()).entry is None
    assert await told is True
    await until(lambda: (found := two.store.peek(key(), get())) is not None and found.entry is None)
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
    began = two.store.now() - 1  # by more than clocks may differ on a busy machine
    assert not two.store.outdated(key(), began)
    await one.store.purge(Scope.of_url(b"/a"))
    two.store.put(key(), entry(began), 600)  # before it has heard, perhaps
    while not two.store.outdated(key(), began):
        await two.store.lookup(key("/other"), get())  # or by word of it
        await pause(0.01)
    assert not two.store.outdated(key(), two.store.now())
    for backend in (one, two):
        assert (await backend.store.lookup(key(), get())).entry is None


@async_test
async def test_one_variant_goes_and_the_others_stay(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    now = one.store.now() - 1  # earlier than the purge by the other's clock, too
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
    await until(lambda: not one.store.remote.purge_log.behind)
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
    old = Purge(Scope.of_tag(b"old"), Hardness.HARD, 0).name()
    ancient = Purge(Scope.of_tag(b"ancient"), Hardness.HARD, 0).name()
    now = round(backend.store.now() * 1_000_000)
    shared_redis.command("ZADD", PURGES, now - 10_000_000, old, now - 400 * 86400 * 1_000_000, ancient)
    await backend.store.purge(Scope.of_tag(b"a"))
    names = shared_redis.command("ZRANGE", PURGES, 0, -1)
    assert len(names) == 2 and old in names
    # A clock set back does not hide a purge from those who have seen later ones.
    shared_redis.command("ZADD", PURGES, now + 60_000_000, old)
    await backend.store.purge(Scope.of_tag(b"b"))
    latest = Purge(Scope.of_tag(b"b"), Hardness.HARD, 0).name()
    assert int(float(shared_redis.command("ZSCORE", PURGES, latest))) > now + 60_000_000


@async_test
async def test_a_server_that_is_new_to_us_is_asked_for_all(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    await stored(backend)
    await stored(backend, "/b", frozenset({b"red"}))
    now = round(backend.store.now() * 1_000_000)
    shared_redis.command("ZADD", PURGES, now + 9_000_000, Purge(Scope.of_tag(b"red"), Hardness.HARD, 0).name())
    await until(lambda: len(backend.store.purges) == 1)
    # Another server took over, whose clock is behind.
    backend._tracking._changed = lambda name: None
    shared_redis.command("DEL", PURGES)
    shared_redis.command("ZADD", PURGES, now, Purge(Scope.of_tag(b"blue"), Hardness.HARD, 0).name())
    for wire in list(backend._client._writer.usable):
        wire.transport.abortConnection()
    await until(lambda: backend.degraded)
    await until(lambda: not backend.degraded)
    assert (await backend.store.lookup(key(), get())).entry is None
    # And has not heard of all that was purged: it has by now, with the times it had.
    await until(lambda: len(log(shared_redis)) == 2)
    assert log(shared_redis)[Purge(Scope.of_tag(b"red"), Hardness.HARD, 0).name()] == now + 9_000_000


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


@pytest.mark.parametrize("rubbish", ["rubbish", "!a0:"], ids=["no record", "a record"])
@pytest.mark.parametrize("score", ["9007199254740990", "inf", "in ten days"])
@async_test
async def test_what_lies_ahead_further_than_any_clock_is_passed_over_and_goes(
    shared_redis: RedisServer, make_store: MakeStore, rubbish: str, score: str
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    if score == "in ten days":
        score = str(round((one.store.now() + 10 * 86400) * 1_000_000))
    shared_redis.command("ZADD", PURGES, score, rubbish)
    await heard(one, shared_redis)
    await heard(two, shared_redis)
    await stored(one)
    assert await one.store.purge(Scope.of_url(b"/a")) is True
    await until(lambda: two.store.epoch(key()) > 0)
    assert one.store.epoch(key()) == two.store.epoch(key()) < two.store.now()
    assert rubbish.encode() not in log(shared_redis)
    for backend in (one, two):
        assert (await backend.store.lookup(key(), get())).entry is None
    await stored(two)


@async_test
async def test_what_is_no_record_hides_none_that_is_earlier(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    now = round(backend.store.now() * 1_000_000)
    shared_redis.command("ZADD", PURGES, now + 60_000_000, "rubbish")
    await heard(backend, shared_redis)
    shared_redis.command("ZADD", PURGES, now, Purge(Scope.of_url(b"/a"), Hardness.HARD, 0).name())
    await until(lambda: backend.store.epoch(key()) > 0)


@async_test
async def test_one_dated_by_a_clock_that_was_set_back_is_said_and_covers_what_is_as_late(
    shared_redis: RedisServer, make_store: MakeStore, said: list[str]
) -> None:
    one = await make_store(shared_redis.url)
    hour = one.store.now() + 3600
    one.store.put(key("/old"), entry(hour - 60), 600)  # by the same clock
    await one.store.flush()
    shared_redis.command("ZADD", PURGES, round(hour * 1_000_000), Purge(Scope.everything(), Hardness.HARD, 0).name())
    two = await make_store(shared_redis.url)
    await until(lambda: one.store.epoch(key()) == two.store.epoch(key()) > hour - 1)
    for backend in (one, two):
        assert (await backend.store.lookup(key("/old"), get())).entry is None
    await one.store.purge(Scope.of_url(b"/b"))
    await until(lambda: two.store.epoch(key("/b")) > hour)
    assert len([line for line in said if "ahead of Redis' clock" in line]) == 2  # each process once


@async_test
async def test_one_dated_by_a_clock_that_was_set_back_holds_nothing_up_once_redis_was_emptied(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    hour = one.store.now() + 3600
    shared_redis.command("ZADD", PURGES, round(hour * 1_000_000), Purge(Scope.everything(), Hardness.HARD, 0).name())
    for backend in (one, two):
        await heard(backend, shared_redis)
        await backend.store.flush()
        assert backend.store.epoch(key()) > hour - 1
    began = one.store.now()
    one.store.emptied()  # by word of another database: ours is as it was
    await one.store.flush()
    assert one.store.epoch(key()) > hour - 1

    def counts() -> bool:
        return bool(0 < one.store.epoch(key()) == two.store.epoch(key()) < hour - 1800)

    async def empty() -> None:
        shared_redis.command("FLUSHALL")
        sessions = [one.memory.session, two.memory.session]
        await until(lambda: counts() or sessions != [one.memory.session, two.memory.session])

    await empty()
    while not counts():
        await empty()  # who connected anew just then has had no word of it
    assert one.store.outdated(key(), began) and two.store.outdated(key(), began)
    await stored(one)
    assert (await two.store.lookup(key(), get())).entry is not None


@async_test
async def test_memory_alone_can_be_purged_too(make_store: MakeStore) -> None:
    backend = await make_store("memory")
    backend.store.put(key(), entry(backend.store.now(), tags=BLUE), 600)
    assert await backend.store.purge(Scope.of_tag(b"blue")) is True
    assert backend.store.peek(key(), get()).entry is None
    backend.store.put(key(), entry(backend.store.now(), tags=BLUE), 600)
    assert backend.store.peek(key(), get()).entry is not None


def log(redis: RedisServer) -> dict[bytes, int]:
    """What Redis has, but for the word that it was told again."""
    told = redis.command("ZRANGE", PURGES, 0, -1, "WITHSCORES")
    return {name: int(float(score)) for name, score in zip(told[::2], told[1::2], strict=True) if name != AGAIN}


@pytest.mark.parametrize("loss", ["killed", "FLUSHALL", "DEL"])
@async_test
async def test_a_redis_that_has_lost_them_is_told_them_again_and_all_processes_agree(
    redis_server: RedisServer, make_store: MakeStore, loss: str
) -> None:
    one, two = await make_store(redis_server.url), await make_store(redis_server.url)
    for scope, hardness in ((Scope.of_url(b"/a"), Hardness.HARD), (Scope.of_tag(b"blue"), Hardness.SOFT)):
        assert await one.store.purge(scope, hardness) is True
    await until(lambda: len(two.store.purges) == 2)
    told = log(redis_server)
    epoch = one.store.epoch(key())
    match loss:
        case "killed":
            redis_server.kill()
            await until(lambda: one.degraded and two.degraded)
            redis_server.start()
        case "FLUSHALL":
            redis_server.command("FLUSHALL")
        case _:
            redis_server.command("DEL", PURGES)
    # One that was started since and knows of nothing.
    three = await make_store(redis_server.url)
    await until(lambda: three.store.epoch(key()) == epoch)
    await until(lambda: not any(one.degraded for one in (one, two, three)))
    assert log(redis_server) == told
    assert {backend.store.epoch(key()) for backend in (one, two, three)} == {epoch}
    assert set(three.store.purges) == set(one.store.purges)
    # What is fetched from now on may be used: no purge has moved.
    await stored(three)
    assert (await one.store.lookup(key(), get())).entry is not None
    # And a purge of later than those is later.
    await three.store.purge(Scope.of_url(b"/a"))
    await until(lambda: one.store.epoch(key()) == three.store.epoch(key()) > epoch)


@async_test
async def test_who_has_heard_of_a_later_one_learns_what_is_told_again_also_untold_of_changes(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    one = await make_store(one_redis_server.url)
    await one.store.purge(Scope.of_url(b"/a"))
    one_redis_server.pause()  # it does not answer, and is not gone
    await until(lambda: one.degraded)
    one_redis_server.resume()
    one_redis_server.command("DEL", PURGES)
    two = await make_store(one_redis_server.url)
    two._tracking._changed = lambda name: None  # deaf
    await two.store.purge(Scope.of_url(b"/b"))
    await until(lambda: not one.degraded and not one.store.remote.purge_log.behind)
    await until(lambda: len(log(one_redis_server)) == 2)
    await two.store.lookup(key("/any"), get())
    assert {backend.store.epoch(key()) for backend in (one, two)} == {one.store.epoch(key())}
    assert two.store.epoch(key()) > 0


@async_test
async def test_many_are_told_again_and_learned_page_by_page(redis_server: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(redis_server.url), await make_store(redis_server.url)
    now = round(one.store.now() * 1_000_000) - 10_000_000
    records = [Purge(Scope.of_url(b"/%d" % number), Hardness.HARD, (now + number) / 1e6) for number in range(2500)]
    one.store.purges.add(records)
    redis_server.command("FLUSHALL")
    await until(lambda: len(two.store.purges) == 2500)
    assert len(log(redis_server)) == 2500
    # Rubbish on a page does not make it the last one.
    redis_server.command("ZADD", PURGES, now + 10.5, b"rubbish", now + 11.5, b"!")
    two.store.purges.trim(float("inf"))
    await two.store.remote.purge_log.learn(-1)
    assert set(two.store.purges) == set(records)


@async_test
async def test_of_everything_it_makes_earlier_ones_superfluous_everywhere(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    for number in range(10):
        await one.store.purge(Scope.of_url(b"/%d" % number))
    await until(lambda: len(two.store.purges) == 10)
    await two.store.purge(Scope.everything())
    await until(lambda: len(one.store.purges) == len(two.store.purges) == 1)
    assert len(log(shared_redis)) == 1
    assert one.store.epoch(key("/3")) == two.store.epoch(key("/3")) > 0


@async_test
async def test_a_server_that_was_full_is_told_as_soon_as_it_takes_something(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(redis_server.url), await make_store(redis_server.url)
    await stored(one)
    await stored(one, "/b")
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    assert await one.store.purge(Scope.of_url(b"/a")) is False
    one.store.discard(key("/b"))
    await one.store.flush()
    assert not one.degraded
    redis_server.command("CONFIG", "SET", "maxmemory", "0")
    one.store.put(key("/other"), entry(one.store.now()), 600)
    await until(lambda: two.store.epoch(key()) > 0)
    await one.store.flush()
    for name in ("/a", "/b"):
        assert (await two.store.lookup(key(name), get())).entry is None


@async_test
@pytest.mark.parametrize("trouble", ["full", "scripts lost"])
async def test_what_redis_did_not_take_it_is_told_again_though_nothing_else_is_written(
    redis_server: RedisServer, make_store: MakeStore, trouble: str
) -> None:
    one, two = await make_store(redis_server.url), await make_store(redis_server.url)
    await stored(two)
    if trouble == "full":
        redis_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
        redis_server.command("CONFIG", "SET", "maxmemory", "1")
    else:
        redis_server.command("SCRIPT", "FLUSH")
    assert await one.store.purge(Scope.of_url(b"/a")) is False
    redis_server.command("CONFIG", "SET", "maxmemory", "0")
    await until(lambda: two.store.epoch(key()) > 0)
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_said_by_a_clock_that_was_wrong_it_counts_from_when_redis_heard_of_it(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    one_redis_server.kill()
    one = await make_store(one_redis_server.url, ready=False)
    await until(lambda: one.degraded)
    one.clock._offset += 3600
    assert await one.store.purge(Scope.of_url(b"/a")) is False
    one.store.discard(key("/b"))
    one_redis_server.start()
    two = await make_store(one_redis_server.url)
    await until(lambda: one.store.session and not one.store.remote.purge_log.behind)
    await one.store.flush()
    await until(lambda: two.store.epoch(key()) > 0)
    assert one.store.epoch(key()) == two.store.epoch(key()) < two.store.now()
    for name in ("/a", "/b"):
        for backend in (one, two):
            await stored(backend, name)


@async_test
async def test_for_who_said_it_and_for_all_others_it_has_one_time(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    # No clock is measured better than to half a round trip.
    one.clock._offset += 0.05
    began = one.store.now()
    await one.store.purge(Scope.of_url(b"/a"))
    await until(lambda: two.store.epoch(key()) > 0)
    assert one.store.epoch(key()) == two.store.epoch(key())
    assert one.store.outdated(key(), began) and two.store.outdated(key(), began)
    # And what begins once it is known is later than it, by whose clock ever.
    assert not one.store.outdated(key(), one.store.now())
    assert not two.store.outdated(key(), two.store.now())


@pytest.mark.parametrize("error", ["BUSY Redis is busy running a script", "NOPERM no", "MASTERDOWN Link is down"])
@async_test
async def test_an_error_that_says_nothing_about_them_leaves_them_there(
    shared_redis: RedisServer, make_store: MakeStore, error: str
) -> None:
    backend = await make_store(shared_redis.url)
    await backend.store.purge(Scope.of_url(b"/a"))
    with pytest.raises(Refused):
        backend.store.remote.purge_log.note(Refused(error))
    await backend.store.remote.purge_log.learn_everything(Refused(error))
    await backend.store.flush()
    assert len(log(shared_redis)) == 1
    assert not backend.store.remote.purge_log.behind


@async_test
async def test_while_it_is_not_known_what_was_purged_memory_is_not_believed(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    await pause(0.1)  # what is asked at the beginning has been answered
    read, began = two._client.read, two.store.now() - 1
    asked = []

    def late(commands: object) -> Deferred[object]:
        asked.append(commands)
        return fail(Unavailable("no answer in time"))

    two._client.read = late
    await one.store.purge(Scope.of_url(b"/a"))
    await until(lambda: asked)
    two._client.read = read
    two.store.put(key(), entry(began), 600)  # fetched by who does not know
    await two.store.flush()
    found = two.store.peek(key(), get())
    assert found is None or found.entry is None
    assert (await two.store.lookup(key(), get())).entry is None
    await stored(two)
    # From memory again, once word of what was written has come.
    while (await two.store.lookup(key(), get())).where != "memory":
        await pause(0.01)


@async_test
async def test_while_redis_is_away_and_it_is_not_known_what_was_purged_memory_is_believed_for_this_once_only(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    """Whoever keeps an answer that is made from it looks again: when Redis is back, it is not believed any more."""
    backend = await make_store(redis_server.url)
    redis_server.pause()
    await backend.store.lookup(key(), get())
    assert backend.degraded
    backend.store.purged()  # word of it has come, and what it was cannot be found out
    now = backend.store.now()
    backend.store.put(key(), entry(now - 1), 600)
    held = backend.store.held(key(), now)
    assert held is not None and held[1] <= now
    redis_server.resume()
    await until(lambda: not backend.degraded and backend.store.session)
    while (await backend.store.lookup(key(), get())).where != "memory":
        await pause(0.01)
    held = backend.store.held(key(), backend.store.now())
    assert held is not None and held[1] == inf


def test_tens_of_thousands_are_learned_in_turns() -> None:
    purges, turns = Purges(), []

    def turn() -> Deferred[None]:
        turns.append(Deferred[None]())
        return turns[-1]

    clock = FleetClock(lambda: 10.0, lambda: 10.0)
    log = PurgeLog(None, Layout("p:"), purges, 1000.0, clock, turn)  # type: ignore[arg-type]
    told = [Purge(Scope.of_tag(b"%d" % number), Hardness.HARD, 1 + number / 1000) for number in range(2500)]
    reply = [part for one in told for part in (one.name(), b"%d" % round(one.when * 1_000_000))]
    learning = Deferred.fromCoroutine(log.learn_everything(reply))
    known = [len(purges)]
    while not learning.called:
        turns[-1].callback(None)
        known.append(len(purges))
    # And then it is seen that none is missing there.
    assert known == [1000, 2000, 2500, 2500, 2500]
    assert not log.behind and log.news()[2] == "(3499000"
    gone = Deferred.fromCoroutine(log.learn_everything([]))
    while not gone.called:
        turns[-1].callback(None)
    assert log.behind and log.news()[2] == "-inf"
