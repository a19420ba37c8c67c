"""A process that holds a lease until it is killed: ``python -m tests.store.holder URL NAME``."""

from __future__ import annotations

import sys

from twisted.internet import reactor

from txstalecache.store import open_store
from txstalecache.store.interfaces import Purpose


def main(url: str, name: str) -> None:
    backend = open_store(reactor, redis=url, prefix="test:")
    backend.startService()
    backend.ready().addCallback(lambda _: backend.leases.acquire(name, Purpose.FETCH)).addCallback(
        lambda lease: print("held" if lease is not None else "not held", flush=True)
    )
    reactor.callLater(30, reactor.stop)
    reactor.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
