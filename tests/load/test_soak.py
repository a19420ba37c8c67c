"""Mixed traffic for a while: what it takes to answer it is given back. 20 s, three minutes with ``--long``."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.test_chaos import leases
from tests.safety.watched import Watched, watched
from tests.support.async_test import async_test
from tests.support.client import NoReply, connect, open_exchange
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Answer, Chunk, Head, Request, ScriptedOrigin, Sleep
from tests.support.proxy import later, settled, until
from tests.support.redis import RedisServer

__all__ = ["watched"]

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
CLIENTS = 10
#: Of the memory tier.
MEMORY = 8 * MIB
#: Resident memory may end this much above what it was once everything had been in use.
MARGIN = 12 * MIB
LARGE = b"0123456789abcdef" * (MIB // 16)


def site(request: Request) -> Any:
    """Something of everything."""
    kind = request.path.split("/")[1]
    body = request.target + b" " + b"x" * (len(request.target) * 37 % 5000)
    if kind == "stale":
        return Answer(200, [("Cache-Control", "max-age=0, stale-while-revalidate=60"), ("ETag", '"1"')], body)
    if kind == "private":
        return Answer(200, [("Cache-Control", "private")], body)
    if kind == "vary":
        fields = [("Cache-Control", "max-age=5"), ("Vary", "Accept-Language")]
        return Answer(200, fields, body, "chunked")
    if kind == "large":
        return Answer(200, [("Cache-Control", "max-age=2")], LARGE)
    if kind == "first":
        return Answer(200, [("Cache-Control", "max-age=3600")], b"x" * 4096)
    if kind == "error":
        return Answer(503, [], b"down")
    if kind == "slow":
        return [
            Head(200, [("Cache-Control", "max-age=1"), ("Transfer-Encoding", "chunked")]),
            Chunk(body),
            Sleep(0.05),
            Chunk(body),
        ]
    return Answer(200, [("Cache-Control", "max-age=3"), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")], body)


class Traffic:
    """Clients that ask for everything there is."""

    def __init__(self, port: int, seed: int) -> None:
        self.port, self.seed = port, seed
        self.outcomes: Counter[str] = Counter()
        self.unique = 0

    async def for_(self, seconds: float) -> None:
        ends = time.monotonic() + seconds
        self.seed += 1
        await settled(*[Deferred.fromCoroutine(self._client(number, ends)) for number in range(CLIENTS)])

    async def _client(self, number: int, ends: float) -> None:
        chance = random.Random(self.seed * 100 + number)
        connection = None
        while time.monotonic() < ends:
            if connection is None or connection.ended:
                connection = await connect(self.port)
                connection.keep_raw = False
            method, target, fields, body = self._request(chance)
            try:
                if chance.random() < 0.03:
                    leaving = open_exchange(self.port, method, target, fields, body)
                    await later(chance.random() * 0.03)
                    leaving.abort()
                    await leaving.done
                else:
                    reply = await connection.request(method, target, fields, body)
                    self.outcomes[str(reply.status)] += 1
            except NoReply:
                self.outcomes["left"] += 1
            if chance.random() < 0.02:
                await connection.close()
        if connection is not None and not connection.ended:
            await connection.close()

    async def fill(self, size: int) -> None:
        """Ask for ``size`` bytes of what nobody asks for twice."""
        asked = iter(range(size // 4096))

        async def client() -> None:
            connection = await connect(self.port)
            for number in asked:
                await connection.request("GET", f"/first/{number}")
            await connection.close()

        await settled(*[Deferred.fromCoroutine(client()) for _ in range(CLIENTS)])

    def _request(self, chance: random.Random) -> tuple[str, str, list[tuple[str, str]], bytes]:
        kind = chance.choice(
            ("hit", "hit", "hit", "stale", "stale", "private", "vary", "error", "slow", "unique", "large")
        )
        target = f"/{kind}/{chance.randrange(3 if kind == 'large' else 30)}"
        if kind == "unique":
            self.unique += 1
            target = f"/unique/{self.seed}/{self.unique}"
        fields = [("Accept-Language", chance.choice(("en", "de", "fr")))]
        if chance.random() < 0.1:
            fields.append(("Cookie", f"id={chance.randrange(100)}"))
        if chance.random() < 0.1:
            fields.append(("Range", "bytes=1-9"))
        if chance.random() < 0.1:
            fields.append(("If-Modified-Since", "Tue, 02 Jan 2024 00:00:00 GMT"))
        if chance.random() < 0.05:
            return "POST", target, fields, b"y" * chance.randrange(1, 100_000)
        return ("HEAD" if chance.random() < 0.1 else "GET"), target, fields, b""


@pytest.mark.timeout(1200)
@async_test
async def test_what_traffic_takes_is_given_back(
    origin: ScriptedOrigin,
    watched: Any,
    make_fault_proxy: Any,
    one_redis_server: RedisServer,
    pytestconfig: pytest.Config,
) -> None:
    seconds = 180.0 if pytestconfig.getoption("--long") else 20.0
    origin.handler = site
    origin.keep_raw = False
    wire: FaultProxy = await make_fault_proxy(origin.port)
    proxy: Watched = await watched(
        "--origin", f"http://127.0.0.1:{wire.port}", "--redis", one_redis_server.url, "--memory", str(MEMORY)
    ).ready()
    traffic = Traffic(proxy.port, int(pytestconfig.getoption("--seed")))
    # What the memory tier takes is not given back: it is full before anything is measured.
    await traffic.fill(MEMORY)
    # Read from Redis, which has told of the writing: now it may be kept.
    await traffic.fill(MEMORY)
    assert (await proxy.ask())["stored"] > 0.9 * MEMORY
    # Fewer than it takes to reach the most that is ever needed at one time would count as growth.
    while traffic.outcomes.total() < 5_000:
        await traffic.for_(5.0)
    wire.cut()
    before = await proxy.ask()
    traffic.outcomes.clear()

    await traffic.for_(seconds)
    requests = sum(traffic.outcomes.values())
    # What it keeps for later are connections to the origin, and those alone.
    wire.cut()
    after = await proxy.idle(before, 30)
    grown = after["resident"] - before["resident"]
    print(f"\n{requests} requests, {dict(traffic.outcomes)}: {grown / MIB:+.1f} MiB, {after}")
    assert requests > 50 * seconds
    assert set(traffic.outcomes) <= {"200", "206", "304", "416", "503", "left"}
    assert grown < MARGIN
    # Given back, not run out: that would take longer.
    await until(lambda: not leases(one_redis_server), 3)
    assert await proxy.leave() == 0
    assert b"Traceback" not in proxy.errors, proxy.errors.decode()
