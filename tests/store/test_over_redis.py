"""Memory over a real Redis: what is stored is found, by this process and by others, and nobody waits for a write."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from zope.interface.verify import verifyObject

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.store import envelope
from txstalecache.store.envelope import PIECE
from txstalecache.store.interfaces import ILeases, IStore
from txstalecache.store.layout import Layout, variant_id

LAYOUT = Layout("test:")
GZIP = ((b"accept-encoding", b"gzip"),)


def name(letter: str, of: str = "/a") -> bytes:
    return LAYOUT.name(key(of).digest, letter)


def note(monkeypatch: pytest.MonkeyPatch, function: str, then: Callable[[], object] = lambda: None) -> list[object]:
    """What is done to the pieces of bodies from now on, and ``then`` each time."""
    done: list[object] = []
    does = getattr(envelope, function)

    def noted(*arguments: Any) -> object:
        done.append(None)
        then()
        return does(*arguments)

    monkeypatch.setattr(envelope, function, noted)
    return done


@async_test
async def test_it_keeps_the_seams_promises(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    assert verifyObject(IStore, backend.store)
    assert verifyObject(ILeases, backend.leases)
    assert "Redis at unix:///" in backend.describe()


@async_test
async def test_what_one_process_stores_another_finds(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    stored = entry(one.store.now())
    one.store.put(key(), stored, 15)
    await one.store.flush()
    assert two.store.peek(key(), get()) is None
    found = await two.store.lookup(key(), get())
    assert (found.entry, found.where) == (stored, "redis")
    # Word of the write may come after it was read; then it is read once more, and memory has it.
    await heard(two, shared_redis)
    await two.store.lookup(key(), get())
    again = two.store.peek(key(), get())
    assert again is not None and (again.entry, again.where) == (stored, "memory")


@async_test
async def test_it_survives_a_restart_of_the_process(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one = await make_store(shared_redis.url)
    now = one.store.now()
    for number in range(10):
        one.store.put(key(f"/{number}"), entry(now, b"x" * 1_000_000), 15)
    await one.stopService()  # which lands what is on its way
    two = await make_store(shared_redis.url)
    for number in range(10):
        assert (await two.store.lookup(key(f"/{number}"), get())).entry is not None


@async_test
async def test_expiry_in_redis_is_exactly_what_was_asked_for(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    backend.store.put(key(), entry(backend.store.now(), lifetime=10, keep=20), 30.0)
    backend.store.put(key("/v"), entry(backend.store.now(), selector=GZIP), 7.5)
    await backend.store.flush()
    assert 29_000 < shared_redis.command("PTTL", name("e")) <= 30_000
    assert 6_500 < shared_redis.command("PTTL", name(f"v:{variant_id(GZIP)}", "/v")) <= 7_500
    assert 6_500 < shared_redis.command("PTTL", name("x", "/v")) <= 7_500


@async_test
async def test_the_next_request_sees_a_write_that_has_not_arrived(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url, memory=0)  # nothing but what is pending
    stored = entry(backend.store.now())
    backend.store.put(key(), stored, 15)
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry == stored
    backend.store.discard(key())
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is None
    await backend.store.flush()
    assert (await backend.store.lookup(key(), get())).entry is None
    assert shared_redis.command("EXISTS", name("e")) == 0


@async_test
async def test_a_late_store_does_not_replace_a_newer_entry(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    now = one.store.now()
    new, old = entry(now, b"new"), entry(now - 5, b"old")
    one.store.put(key(), new, 15)
    await one.store.flush()
    await heard(two, shared_redis)  # so that it is Redis' answer that says it
    two.store.put(key(), old, 15)
    await two.store.flush()
    await until(lambda: two.memory.look(key()) is None, 5.0)
    for backend in (one, two):
        assert (await backend.store.lookup(key(), get())).entry == new


@async_test
async def test_large_bodies_go_in_pieces_and_come_back_whole(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    body = random.Random(7).randbytes(3 * PIECE + 5)
    one.store.put(key(), entry(one.store.now(), (body[:1000], body[1000:])), 15)
    await one.store.flush()
    pieces = shared_redis.command("KEYS", name("b:*"))
    assert len(pieces) == 4
    assert shared_redis.command("STRLEN", name("e")) < 2000
    found = (await two.store.lookup(key(), get())).entry
    assert found is not None and b"".join(found.body) == body
    # Replaced, the old pieces do not stay for the rest of their time.
    one.store.put(key(), entry(one.store.now(), b"small"), 15)
    await one.store.flush()
    assert all(shared_redis.command("PTTL", piece) <= 10_000 for piece in pieces)


@async_test
async def test_of_a_large_body_one_piece_is_made_at_a_time_and_none_before_redis_takes_it(
    redis_server: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await make_store(redis_server.url), await make_store(redis_server.url)
    made = note(monkeypatch, "seal_piece")
    redis_server.pause()
    bodies = [bytes([number]) * (8 * PIECE) for number in range(3)]
    for number, body in enumerate(bodies):
        one.store.put(key(f"/{number}"), entry(one.store.now(), body), 15)
    one.store.put(key("/short"), entry(one.store.now(), b"short"), 15)
    assert len(made) == 1
    for _ in range(10):
        await pause(0)
    assert len(made) <= 2  # what the kernel has taken makes room
    redis_server.resume()
    await one.store.flush()
    assert len(made) == 24 and one.store.unwritten == 0
    for number, body in enumerate(bodies):
        found = (await two.store.lookup(key(f"/{number}"), get())).entry
        assert found is not None and b"".join(found.body) == body
    assert (await two.store.lookup(key("/short"), get())).entry is not None


@async_test
async def test_a_large_body_is_read_in_turns(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    one.store.put(key(), entry(one.store.now(), b"x" * (6 * PIECE + 1)), 15)
    await one.store.flush()
    opened = note(monkeypatch, "open_piece")
    seen = []
    looking = two.store.lookup(key(), get())
    while not looking.called:
        await pause(0)
        seen.append(len(opened))
    assert (await looking).entry is not None
    assert set(seen) >= set(range(7))


@async_test
async def test_a_large_body_that_is_half_written_when_the_server_dies_is_a_lost_hit(
    redis_server: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await make_store(redis_server.url)

    def dies() -> None:
        if len(made) == 4:
            redis_server.kill()

    made = note(monkeypatch, "seal_piece", dies)
    one.store.put(key(), entry(one.store.now(), b"x" * (30 * PIECE)), 15)
    one.store.put(key("/b"), entry(one.store.now(), b"behind it"), 15)
    await one.store.flush()
    assert len(made) < 10 and one.store.unwritten == 2
    assert not one.store.under_way and one._client.waiting == 0
    redis_server.start()
    await until(lambda: one._client.available)
    one.store.put(key(), entry(one.store.now(), b"x" * (30 * PIECE)), 15)
    await one.store.flush()
    assert one.store.unwritten == 2 and redis_server.command("EXISTS", name("e"))


@async_test
async def test_a_piece_that_is_missing_is_a_miss(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    one.store.put(key(), entry(one.store.now(), b"x" * (PIECE + 5)), 15)
    await one.store.flush()
    (last,) = shared_redis.command("KEYS", name("b:*:1"))
    shared_redis.command("DEL", last)
    assert (await two.store.lookup(key(), get())).entry is None
    await two.store.flush()
    await until(lambda: not shared_redis.command("EXISTS", name("e")))


@async_test
async def test_variants_are_found_by_the_request(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    for coding in ("gzip", "br"):
        chosen = ((b"accept-encoding", coding.encode()),)
        one.store.put(key(), entry(one.store.now(), coding.encode(), selector=chosen), 15)
    await one.store.flush()
    for coding in ("gzip", "br"):
        found = await two.store.lookup(key(), get(accept_encoding=coding))
        assert found.entry is not None and found.entry.body == (coding.encode(),)
        assert found.vary == (b"accept-encoding",)
    found = await two.store.lookup(key(), get(accept_encoding="zstd"))
    assert found.entry is None and found.vary == (b"accept-encoding",)


@async_test
async def test_redis_keeps_16_variants_the_oldest_goes(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    now = one.store.now()
    for number in range(20):
        chosen = ((b"accept-encoding", b"coding%d" % number),)
        one.store.put(key(), entry(now + number / 100, selector=chosen), 15)
    await one.store.flush()
    assert shared_redis.command("HLEN", name("x")) == 16
    assert len(shared_redis.command("KEYS", name("v:*"))) == 16
    assert (await two.store.lookup(key(), get(accept_encoding="coding3"))).entry is None
    assert (await two.store.lookup(key(), get(accept_encoding="coding4"))).entry is not None


@async_test
async def test_a_discard_holds_for_variants_whose_index_is_lost(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    english, german = get(accept_language="en"), get(accept_language="de")
    before = one.store.now() - 1  # by more than clocks may differ on a busy machine

    async def store(language: str, when: float) -> None:
        chosen = ((b"accept-language", language.encode()),)
        one.store.put(key(), entry(when, language.encode(), selector=chosen), 15)
        await one.store.flush()

    await store("en", before)
    await store("de", before)
    assert (await two.store.lookup(key(), german)).entry is not None  # it knows by now what answers vary by
    shared_redis.command("DEL", name("x"))  # evicted, or damaged
    one.store.discard(key())
    await one.store.flush()
    await heard(two, shared_redis)
    assert (await two.store.lookup(key(), german)).entry is None
    # Nor does another variant that is stored since bring them back.
    await store("en", one.store.now() + 0.01)
    await heard(two, shared_redis)
    assert (await two.store.lookup(key(), german)).entry is None
    assert (await two.store.lookup(key(), english)).entry is not None
    await store("de", one.store.now() + 0.01)
    await heard(two, shared_redis)
    assert (await two.store.lookup(key(), german)).entry is not None


@async_test
async def test_markers_are_shared_and_run_out(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    private = Marker(MarkerKind.PRIVATE, one.store.now() + 120, "private")
    one.store.mark(key(), private)
    assert (await one.store.lookup(key(), get())).marker == private
    await one.store.flush()
    assert (await two.store.lookup(key(), get())).marker == private
    assert 119_000 < shared_redis.command("PTTL", name("m")) <= 120_000
    short = Marker(MarkerKind.ERROR, one.store.now() + 0.15, "connect", 502)
    one.store.mark(key("/b"), short)
    await one.store.flush()
    assert (await two.store.lookup(key("/b"), get())).marker == short
    await pause(0.25)
    assert (await two.store.lookup(key("/b"), get())).marker is None


@async_test
async def test_a_shareable_answer_takes_the_private_marker_away_and_leaves_cookie(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    cookie = Marker(MarkerKind.COOKIE, one.store.now() + 60, "implicit")
    one.store.mark(key(), Marker(MarkerKind.PRIVATE, one.store.now() + 60, "private"))
    one.store.mark(key(), cookie)
    await one.store.flush()
    two.store.put(key(), entry(two.store.now()), 15)
    assert (await two.store.lookup(key(), get())).marker in (None, cookie)
    await two.store.flush()
    for backend in (one, two):
        backend.memory.clear()
        found = await backend.store.lookup(key(), get())
        assert found.entry is not None and found.marker == cookie


@pytest.mark.parametrize("junk", [b"", b"junk", b"txsc1E" + b"0" * 60, b"\x80\x04N.", b"x" * 100_000])
@async_test
async def test_a_foreign_value_is_a_miss_and_is_deleted(
    shared_redis: RedisServer, make_store: MakeStore, junk: bytes
) -> None:
    backend = await make_store(shared_redis.url)
    for letter in ("e", "m", "c"):
        shared_redis.command("SET", name(letter), junk)
    shared_redis.command("HSET", name("x"), "field", junk)
    found = await backend.store.lookup(key(), get())
    assert (found.entry, found.marker, found.vary) == (None, None, ())
    await backend.store.flush()
    await until(lambda: shared_redis.command("EXISTS", *(name(letter) for letter in "emcx")) == 0)


@async_test
async def test_an_entry_of_another_key_under_this_name_is_a_miss(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url)
    backend.store.put(key("/other"), entry(backend.store.now(), b"theirs"), 15)
    await backend.store.flush()
    shared_redis.command("COPY", name("e", "/other"), name("e", "/a"))
    assert (await backend.store.lookup(key("/a"), get())).entry is None


@async_test
async def test_values_of_another_type_are_misses_and_are_written_over(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url)
    shared_redis.command("LPUSH", name("e"), "x")
    shared_redis.command("SET", name("x"), "x")
    assert (await backend.store.lookup(key(), get())).entry is None
    await backend.store.flush()
    backend.store.put(key(), entry(backend.store.now()), 15)
    stored = entry(backend.store.now(), selector=GZIP)
    backend.store.put(key(), stored, 15)
    await backend.store.flush()
    backend.memory.clear()
    assert (await backend.store.lookup(key(), get(accept_encoding="gzip"))).entry == stored
    assert backend.store.unwritten == 0


@async_test
async def test_another_database_is_another_cache(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(f"{shared_redis.url}?db=3")
    one.store.put(key(), entry(one.store.now()), 15)
    await one.store.flush()
    assert (await two.store.lookup(key(), get())).entry is None


@async_test
async def test_the_time_is_that_of_redis(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    again = await make_store(shared_redis.url)
    await pause(0.05)
    backend.clock._offset += 3600  # as if this host's clock were an hour ahead
    backend.clock._error = float("inf")
    seconds, micros = shared_redis.command("TIME")
    theirs = int(seconds) + int(micros) / 1e6
    assert abs(again.store.now() - theirs) < 0.5
    assert abs(backend.store.now() - theirs) > 3000
    for wire in list(backend._client._writer.usable):
        wire.transport.abortConnection()  # measured anew on each connection
    await until(lambda: abs(backend.store.now() - again.store.now()) < 0.5)


@async_test
async def test_it_can_be_seen_in_figures(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    shared_redis.command("SET", name("e", "/odd"), "junk")
    backend.store.put(key(), entry(backend.store.now()), 15)
    await backend.store.lookup(key("/odd"), get())
    await backend.store.flush()
    figures = backend.figures()
    assert figures["redis_available"] == figures["redis_tracking"] == figures["redis_corrupt_total"] == 1
    assert figures["redis_lookups_total"] == 1
    assert figures["redis_breaker_open"] == figures["redis_unwritten_total"] == figures["redis_waiting_bytes"] == 0
    assert figures["memory_limit_bytes"] == 16 * 1024 * 1024


@async_test
async def test_memory_alone_answers_at_once_and_for_certain(make_store: MakeStore) -> None:
    backend = await make_store("memory")
    assert backend.describe() == "memory (16 MiB) only"
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is None
    stored = entry(backend.store.now())
    backend.store.put(key(), stored, 15)
    cookie = Marker(MarkerKind.COOKIE, backend.store.now() + 60, "implicit")
    backend.store.mark(key(), cookie)
    found = backend.store.peek(key(), get())
    assert found is not None and (found.entry, found.marker, found.where) == (stored, cookie, "memory")
    backend.store.discard(key())
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is None
    backend.store.put(key(), stored, 15)  # was in the air when it was discarded
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is None
    assert not backend.degraded and not backend.protecting
