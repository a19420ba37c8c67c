"""What a lookup costs as the store grows: ``python bench/lookup.py [most]`` (1,000 to 1,000,000 entries by default).

Memory: microseconds of one ``peek``, of keys among all and of 1,000 of them only: the same steps, but what they touch
stays in the processor's caches. Redis: lookups a second on one connection, 64 at a time, the memory tier off. Each line
is the median of five runs and their spread. A flat column is the point: the last line over the first is printed. What a
busy machine made too late to be found is counted, and Redis is waited for until it answers again.
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

from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.store import StoreService, open_store

RUNS = 5
LOOKUPS = 20_000
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


def told(name: str, figures: list[float], unit: str) -> float:
    middle = median(figures)
    print(f"  {name:24} {middle:10.2f} {unit}  ({min(figures):.2f} to {max(figures):.2f})", flush=True)
    return middle


def peeks(service: StoreService, size: int) -> float:
    keys = [key(number) for number in random.choices(range(size), k=LOOKUPS)]
    start = time.perf_counter()
    for one in keys:
        assert service.store.peek(one, REQUEST) is not None
    return (time.perf_counter() - start) / LOOKUPS * 1e6


@inlineCallbacks
def lookups(reactor: Any, service: StoreService, size: int) -> Generator[Deferred[Any], Any, float]:
    keys = [key(number) for number in random.choices(range(size), k=LOOKUPS)]
    start, lost = time.perf_counter(), 0
    for at in range(0, LOOKUPS, AT_ONCE):
        while service.degraded:
            # Lookups are answered at once then, and the reactor would not have a turn in which Redis is tried again.
            yield deferLater(reactor, 0.01)
        found = yield gatherResults([service.store.lookup(one, REQUEST) for one in keys[at : at + AT_ONCE]])
        lost += sum(one.entry is None for one in found)
    if lost:
        print(f"  {lost} of {LOOKUPS} came too late")
    return LOOKUPS / (time.perf_counter() - start)


@inlineCallbacks
def growing(
    service: StoreService, sizes: list[int], measure: Callable[[int], Any], name: str, unit: str
) -> Generator[Any, Any, None]:
    before, figures = 0, []
    for size in sizes:
        for start in range(before, size, 2000):
            fill(service, start, min(size, start + 2000))
            yield service.store.flush()
        before = size
        runs = []
        for _ in range(RUNS):
            runs.append((yield measure(size)))
        figures.append(told(f"{name}, {size:,}", runs, unit))
    print(f"  the last over the first: {figures[-1] / figures[0]:.2f}")


@inlineCallbacks
def main(reactor: Any, most: str = "1000000") -> Generator[Any, Any, None]:
    sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= int(most)]
    print("memory")
    memory = open_store(reactor, redis="memory", memory=8 << 30)
    yield growing(memory, sizes, lambda size: peeks(memory, size), "peek", "us")
    few = [peeks(memory, min(sizes)) for _ in range(RUNS)]
    told(f"peek, {min(sizes):,} of {max(sizes):,}", few, "us")
    memory.memory.clear()
    print("redis")
    redis = open_store(reactor, redis="embedded", memory=0, embedded=4 << 30)
    redis.startService()
    yield redis.ready()
    yield growing(redis, sizes, lambda size: lookups(reactor, redis, size), "lookup", "/s")
    yield redis.stopService()


if __name__ == "__main__":
    react(main, sys.argv[1:])
