"""Many clients in a process of their own: ``python -m tests.load.client_process PORT COUNT [BYTES_PER_SECOND SLOW]``.

Connects COUNT times, then says ``connected``. After a line on standard input each sends one request for ``/x``; SLOW
of them read no faster than BYTES_PER_SECOND. When the others have ended, one line of JSON about them: how many were
answered whole, the digests of the bodies, when the last had its last byte (``time.monotonic``). When all have ended,
the same about all.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import resource
import sys
import time

REQUEST = b"GET /x HTTP/1.1\r\nHost: localhost\r\nUser-Agent: load\r\nAccept: */*\r\n\r\n"


class Client:
    """One connection and its one request."""

    def __init__(self, rate: int | None) -> None:
        self.rate = rate
        self.status = 0
        self.digest = hashlib.sha256()
        self.length = 0
        self.whole = False
        self.done = 0.0

    async def connect(self, port: int) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", port, limit=64 * 1024)

    async def ask(self) -> None:
        try:
            self.writer.write(REQUEST)
            head = await self.reader.readuntil(b"\r\n\r\n")
            self.status = int(head.split()[1])
            lines = head.lower().split(b"\r\n")
            announced = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
            while self.length < announced:
                data = await self.reader.read(64 * 1024)
                if not data:
                    break
                self.length += len(data)
                self.digest.update(data)
                if self.rate is not None:
                    await asyncio.sleep(len(data) / self.rate)
            self.whole = self.length == announced
        except (OSError, asyncio.IncompleteReadError):
            pass
        self.done = time.monotonic()


def told(clients: list[Client]) -> dict[str, object]:
    """What became of them."""
    return {
        "statuses": sorted({client.status for client in clients}),
        "whole": sum(client.whole for client in clients),
        "digests": sorted({client.digest.hexdigest() for client in clients if client.whole}),
        "done": max(client.done for client in clients),
    }


async def run(port: int, count: int, rate: int, slow: int) -> None:
    clients = [Client(rate if number < slow else None) for number in range(count)]
    for start in range(0, count, 200):
        await asyncio.gather(*[client.connect(port) for client in clients[start : start + 200]])
    print("connected", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    asking = []
    for number, client in enumerate(clients):
        asking.append(asyncio.ensure_future(client.ask()))
        if number % 100 == 99:
            await asyncio.sleep(0)
    quick = [client for client in clients if client.rate is None]
    await asyncio.gather(*[task for task, client in zip(asking, clients, strict=True) if client.rate is None])
    print(json.dumps(told(quick)), flush=True)
    await asyncio.gather(*asking)
    print(json.dumps(told(clients)), flush=True)
    await asyncio.to_thread(sys.stdin.readline)


def main() -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port, count, rate, slow = (int(arg) for arg in [*sys.argv[1:], "0", "0"][:4])
    asyncio.run(run(port, count, rate, slow))


if __name__ == "__main__":
    main()
