"""Who waits in another process reads along: real processes, and an origin that sends on only when it is told to."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPConnection, HTTPException, HTTPResponse

import pytest

from tests.fleet.processes import Origin, Proxy, ask
from tests.fleet.test_one_fetch import pair
from tests.support.process import eventually
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow

RunProxy = Callable[..., Proxy]
CHUNKS = 20


class Reader:
    """A client that notes when each byte string has come; its first byte is the head."""

    def __init__(self, proxy: Proxy, path: str = "/drip") -> None:
        self._connection = HTTPConnection("127.0.0.1", proxy.port, timeout=30)
        self.came: queue.Queue[bytes | None] = queue.Queue()
        self.cut = False
        self.status = 0
        self.thread = threading.Thread(target=self._read, args=(path,), daemon=True)
        self.thread.start()

    def _read(self, path: str) -> None:
        try:
            self._connection.request("GET", path, headers={"Host": "localhost"})
            reply: HTTPResponse = self._connection.getresponse()
            self.status = reply.status
            self.came.put(b"")
            while data := reply.read1(65536):
                self.came.put(data)
        except (OSError, HTTPException):
            self.cut = True
        finally:
            self.came.put(None)
            self._connection.close()

    def next(self) -> bytes | None:
        return self.came.get(timeout=30)


class Drip:
    """A body of chunks, each sent when the test says so."""

    def __init__(self) -> None:
        self._go = threading.Semaphore(0)

    def __call__(self) -> Iterator[bytes]:
        for number in range(CHUNKS):
            self._go.acquire(timeout=60)
            yield b"chunk %02d\n" % number

    def go(self) -> None:
        self._go.release()


@pytest.fixture
def drip(threaded_origin: Origin) -> Drip:
    drip = Drip()
    threaded_origin.chunks = drip
    return drip


def remote(one: Proxy, two: Proxy, origin: Origin) -> tuple[Reader, Reader]:
    """A client of the process that fetches, then one of the other."""
    here = Reader(one)
    eventually(lambda: origin.hits == ["/drip"])
    there = Reader(two)
    time.sleep(0.2)  # it waits: nothing tells the outside so
    return here, there


def start(run_proxy: RunProxy, origin: Origin, redis: RedisServer, drip: Drip) -> tuple[Proxy, Proxy]:
    origin.chunks = None
    proxies = pair(run_proxy, origin, redis)
    origin.chunks = drip
    return proxies


def test_a_client_elsewhere_has_each_chunk_before_the_origin_sends_the_next(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, drip: Drip
) -> None:
    one, two = start(run_proxy, threaded_origin, one_redis_server, drip)
    here, there = remote(one, two, threaded_origin)
    # The next one is sent when this one has come. How much later it comes there than here: bench/fleet.py.
    for number in range(CHUNKS):
        drip.go()
        for reader in (here, there):
            data = reader.next()
            if number == 0:
                assert data == b""
                data = reader.next()
            assert data == b"chunk %02d\n" % number
        time.sleep(0.05)
    assert here.next() is there.next() is None
    assert not here.cut and not there.cut and here.status == there.status == 200
    assert threaded_origin.hits == ["/drip"]
    # It is one entry afterwards, for both.
    eventually(lambda: ask(two.port, "/drip")[2].count("chunk") == CHUNKS)
    assert threaded_origin.hits == ["/drip"]


def test_a_client_elsewhere_is_cut_when_the_holder_is_killed(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, drip: Drip
) -> None:
    one, two = start(run_proxy, threaded_origin, one_redis_server, drip)
    _, there = remote(one, two, threaded_origin)
    drip.go()
    assert (there.next(), there.next()) == (b"", b"chunk 00\n")
    os.kill(one.process.pid, 9)
    assert there.next() is None
    assert there.cut
    threaded_origin.chunks = None
    assert ask(two.port, "/drip")[0] == 200


def test_before_a_byte_has_come_a_killed_holder_is_replaced(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, drip: Drip
) -> None:
    one, two = start(run_proxy, threaded_origin, one_redis_server, drip)
    threaded_origin.delay = 30.0
    _, there = remote(one, two, threaded_origin)
    threaded_origin.delay = 0.0
    os.kill(one.process.pid, 9)
    for _ in range(CHUNKS):
        drip.go()
    assert there.next() == b""
    there.thread.join(30)
    assert not there.cut
    assert threaded_origin.hits == ["/drip"] * 2


def test_who_has_to_wait_in_another_process_does_not_wait_for_a_refresh_that_has_stalled(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, drip: Drip
) -> None:
    one, two = start(run_proxy, threaded_origin, one_redis_server, drip)
    threaded_origin.chunks = None
    threaded_origin.fields = {"Cache-Control": "max-age=1, stale-while-revalidate=2"}
    assert ask(one.port, "/drip")[2] == "1\n"
    threaded_origin.chunks, threaded_origin.fields = drip, {"Cache-Control": "max-age=60"}
    time.sleep(1.5)
    drip.go()
    assert ask(one.port, "/drip")[2] == "1\n"  # stale, and refreshed behind it
    eventually(lambda: threaded_origin.hits == ["/drip"] * 2)
    time.sleep(5.5)  # longer than leader_age, and than stale is permitted
    threaded_origin.chunks = None
    status, _, body = ask(two.port, "/drip")
    assert (status, body) == (200, "3\n")
