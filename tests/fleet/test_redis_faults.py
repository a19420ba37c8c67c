"""A whole proxy at 200 requests per second while its Redis has every fault there is: nobody sees an error, nobody waits
for long, and hits are back soon after it is well. ``--long``: 30 s of each."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import pytest

from tests.fleet.processes import Origin, Proxy
from tests.fleet.steady import Answer, Gateway, Load, ninety_ninth
from tests.support.redis import RedisServer, redis_binaries
from tests.support.sentinel import Sentinels

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

RunProxy = Callable[..., Proxy]

#: The read time limit, in seconds. What comes on top of it and of the origin's time is next to nothing where nothing
#: else runs (docs/testing.rst has what was measured), and this on a machine that has other things to do.
READ, BUSY = 0.25, 1.5


class Redis:
    """A server, the way to it, and what can be wrong with both. Each fault is a pair: make it, and mend it."""

    def __init__(self, server: RedisServer, gateway: Gateway, seconds: float) -> None:
        self.server, self.gateway, self.seconds = server, gateway, seconds
        self._looping: socket.socket | None = None

    def _config(self, name: str, value: str | int, auth: tuple[str, ...] = ()) -> None:
        assert self.server.command("CONFIG", "SET", name, value, auth=auth) == b"OK"

    def _cut(self, auth: tuple[str, ...] = ()) -> None:
        self.server.command("CLIENT", "KILL", "TYPE", "normal", auth=auth)
        self.server.command("CLIENT", "KILL", "TYPE", "pubsub", auth=auth)

    def stopped(self) -> Callable[[], None]:
        self.server.pause()
        return self.server.resume

    def killed(self) -> Callable[[], None]:
        self.server.kill()
        return self.server.start

    def full(self) -> Callable[[], None]:
        self._config("maxmemory", 1)
        return lambda: self._config("maxmemory", 0)

    def replica(self) -> Callable[[], None]:
        self.server.command("REPLICAOF", "127.0.0.1", "1")
        return lambda: self.server.command("REPLICAOF", "NO", "ONE")

    def master_down(self) -> Callable[[], None]:
        self._config("replica-serve-stale-data", "no")
        return self.replica()

    def loading(self) -> Callable[[], None]:
        return self._says(b"LOADING Redis is loading the dataset in memory")

    def _says(self, error: bytes) -> Callable[[], None]:
        self.gateway.error = error
        return lambda: setattr(self.gateway, "error", b"")

    def locked(self) -> Callable[[], None]:
        self._config("requirepass", "secret")
        self._cut(auth=("secret",))
        return lambda: self._config("requirepass", "", auth=("secret",))

    def busy(self) -> Callable[[], None]:
        self._config("lua-time-limit", 50)
        self._looping = socket.socket(socket.AF_UNIX)
        self._looping.connect(self.server.socket)
        self._looping.sendall(b"EVAL 'while true do end' 0\r\n")

        def mend() -> None:
            self.server.command("SCRIPT", "KILL")
            assert self._looping is not None
            self._looping.close()

        return mend

    def garbage(self) -> Callable[[], None]:
        self.gateway.garbage = b"HTTP/1.1 400 Bad Request\r\n\r\n"
        return lambda: setattr(self.gateway, "garbage", b"")

    def half_open(self) -> Callable[[], None]:
        self.gateway.silent = True
        return lambda: setattr(self.gateway, "silent", False)

    def slow(self) -> Callable[[], None]:
        self.gateway.delay = 0.2
        return lambda: setattr(self.gateway, "delay", 0.0)

    def paused(self) -> Callable[[], None]:
        self.server.command("CLIENT", "PAUSE", round(self.seconds * 1000))
        return lambda: None  # it ends by itself: what would end it has to wait as well


FAULTS = [
    "stopped",
    "killed",
    "full",
    "replica",
    "master_down",
    "loading",
    "locked",
    "busy",
    "garbage",
    "half_open",
    "slow",
    "paused",
]
#: Under these Redis goes on answering reads, be it slowly: there is no breaker to open.
ANSWERS = {"full", "replica", "slow"}


@pytest.fixture
def redis(one_redis_server: RedisServer, pytestconfig: pytest.Config) -> Iterator[Redis]:
    gateway = Gateway(f"{one_redis_server.directory}/gateway.sock", one_redis_server.socket)
    yield Redis(one_redis_server, gateway, 30.0 if pytestconfig.getoption("--long") else 2.5)
    gateway.close()


def warm(load: Load, since: float, seconds: float = 20.0) -> None:
    """Returns once nine in ten answers come from the store."""
    deadline = time.monotonic() + seconds
    while True:
        time.sleep(0.1)
        latest = [answer for answer in load.since(since)[-60:] if answer.path.startswith("/k")]
        if len(latest) > 40 and sum(answer.hit for answer in latest) >= 0.9 * len(latest):
            return
        assert time.monotonic() < deadline, latest


def came_back(load: Load, since: float, within: float) -> float:
    """How long after ``since`` the first answer came out of the store again."""
    while True:
        hits = [answer for answer in load.since(since) if answer.hit]
        if hits:
            return hits[0].due + hits[0].seconds - since
        assert time.monotonic() - since < within + 5, "no hits any more"
        time.sleep(0.05)


def errors(answers: list[Answer]) -> list[Answer]:
    return [answer for answer in answers if answer.status != 200]


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_of_redis_is_seen(fault: str, run_proxy: RunProxy, threaded_origin: Origin, redis: Redis) -> None:
    # Without a memory tier every hit is one of Redis.
    proxy = run_proxy("--origin", threaded_origin.url, "--redis", redis.gateway.url, "--memory", "0")
    load = Load(proxy.port)
    warm(load, time.monotonic())
    began = time.monotonic()
    mend = getattr(redis, fault)()
    time.sleep(redis.seconds)
    mended = time.monotonic()
    mend()
    back = came_back(load, mended, 5.0)
    answers = load.finish()
    meanwhile = load.since(began, mended)
    settled = load.since(began + min(redis.seconds / 2, 5.0), mended)
    print(
        f"{fault}: {len(meanwhile)} requests, p99 {ninety_ninth(meanwhile) * 1000:.0f} ms; once settled median "
        f"{median(answer.seconds for answer in settled) * 1000:.1f} ms, p99 {ninety_ninth(settled) * 1000:.0f} ms; "
        f"hits back after {back:.2f} s"
    )
    assert errors(answers) == []
    assert ninety_ninth(meanwhile) <= READ + BUSY
    if fault not in ANSWERS:
        # The breaker is open: who asks for what nobody has asked for waits for Redis no longer than who has what is on
        # its way there. How long both take on a busy machine says nothing of that.
        known = median(answer.seconds for answer in settled if not answer.path.startswith("/new"))
        assert median(answer.seconds for answer in settled if answer.path.startswith("/new")) - known < READ
    assert back <= 5.0 + BUSY
    assert "Traceback" not in proxy.output
    assert proxy.end() == 0


def test_a_redis_that_is_not_there_at_the_start_is_not_missed_and_is_found(
    run_proxy: RunProxy, threaded_origin: Origin, redis: Redis
) -> None:
    come = redis.killed()
    began = time.monotonic()
    proxy = run_proxy("--origin", threaded_origin.url, "--redis", redis.gateway.url, "--memory", "0")
    load = Load(proxy.port)
    time.sleep(redis.seconds)
    mended = time.monotonic()
    come()
    back = came_back(load, mended, 5.0)
    answers = load.finish()
    meanwhile = load.since(began, mended)
    print(f"absent: {len(meanwhile)} requests, p99 {ninety_ninth(meanwhile) * 1000:.0f} ms; hits after {back:.2f} s")
    assert errors(answers) == []
    assert ninety_ninth(meanwhile) <= READ + BUSY
    assert back <= 5.0 + BUSY
    assert "Traceback" not in proxy.output
    assert proxy.end() == 0


def test_a_failover_of_sentinels_is_not_seen(run_proxy: RunProxy, threaded_origin: Origin, tmp_path: Path) -> None:
    with ExitStack() as stack:
        fleet = Sentinels(max(redis_binaries().items())[1], tmp_path, stack)
        deadline = time.monotonic() + 20
        while not fleet.knows_the_replica():
            assert time.monotonic() < deadline
            time.sleep(0.1)
        proxy = run_proxy("--origin", threaded_origin.url, "--redis", fleet.url, "--memory", "0")
        load = Load(proxy.port)
        warm(load, time.monotonic())
        killed = time.monotonic()
        fleet.servers[0].kill()
        time.sleep(0.5)  # what was on its way may still come
        back = 0.5 + came_back(load, killed + 0.5, 10.0)
        answers = load.finish()
        print(
            f"failover: {len(load.since(killed))} requests, hits back after {back:.2f} s, "
            f"p99 {ninety_ninth(load.since(killed)) * 1000:.0f} ms"
        )
        assert errors(answers) == []
        assert ninety_ninth(load.since(killed)) <= READ + BUSY
        assert back <= 10.0 + BUSY
        assert proxy.end() == 0
