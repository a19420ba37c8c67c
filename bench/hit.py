"""Where the time of a hit goes: ``python bench/hit.py [CALLS]``. Microseconds for each part, the best of several runs
of so many calls (5,000).

On a socket pair, without a reactor: what the reactor adds (waiting for events, reading, calling) is the rest of what
``bench/compare.py`` measures.
"""

from __future__ import annotations

import socket
import sys
from timeit import Timer
from typing import Any

from policy import BROWSER
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, succeed
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from zope.interface import implementer

from txstalecache import CacheResource, CacheSite, open_store
from txstalecache.edge.asked import HeadReader
from txstalecache.edge.heads import examine
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.outlet import Outlet
from txstalecache.http.admission import admit, make_entry
from txstalecache.http.keys import DEFAULT_TEMPLATE
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.http.rules import Rules
from txstalecache.http.verdict import Store
from txstalecache.origin.interfaces import IOrigin

reactor: Any = installed

BARE = b"GET /1024 HTTP/1.1\r\nHost: www.example.com\r\n\r\n"
FULL = b"GET /1024 HTTP/1.1\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in BROWSER) + b"\r\n"


@implementer(IOrigin)
class Nowhere:
    """An origin that is not asked."""

    def fetch(self, request: object) -> Deferred[Any]:
        return Deferred()

    def close(self) -> Deferred[None]:
        return succeed(None)


def main(calls: int = 5000) -> int:
    store = open_store(reactor, redis="memory")
    site = CacheSite(CacheResource(Nowhere(), store), reactor)
    reader = HeadReader(EdgeLimits(), b"http")
    head = reader.read(BARE)
    assert head is not None
    now = store.store.now()
    answer = ResponseHead(200, Fields([(b"Cache-Control", b"max-age=36000"), (b"Content-Type", b"text/plain")]))
    admission = admit(head, answer, Rules(), (now, now))
    assert isinstance(admission, Store)
    entry = make_entry(head, answer, (b"x" * 1024,), admission, (now, now))
    store.store.put(DEFAULT_TEMPLATE.key(head), entry, 36000.0)

    near, far = socket.socketpair()
    near.setblocking(False)
    far.settimeout(5)
    # As for a connection of the reactor's: written to the socket itself.
    transport: Any = Server.__new__(Server)
    transport.socket, transport._tempDataLen, transport.dataBuffer, transport.disconnecting = near, 0, b"", 0
    transport.client = ("127.0.0.1", 0)

    def channel_of(site: CacheSite) -> Any:
        channel: Any = site.buildProtocol(None)
        channel.makeConnection(StringTransport())
        channel.transport = transport
        channel._outlet = Outlet(transport)
        channel.put = channel._outlet.put
        return channel

    channel = channel_of(site)
    ordinary = channel_of(CacheSite(site.resource, reactor, fast_lane=False))

    def hit() -> None:
        channel.dataReceived(BARE)
        far.recv(65536)

    def without_the_lane() -> None:
        ordinary.dataReceived(BARE)
        far.recv(65536)

    data = b"x" * 1280

    def through() -> None:
        near.send(data)
        far.recv(65536)

    lane = site.lane(b"http")
    assert lane is not None
    asked = lane._asked(BARE)
    assert asked is not None

    def made_anew() -> None:
        made = lane._find(asked, now)
        assert made is not None
        made.until = 0.0

    def read_anew(data: bytes) -> None:
        reader.forget()
        reader.read(data)

    parts = (
        ("a hit, written and taken from the socket", hit),
        ("of it: the socket (send and recv of 1,280 bytes)", through),
        ("a head of 2 lines, not seen before", lambda: read_anew(BARE)),
        ("a head of 13 lines, not seen before", lambda: read_anew(FULL)),
        ("with the 13 lines seen before, asking for another", lambda: reader.read(FULL)),
        ("the same by the ordinary parser", lambda: examine(FULL, EdgeLimits())),
        ("an answer made anew (a few times a second)", made_anew),
        ("a hit by the straight line of the resource", without_the_lane),
    )
    for name, call in parts:
        timer = Timer(call)
        best = min(timer.repeat(7, calls)) / calls * 1e6
        print(f"{name:<52}{best:>7.2f} us")
    near.close()
    far.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
