"""Memory does not serve what was changed elsewhere: Redis says so, and without its word memory holds for 1 s."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from tests.store.conftest import MakeStore, heard_of
from tests.store.samples import entry, get, key
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.store import StoreService
from txstalecache.store.envelope import PIECE
from txstalecache.store.layout import Layout
from txstalecache.store.purges import Scope

ENTRY = Layout("test:").name(key().digest, "e")


async def in_memory(backend: StoreService, redis: RedisServer, name: str = "/a") -> None:
    """An entry that is in memory and was not written there by this process. It is a second old: what another process
    does now is later, by its clock too."""
    backend.store.put(key(name), entry(backend.store.now() - 1), 600)
    await backend.store.flush()
    await heard(backend, redis)  # word of our own script
    await backend.store.lookup(key(name), get())
    found = backend.store.peek(key(name), get())
    assert found is not None and found.entry is not None


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What was logged about tracking."""
    with heard_of("tracking") as observer:
        yield observer.lines


@pytest.mark.parametrize("change", ["DEL", "SET", "FLUSHALL", "expiry", "another process", "another's discard"])
@async_test
async def test_what_changes_elsewhere_leaves_memory(
    shared_redis: RedisServer, make_store: MakeStore, change: str
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    await in_memory(one, shared_redis)
    new = entry(two.store.now(), b"new")
    match change:
        case "DEL":
            shared_redis.command("DEL", ENTRY)
        case "SET":
            shared_redis.command("SET", ENTRY, "anything")
        case "FLUSHALL":
            shared_redis.command("FLUSHALL")
        case "expiry":
            for milliseconds in (250, 1000, 4000, 16_000):
                # What sets its end is a change as well, and that may have come before it was read again.
                shared_redis.command("PEXPIRE", ENTRY, milliseconds)
                await heard(one, shared_redis)
                await one.store.lookup(key(), get())
                if (found := one.store.peek(key(), get())) is not None and found.entry is not None:
                    break
                await in_memory(one, shared_redis)
        case "another process":
            two.store.put(key(), new, 600)
        case _:
            two.store.discard(key())
    await until(lambda: one.store.peek(key(), get()) is None)
    expected = new if change == "another process" else None
    assert (await one.store.lookup(key(), get())).entry == expected


@async_test
async def test_own_plain_writes_do_not_come_back(shared_redis: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(shared_redis.url)
    await in_memory(backend, shared_redis)
    cookie = Marker(MarkerKind.COOKIE, backend.store.now() + 60, "implicit")
    backend.store.mark(key(), cookie)
    await backend.store.flush()
    await heard(backend, shared_redis)
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is not None and found.marker == cookie


class Held:
    """Holds back what Redis answers to reads, as if it took long."""

    def __init__(self, backend: Any) -> None:
        self.client: Any = backend._client
        self.read = self.client.read
        self.client.read = self._read
        self.answers: list[tuple[Deferred[Any], Deferred[Any]]] = []

    def _read(self, commands: Any) -> Deferred[Any]:
        late: Deferred[Any] = Deferred()
        self.answers.append((self.read(commands), late))
        return late

    async def release(self, how_many: int) -> None:
        """Let the first answers through, and everything that is asked from now on."""
        self.client.read = self.read
        let, self.answers = self.answers[:how_many], self.answers[how_many:]
        for answer, late in let:
            late.callback(await answer)


@async_test
async def test_an_answer_that_was_overtaken_by_a_change_is_not_kept(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    old, new = entry(one.store.now(), b"old"), entry(one.store.now() + 0.01, b"new")
    one.store.put(key(), old, 600)
    await one.store.flush()
    await heard(two, shared_redis)
    held = Held(two)
    asked = two.store.lookup(key(), get())
    assert (await held.answers[0][0])[0][2] is not None  # Redis has answered with the old one
    held.answers[0] = (succeed(await held.answers[0][0]), held.answers[0][1])
    one.store.put(key(), new, 600)
    await one.store.flush()
    await heard(two, shared_redis)
    later = two.store.lookup(key(), get())
    assert len(held.answers) == 2  # which does not join the first
    await held.release(1)
    assert (await asked).entry == old
    assert two.store.peek(key(), get()) is None
    await held.release(1)
    assert (await later).entry == new


@async_test
async def test_what_was_stored_is_discarded_though_the_clock_is_set_right_in_between(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url)
    backend.clock._offset += 0.3
    backend.clock._error = 0.3
    backend.store.put(key(), entry(backend.store.now()), 600)
    await backend.store.flush()
    ticks = backend.clock.ticks()
    backend.clock.measured(ticks + backend.clock._offset - 0.3, ticks, ticks)
    backend.store.discard(key())
    await backend.store.flush()
    assert (await backend.store.lookup(key(), get())).entry is None


@async_test
async def test_an_answer_from_before_a_discard_is_not_given_after_it(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url)
    backend.store.put(key(), entry(backend.store.now()), 600)
    await backend.store.flush()
    await until(lambda: backend.store.peek(key(), get()) is None)
    held = Held(backend)
    asked = backend.store.lookup(key(), get())
    answer = await held.answers[0][0]
    held.answers[0] = (succeed(answer), held.answers[0][1])
    backend.store.discard(key())
    await until(lambda: not backend.store.under_way)
    await held.release(1)
    assert (await asked).entry is None
    assert backend.store.peek(key(), get()) is None


@async_test
async def test_another_prefix_is_another_cache(shared_redis: RedisServer, make_store: MakeStore) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url, prefix="other:")
    await in_memory(one, shared_redis)
    two.store.put(key(), entry(two.store.now()), 600)
    await two.store.flush()
    await heard(one, shared_redis)
    assert one.store.peek(key(), get()) is not None


@pytest.mark.parametrize("which", ["listener", "writer"])
@async_test
async def test_when_the_word_is_cut_off_memory_is_dropped_and_holds_for_1_s(
    shared_redis: RedisServer, make_store: MakeStore, which: str
) -> None:
    backend = await make_store(shared_redis.url)
    await in_memory(backend, shared_redis)
    session = backend.store.session
    tracking = backend._tracking
    wire = tracking._listener if which == "listener" else tracking._writer
    wire.transport.abortConnection()
    await until(lambda: not backend.store.session)
    assert len(backend.memory) == 0
    await until(lambda: backend.store.session > session)
    await in_memory(backend, shared_redis)


@async_test
async def test_what_is_purged_while_nobody_tells_of_changes_is_learned_as_soon_as_somebody_does(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    tracking = two._tracking
    with monkeypatch.context() as patched:
        patched.setattr(tracking, "_begin", lambda: None)
        tracking._listener.transport.abortConnection()
        await until(lambda: not two.store.session)
        await until(lambda: tracking._listener is not None)
        assert await one.store.purge(Scope.of_tag(b"blue"))
        assert not len(two.store.purges)
    tracking._begin()
    await until(lambda: two.store.session and len(two.store.purges))


@async_test
async def test_without_tracking_memory_holds_for_1_s_and_that_is_said_once(
    redis_server: RedisServer, make_store: MakeStore, said: list[str]
) -> None:
    redis_server.command(
        "ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all", "-client|tracking"
    ) if redis_server.command("INFO", "server").split(b"redis_version:")[1][:1] > b"7" else redis_server.command(
        "ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all", "-client"
    )
    url = redis_server.url.replace("unix://", "unix://app:s3cret@")
    backend = await make_store(url, ready=False)
    await until(lambda: not backend.degraded)
    assert not backend.store.session
    for _ in range(8):  # as often as a listener may be refused: what reads and writes is well
        backend._client.connect(backend._tracking._factory)
    await pause(0.3)
    assert not backend.degraded and not backend._client.breaker_open
    assert len(said) == 1 and "does not tell what changes" in said[0]
    backend.store.put(key(), entry(backend.store.now()), 600)
    await backend.store.flush()
    assert (await backend.store.lookup(key(), get())).where == "memory"
    redis_server.command("DEL", ENTRY)
    await until(lambda: backend.store.peek(key(), get()) is None, 5.0)
    assert (await backend.store.lookup(key(), get())).entry is None


@async_test
async def test_tracking_that_is_refused_at_the_start_is_said_and_begins_once_it_is_permitted(
    redis_server: RedisServer, make_store: MakeStore, said: list[str]
) -> None:
    redis_server.command("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "&*", "+@all", "-publish")
    backend = await make_store(redis_server.url.replace("unix://", "unix://app:s3cret@"), ready=False)
    await until(lambda: said)
    assert not backend.degraded and not backend.store.session
    redis_server.command("ACL", "SETUSER", "app", "+publish")
    await until(lambda: backend.store.session)
    assert len(said) == 1 and "publish" in said[0]


@async_test
async def test_memory_alone_without_its_redis_holds_for_1_s(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(one_redis_server.url)
    one_redis_server.kill()
    await until(lambda: backend.degraded)
    backend.store.put(key(), entry(backend.store.now()), 600)
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is not None
    await pause(1.1)
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is None


@async_test
async def test_a_large_body_is_not_read_again_when_only_word_of_it_came(
    shared_redis: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(shared_redis.url)
    stored = entry(backend.store.now(), b"x" * (2 * PIECE))
    backend.store.put(key(), stored, 600)
    await backend.store.flush()
    await heard(backend, shared_redis)  # our own script's word
    assert backend.store.peek(key(), get()) is None
    shared_redis.command("CONFIG", "RESETSTAT")
    found = await backend.store.lookup(key(), get())
    assert found.entry == stored and found.entry.body is stored.body
    assert b"cmdstat_get:" not in shared_redis.command("INFO", "commandstats")


@async_test
async def test_a_half_open_connection_is_found_out(one_redis_server: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(one_redis_server.url)
    await in_memory(backend, one_redis_server)
    one_redis_server.pause()
    await until(lambda: not backend.store.session)
    assert len(backend.memory) == 0
    one_redis_server.resume()
    await until(lambda: backend.store.session)


@async_test
async def test_what_could_not_be_written_is_not_tracked(
    shared_redis: RedisServer, make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would tell of a change to what Redis does not have: others may have stored something else."""
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    other = entry(two.store.now(), b"theirs")
    two.store.put(key(), other, 600)
    await two.store.flush()
    await heard(one, shared_redis)
    with monkeypatch.context() as patch:
        patch.setattr(type(one._client), "writable", property(lambda client: False))
        one.store.put(key(), entry(one.store.now() - 1, b"ours"), 600)
    found = one.store.peek(key(), get())
    assert found is not None and found.entry is not None and found.entry.body == (b"ours",)
    one.clock._offset += 1.1
    assert one.store.peek(key(), get()) is None
    assert (await one.store.lookup(key(), get())).entry == other
