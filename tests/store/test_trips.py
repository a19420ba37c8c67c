"""Looking up in Redis: those who ask at once share one trip, and each gets what is theirs."""

from __future__ import annotations

from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults

from tests.conftest import LoggedFailures
from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import heard
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.store.commands import Unavailable
from txstalecache.store.memory import Shelf
from txstalecache.store.remote import Remote
from txstalecache.store.trips import Trips


def calls(stats: bytes, command: bytes) -> int:
    for line in stats.splitlines():
        if line.startswith(b"cmdstat_" + command + b":"):
            return int(line.split(b"calls=")[1].split(b",")[0])
    return 0


@async_test
async def test_concurrent_lookups_share_one_round_trip_and_each_can_be_cancelled(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    stored = entry(one.store.now())
    one.store.put(key(), stored, 15)
    await one.store.flush()
    before = shared_redis.command("INFO", "commandstats")
    lookups = [two.store.lookup(key(), get()) for _ in range(50)]
    lookups[7].cancel()
    with pytest.raises(CancelledError):
        await lookups[7]
    del lookups[7]
    assert all(found.entry == stored for found in await gatherResults(lookups))
    after = shared_redis.command("INFO", "commandstats")
    assert calls(after, b"mget") - calls(before, b"mget") == 1


@async_test
async def test_a_hit_in_redis_costs_one_round_trip_also_with_variants(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    for coding in ("gzip", "br"):
        chosen = ((b"accept-encoding", coding.encode()),)
        one.store.put(key(), entry(one.store.now(), selector=chosen), 15)
    await one.store.flush()
    await two.store.lookup(key(), get(accept_encoding="gzip"))  # learns by what the key varies
    two.memory.clear()
    before = shared_redis.command("INFO", "commandstats")
    assert (await two.store.lookup(key(), get(accept_encoding="br"))).entry is not None
    after = shared_redis.command("INFO", "commandstats")
    assert calls(after, b"mget") - calls(before, b"mget") == 1
    assert calls(after, b"get") - calls(before, b"get") == 0


@async_test
async def test_requests_for_different_variants_at_once_each_get_theirs(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    codings = [f"coding{number}" for number in range(5)]
    for coding in codings:
        chosen = ((b"accept-encoding", coding.encode()),)
        one.store.put(key(), entry(one.store.now(), coding.encode(), selector=chosen), 15)
    await one.store.flush()
    for _ in range(2):
        lookups = [two.store.lookup(key(), get(accept_encoding=coding)) for coding in [*codings, *codings]]
        found = await gatherResults(lookups)
        assert [one.entry and one.entry.body for one in found] == [
            (coding.encode(),) for coding in [*codings, *codings]
        ]
        two.memory.clear()


@async_test
async def test_what_a_second_trip_brings_counts_as_memory(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one = await make_store(shared_redis.url)
    body = b"x" * 100_000
    one.store.put(key(), entry(one.store.now(), body, selector=((b"accept-encoding", b"br"),)), 15)
    await one.store.flush()
    two = await make_store(shared_redis.url)  # does not know by what the key varies
    assert (await two.store.lookup(key(), get(accept_encoding="br"))).entry is not None
    assert two.memory.bytes > len(body)


@async_test
async def test_a_variant_that_redis_did_not_give_in_time_is_asked_for_again(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await make_store(shared_redis.url)
    stored = entry(one.store.now(), selector=((b"accept-encoding", b"br"),))
    one.store.put(key(), stored, 15)
    await one.store.flush()
    two = await make_store(shared_redis.url)  # does not know by what the key varies
    with monkeypatch.context() as patched:
        patched.setattr(Remote, "fetch", lambda *_: fail(Unavailable("too late")))
        assert (await two.store.lookup(key(), get(accept_encoding="br"))).entry is None
    assert (await two.store.lookup(key(), get(accept_encoding="br"))).entry == stored


@async_test
async def test_what_is_stored_while_a_variant_is_looked_for_that_has_gone_is_there_at_once(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    gzip = ((b"accept-encoding", b"gzip"),)
    one.store.put(key(), entry(one.store.now() - 1, selector=gzip), 600)
    await one.store.flush()
    (variant,) = shared_redis.command("KEYS", "test:*:v:*")
    shared_redis.command("DEL", variant)  # evicted; the index still has it
    await heard(two, shared_redis)
    fetch, new = two.store.remote.fetch, entry(two.store.now(), b"new", selector=gzip)
    seen = []

    async def fetching(*about: object) -> object:
        found = await fetch(*about)
        two.store.put(key(), new, 600)  # as the answer to what was asked of Redis is on its way
        return found

    monkeypatch.setattr(two.store.remote, "fetch", fetching)
    looking = two.store.lookup(key(), get(accept_encoding="gzip"))
    looking.addCallback(lambda found: seen.append(two.store.peek(key(), get(accept_encoding="gzip"))))
    await looking
    assert seen[0] is not None and seen[0].entry == new


CROWD = 2 * Trips.AT_ONCE + 10


def in_turns(backend: Any) -> list[int]:
    """How many of the crowd that asks now are answered, in each turn of the reactor."""
    answered, remote = [0], backend.store.remote
    turn = remote.turn

    def another() -> Deferred[None]:
        answered.append(0)
        return cast("Deferred[None]", turn())

    remote.turn = another
    return answered


def crowd(backend: Any, answered: list[int]) -> Deferred[Any]:
    def goes_on(found: Any) -> Any:
        answered[-1] += 1
        return found

    request = get(accept_encoding="br")
    return gatherResults([backend.store.lookup(key(), request).addCallback(goes_on) for _ in range(CROWD)])


@async_test
async def test_of_many_who_wait_for_one_lookup_only_some_are_answered_in_one_turn(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    stored = entry(one.store.now())
    one.store.put(key(), stored, 15)
    await one.store.flush()
    answered = in_turns(two)
    assert {found.entry for found in await crowd(two, answered)} == {stored}
    assert answered == [Trips.AT_ONCE, Trips.AT_ONCE, 10]


@async_test
async def test_of_many_whose_variant_takes_a_second_trip_all_share_that_one(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    stored = entry(one.store.now(), selector=((b"accept-encoding", b"br"),))
    one.store.put(key(), stored, 15)
    await one.store.flush()
    answered, before = in_turns(two), shared_redis.command("INFO", "commandstats")
    assert {found.entry for found in await crowd(two, answered)} == {stored}
    assert answered == [0, 0, Trips.AT_ONCE, Trips.AT_ONCE, 10]
    after = shared_redis.command("INFO", "commandstats")
    assert calls(after, b"mget") - calls(before, b"mget") == calls(after, b"get") - calls(before, b"get") == 1


@async_test
async def test_of_many_who_wait_in_vain_only_some_go_on_in_one_turn(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(redis_server.url)
    answered = in_turns(backend)
    redis_server.pause()
    asked = crowd(backend, answered)
    redis_server.kill()
    assert {found.entry for found in await asked} == {None}
    assert answered == [Trips.AT_ONCE, Trips.AT_ONCE, 10]


@async_test
async def test_a_fault_at_one_of_many_who_wait_for_one_lookup_is_not_the_others(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch, logged_failures: LoggedFailures
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    stored = entry(one.store.now())
    one.store.put(key(), stored, 15)
    await one.store.flush()
    find, faulty = Shelf.find, (3, Trips.AT_ONCE + 3)
    looked: list[int] = []

    def finds(shelf: Shelf, *about: Any) -> Any:
        looked.append(len(looked))
        return 1 / 0 if looked[-1] in faulty else find(shelf, *about)

    answered = in_turns(two)
    asked = crowd(two, answered)
    monkeypatch.setattr(Shelf, "find", finds)
    found = [one.entry for one in await asked]
    assert [number for number, entry in enumerate(found) if entry != stored] == [*faulty]
    assert len(logged_failures.flush(ZeroDivisionError)) == 2
