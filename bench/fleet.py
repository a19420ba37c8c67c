"""Throughput and origin hits for 1, 2 and 4 processes on one socket and one Redis.

``python -m bench.fleet [SECONDS]`` starts an origin, and for each number of workers a proxy and two processes of
clients; every client asks for keys of a common set over a kept connection. A table comes out: requests a second,
requests that reached the origin (each key once is the least), the slowest answer to a cold key asked by all, and
how the workers shared 10,000 connections of one request each (by the time they took) and 400 that were kept open. On
few cores clients and proxies share them: compare the rows, not machines.
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
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from tests.fleet.processes import Origin, Proxy, ask, owners, together

__all__ = ["main"]

KEYS, CLIENTS, CROWD = 500, 8, 50
BRIEF, AT_ONCE, KEPT = 10_000, 32, 400


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


if __name__ == "__main__":
    main(sys.argv[1:])
