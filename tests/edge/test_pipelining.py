"""Requests that are sent at once on connections in memory: the next one is served within the very call that ends the
one before it, whatever that was, and everything that can happen does so at any time.

Each run is made from its number, so that a failing one can be had again; more of them with ``--long``.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from tests.fuzz.test_requests import answers
from tests.support.held_origin import HeldResponse
from tests.support.transport import Transport
from txstalecache.config.routes import Routes
from txstalecache.edge.channel import Phase
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.flight.limits import Limits
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.observe.accesslog import Record
from txstalecache.origin.interfaces import Fault, IOrigin, IOriginResponse, OriginError, OriginRequest
from txstalecache.store import Hardness, Scope

SEED = 20261128

STATUSES = [200, 200, 200, 200, 404, 503, 413, 304, 204]
SAID: list[list[tuple[bytes, bytes]]] = [
    [(b"Cache-Control", b"max-age=60")],
    [(b"Cache-Control", b"max-age=1, stale-while-revalidate=5")],
    [(b"Cache-Control", b"max-age=1, stale-if-error=60"), (b"ETag", b'"1"')],
    [(b"Cache-Control", b"private")],
    [(b"Cache-Control", b"public, max-age=0")],
    [(b"Cache-Control", b"max-age=60"), (b"Vary", b"Accept")],
]


class Client(Transport):
    """One connection, seen from the network: takes what it is sent, or not, and asks for a lot at once."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.methods: list[bytes] = []
        self.stalled = self.gone = self.aborted = self.ended = False
        self.channel: Any = world.site.buildProtocol(None)
        self.channel.makeConnection(self)

    def write(self, data: bytes) -> None:
        super().write(data)
        if not self.world.calm and not self.stalled and self.producer is not None and self.world.chance.random() < 0.1:
            self.stalled = True
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def takes(self) -> None:
        if self.stalled and not self.gone:
            self.stalled = False
            if self.producer is not None:
                self.producer.resumeProducing()

    def asks(self) -> None:
        chance = self.world.chance
        said = b""
        for _ in range(chance.choice([1, 1, 2, 4])):
            method = chance.choice([b"GET", b"GET", b"GET", b"GET", b"HEAD", b"POST"])
            head = b"%b /%b HTTP/1.1\r\nHost: h\r\n" % (method, chance.choice([b"a", b"a", b"b"]))
            if chance.random() < 0.2:
                head += b"Accept: x\r\n"
            if chance.random() < 0.1:
                head += b"Cache-Control: no-cache\r\n"
            if chance.random() < 0.1:
                head += b"Range: bytes=0-1\r\n"
            if chance.random() < 0.03:
                head += b"Connection: close\r\n"
            body = b""
            if method == b"POST":
                body = b"y" * chance.choice([0, 3, 600])
                if chance.random() < 0.5:
                    head += b"Content-Length: %d\r\n" % len(body)
                else:
                    head += b"Transfer-Encoding: chunked\r\n"
                    body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
                    body += chance.choice([b"0\r\n\r\n"] * 9 + [b"!"])
            said += head + b"\r\n" + body
            self.methods.append(method)
        at = 0
        while at < len(said) and not self.gone:
            size = chance.choice([len(said), 50, 300])
            self.channel.dataReceived(said[at : at + size])
            at += size

    def lose(self, reason: Exception) -> None:
        if not self.gone:
            self.gone = True
            self.channel.connectionLost(Failure(reason))

    def loseConnection(self) -> None:
        self.ended = True
        self.world.clock.callLater(0, self.lose, ConnectionDone())

    def loseWriteConnection(self) -> None:
        self.ended = True

    def abortConnection(self) -> None:
        self.aborted = True
        self.world.clock.callLater(0, self.lose, ConnectionLost())


class Taker:
    """The origin's side of an upload."""

    def __init__(self, world: World, body: IBodyProducer) -> None:
        self._world, self._body = world, body
        self.over = False
        body.startProducing(self).addBoth(self._ended)

    def _ended(self, _: object) -> None:
        self.over = True

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def write(self, data: bytes) -> None:
        if not self._world.calm:
            match self._world.chance.randrange(6):
                case 0:
                    self._body.pauseProducing()
                case 1:
                    self.stop()
                case _:
                    pass

    def stop(self) -> None:
        if not self.over:
            self.over = True
            self._body.stopProducing()

    def takes(self) -> None:
        if not self.over:
            self._body.resumeProducing()


@implementer(IOrigin)
class Origin:
    """Answers when the test says so, and now and then at once."""

    def __init__(self, world: World) -> None:
        self._world = world

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        world = self._world
        fetching: Deferred[Any] = Deferred(world.open.__delitem__)
        world.open[fetching] = request
        if request.body is not None:
            world.takers.append(Taker(world, request.body))
        if world.chance.random() < 0.2:
            world.answers(fetching)
        return fetching

    def close(self) -> Deferred[None]:
        return succeed(None)


class World:
    """A site, its clients, and its origin."""

    def __init__(self, number: int) -> None:
        self.chance = Random(SEED + number)
        self.calm = False
        self.clock = Clock()
        self.clock.advance(1_000_000)
        self.records: list[Record] = []
        self.open: dict[Deferred[Any], OriginRequest] = {}
        self.responses: list[HeldResponse] = []
        self.takers: list[Taker] = []
        limits = Limits(window=64, flights=3) if self.chance.random() < 0.2 else Limits(window=64)
        self.resource = CacheResource(Origin(self), reactor=self.clock, log=self.log, limits=limits, routes=Routes())
        self.site = CacheSite(self.resource, self.clock, limits=EdgeLimits(connections=9), refused=self.records.append)
        self.clients = [Client(self) for _ in range(3)]

    def log(self, record: Record) -> None:
        self.records.append(record)
        if not self.calm:
            match self.chance.randrange(100):
                case 0:
                    self.resource.close()
                case 1:
                    self.site.drain()
                case 2 | 3 | 4:
                    self.purges()
                case 5 | 6:
                    self.resource.refresh(b"http://h/a")
                case 7 | 8:
                    self.resource.warm(b"http://h/b").addErrback(lambda _: None)
                case _:
                    pass

    # -- the origin ------------------------------------------------------------------------------------------------

    def answers(self, fetching: Deferred[Any] | None = None) -> None:
        chance = self.chance
        if fetching is None:
            if not self.open:
                return
            fetching = chance.choice(list(self.open))
        request = self.open.pop(fetching, None)
        if request is None or fetching.called:
            return
        if chance.random() < 0.25:
            fetching.errback(OriginError(chance.choice(list(Fault))))
            return
        status, said = chance.choice(STATUSES), chance.choice(SAID)
        bodiless = request.head.method == b"HEAD" or status in (204, 304)
        length = 0 if bodiless else chance.choice([None, 0, 5, 200])
        fields = [*said] if length is None or bodiless else [*said, (b"Content-Length", b"%d" % length)]
        response = HeldResponse(ResponseHead(status, Fields(fields)), length)
        self.responses.append(response)
        if length is not None:
            if length:
                response.send(b"x" * length)
            response.end()
        fetching.callback(response)

    def sends(self) -> None:
        going = [one for one in self.responses if not one._ended]
        if going:
            response = self.chance.choice(going)
            if self.chance.random() < 0.7:
                response.send(b"z" * self.chance.choice([1, 40, 100]))
            elif response.sink is not None and self.chance.random() < 0.2:
                response._ended = True
                response.cut()
            else:
                response.end()

    # -- what happens ----------------------------------------------------------------------------------------------

    def asks(self) -> None:
        self.chance.choice(self.clients).asks()

    def takes(self) -> None:
        self.chance.choice(self.clients).takes()
        if self.takers:
            self.chance.choice(self.takers).takes()

    def leaves(self) -> None:
        if self.chance.random() < 0.2:
            self.chance.choice(self.clients).lose(ConnectionLost())

    def waits(self) -> None:
        self.clock.advance(self.chance.choice([0, 0.01, 0.5, 2.0]))

    def purges(self) -> None:
        self.resource.purge(Scope.everything(), self.chance.choice(list(Hardness)))

    def run(self) -> None:
        happens = [self.asks] * 3 + [self.answers] * 4 + [self.sends] * 5
        happens += [self.takes, self.takes, self.leaves, self.waits, self.purges]
        for _ in range(60):
            self.chance.choice(happens)()

    def settle(self) -> None:
        """Everything comes to its end."""
        self.calm = True
        for _ in range(60):
            while self.open:
                self.answers()
            for response in self.responses:
                if not response._ended:
                    response.end()
            for taker in self.takers:
                taker.takes()
            for client in self.clients:
                client.takes()
            self.clock.advance(0.1)


def test_every_request_has_its_answer_whatever_happens_within_the_calls(seeds: range) -> None:
    for number in seeds:
        world = World(number)
        world.run()
        world.settle()
        for client in world.clients:
            if client.gone or client.aborted or client.ended:
                continue
            assert client.channel.phase is Phase.IDLE, number
            count = answers(client.value(), client.methods)
            assert count == len(client.methods), number
        if not any(client.gone or client.aborted or client.ended for client in world.clients):
            assert len(world.records) == sum(len(client.methods) for client in world.clients), number
        for client in world.clients:
            client.lose(ConnectionDone())
        world.clock.advance(5)
        registry = world.resource.registry
        assert not (registry.flights or registry._groups or registry.waiting or registry.held or registry._late), number
        assert not world.site.channels, number
        assert not world.resource._readers._paces, number
        assert not world.clock.getDelayedCalls(), number
