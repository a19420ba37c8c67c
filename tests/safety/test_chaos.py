"""Two proxies of one fleet, eight clients, fifty keys, and faults at random: eight invariants.

Every body says what it was made for, for whom, when, and how long it is. Seeded; what the network makes of it is not.
8 s, two minutes with ``--long``.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import NoReply, Reply, open_exchange
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Chunk, Head, Request, ScriptedOrigin, Sleep
from tests.support.proxy import later, settled, until
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("TXSTALECACHE_CHAOS_SEED", "1"))
KEYS = 50
CLIENTS = 8
TTL, STALE = 1, 2
#: Faults leave fetches behind that nobody waits for any more; what is asked after this is asked afresh.
SETTLED = 4.0


class Origin:
    """What the origin does, and what it knows of its requests in progress."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.in_progress: Counter[bytes] = Counter()
        self.crowds: list[tuple[float, bytes, int]] = []
        """When more than one fetch for a public key was in progress."""

    def kind(self, target: bytes) -> str:
        return ("public", "public", "public", "private", "no-store")[int(target[1:]) % 5]

    def __call__(self, request: Request) -> Any:
        kind = self.kind(request.target)
        who = (request.field("cookie") or b"id=nobody").partition(b"=")[2]
        filler = b"x" * self.chance.choice((10, 10, 1000, 60_000))
        text = b"%s %s %r %d " % (request.target, who, time.monotonic(), len(filler))
        control = {"public": f"max-age={TTL}, stale-while-revalidate={STALE}", "private": "private"}.get(kind, kind)
        return self.play(request, kind, control, text, filler)

    def play(self, request: Request, kind: str, control: str, text: bytes, filler: bytes) -> Any:
        if kind == "public":
            self.in_progress[request.target] += 1
            if self.in_progress[request.target] > 1:
                self.crowds.append((time.monotonic(), request.target, self.in_progress[request.target]))
        try:
            if self.chance.random() < 0.05:
                yield Head(500, [("Content-Length", "0")])
                return
            framing = ("Transfer-Encoding", "chunked")
            if self.chance.random() < 0.5:
                framing = ("Content-Length", str(len(text) + len(filler)))
            yield Sleep(self.chance.random() * 0.02)
            yield Head(200, [("Cache-Control", control), framing])
            yield Chunk(text)
            yield Sleep(self.chance.random() * 0.01)
            yield Chunk(filler)
        finally:
            if kind == "public":
                self.in_progress[request.target] -= 1


class Chaos:
    """One run."""

    def __init__(self, origin: Origin, proxies: list[Any], wire: FaultProxy, redis: RedisServer, ends: float) -> None:
        self.origin, self.proxies, self.wire, self.redis, self.ends = origin, proxies, wire, redis, ends
        self.outcomes: Counter[str] = Counter()
        self.faults: list[tuple[float, str]] = []
        self.wrong: list[str] = []

    @property
    def running(self) -> bool:
        return time.monotonic() < self.ends

    async def client(self, number: int) -> None:
        chance = random.Random(SEED * 1000 + number)
        while self.running:
            target = f"/{chance.randrange(KEYS)}"
            me = f"user{number}" if chance.random() < 0.5 else None
            exchange = open_exchange(
                chance.choice(self.proxies).port, "GET", target, [("Cookie", f"id={me}")] if me else [], timeout=25
            )
            if chance.random() < 0.05:
                await later(chance.random() * 0.05)
                exchange.abort()
            try:
                reply = await exchange.done
            except NoReply as error:
                if "timeout" in str(error):
                    self.wrong.append(f"{target} never ended")
                self.outcomes["gone"] += 1
                continue
            self.judge(target, me, reply)

    def judge(self, target: str, me: str | None, reply: Reply) -> None:
        if reply.truncated:
            self.outcomes["cut"] += 1
            return
        self.outcomes[str(reply.status)] += 1
        if reply.status != 200:
            if reply.status not in (500, 502, 503, 504):
                self.wrong.append(f"{target}: {reply.status}")
            return
        path, who, made, length, filler = reply.body.split(b" ", 4)
        if path != target.encode():
            self.wrong.append(f"{target}: body of {path!r}")
        kind = self.origin.kind(path)
        if kind != "public" and who != (me or "nobody").encode():
            self.wrong.append(f"{target}: {who!r}'s body for {me}")
        if kind == "public" and who != b"nobody" and who != (me or "").encode():
            self.wrong.append(f"{target}: a shared body made for {who!r}")
        if len(filler) != int(length):
            self.wrong.append(f"{target}: {len(filler)} of {length!r} bytes, not visibly cut")
        age = reply.begun_at - float(made)
        if age > (TTL + STALE if kind == "public" else 1) + 2:
            self.wrong.append(f"{target}: {kind}, {age:.1f} s old")

    async def trouble(self) -> None:
        chance = random.Random(SEED)
        kinds = [self.slow, self.cut, self.refused, self.silent, self.short, self.redis_hangs, self.redis_dies]
        while self.running:
            await later(chance.random() * 0.5)
            fault = chance.choice(kinds)
            self.faults.append((time.monotonic(), fault.__name__))
            await fault(0.2 + chance.random() * 0.6)
            self.faults.append((time.monotonic(), "over"))
            if chance.random() < 0.15:
                await later(SETTLED + 1)

    async def slow(self, seconds: float) -> None:
        self.wire.down.latency = 0.1
        await later(seconds)
        self.wire.down.latency = 0.0

    async def cut(self, seconds: float) -> None:
        self.wire.cut()

    async def refused(self, seconds: float) -> None:
        await self.wire.refuse()
        await later(seconds)
        await self.wire.start()

    async def silent(self, seconds: float) -> None:
        self.wire.hold()
        await later(seconds)
        self.wire.release()

    async def short(self, seconds: float) -> None:
        self.wire.down.cut_at = 700
        await later(seconds)
        self.wire.down.cut_at = None

    async def redis_hangs(self, seconds: float) -> None:
        self.redis.pause()
        await later(seconds)
        self.redis.resume()

    async def redis_dies(self, seconds: float) -> None:
        self.redis.kill()
        await later(seconds)
        self.redis.start()

    def crowded(self) -> list[str]:
        """Keys that were fetched twice at once while nothing was wrong and nothing had been for a while."""
        found = []
        for at, target, count in self.origin.crowds:
            if not any(at - SETTLED < when <= at for when, _ in self.faults):
                found.append(f"{target!r} fetched {count} times at once")
        return found


@pytest.mark.timeout(300)
@async_test
async def test_nothing_that_must_hold_gives_way(
    origin: ScriptedOrigin,
    make_proxy: Any,
    make_fault_proxy: Any,
    one_redis_server: RedisServer,
    pytestconfig: pytest.Config,
) -> None:
    behaviour = Origin(random.Random(SEED))
    origin.handler = behaviour
    wire = await make_fault_proxy(origin.port)
    url = f"http://127.0.0.1:{wire.port}"
    proxies = [await make_proxy(url, redis=one_redis_server.url) for _ in range(2)]
    seconds = 120.0 if pytestconfig.getoption("--long") else 8.0
    chaos = Chaos(behaviour, proxies, wire, one_redis_server, time.monotonic() + seconds)
    from twisted.internet.defer import Deferred

    clients = [Deferred.fromCoroutine(chaos.client(number)) for number in range(CLIENTS)]
    await settled(*clients, Deferred.fromCoroutine(chaos.trouble()))

    assert chaos.wrong == [], (chaos.outcomes, chaos.faults)
    assert chaos.crowded() == []
    assert chaos.outcomes["200"] > 50 * seconds, chaos.outcomes
    for proxy in proxies:
        await until(lambda proxy=proxy: not proxy.flights, 30)  # type: ignore[misc]
        assert proxy.resource.registry.waiting == 0
        assert proxy.resource.registry.held == 0
    await until(lambda: not leases(one_redis_server), 20)


def leases(redis: RedisServer) -> list[bytes]:
    """The leases that stand: a back-off after a failed refresh has the name of a lease, and begins with ``b:``."""
    names: list[bytes] = redis.command("KEYS", "*}:l*")
    return [name for name in names if not (redis.command("GET", name) or b"b:").startswith(b"b:")]
