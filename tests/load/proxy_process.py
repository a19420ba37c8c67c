"""A proxy in a process of its own, so that its memory is its own: ``python -m tests.load.proxy_process ORIGIN``.

Says ``port N``; then each line on standard input is answered by one of JSON: resident bytes, waiters, flights,
connections. Ends with its standard input.
"""

from __future__ import annotations

import gc
import json
import resource
import sys
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineReceiver

from tests.support.process import resident
from txstalecache.config.routes import Route, Routes
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.flight.clocks import Clocks
from txstalecache.origin.http import HttpOrigin

reactor: Any = _reactor


class Questions(LineReceiver):
    """Answers each line with what the process is like now."""

    delimiter = b"\n"

    def __init__(self, cache: CacheResource, site: CacheSite) -> None:
        self.cache, self.site = cache, site

    def lineReceived(self, line: bytes) -> None:
        gc.collect()
        registry = self.cache.registry
        told = {
            "resident": resident(),
            "waiting": registry.waiting,
            "flights": len(registry.flights),
            "held": registry.held,
            "connections": len(self.site.channels),
        }
        self.sendLine(json.dumps(told).encode())

    def connectionLost(self, reason: object = None) -> None:
        reactor.stop()


def main() -> None:
    """Run until standard input ends."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limits = EdgeLimits(idle=600, request=600, stall=600)
    route = Route(clocks=Clocks(leader_age=300, wait_deadline=300))
    cache = CacheResource(HttpOrigin(reactor, sys.argv[1]), routes=Routes((route,)), reactor=reactor)
    site = CacheSite(cache, reactor, limits=limits)
    port = reactor.listenTCP(0, site, backlog=4096, interface="127.0.0.1")
    StandardIO(Questions(cache, site))
    sys.stdout.write(f"port {port.getHost().port}\n")
    sys.stdout.flush()
    reactor.run()


if __name__ == "__main__":
    main()
