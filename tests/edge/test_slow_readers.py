"""Who takes an answer slowly gets all of it, however long that takes; who takes nothing of it is cut off.

A real socket with little room on a clock of the test's own; what does not fit waits in Twisted's transport.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.defer import succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.edge.test_outlet import Line, Turns
from tests.support.held_origin import HeldResponse
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.origin.interfaces import IOrigin, OriginRequest
from txstalecache.store import open_store

LIMITS = EdgeLimits(connections=10, idle=5.0, stall=30.0)
#: Bytes that are taken at a time, and the seconds between: longer than a connection may idle.
PIECE, APART = 4000, 9.0


@implementer(IOrigin)
class Origin:
    """``/N``: N bytes, fresh."""

    def fetch(self, request: OriginRequest) -> Any:
        size = int(request.head.path[1:])
        told = [(b"Cache-Control", b"max-age=60000"), (b"Content-Length", b"%d" % size)]
        response = HeldResponse(ResponseHead(200, Fields([(b"Date", b"Fri, 15 Jan 2027 08:00:00 GMT"), *told])), size)
        response.send(b"x" * size)
        response.end()
        return succeed(response)

    def close(self) -> Any:
        return succeed(None)


@implementer(IReactorTime)
class Timed(Turns, Clock):
    """One whose time is the test's as well."""

    def __init__(self) -> None:
        Turns.__init__(self)
        Clock.__init__(self)


class Slow(Line):
    """A client of a cache that takes what it is sent a piece at a time."""

    def __init__(self, fast_lane: bool) -> None:
        super().__init__()
        self.clock: Any = Timed()
        self.transport.reactor = self.reactor = self.clock
        store = open_store(self.clock, redis="memory")
        store.clock.measured(1_800_000_000.0, 0.0, 0.0)
        self.resource = CacheResource(Origin(), store, reactor=self.clock)
        site = CacheSite(self.resource, self.clock, limits=LIMITS, fast_lane=fast_lane)
        self.channel: Any = site.buildProtocol(None)
        self.transport.protocol = self.channel
        self.transport.setTcpNoDelay = lambda _: None  # it is a pair of unix sockets
        self.channel.makeConnection(self.transport)
        self.taken = b""

    def ask(self, size: int, fields: bytes = b"") -> None:
        self.channel.dataReceived(b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (size, fields))

    def warm(self, *sizes: int) -> None:
        for size in sizes:
            self.ask(size)
            self.heard()

    def take(self, most: int = PIECE) -> bool:
        """Take what comes next; whether the connection is still there."""
        self.reactor.turn()
        try:
            data = self.far.recv(most)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self.taken += data
        return bool(data)

    def take_all(self) -> None:
        """Go on as long as there is something; then wait for more than long enough."""
        idle = 0
        while idle < 4:
            before = len(self.taken)
            if not self.take():
                return
            idle = 0 if len(self.taken) > before else idle + 1
            self.clock.advance(APART)


@pytest.fixture(params=[True, False], ids=["lane", "ordinary"])
def slow(request: pytest.FixtureRequest) -> Iterator[Slow]:
    slow = Slow(request.param)
    yield slow
    slow.transport.abortConnection()
    slow.clock.advance(1)
    slow.resource.close()
    slow.near.close()
    slow.far.close()


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
@pytest.mark.parametrize("size", [60_000, 400_000])
def test_who_takes_an_answer_slowly_gets_all_of_it(slow: Slow, size: int, fields: bytes) -> None:
    slow.warm(size)
    slow.ask(size, fields)
    slow.take_all()
    body = slow.taken.partition(b"\r\n\r\n")[2]
    assert len(body) == size


def test_requests_behind_an_answer_that_is_taken_slowly_are_answered(slow: Slow) -> None:
    slow.warm(60_000, 10)
    for _ in range(3):
        slow.ask(60_000)
    slow.ask(10)
    slow.take_all()
    assert slow.taken.count(b"HTTP/1.1 200 ") == 4
    assert slow.taken.endswith(b"\r\n\r\n" + b"x" * 10)


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"], ids=["kept", "closed"])
@pytest.mark.parametrize("size", [60_000, 400_000])
def test_who_takes_nothing_more_of_it_is_cut_off(slow: Slow, size: int, fields: bytes) -> None:
    slow.warm(size)
    slow.ask(size, fields)
    for _ in range(4):
        assert slow.take()
        slow.clock.advance(APART)
    slow.reactor.turn()
    # It is looked at every ``stall`` seconds: once for what has been taken, once more for what has not.
    for _ in range(9):
        slow.clock.advance(LIMITS.stall / 4)
    assert slow.transport.disconnected
