"""The servers that are compared, each on one core: ``python bench/servers.py NAME PORT ORIGIN [REDIS]``.

Serves until it is ended. ``plain``: a Twisted Site with a Resource that has the body at hand. ``reverse``:
``twisted.web.proxy.ReverseProxyResource``. ``origin``: answers in no time, cacheable, ``/N`` with N bytes; ``/stale/N``
is stale after a second, and its refreshes do not end. ``ours``, ``ordinary`` (without the lane), ``redis`` (without
the memory tier).
"""

from __future__ import annotations

import sys
from typing import Any
from urllib.parse import urlsplit

from twisted.internet import reactor as installed
from twisted.web.proxy import ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from txstalecache import CacheResource, CacheSite, open_store

reactor: Any = installed


class Bodies(Resource):
    """``/N``: N bytes."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self._asked: set[bytes] = set()

    def render(self, request: Request) -> Any:
        path = request.path
        stale = path.startswith(b"/stale/")
        if stale and path in self._asked:
            return NOT_DONE_YET
        self._asked.add(path)
        request.setHeader(b"Content-Type", b"text/plain")
        request.setHeader(b"ETag", b'"1"')
        if path.startswith(b"/miss"):
            control = b"no-store"
        else:
            control = b"max-age=1, stale-while-revalidate=3600" if stale else b"max-age=3600"
        request.setHeader(b"Cache-Control", control)
        return b"x" * int(path.rpartition(b"/")[2])


def main(name: str, port: int, origin: str, redis: str = "memory") -> None:
    where = urlsplit(origin)
    site: Any
    if name in ("plain", "origin"):
        site = Site(Bodies())
    elif name == "reverse":
        site = Site(ReverseProxyResource(where.hostname, where.port, b""))
    else:
        store = open_store(reactor, redis=redis, memory=0 if name == "redis" else 64 * 1024 * 1024)
        store.startService()
        reactor.addSystemEventTrigger("before", "shutdown", store.stopService)
        site = CacheSite(CacheResource(origin, store), reactor, fast_lane=name != "ordinary")
    site.noisy = False
    reactor.listenTCP(port, site, backlog=1024, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
