"""What a request costs beneath the edge: ``python bench/below.py [N] [--only NAME] [--profile]``.

Microseconds of this process' CPU for each of N requests, 32 at a time, with a real Redis and an origin that answers at
once in processes of their own: ``miss`` (looked up, fetched under a lease, stored), ``memory`` (the same without a
Redis), ``alone`` (after a hit-for-miss marker: fetched for one client, not stored), ``hit`` (found in Redis, the memory
tier off). The median of five rounds and their spread; with ``--profile``, where it goes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react

from txstalecache.flight.body import Reader
from txstalecache.flight.landing import Attached, Landing
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.registry import Registry
from txstalecache.http import forward
from txstalecache.http.fields import format_date
from txstalecache.http.keys import DEFAULT_TEMPLATE
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Rules
from txstalecache.origin.http import HttpOrigin
from txstalecache.store import StoreService, open_store
from txstalecache.store.interfaces import NOTHING, Found

reactor: Any = installed

AT_ONCE, ROUNDS = 32, 5
ASKED = Fields([(b"Host", b"www.example.com"), (b"User-Agent", b"below"), (b"Accept", b"*/*")])
BODY = b"x" * 1024
ANSWER = (
    b'HTTP/1.1 200 OK\r\nServer: below\r\nDate: %b\r\nContent-Type: text/plain\r\nETag: "1"\r\n'
    b"Cache-Control: max-age=36000\r\nContent-Length: %d\r\n\r\n%b"
) % (format_date(time.time()), len(BODY), BODY)


class Answering(Protocol):
    """Answers whatever ends a head."""

    def dataReceived(self, data: bytes) -> None:
        if data.endswith(b"\r\n\r\n"):
            self.transport.write(ANSWER)  # type: ignore[union-attr]


def serve() -> None:
    port = reactor.listenTCP(0, Factory.forProtocol(Answering), backlog=1024, interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


class Client:
    """One of those who ask, one request after the other; ``plans`` are ready beforehand, as that is the edge's work."""

    def __init__(self, store: StoreService, registry: Registry | None, plans: Iterator[Plan]) -> None:
        self._store = store.store
        self._registry = registry
        self._plans = plans
        self._plan: Plan | None = None
        self.done: Deferred[None] = Deferred()
        self.read = 0

    def next(self, _: object = None) -> None:
        plan = self._plan = next(self._plans, None)
        if plan is None:
            self.done.callback(None)
            return
        found = self._store.peek(plan.key, plan.request) if plan.sharing.shared else NOTHING
        if found is not None:
            self._found(found)
        else:
            self._store.lookup(plan.key, plan.request).addCallback(self._found)

    def _found(self, found: Found) -> None:
        plan, registry = self._plan, self._registry
        assert plan is not None
        if registry is None:
            assert found.entry is not None
            # Not from here: what is found at once would call ever deeper.
            reactor.callLater(0, self.next)
            return
        assert found.entry is None
        landing = registry.join(plan)[0] if plan.sharing.shared else registry.solo(plan)
        landing.addCallback(self._landed)

    def _landed(self, landing: Landing) -> None:
        assert isinstance(landing, Attached), landing
        self.read = 0
        Reader(landing.body, self).start()

    def write(self, data: bytes) -> None:
        self.read += len(data)

    def delivered(self) -> None:
        assert self.read == len(BODY)
        reactor.callLater(0, self.next)

    def cut(self) -> None:
        raise AssertionError("cut")


def plans(name: str, count: int) -> list[Plan]:
    """What is asked for, as the edge would ask for it; the digests of the keys are not worked out yet."""
    made = []
    for number in range(count):
        head = RequestHead(b"GET", b"/%b-%d" % (name.encode(), number), ASKED, b"http", b"www.example.com")
        fetch = replace(head, fields=forward.shared(head, frozenset()))
        sharing = Sharing.SOLO if name.startswith("alone") else Sharing.SHARED
        made.append(Plan(key=DEFAULT_TEMPLATE.key(head), request=head, fetch=fetch, rules=Rules(), sharing=sharing))
    return made


@inlineCallbacks
def crowd(store: StoreService, registry: Registry | None, asked: list[Plan]) -> Generator[Deferred[Any], Any, None]:
    iterator = iter(asked)
    clients = [Client(store, registry, iterator) for _ in range(AT_ONCE)]
    for client in clients:
        client.next()
    for client in clients:
        yield client.done


def speed() -> float:
    """How long this machine takes just now for something that never changes, in milliseconds."""
    start = time.process_time()
    for _ in range(20):
        sorted([str(number) for number in range(5000)])
    return (time.process_time() - start) * 1000


@inlineCallbacks
def run(name: str, count: int, profile: bool, port: int) -> Generator[Deferred[Any], Any, None]:
    redis = "memory" if name in ("memory", "alone") else "embedded"
    store = open_store(reactor, redis=redis, memory=0 if name == "hit" else 64 << 20, embedded=1 << 30)
    store.startService()
    yield store.ready()
    origin = HttpOrigin(reactor, f"http://127.0.0.1:{port}")
    registry: Registry | None = Registry(reactor, origin, store.store, store.leases)
    yield crowd(store, registry, plans(name, count))
    yield store.store.flush()
    if name == "hit":
        registry = None
    costs, rates = [], []
    for number in range(1, ROUNDS + 1):
        asked = plans(name if name == "hit" else f"{name}-{number}", count)
        rates.append(speed())
        start = time.process_time()
        yield crowd(store, registry, asked)
        costs.append((time.process_time() - start) / count * 1e6)
    figures = f"{median(costs):7.1f} us  ({min(costs):.1f} to {max(costs):.1f})"
    print(f"{name:8} {figures}   the machine: {median(rates):.1f} ms", flush=True)
    if profile:
        asked = plans(name if name == "hit" else f"{name}-0", count)
        profiler = cProfile.Profile(time.process_time)
        profiler.enable()
        yield crowd(store, registry, asked)
        profiler.disable()
        pstats.Stats(profiler).sort_stats("tottime").print_stats(60)
    yield origin.close()
    yield store.stopService()


@inlineCallbacks
def main(reactor: object, options: argparse.Namespace) -> Generator[Deferred[Any], Any, None]:
    with subprocess.Popen([sys.executable, __file__, "--serve"], stdout=subprocess.PIPE) as origin:
        assert origin.stdout is not None
        port = int(origin.stdout.readline())
        try:
            for name in ("miss", "memory", "alone", "hit"):
                if options.only in name:
                    yield run(name, options.count, options.profile, port)
        finally:
            origin.terminate()


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("count", nargs="?", type=int, default=4000)
    arguments.add_argument("--only", default="")
    arguments.add_argument("--profile", action="store_true")
    arguments.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    chosen = arguments.parse_args()
    if chosen.serve:
        serve()
    else:
        react(main, (chosen,))
