"""The servers that are compared, beside the service itself: ``python bench/servers.py NAME PORT ORIGIN``.

Serves until it is ended. ``plain``: a Twisted Site with a Resource that has the body at hand. ``reverse``:
``twisted.web.proxy.ReverseProxyResource``. ``origin``: answers in as good as no time, ``/N`` with N bytes, cacheable;
``/stale/N`` is stale after a second, and its refreshes do not end; ``/none/N`` may not be stored. ``ordinary``: ours,
in memory, without the lane.
"""

from __future__ import annotations

import sys
from email.utils import formatdate
from typing import Any, ClassVar
from urllib.parse import urlsplit

from twisted.internet import reactor as installed
from twisted.internet.protocol import Factory, Protocol
from twisted.web.proxy import ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from txstalecache import CacheResource, CacheSite, open_store

reactor: Any = installed


class Plain(Resource):
    """``/N``: N bytes."""

    isLeaf = True

    def render(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        request.setHeader(b"ETag", b'"1"')
        request.setHeader(b"Cache-Control", b"max-age=3600")
        return b"x" * int(request.path[1:])


class Origin(Protocol):
    """The least that can be called an HTTP server."""

    received = b""
    asked: ClassVar[set[bytes]] = set()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        while (end := self.received.find(b"\r\n\r\n")) > 0:
            head, self.received = self.received[:end].lower(), self.received[end + 4 :]
            self.answer(head)

    def answer(self, head: bytes) -> None:
        method, target, version = head.partition(b"\r\n")[0].split(b" ")
        path = target.partition(b"?")[0]
        control = b"max-age=3600"
        if path.startswith(b"/none/"):
            control = b"no-store"
        elif path.startswith(b"/stale/"):
            if path in self.asked:
                return  # a refresh
            self.asked.add(path)
            control = b"max-age=1, stale-while-revalidate=3600"
        size = int(path.rpartition(b"/")[2])
        body = b"x" * size if method == b"get" else b""
        self.transport.write(HEAD % (formatdate(usegmt=True).encode(), control, size) + body)  # type: ignore[union-attr]
        if version == b"http/1.0" or b"\r\nconnection: close" in head:
            self.transport.loseConnection()  # type: ignore[union-attr]


HEAD = b"\r\n".join(
    (
        b"HTTP/1.1 200 OK",
        b"Date: %b",
        b"Content-Type: text/plain",
        b'ETag: "1"',
        b"Cache-Control: %b",
        b"Content-Length: %d",
        b"\r\n",
    )
)


def main(name: str, port: int, origin: str) -> None:
    where = urlsplit(origin)
    site: Any
    if name == "origin":
        site = Factory.forProtocol(Origin)
    elif name == "plain":
        site = Site(Plain())  # type: ignore[no-untyped-call]
    elif name == "reverse":
        site = Site(ReverseProxyResource(where.hostname, where.port, b""))
    else:
        store = open_store(reactor, redis="memory")
        store.startService()
        reactor.addSystemEventTrigger("before", "shutdown", store.stopService)
        site = CacheSite(CacheResource(origin, store), reactor, fast_lane=False)
    site.noisy = False
    reactor.listenTCP(port, site, backlog=1024, interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
