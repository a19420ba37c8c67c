"""What a lookup costs as the store grows: ``python -m bench.lookup [most] [lookups]`` (1,000 to 1,000,000 entries,
20,000 lookups by default).

In microseconds of the processor, so that other work on the machine counts for little. Memory: one ``peek``, of keys
among all, and of 1,000 of them only: the same steps, but what they touch stays in the processor's caches. Redis: one
lookup, 64 at a time, the memory tier off; ours and the server's part. Each line is the median of five runs and their
spread. A flat column is the point: the last line over the first is printed. What a busy machine made too late to be
found is counted, and Redis is waited for until it answers again.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Generator
from statistics import median
from typing import Any

from twisted.internet.defer import Deferred, gatherResults, inlineCallbacks
from twisted.internet.task import deferLater, react

from tests.support.redis import RedisServer, redis_binaries
from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.store import StoreService, open_store

RUNS = 5
AT_ONCE = 64
REQUEST = RequestHead(b"GET", b"/", Fields(((b"Host", b"h"),)), b"http", b"h")
FOREVER = Freshness(initial_age=0.0, lifetime=86400.0)
FIELDS = Fields(((b"Date", b"Mon, 23 Nov 2026 00:00:00 GMT"), (b"Content-Type", b"text/plain")))


def key(number: int) -> Key:
    return Key((b"http", b"h", b"/%d" % number), b"h", b"/%d" % number)


def entry(number: int, now: float) -> Entry:
    return Entry(
        status=200, fields=FIELDS, body=(b"%064d" % number,), request_time=now, response_time=now, freshness=FOREVER
    )


def fill(service: StoreService, start: int, stop: int) -> None:
    now = service.store.now()
    for number in range(start, stop):
        service.store.put(key(number), entry(number, now), 86400.0)


def told(name: str, figures: list[float]) -> float:
    middle = median(figures)
    print(f"  {name:24} {middle:10.2f} us  ({min(figures):.2f} to {max(figures):.2f})", flush=True)
    return middle


def peeks(service: StoreService, size: int, count: int) -> float:
    keys = [key(number) for number in random.choices(range(size), k=count)]
    start = time.process_time()
    for one in keys:
        assert service.store.peek(one, REQUEST) is not None
    return (time.process_time() - start) / count * 1e6


def busy(server: RedisServer) -> float:
    """Seconds of the processor that ``server`` has had."""
    said = dict(line.split(":") for line in server.command("INFO", "cpu").decode().splitlines() if ":" in line)
    return float(said["used_cpu_user"]) + float(said["used_cpu_sys"])


@inlineCallbacks
def there(reactor: Any, service: StoreService) -> Generator[Deferred[Any], Any, None]:
    """Redis can be asked. While it cannot, everything is answered at once, and without this the reactor would not have
    a turn in which Redis is tried again."""
    while service.degraded:
        yield deferLater(reactor, 0.01)


@inlineCallbacks
def filled(reactor: Any, service: StoreService, start: int, stop: int) -> Generator[Deferred[Any], Any, None]:
    """All of it is there."""
    before = -1
    while before != service.store.unwritten:
        yield there(reactor, service)
        before = service.store.unwritten
        fill(service, start, stop)
        yield service.store.flush()


@inlineCallbacks
def lookups(
    reactor: Any, service: StoreService, server: RedisServer, size: int, count: int
) -> Generator[Deferred[Any], Any, tuple[float, float]]:
    keys = [key(number) for number in random.choices(range(size), k=count)]
    start, theirs, lost = time.process_time(), busy(server), 0
    for at in range(0, count, AT_ONCE):
        yield there(reactor, service)
        found = yield gatherResults([service.store.lookup(one, REQUEST) for one in keys[at : at + AT_ONCE]])
        lost += sum(one.entry is None for one in found)
    if lost:
        print(f"  {lost} of {count} came too late")
    return (time.process_time() - start) / count * 1e6, (busy(server) - theirs) / count * 1e6


@inlineCallbacks
def growing(
    reactor: Any, service: StoreService, sizes: list[int], names: tuple[str, ...], measure: Callable[[int], Any]
) -> Generator[Any, Any, None]:
    before = 0
    figures: list[list[float]] = [[] for _ in names]
    for size in sizes:
        for start in range(before, size, 2000):
            yield filled(reactor, service, start, min(size, start + 2000))
        before = size
        runs = []
        for _ in range(RUNS):
            runs.append((yield measure(size)))
        for name, each, column in zip(names, zip(*runs, strict=True), figures, strict=True):
            column.append(told(f"{name}, {size:,}", list(each)))
    for name, column in zip(names, figures, strict=True):
        print(f"  {name}: the last over the first: {column[-1] / column[0]:.2f}")


@inlineCallbacks
def main(reactor: Any, most: str = "1000000", each: str = "20000") -> Generator[Any, Any, None]:
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= int(most)]
    count = int(each)
    print("memory")
    memory = open_store(reactor, redis="memory", memory=8 << 30)
    yield growing(reactor, memory, sizes, ("peek",), lambda size: (peeks(memory, size, count),))
    told(f"peek, {min(sizes):,} of {max(sizes):,}", [peeks(memory, min(sizes), count) for _ in range(RUNS)])
    memory.memory.clear()
    print("redis")
    binaries = redis_binaries()
    server = RedisServer(binaries[max(binaries)], "--maxmemory", "4gb", "--maxmemory-policy", "allkeys-lru")
    server.start()
    redis = open_store(reactor, redis=server.url, memory=0)
    redis.startService()
    yield redis.ready()
    yield growing(
        reactor, redis, sizes, ("ours", "the server's"), lambda size: lookups(reactor, redis, server, size, count)
    )
    yield redis.stopService()
    server.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
