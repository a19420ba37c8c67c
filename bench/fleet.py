"""Throughput and origin hits for 1, 2 and 4 processes on one socket and one Redis.

``python -m bench.fleet [SECONDS]`` starts an origin, and for each number of workers a proxy and two processes of
clients; every client asks for keys of a common set over a kept connection. A table comes out: requests a second,
requests that reached the origin (each key once is the least), and the slowest answer to a cold key asked by all at
once. On few cores clients and proxies share them: compare the rows, not machines.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

from tests.fleet.processes import Origin, Proxy, ask, together

__all__ = ["main"]

KEYS, CLIENTS, CROWD = 500, 8, 50


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


def row(workers: int, seconds: float) -> tuple[float, int, float, int]:
    """One line of the table."""
    origin = Origin()
    with tempfile.TemporaryDirectory() as directory:
        number = ("--workers", str(workers))
        proxy = Proxy(Path(directory), "--origin", origin.url, "--access-log", "none", *number)
        try:
            if workers > 1:
                proxy.workers(workers)
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
        finally:
            proxy.end()
            origin.close()
    return total / seconds, hits, slowest, cold


def main(arguments: list[str]) -> None:
    """See the module."""
    if arguments[:1] == ["--load"]:
        print(load(int(arguments[1]), float(arguments[2])))
        return
    seconds = float(arguments[0]) if arguments else 5.0
    print(f"{os.cpu_count()} cores, {seconds:g} s each, {KEYS} keys, {2 * CLIENTS} connections")
    print("workers  requests/s  origin hits  cold crowd: behind origin, origin hits")
    for workers in (1, 2, 4):
        rate, hits, slowest, cold = row(workers, seconds)
        print(f"{workers:7d}  {rate:10.0f}  {hits:11d}  {slowest:10.3f} s, {cold}")


if __name__ == "__main__":
    main(sys.argv[1:])
