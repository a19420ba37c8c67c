"""What many clients of one flight cost. Short forms by default, the promises of docs/flights.rst with ``--long``.

Proxy and clients are processes of their own; the origin is the test's. Memory is the proxy's resident set.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.load.child import Child
from tests.support.async_test import async_test
from tests.support.origin import Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import later

pytestmark = pytest.mark.slow

MIB = 1024 * 1024


@pytest.fixture
def children() -> Iterator[Any]:
    """``children(module, *args)``: a Child that is ended with the test."""
    started: list[Child] = []

    def start(module: str, *args: object) -> Child:
        child = Child(f"tests.load.{module}", *args)
        started.append(child)
        return child

    yield start
    for child in started:
        pytest_twisted.blockon(child.end())


class Scene:
    """A proxy, clients that are connected and have sent nothing, and the proxy's memory then."""

    def __init__(self, children: Any) -> None:
        self._children = children

    async def set(self, origin: str, clients: int, *more: int) -> Scene:
        self.proxy: Child = self._children("proxy_process", origin)
        port = int((await self.proxy.line()).split()[1])
        self.clients: Child = self._children("client_process", port, clients, *more)
        assert await self.clients.line() == "connected"
        while (now := await self.proxy.ask())["connections"] < clients:
            await later(0.05)
        self.base = now["resident"]
        return self

    async def waiting(self, count: int) -> Any:
        """The proxy's state once ``count`` wait."""
        while (now := await self.proxy.ask())["waiting"] < count:
            await later(0.05)
        return now

    async def watched(self) -> tuple[Any, int]:
        """What the clients tell next, and the most memory the proxy took meanwhile above what it had."""
        telling = self.clients.line()
        most = 0
        while not telling.called:
            most = max(most, (await self.proxy.ask())["resident"])
            await later(0.05)
        return json.loads(await telling), most - self.base


@pytest.mark.timeout(180)
@async_test
async def test_a_crowd_on_one_cold_key(origin: ScriptedOrigin, children: Any, pytestconfig: pytest.Config) -> None:
    long_form = bool(pytestconfig.getoption("--long"))
    count = 10_000 if long_form else 1_000
    body = b"the same for all " * 60
    origin.on(
        "/x",
        [
            Gate("go"),
            Head(200, [("Cache-Control", "max-age=60"), ("Content-Length", str(len(body)))]),
            Chunk(body),
        ],
    )
    scene = await Scene(children).set(origin.url, count)
    scene.clients.say()
    crowd = await scene.waiting(count)
    each = (crowd["resident"] - scene.base) / count
    released = time.monotonic()
    origin.release("go")
    told = await _told(scene.clients)
    took = told["done"] - released
    print(f"\n{count} waiters: {each:.0f} bytes each, all answered {took:.2f} s after the origin's last byte")
    assert origin.hits("/x") == 1
    assert (told["statuses"], told["whole"], len(told["digests"])) == ([200], count, 1)
    assert each <= 8 * 1024
    if long_form:
        assert took <= 2.0
    while (after := await scene.proxy.ask())["flights"]:
        await later(0.05)
    assert (after["waiting"], after["held"]) == (0, 0)


async def _told(clients: Child) -> Any:
    import json

    return json.loads(await clients.line())


class BigOrigin:
    """Answers one request after another with ``size`` bytes, as fast as they are taken, from a thread."""

    CHUNK = bytes(range(256)) * 256

    def __init__(self, size: int) -> None:
        self.size = size
        self.hits = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        head = b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n" % self.size
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                try:
                    while connection.recv(65536):
                        self.hits += 1
                        connection.sendall(head)
                        for _ in range(self.size // len(self.CHUNK)):
                            connection.sendall(self.CHUNK)
                except OSError:
                    pass

    def close(self) -> None:
        # Closing alone does not wake the thread.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(10)


@pytest.fixture
def big_origin() -> Iterator[Any]:
    """``big_origin(size)``: a BigOrigin that is closed after the test."""
    origins: list[BigOrigin] = []

    def start(size: int) -> BigOrigin:
        origins.append(BigOrigin(size))
        return origins[-1]

    yield start
    for origin in origins:
        origin.close()


@pytest.mark.timeout(300)
@async_test
async def test_a_body_is_in_memory_once_however_many_read_it_slowly(
    big_origin: Any, children: Any, pytestconfig: pytest.Config
) -> None:
    count, rate = (200, MIB // 2) if pytestconfig.getoption("--long") else (40, 4 * MIB)
    origin = big_origin(8 * MIB)
    scene = await Scene(children).set(origin.url, count, rate, count // 2)
    scene.clients.say()
    quick, most = await scene.watched()
    everybody, later_most = await scene.watched()
    most = max(most, later_most)
    print(f"\n{count} readers of 8 MiB, half of them at {rate} bytes/s: {most / MIB:.1f} MiB above base")
    assert origin.hits == 1
    assert (quick["whole"], everybody["whole"], len(everybody["digests"])) == (count // 2, count, 1)
    assert most <= 80 * MIB


@pytest.mark.timeout(300)
@async_test
async def test_a_body_too_large_to_keep_streams_in_bounded_memory_and_the_slow_do_not_hold_the_fast(
    big_origin: Any, children: Any, pytestconfig: pytest.Config
) -> None:
    size = 1024 * MIB if pytestconfig.getoption("--long") else 96 * MIB
    origin = big_origin(size)
    slow = 4
    scene = await Scene(children).set(origin.url, 20, 16 * 1024, slow)
    began = time.monotonic()
    scene.clients.say()
    quick, most = await scene.watched()
    took = quick["done"] - began
    print(f"\n20 readers of {size // MIB} MiB, {slow} at 16 KiB/s: {most / MIB:.1f} MiB above base, {took:.1f} s")
    assert origin.hits == 1
    assert (quick["whole"], len(quick["digests"])) == (20 - slow, 1)
    assert most <= 64 * MIB
    # Held to 16 KiB/s it would be hours.
    assert took < 30 + 20 * size / (50 * MIB)
