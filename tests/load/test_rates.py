"""Two hundred requests a second while the origin is down, flaps, or is slow to renew what is stale: all get 200.

A few seconds each; with ``--long`` as long as docs/security.rst says, and as quick.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.watched import Watched, watched
from tests.support.async_test import async_test
from tests.support.client import NoReply, connect, fetch
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Answer, Chunk, Head, Request, ScriptedOrigin, Sleep
from tests.support.proxy import later, settled

__all__ = ["watched"]

pytestmark = pytest.mark.slow

CONNECTIONS, RATE = 20, 200
KEYS = 40


class Load:
    """Requests at ``RATE`` on ``CONNECTIONS`` connections, for every key in turn."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.outcomes: Counter[str] = Counter()
        self.seconds: list[float] = []

    async def run(self, seconds: float) -> Load:
        began = time.monotonic()
        await settled(*[Deferred.fromCoroutine(self._client(number, began, seconds)) for number in range(CONNECTIONS)])
        return self

    async def _client(self, number: int, began: float, seconds: float) -> None:
        connection = await connect(self.port)
        connection.keep_raw = False
        for turn in range(int(seconds * RATE / CONNECTIONS)):
            due = began + (turn + number / CONNECTIONS) * CONNECTIONS / RATE
            await later(max(0.0, due - time.monotonic()))
            target = f"/{(turn * CONNECTIONS + number) % KEYS}"
            asked = time.monotonic()
            try:
                reply = await connection.request("GET", target)
            except NoReply:
                self.outcomes["lost"] += 1
                connection = await connect(self.port)
                continue
            self.seconds.append(time.monotonic() - asked)
            good = reply.body == b"for " + target.encode() and not reply.truncated
            self.outcomes[str(reply.status) if good else f"bad: {reply!r}"[:80]] += 1
        await connection.close()

    def percentile(self, share: float) -> float:
        """Milliseconds."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(len(self.seconds) * share))] * 1000

    def __str__(self) -> str:
        return f"{dict(self.outcomes)}, p50 {self.percentile(0.5):.1f} ms, p99 {self.percentile(0.99):.1f} ms"


async def warm(port: int) -> None:
    assert {reply.status for reply in await settled(*[fetch(port, "GET", f"/{key}") for key in range(KEYS)])} == {200}


def stale(origin: ScriptedOrigin) -> None:
    """Everything is stale from the start, and may be served so."""
    fields = [("Cache-Control", "max-age=0, stale-while-revalidate=600")]
    origin.handler = lambda request: Answer(200, fields, b"for " + request.target)


@pytest.mark.timeout(180)
@async_test
async def test_an_origin_that_is_down_is_seen_by_nobody(
    origin: ScriptedOrigin, watched: Callable[..., Watched], make_fault_proxy: Any, pytestconfig: pytest.Config
) -> None:
    seconds = 60.0 if pytestconfig.getoption("--long") else 5.0
    stale(origin)
    wire: FaultProxy = await make_fault_proxy(origin.port)
    proxy = await watched("--origin", f"http://127.0.0.1:{wire.port}", "--redis", "embedded").ready()
    await warm(proxy.port)
    await wire.refuse()
    load = await Load(proxy.port).run(seconds)
    print(f"\norigin down for {seconds:.0f} s: {load}")
    assert set(load.outcomes) == {"200"}
    assert load.outcomes["200"] == int(seconds * RATE)


@pytest.mark.timeout(180)
@async_test
async def test_an_origin_that_flaps_is_seen_by_nobody_and_left_alone(
    origin: ScriptedOrigin, watched: Callable[..., Watched], pytestconfig: pytest.Config
) -> None:
    seconds = 30.0 if pytestconfig.getoption("--long") else 5.0
    began = time.monotonic()
    failures: Counter[bytes] = Counter()
    fields = [("Cache-Control", "max-age=1, stale-while-revalidate=600")]

    def flap(request: Request) -> Answer:
        if int((time.monotonic() - began) / 0.5) % 2 == 0 or origin.hits(request.path) == 1:
            return Answer(200, fields, b"for " + request.target)
        failures[request.target] += 1
        return Answer(500, [], b"down")

    origin.handler = flap
    proxy = await watched("--origin", origin.url, "--redis", "embedded").ready()
    await warm(proxy.port)
    loaded = time.monotonic()
    load = await Load(proxy.port).run(seconds)
    loaded = time.monotonic() - loaded
    print(
        f"\norigin flaps for {seconds:.0f} s: {load}; {len(origin.requests)} fetches, {max(failures.values())} failed"
    )
    assert set(load.outcomes) == {"200"}
    # A failure is followed by a back-off of a second, a success is fresh for one.
    for key in range(KEYS):
        assert origin.hits(f"/{key}") <= loaded + 3


@pytest.mark.timeout(180)
@async_test
async def test_in_a_storm_of_what_is_stale_clients_wait_for_no_refresh(
    origin: ScriptedOrigin, watched: Callable[..., Watched], pytestconfig: pytest.Config
) -> None:
    """The same load on what is fresh, then on what is stale and is renewed by an origin that takes 3 s."""
    long_form = bool(pytestconfig.getoption("--long"))
    seconds = 20.0 if long_form else 3.0

    def site(lifetime: int) -> Callable[[Request], Any]:
        fields = [("Cache-Control", f"max-age={lifetime}, stale-while-revalidate=600")]

        def answer(request: Request) -> Any:
            body = b"for " + request.target
            renewal = origin.hits(request.path) > 1
            head = Head(200, [*fields, ("Content-Length", str(len(body)))])
            return [Sleep(3.0 if renewal else 0.0), head, Chunk(body)]

        return answer

    figures = []
    for lifetime in (600, 0):
        origin.handler = site(lifetime)
        origin.requests.clear()
        proxy = await watched("--origin", origin.url, "--redis", "embedded").ready()
        await warm(proxy.port)
        figures.append(await Load(proxy.port).run(seconds))
        assert await proxy.leave() == 0
    fresh, storm = figures
    print(f"\nhits: {fresh}\nstale storm: {storm}; {len(origin.requests)} fetches")
    assert set(fresh.outcomes) == set(storm.outcomes) == {"200"}
    assert len(origin.requests) > KEYS
    assert storm.percentile(0.99) < 2900, "somebody waits for the origin"
    if long_form:
        assert storm.percentile(0.99) <= fresh.percentile(0.99) + 5
