"""What many clients of one flight cost. Short forms by default, the promises of docs/flights.rst with ``--long``.

Proxy and clients are processes of their own; the origin is the test's. Memory is the proxy's resident set.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.load.child import Child
from tests.support.async_test import async_test
from tests.support.origin import Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import later

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

    async def set(self, origin: ScriptedOrigin, clients: int, *more: int) -> Scene:
        self.proxy: Child = self._children("proxy_process", origin.url)
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

    async def peak(self, done: Any) -> int:
        """The most memory seen until ``done`` has fired."""
        most = 0
        while not done.called:
            most = max(most, (await self.proxy.ask())["resident"])
            await later(0.1)
        return most


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
    scene = await Scene(children).set(origin, count)
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
