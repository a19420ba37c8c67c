"""Two processes on one listening socket: the old one leaves under two hundred requests a second, and none is lost."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.test_chaos import leases
from tests.support.async_test import async_test
from tests.support.client import NoReply, connect
from tests.support.origin import Answer, Chunk, Head, Request, ScriptedOrigin, Sleep
from tests.support.process import PROXY, activated, environment
from tests.support.proxy import later, settled, until
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow

CLIENTS = 20
EACH = 10
"""Requests per second."""


def start(listening: socket.socket, origin: str, redis: str, workers: int, log: Path) -> subprocess.Popen[bytes]:
    """A proxy of so many ``workers`` that takes ``listening`` over as systemd hands a socket over."""
    listen = "systemd:domain=INET:index=0"
    command = [*PROXY["twistd"], "--origin", origin, "--redis", redis, "--listen", listen, "--access-log", "none"]
    command += ["--workers", str(workers)]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*activated(listening.fileno()), *command],
            pass_fds=(listening.fileno(),),
            env=environment(),
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=log.parent,
            start_new_session=True,
        )


def slow(request: Request) -> Any:
    body = b"for " + request.target
    yield Sleep(0.05)
    yield Head(200, [("Cache-Control", "no-store"), ("Content-Length", str(len(body)))])
    yield Chunk(body[:2])
    yield Sleep(0.05)
    yield Chunk(body[2:])


async def client(number: int, port: int, going: Any, outcomes: Counter[str]) -> None:
    connection = None
    count = 0
    while going():
        count += 1
        began = time.monotonic()
        target = f"/slow/{number}/{count}" if count % 4 == 0 else f"/{count % 7}"
        try:
            if connection is None or connection.ended:
                connection = await connect(port)
            reply = await connection.request("GET", target)
        except NoReply as error:
            outcomes[f"lost: {error}"[:80]] += 1
            connection = None
            continue
        good = reply.status == 200 and not reply.truncated and reply.body == b"for " + target.encode()
        outcomes["good" if good else f"bad: {reply!r}"[:80]] += 1
        if (reply.field("connection") or b"").lower() == b"close" or number % 2:
            await connection.close()
            connection = None
        await later(max(0.0, 1 / EACH - (time.monotonic() - began)))
    if connection is not None and not connection.ended:
        await connection.close()


@pytest.mark.parametrize("workers", [1, 2])
@async_test
async def test_none_of_two_hundred_requests_a_second_is_lost(
    origin: ScriptedOrigin, one_redis_server: RedisServer, tmp_path: Path, workers: int
) -> None:
    origin.handler = lambda request: (
        slow(request)
        if request.path.startswith("/slow")
        else Answer(200, [("Cache-Control", "max-age=1, stale-while-revalidate=10")], b"for " + request.target)
    )
    # A lease whose grant came too late to be believed runs out by itself: on a busy machine, and not each time.
    left = [b""]
    for number in range(3):
        place = tmp_path / str(number)
        place.mkdir()
        left = await restart(origin, one_redis_server, place, workers)
        if not left:
            break
    assert not left


async def restart(origin: ScriptedOrigin, redis: RedisServer, place: Path, workers: int) -> list[bytes]:
    """A new one takes over from an old one under load, and goes; the leases that still stand."""
    outcomes: Counter[str] = Counter()
    processes: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        port = listening.getsockname()[1]
        try:
            for name in ("old", "new"):
                processes.append(start(listening, origin.url, redis.url, workers, place / name))
                # The first answers alone before the second is there.
                await until(lambda name=name: "listens on" in (place / name).read_text(), 60)  # type: ignore[misc]
            old, new = processes
            going = True
            clients = [
                Deferred.fromCoroutine(client(number, port, lambda: going, outcomes)) for number in range(CLIENTS)
            ]
            await until(lambda: outcomes.total() > 300, 60)
            old.send_signal(signal.SIGTERM)
            await until(lambda: old.poll() is not None, 60)
            told = outcomes.total()
            await until(lambda: outcomes.total() > told + 300, 60)
            going = False
            await settled(*clients)
            assert old.returncode == 0, (place / "old").read_text()
            assert set(outcomes) == {"good"}, outcomes
            new.send_signal(signal.SIGTERM)
            await until(lambda: new.poll() is not None, 60)
            assert new.returncode == 0
            return leases(redis)
        finally:
            going = False
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()
