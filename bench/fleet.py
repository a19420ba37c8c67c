"""Throughput and origin hits for 1, 2 and 4 processes on one socket and one Redis.

``python -m bench.fleet [SECONDS]`` starts an origin, and for each number of workers a proxy and two processes of
clients; every client asks for keys of a common set over a kept connection. A table comes out: requests a second,
requests that reached the origin (each key once is the least), the slowest answer to a cold key asked by all, and
how the workers shared 10,000 connections of one request each (by the time they took) and 400 that were kept open. On
few cores clients and proxies share them: compare the rows, not machines.

Then two proxies apart, on one Redis: the slowest answer to a cold key that 50 clients ask each of them for, how long a
purge that one has answered for is not known to the other, and how long after the origin has sent a chunk it is with a
client of the process that fetches and of the one that reads along.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from tests.fleet.processes import Origin, Proxy, ask, owners, together
from txstalecache.store.redisserver import find_server

__all__ = ["main"]

KEYS, CLIENTS, CROWD = 500, 8, 50
BRIEF, AT_ONCE, KEPT = 10_000, 32, 400
PURGES, CHUNKS, APART = 50, 20, 0.1
TOKEN = "a-token-of-some-length"


def load(port: int, seconds: float) -> int:
    """How many answers ``CLIENTS`` connections get in ``seconds``, one after the other in turns."""
    connections = [HTTPConnection("127.0.0.1", port, timeout=20) for _ in range(CLIENTS)]
    count, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        for connection in connections:
            connection.request("GET", f"/k{count % KEYS}")
            reply = connection.getresponse()
            reply.read()
            assert reply.status == 200, reply.status
            count += 1
    for connection in connections:
        connection.close()
    return count


async def brief(port: int) -> None:
    """``BRIEF`` connections of one request each, ``AT_ONCE`` at a time."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def one() -> None:
        async with turns:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /k0 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).startswith(b"HTTP/1.1 200")
            writer.close()

    await asyncio.gather(*[one() for _ in range(BRIEF)])


def busy(process: int) -> int:
    """Ticks that ``process`` has had of the processor."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def shares(port: int, processes: list[int]) -> tuple[str, str]:
    """How ``processes`` share brief connections and kept ones, in percent, the least first."""
    before = [busy(process) for process in processes]
    asyncio.run(brief(port))
    took = [busy(process) - had for process, had in zip(processes, before, strict=True)]
    kept = [socket.create_connection(("127.0.0.1", port), 20) for _ in range(KEPT)]
    time.sleep(1.0)
    owned = list(owners(port, processes).values())
    for one in kept:
        one.close()
    return _percent(took), _percent([owned.count(process) for process in processes])


def _percent(parts: list[int]) -> str:
    return " ".join(f"{100 * part / sum(parts):.0f}" for part in sorted(parts))


def row(workers: int, seconds: float) -> tuple[float, int, float, int, tuple[str, str]]:
    """One line of the table."""
    origin = Origin()
    with tempfile.TemporaryDirectory() as directory:
        number = ("--workers", str(workers))
        proxy = Proxy(Path(directory), "--origin", origin.url, "--access-log", "none", *number)
        try:
            processes = proxy.workers(workers) if workers > 1 else [proxy.process.pid]
            ask(proxy.port, "/ready")
            origin.hits.clear()
            command = [sys.executable, "-m", "bench.fleet", "--load", str(proxy.port), str(seconds)]
            clients = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
            total = sum(json.loads(client.communicate(timeout=seconds + 60)[0]) for client in clients)
            hits = len(origin.hits)
            origin.hits.clear()
            origin.delay = 1.0
            results = together([partial(ask, proxy.port, "/cold") for _ in range(CROWD)])
            slowest = max(taken for _, taken in results) - origin.delay
            cold = len(origin.hits)
            shared = shares(proxy.port, processes)
        finally:
            proxy.end()
            origin.close()
    return total / seconds, hits, slowest, cold, shared


def purged(one: Proxy, two: Proxy) -> list[float]:
    """How long after ``one`` has answered for a purge ``two`` goes on sending what was purged."""
    took = []
    for _ in range(PURGES):
        old = ask(two.port, "/purged")[2]
        said = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        assert ask(one.admin, "/v1/purge", "POST", '{"scope": "url", "value": "/purged"}', **said)[0] == 200
        began = time.monotonic()
        while ask(two.port, "/purged")[2] == old:
            pass
        took.append(time.monotonic() - began)
    return took


def read_along(one: Proxy, two: Proxy, origin: Origin) -> tuple[list[float], list[float]]:
    """How long after the origin has sent each of ``CHUNKS`` it is with a client of ``one``, and with one of ``two``."""
    sent: list[float] = []

    def drip() -> Iterator[bytes]:
        for number in range(CHUNKS):
            time.sleep(APART if number else 1.0)  # until the others wait
            sent.append(time.monotonic())
            yield b"chunk %02d\n" % number

    def read(proxy: Proxy, after: float) -> list[float]:
        time.sleep(after)
        with closing(HTTPConnection("127.0.0.1", proxy.port, timeout=20)) as connection:
            connection.request("GET", "/drip", headers={"Host": "localhost"})
            reply = connection.getresponse()
            came = [time.monotonic() for _ in range(CHUNKS) if reply.read(9)]
        return [at - then for at, then in zip(came, sent, strict=True)]

    origin.chunks = drip
    (here, _), (there, _) = together([partial(read, one, 0.0), partial(read, two, 0.3)])
    origin.chunks = None
    assert origin.hits.count("/drip") == 1
    return here, there


def apart() -> None:
    """The second part."""
    origin = Origin()
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        (place / "token").write_text(TOKEN)
        command = [find_server(), "--port", "0", "--unixsocket", f"{directory}/redis.sock", "--save", ""]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        admin = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(place / "token"))
        redis = ("--redis", f"unix://{directory}/redis.sock", "--access-log", "none")
        proxies = [Proxy(place, "--origin", origin.url, *redis, *admin) for _ in range(2)]
        try:
            one, two = proxies
            while ask(one.port, "/ready")[2] != ask(two.port, "/ready")[2]:
                time.sleep(0.1)
            origin.hits.clear()
            origin.delay = 1.0
            results = together([partial(ask, proxy.port, "/cold") for proxy in proxies for _ in range(CROWD)])
            slowest = max(taken for _, taken in results) - origin.delay
            origin.delay = 0.0
            print(f"two on one Redis, a cold crowd of {len(results)}: {slowest:.3f} s behind, {len(origin.hits)} hits")
            took = purged(one, two)
            print(f"{PURGES} purges, until they held elsewhere: {_milliseconds(took)}")
            here, there = read_along(one, two, origin)
            print(f"{CHUNKS} chunks: {_milliseconds(here)} where they are fetched, {_milliseconds(there)} elsewhere")
        finally:
            for proxy in proxies:
                proxy.end()
            server.kill()
            server.wait()
            origin.close()


def _milliseconds(taken: list[float]) -> str:
    return f"median {median(taken) * 1000:.1f} ms, at most {max(taken) * 1000:.1f} ms"


def main(arguments: list[str]) -> None:
    """See the module."""
    if arguments[:1] == ["--load"]:
        print(load(int(arguments[1]), float(arguments[2])))
        return
    seconds = float(arguments[0]) if arguments else 5.0
    print(f"{os.cpu_count()} cores, {seconds:g} s each, {KEYS} keys, {2 * CLIENTS} connections")
    print("workers  requests/s  origin hits  cold crowd: behind origin, origin hits  brief, %      kept, %")
    for workers in (1, 2, 4):
        rate, hits, slowest, cold, (short, long) = row(workers, seconds)
        print(f"{workers:7d}  {rate:10.0f}  {hits:11d}  {slowest:25.3f} s, {cold:11d}  {short:13s}  {long}")
    apart()


if __name__ == "__main__":
    main(sys.argv[1:])
