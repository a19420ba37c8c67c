"""No fault of Redis comes out of the store, but as misses and at most its read time limit."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.store.conftest import MakeStore, Said
from tests.store.samples import entry, get, key
from tests.store.waiting import pause, until, until_it_is
from tests.support.async_test import async_test
from tests.support.faultproxy import FaultProxy
from tests.support.redis import RedisServer, redis_binaries
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.store import StoreService
from txstalecache.store.interfaces import NOTHING, Found, Purpose
from txstalecache.store.limits import RedisLimits
from txstalecache.store.redisserver import find_server

#: What a machine that is busy with other things may add, in seconds.
SLACK = 2.0


def seconds() -> float:
    from twisted.internet import reactor

    return float(reactor.seconds())


async def timed(asked: Deferred[Found]) -> tuple[Found, float]:
    began = seconds()
    found = await asked
    return found, seconds() - began


async def hits_again(backend: StoreService, name: str = "/again") -> None:
    """Returns once what is stored is found in Redis; 5 s are promised."""
    began = seconds()

    async def hit() -> bool:
        backend.store.put(key(name), entry(backend.store.now()), 15)
        await backend.store.flush()
        backend.memory.clear()
        return (await backend.store.lookup(key(name), get())).where == "redis"

    while not await hit():
        assert seconds() - began < 5 + SLACK
        await pause(0.05)


#: Later than a read is waited for, and earlier than a connection is given up.
LATE = 0.6


async def slow_line(redis: RedisServer, make_fault_proxy: Callable[..., Any]) -> FaultProxy:
    """A way to ``redis`` that can be made slow."""
    from twisted.internet import reactor

    line: FaultProxy = await make_fault_proxy(UNIXClientEndpoint(reactor, redis.socket))
    return line


@async_test
async def test_absent_at_start_is_said_once_and_it_is_found_later(
    one_redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    one_redis_server.kill()
    backend = await make_store(one_redis_server.url, ready=False)
    for _ in range(20):
        assert await backend.store.lookup(key(), get()) == NOTHING
        await pause(0.02)
    backend.store.put(key(), entry(backend.store.now()), 15)
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is not None
    assert backend.degraded
    assert said.count("is not available") == 1
    one_redis_server.start()
    await hits_again(backend)
    assert not backend.degraded
    assert (said.count("is not available"), said.count("is back")) == (1, 1)


@async_test
async def test_a_server_that_hangs_costs_one_read_time_limit_and_then_nothing(
    redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    backend = await make_store(redis_server.url)
    redis_server.pause()
    # Too few to open the breaker.
    first = [timed(backend.store.lookup(key(f"/{number}"), get())) for number in range(2)]
    for found, took in await gatherResults([Deferred.fromCoroutine(one) for one in first]):
        assert found == NOTHING
        assert 0.2 <= took <= 0.25 + SLACK
    for number in range(50):
        asked = backend.store.lookup(key(f"/{number}"), get())
        assert asked.called  # without asking
        assert await asked == NOTHING
        if number == 10:
            await pause(1.2)  # by now the connections have been given up and new ones hang
    lease = await backend.leases.acquire(key().digest, Purpose.FETCH)
    assert lease is not None
    assert said.count("is not available") == 1
    redis_server.resume()
    await hits_again(backend)
    assert (said.count("is not available"), said.count("is back")) == (1, 1)
    lease.release()


@async_test
async def test_a_server_that_always_answers_late_opens_the_breaker_whatever_is_written_meanwhile(
    one_redis_server: RedisServer, make_store: MakeStore, make_fault_proxy: Callable[..., Any], said: Said
) -> None:
    line = await slow_line(one_redis_server, make_fault_proxy)
    backend = await make_store(f"redis://127.0.0.1:{line.port}")
    line.down.latency = LATE
    waited = number = 0

    async def opened() -> bool:
        nonlocal waited, number
        number += 1
        backend.store.put(key("/written"), entry(backend.store.now()), 15)
        asked = backend.store.lookup(key(f"/{number}"), get())
        waited += not asked.called
        assert await asked == NOTHING
        waited += not backend.leases.acquire(f"ab:{number}", Purpose.FETCH).called
        return bool(backend._client.breaker_open)

    await until_it_is(opened)
    assert waited == 1  # until then nothing was asked but the probe
    assert backend.degraded and said.count("is not available") == 1
    assert backend.store.lookup(key(), get()).called
    line.down.latency = 0.0
    await hits_again(backend)
    assert (said.count("is not available"), said.count("is back")) == (1, 1)


@async_test
async def test_a_server_that_answers_late_from_the_beginning_is_not_there(
    one_redis_server: RedisServer, make_store: MakeStore, make_fault_proxy: Callable[..., Any], said: Said
) -> None:
    line = await slow_line(one_redis_server, make_fault_proxy)
    line.down.latency = LATE
    backend = await make_store(f"redis://127.0.0.1:{line.port}", ready=False)
    await until(lambda: said.lines)
    assert said.count("is not available") == len(said.lines) == 1
    await until(lambda: backend._client.breaker_open)
    assert backend.store.lookup(key(), get()).called
    line.down.latency = 0.0
    await hits_again(backend)
    assert (said.count("is not available"), said.count("is back")) == (1, 1)


@async_test
async def test_a_process_that_was_busy_does_not_blame_the_server(
    shared_redis: RedisServer, make_store: MakeStore, said: Said
) -> None:
    one, two = await make_store(shared_redis.url), await make_store(shared_redis.url)
    one.store.put(key(), entry(one.store.now()), 15)
    await one.store.flush()
    for _ in range(3):
        # Asked and answered, and nobody had time to read it.
        asked = [two.store.lookup(key(), get()) for _ in range(10)]
        await pause(0)
        time.sleep(0.6)
        assert all(found.entry is not None for found in await gatherResults(asked))
        two.memory.clear()
    assert said.count("is not available") == 0


@async_test
async def test_a_killed_server_costs_misses_and_memory_forgets(
    redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    backend = await make_store(redis_server.url)
    backend.store.put(key(), entry(backend.store.now()), 15)
    await backend.store.flush()
    redis_server.kill()
    await until(lambda: backend.degraded)
    assert len(backend.memory) == 0
    assert await backend.store.lookup(key(), get()) == NOTHING
    redis_server.start()
    await hits_again(backend)
    assert (await backend.store.lookup(key(), get())).entry is None
    assert (said.count("is not available"), said.count("is back")) == (1, 1)


@pytest.mark.parametrize("fault", ["killed", "locked"])
@async_test
async def test_however_often_it_is_tried_again_nothing_more_is_said(
    one_redis_server: RedisServer, make_store: MakeStore, fault: str
) -> None:
    backend = await make_store(one_redis_server.url)
    lines: list[str] = []

    @implementer(ILogObserver)
    def everything(event: LogEvent) -> None:
        lines.append(formatEvent(event))

    globalLogPublisher.addObserver(everything)
    try:
        if fault == "killed":
            one_redis_server.kill()
        else:
            one_redis_server.command("CONFIG", "SET", "requirepass", "s3cret")
            one_redis_server.command("CLIENT", "KILL", "TYPE", "normal", auth=("s3cret",))
        await until(lambda: backend._client.breaker_open)  # by attempts to connect
        if fault == "killed":
            one_redis_server.start()
        else:
            one_redis_server.command("CONFIG", "SET", "requirepass", "", auth=("s3cret",))
        await hits_again(backend)
    finally:
        globalLogPublisher.removeObserver(everything)
    # What is said of a server that has been found comes when it comes.
    lines = [line for line in lines if "maxmemory" not in line]
    assert len(lines) == 2 and "is not available" in lines[0] and "is back" in lines[1]


@async_test
async def test_what_is_on_its_way_when_the_server_dies_is_lost_and_nothing_else(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(redis_server.url)
    redis_server.pause()
    for number in range(20):
        backend.store.put(key(f"/{number}"), entry(backend.store.now(), b"x" * 700_000), 15)
    asked = [backend.store.lookup(key(f"/other/{number}"), get()) for number in range(20)]
    redis_server.kill()
    assert await gatherResults(asked) == [NOTHING] * 20
    await backend.store.flush()
    assert backend.store.unwritten == 20
    assert not backend.store.under_way and backend._client.waiting == 0
    redis_server.start()
    await hits_again(backend)


@async_test
async def test_what_may_wait_to_be_written_is_bounded(redis_server: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(redis_server.url)
    backend._client.limits = RedisLimits(waiting=2_000_000)
    redis_server.pause()
    for number in range(10):
        backend.store.put(key(f"/{number}"), entry(backend.store.now(), b"x" * 400_000), 15)
    assert backend._client.waiting <= 2_000_000
    await pause(0)
    assert backend.store.unwritten == 6
    assert sum(len(one.shelf.variants) for one in backend.store.under_way) == 4
    redis_server.resume()
    await backend.store.flush()
    assert backend._client.waiting == 0


@async_test
async def test_a_full_server_refuses_writes_and_still_answers_reads(
    redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    backend = await make_store(redis_server.url)
    stored = entry(backend.store.now())
    backend.store.put(key(), stored, 15)
    await backend.store.flush()
    redis_server.command("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis_server.command("CONFIG", "SET", "maxmemory", "1")
    for number in range(20):
        backend.store.put(key(f"/{number}"), entry(backend.store.now()), 15)
        backend.store.mark(key(f"/{number}"), Marker(MarkerKind.PRIVATE, backend.store.now() + 9, "private"))
    await backend.store.flush()
    assert backend.store.unwritten == 40
    lease = await backend.leases.acquire(key().digest, Purpose.FETCH)
    assert lease is not None
    lease.release()
    backend.memory.clear()
    assert (await backend.store.lookup(key(), get())).entry == stored
    assert not backend.degraded
    assert said.count("refuses to write") == 1
    redis_server.command("CONFIG", "SET", "maxmemory", "0")
    await hits_again(backend)


@async_test
async def test_a_replica_answers_reads(redis_server: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(redis_server.url)
    stored = entry(backend.store.now())
    backend.store.put(key(), stored, 15)
    await backend.store.flush()
    redis_server.command("REPLICAOF", "127.0.0.1", "1")
    for number in range(20):
        backend.store.put(key(f"/{number}"), entry(backend.store.now()), 15)
    await backend.store.flush()
    assert backend.store.unwritten == 20
    backend.memory.clear()
    assert (await backend.store.lookup(key(), get())).entry == stored
    redis_server.command("CONFIG", "SET", "replica-serve-stale-data", "no")
    for _ in range(10):
        backend.memory.clear()
        assert (await backend.store.lookup(key(), get())).entry is None
    assert backend.degraded  # MASTERDOWN
    redis_server.command("REPLICAOF", "NO", "ONE")
    await hits_again(backend)


@async_test
async def test_a_server_busy_with_a_script_is_left_alone_until_it_is_done(
    redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(redis_server.url)
    redis_server.command("CONFIG", "SET", "lua-time-limit", "50")
    with socket.socket(socket.AF_UNIX) as busy:
        busy.connect(redis_server.socket)
        busy.sendall(b"EVAL 'while true do end' 0\r\n")
        await pause(0.1)
        for number in range(30):
            found, took = await timed(backend.store.lookup(key(f"/{number}"), get()))
            assert found == NOTHING and took <= 0.25 + SLACK
            await pause(0.01)
        assert backend.degraded
        redis_server.command("SCRIPT", "KILL")
    await hits_again(backend)


@async_test
async def test_a_password_it_does_not_have_is_said_once_and_it_goes_on_trying(
    redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    redis_server.command("CONFIG", "SET", "requirepass", "s3cret")
    right = await make_store(redis_server.url.replace("unix://", "unix://default:s3cret@"))
    assert not right.degraded
    wrong = await make_store(redis_server.url.replace("unix://", "unix://default:wr0ng@"), ready=False)
    none = await make_store(redis_server.url, ready=False)
    await until(lambda: said.count("is not available") == 2)
    for backend in (wrong, none):
        assert await backend.store.lookup(key(), get()) == NOTHING
    await pause(0.5)
    assert said.count("is not available") == 2
    assert not any("s3cret" in line or "wr0ng" in line for line in said.lines)
    redis_server.command("CONFIG", "SET", "requirepass", "", auth=("s3cret",))
    await hits_again(none)


@async_test
async def test_what_a_server_does_not_know_is_said_without_the_password(make_store: MakeStore, said: Said) -> None:
    server = RedisServer(max(redis_binaries().values()), "--rename-command", "AUTH", "")
    server.start()
    try:
        await make_store(server.url.replace("unix://", "unix://:s3cret@"), ready=False)
        await until(lambda: said.lines)
        assert "unknown command 'AUTH'" in said.lines[0].replace("`", "'") and "s3cret" not in said.lines[0]
    finally:
        server.close()


@async_test
async def test_one_of_several_in_a_cluster_is_not_there_and_that_is_said_once(
    make_store: MakeStore, said: Said
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        bus = free.getsockname()[1]
    server = RedisServer(find_server(), "--cluster-enabled", "yes", "--cluster-port", str(bus))
    server.start()
    try:
        server.command("CONFIG", "SET", "cluster-require-full-coverage", "no")
        ours = [server.command("CLUSTER", "KEYSLOT", f"test:v1:{name}") for name in ("probe", "trial", "purges")]
        server.command("CLUSTER", "ADDSLOTS", *sorted({*range(8192), *ours}))
        await until(lambda: server.command("GET", "test:v1:probe") is None)
        backend = await make_store(server.url, ready=False)
        await until(lambda: backend._client.errors > 2)  # by attempts
        assert backend.degraded and backend.store.lookup(key(), get()).called
        assert len(said.lines) == said.count("is not available") == 1
    finally:
        server.close()


@async_test
async def test_a_server_that_refuses_some_of_what_is_written_is_complained_of_once(
    shared_redis: RedisServer, make_store: MakeStore, said: Said
) -> None:
    backend = await make_store(shared_redis.url)
    shared_redis.command("SET", "text", "x")
    for _ in range(5):
        await backend._client.write([("HSET", "text", "a", "b")])
        backend.store.put(key(), entry(backend.store.now()), 15)
        await backend.store.flush()
    assert said.count("refuses to write") == 1


@async_test
async def test_a_connection_that_has_nothing_to_say_is_used_all_the_same(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    await make_store(one_redis_server.url)

    def used() -> bool:
        clients = one_redis_server.command("CLIENT", "LIST").decode().splitlines()
        ours = [line for line in clients if "cmd=client" not in line]
        return len(ours) == 3 and all("cmd=ping" in line for line in ours)

    await until(used)  # else ``timeout``, or what is in between, would close it


@async_test
async def test_a_flushed_script_cache_costs_one_write(redis_server: RedisServer, make_store: MakeStore) -> None:
    backend = await make_store(redis_server.url)
    redis_server.command("SCRIPT", "FLUSH")
    await hits_again(backend)
    lease = await backend.leases.acquire("ab", Purpose.FETCH)
    assert lease is not None
    lease.release()


@async_test
async def test_a_server_without_a_bound_or_that_throws_nothing_out_is_warned_of_once(
    redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    for memory, policy, words in (
        ("0", "noeviction", "no maxmemory"),
        ("100mb", "noeviction", "policy noeviction"),
        ("100mb", "allkeys-lru", ""),
    ):
        redis_server.command("CONFIG", "SET", "maxmemory", memory)
        redis_server.command("CONFIG", "SET", "maxmemory-policy", policy)
        said.lines.clear()
        backend = await make_store(redis_server.url)
        # It was asked for on whichever connection was first: both have answered what came after.
        backend.store.put(key(), entry(backend.store.now()), 10)
        await backend.store.flush()
        await backend.store.lookup(key("/other"), get())
        warned = [line for line in said.lines if "maxmemory" in line or "noeviction" in line]
        assert len(warned) == bool(words) and all(words in line for line in warned)


class Narrow(Protocol):
    """One direction of a line that takes 4 MB/s: what comes is read 40 kB every 10 ms."""

    peer: Narrow | None = None

    def connectionMade(self) -> None:
        self.waiting = bytearray()
        self.timer: Any = None

    def dataReceived(self, data: bytes) -> None:
        self.waiting += data
        if self.timer is None:
            self._pass_on()

    def _pass_on(self) -> None:
        from twisted.internet import reactor

        self.timer = None
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(bytes(self.waiting[:40_000]))
            del self.waiting[:40_000]
        if self.waiting:
            self.timer = reactor.callLater(0.01, self._pass_on)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        self.waiting.clear()
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.loseConnection()


class NarrowLine(Factory[Narrow]):
    def __init__(self, reactor: Any, socket: str) -> None:
        self._reactor, self._socket = reactor, socket

    def buildProtocol(self, addr: object) -> Narrow:
        outside = Narrow()

        def connected(inside: Any) -> None:
            outside.peer, inside.peer = inside, outside

        UNIXClientEndpoint(self._reactor, self._socket).connect(Factory.forProtocol(Narrow)).addCallback(connected)
        return outside


@async_test
async def test_a_slow_line_is_not_a_server_that_hangs(one_redis_server: RedisServer, make_store: MakeStore) -> None:
    from twisted.internet import reactor

    port: Any = reactor.listenTCP(0, NarrowLine(reactor, one_redis_server.socket), interface="127.0.0.1")  # type: ignore[arg-type]
    backend = await make_store(f"redis://127.0.0.1:{port.getHost().port}")
    session = backend.store.session
    began = seconds()
    backend.store.put(key("/big"), entry(backend.store.now(), b"x" * 8_000_000), 60)
    backend.store.put(key(), entry(backend.store.now()), 60)
    await backend.store.flush()
    assert seconds() - began > 1.3  # longer than a write may be left without any answer
    assert backend.store.unwritten == 0 and backend.store.session == session
    assert one_redis_server.command("DBSIZE") == 2 + 16
    # On its way back it is too slow for who waits: a miss, and no more than that.
    backend.memory.clear()
    assert (await backend.store.lookup(key("/big"), get())).entry is None
    assert (await backend.store.lookup(key("/none"), get())).entry is None
    await until(lambda: backend._client.available, 10)
    assert backend.store.session == session
    await backend.stopService()
    await port.stopListening()


class Rubbish(Protocol):
    """Answers whatever comes with ``words``."""

    words: bytes

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(self.words)


@pytest.mark.parametrize(
    "words",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0" * 1000,
        b"*-7\r\n",
        b"*99999999999\r\n",
        b"$99999999999999999999\r\nx",
        b"$-2\r\n",
        b"*1\r\n" * 100,
        b"+OK\r\n" * 50,
        b":1\r\n" * 9,
        b"%2\r\n+a\r\n+b\r\n+c\r\n+d\r\n" * 20,
        b"*2\r\n$1\r\na\r\n$1\r\nb\r\n" * 9,
        b"$1000000\r\nonly this",
        random.Random(1).randbytes(3000),
    ],
)
@async_test
async def test_rubbish_on_the_wire_is_a_redis_that_is_not_there(words: bytes, make_store: MakeStore) -> None:
    from twisted.internet import reactor

    Rubbish.words = words
    port: Any = reactor.listenTCP(0, Factory.forProtocol(Rubbish), interface="127.0.0.1")  # type: ignore[arg-type]
    try:
        backend = await make_store(f"redis://127.0.0.1:{port.getHost().port}", ready=False)
        for number in range(10):
            backend.store.put(key(f"/{number}"), entry(backend.store.now()), 15)
            lookup = backend.store.lookup(key(f"/none/{number}"), get())
            found, took = await timed(lookup)
            assert found.entry is None and took <= 0.25 + SLACK
            assert await backend.leases.acquire(f"ab:{number}", Purpose.FETCH) is not None
            await pause(0.03)
        await backend.stopService()
    finally:
        await port.stopListening()


@async_test
async def test_stopping_does_not_wait_for_a_server_that_hangs(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    backend = await make_store(one_redis_server.url)
    one_redis_server.pause()
    for number in range(10):
        backend.store.put(key(f"/{number}"), entry(backend.store.now(), b"x" * 1_000_000), 15)
    asked: Any = backend.store.lookup(key("/other"), get())
    began = seconds()
    await backend.stopService()
    assert seconds() - began <= 1.0 + SLACK
    assert (await asked) == NOTHING
    assert await backend.store.lookup(key("/other"), get()) == NOTHING
    one_redis_server.resume()
