"""Two proxies of one fleet, each a process of its own, eight clients, fifty keys, and faults at random: what must hold.

Every body says what it was made for, for whom, when, and how long it is. What happens is seeded; what scheduling makes
of it is not. A few seconds, or ``--chaos SECONDS`` (``make chaos``: two minutes); ``--seed`` chooses another run.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.watched import Watched
from tests.support.async_test import async_test
from tests.support.client import NoReply, Reply, fetch, open_exchange
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Chunk, Head, Request, ScriptedOrigin, Sleep
from tests.support.proxy import later, settled, until
from tests.support.redis import RedisServer

KEYS = 50
CLIENTS = 8
TTL, STALE = 1, 2
#: One storm, then calm: what a fault has left behind is over after ``SETTLED``, and then all of it must hold again.
STORM, SETTLED, CALM = 3.0, 4.0, 2.0
TOKEN = "whoever-knows-this-may-purge"


class Origin:
    """What the origin does, and what it knows of its requests in progress."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.failing = False
        self.in_progress: Counter[bytes] = Counter()
        self.crowds: list[tuple[float, bytes, int, float]] = []
        """When more than one fetch for a public key was in progress, how many, and when the last one had failed."""
        self.failed: dict[bytes, float] = {}
        """When a key was last answered with an error."""

    @staticmethod
    def kind(target: bytes) -> str:
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
                failed = self.failed.get(request.target, 0.0)
                self.crowds.append((time.monotonic(), request.target, self.in_progress[request.target], failed))
        try:
            if self.failing or self.chance.random() < 0.05:
                self.failed[request.target] = time.monotonic()
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


class Process:
    """One proxy of the fleet, at the same port in every life of it."""

    def __init__(self, start: Callable[..., Watched], origin: str, redis: str, token_file: str) -> None:
        self._start = start
        self._options = ["--origin", origin, "--redis", redis, "--prefix", "chaos:"]
        self._options += ["--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", token_file]
        self.away: list[list[float]] = []
        """When it was told to leave and when its successor was there."""

    async def begin(self) -> None:
        self.life = await self._start(*self._options).ready()
        self.port = self.life.port
        self._options += ["--listen", f"tcp:{self.port}:interface=127.0.0.1"]
        await settled(*[fetch(self.port, "GET", f"/{number}") for number in range(KEYS)])

    async def restart(self) -> str | None:
        """Let it leave and another one take its place; what was wrong with that."""
        self.away.append([time.monotonic(), float("inf")])
        status = await self.life.leave()
        errors = self.life.errors.decode()
        self.life = await self._start(*self._options).ready()
        self.away[-1][1] = time.monotonic()
        return None if status == 0 and "Traceback" not in errors else f"left with {status}: {errors}"

    def absent(self, since: float) -> bool:
        """Whether it was away at any time after ``since``."""
        return any(back >= since for _, back in self.away)


class Chaos:
    """One run."""

    def __init__(
        self,
        seed: int,
        origin: Origin,
        fleet: list[Process],
        wire: FaultProxy,
        redis: RedisServer,
        seconds: float,
    ) -> None:
        self.seed, self.origin, self.fleet, self.wire, self.redis = seed, origin, fleet, wire, redis
        self.ends = time.monotonic() + seconds
        self.outcomes: Counter[str] = Counter()
        self.faults: list[tuple[float, float, str]] = []
        self.wrong: list[str] = []

    @property
    def running(self) -> bool:
        return time.monotonic() < self.ends

    # -- clients -------------------------------------------------------------------------------------------------

    async def client(self, number: int) -> None:
        chance = random.Random(self.seed * 1000 + number)
        while self.running:
            target, process = f"/{chance.randrange(KEYS)}", chance.choice(self.fleet)
            me = f"user{number}" if chance.random() < 0.5 else None
            asked, left = time.monotonic(), chance.random() < 0.05
            exchange = open_exchange(process.port, "GET", target, [("Cookie", f"id={me}")] if me else [], timeout=25)
            if left:
                await later(chance.random() * 0.05)
                exchange.abort()
            try:
                reply = await exchange.done
            except NoReply as error:
                if "timeout" in str(error):
                    self.wrong.append(f"{target} never ended")
                elif not left and not process.absent(asked):
                    self.wrong.append(f"{target}: no answer, {error}")
                self.outcomes["gone"] += 1
                if not left:
                    await later(0.05)
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

    # -- trouble -------------------------------------------------------------------------------------------------

    async def weather(self) -> None:
        """Calm and storms in turn; in a storm the origin's side and the fleet's have their faults independently."""
        chance = [random.Random(self.seed), random.Random(self.seed + 1)]
        of_origin = [self.slow, self.cut, self.refused, self.silent, self.short, self.errors]
        of_fleet = [self.redis_hangs, self.redis_dies, self.purged, self.purged, self.restarted]
        await later(min(CALM, (self.ends - time.monotonic()) / 4))
        while self.running:
            over = min(self.ends, time.monotonic() + STORM)
            await settled(
                Deferred.fromCoroutine(self.storm(chance[0], of_origin, over)),
                Deferred.fromCoroutine(self.storm(chance[1], of_fleet, over)),
            )
            if self.running:
                await later(SETTLED + CALM)

    async def storm(self, chance: random.Random, kinds: list[Any], over: float) -> None:
        while time.monotonic() < over:
            await later(chance.random() * 0.3)
            fault, seconds, dice = chance.choice(kinds), 0.2 + chance.random() * 0.6, chance.random()
            began = time.monotonic()
            self.faults.append((began, float("inf"), fault.__name__))
            await fault(seconds, dice)
            self.faults.remove((began, float("inf"), fault.__name__))
            self.faults.append((began, time.monotonic(), fault.__name__))

    async def slow(self, seconds: float, dice: float) -> None:
        self.wire.down.latency = 0.1
        await later(seconds)
        self.wire.down.latency = 0.0

    async def cut(self, seconds: float, dice: float) -> None:
        self.wire.cut()

    async def refused(self, seconds: float, dice: float) -> None:
        await self.wire.refuse()
        await later(seconds)
        await self.wire.start()

    async def silent(self, seconds: float, dice: float) -> None:
        self.wire.hold()
        await later(seconds)
        self.wire.release()

    async def short(self, seconds: float, dice: float) -> None:
        self.wire.down.cut_at = 700
        await later(seconds)
        self.wire.down.cut_at = None

    async def errors(self, seconds: float, dice: float) -> None:
        self.origin.failing = True
        await later(seconds)
        self.origin.failing = False

    async def redis_hangs(self, seconds: float, dice: float) -> None:
        self.redis.pause()
        await later(seconds)
        self.redis.resume()

    async def redis_dies(self, seconds: float, dice: float) -> None:
        self.redis.kill()
        await later(seconds)
        self.redis.start()

    async def purged(self, seconds: float, dice: float) -> None:
        admin = self.fleet[int(dice * 2)].life.admin
        mode = "soft" if seconds < 0.4 else "hard"
        if dice < 0.1:
            await self.purge(admin, "POST", "/v1/purge", mode, b'{"scope": "all"}')
        else:
            await self.purge(admin, "PURGE", f"/{int(dice * KEYS)}", mode)

    async def purge(self, admin: int, method: str, target: str, mode: str, order: bytes = b"") -> None:
        fields = [("Authorization", f"Bearer {TOKEN}"), ("Purge-Mode", mode), ("Content-Type", "application/json")]
        reply = await fetch(admin, method, target, fields, order)
        if reply.status not in (200, 202):
            self.wrong.append(f"purge: {reply.status} {reply.body!r}")

    async def restarted(self, seconds: float, dice: float) -> None:
        wrong = await self.fleet[int(dice * 2)].restart()
        if wrong:
            self.wrong.append(wrong)

    def crowded(self) -> list[str]:
        """Keys that were fetched twice at once while nothing was wrong and nothing had been for a while."""
        found = []
        for at, target, count, failed in self.origin.crowds:
            began = [(ended, name) for began, ended, name in self.faults if began <= at]
            ended, name = max(began, default=(0.0, "nothing"))
            if at - ended > SETTLED:
                since = f"{at - ended:.2f} s after {name}, {at - failed:.2f} s after its last error"
                found.append(f"{target!r} fetched {count} times at once, {since}")
        return found


@pytest.mark.timeout(1200)
@async_test
async def test_nothing_that_must_hold_gives_way(
    origin: ScriptedOrigin,
    watched: Callable[..., Watched],
    make_fault_proxy: Any,
    one_redis_server: RedisServer,
    pytestconfig: pytest.Config,
    tmp_path: Any,
) -> None:
    seed, seconds = int(pytestconfig.getoption("--seed")), float(pytestconfig.getoption("--chaos"))
    print(f"seed {seed}: once more with make chaos SEED={seed}")
    behaviour = Origin(random.Random(seed))
    origin.handler = behaviour
    wire = await make_fault_proxy(origin.port)
    token = tmp_path / "token"
    token.write_text(TOKEN)
    url = f"http://127.0.0.1:{wire.port}"
    fleet = [Process(watched, url, one_redis_server.url, str(token)) for _ in range(2)]
    await settled(*[Deferred.fromCoroutine(process.begin()) for process in fleet])
    wire.cut()
    before = [await process.life.ask() for process in fleet]
    behaviour.crowds.clear()

    chaos = Chaos(seed, behaviour, fleet, wire, one_redis_server, seconds)
    clients = [Deferred.fromCoroutine(chaos.client(number)) for number in range(CLIENTS)]
    await settled(*clients, Deferred.fromCoroutine(chaos.weather()))
    print(dict(chaos.outcomes), Counter(name for _, _, name in chaos.faults))
    most = max((count for _, _, count, _ in behaviour.crowds), default=1)
    print(f"at most {most} fetches of one key at once")

    assert chaos.wrong == [], (seed, chaos.faults)
    assert chaos.crowded() == [], (seed, chaos.faults)
    # With Redis away or its leases forgotten each process fetches for itself; one that stands still is given a second.
    assert most <= 2 * len(fleet), (seed, behaviour.crowds)
    # How many there are is the machine's, how they end is ours.
    assert chaos.outcomes.total() > CLIENTS * seconds, chaos.outcomes
    assert 2 * chaos.outcomes["200"] > chaos.outcomes.total(), chaos.outcomes
    for process, had in zip(fleet, before, strict=True):
        # The connections it keeps to its origin are all that may be left.
        await until(lambda: not any(behaviour.in_progress.values()), 30)
        wire.cut()
        await process.life.idle(had)
    await until(lambda: not leases(one_redis_server), 20)
    for process in fleet:
        assert await process.life.leave() == 0
        assert b"Traceback" not in process.life.errors, process.life.errors.decode()


def leases(redis: RedisServer) -> list[bytes]:
    """The leases that stand: a back-off after a failed refresh has the name of a lease, and begins with ``b:``."""
    names: list[bytes] = redis.command("KEYS", "*}:l*")
    return [name for name in names if not (redis.command("GET", name) or b"b:").startswith(b"b:")]
