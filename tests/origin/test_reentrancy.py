"""Whoever is told of an answer, of a piece of it or of its end may do anything at once, within the very call: fetch
more, give up a fetch or an answer, stop and go on taking, and whoever sends a body as he is stopped.

Each run is made from its number, so that a failing one can be had again; more of them with ``--long``.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.python.failure import Failure
from twisted.web.iweb import UNKNOWN_LENGTH

from tests.origin.memory import OK, MemoryOrigin, Wire
from tests.origin.test_upload import Body
from tests.support.sink import origin_request
from txstalecache.origin.interfaces import Framing, IOriginResponse, OriginError

SEED = 20261129

REFUSED = b"HTTP/1.1 413 No\r\n"
#: Heads with all, some and none of what follows, and pieces that may follow one.
SAID = [
    *(head + b"Content-Length: 0\r\n\r\n" for head in (OK, REFUSED)),
    *(head + b"Content-Length: 4\r\n\r\n" + body for head in (OK, REFUSED) for body in (b"", b"ab", b"abcd")),
    OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
    OK + b"\r\nab",
    b"HTTP/1.1 103 Early\r\n\r\n",
    b"cd",
    b"0\r\n\r\n",
]


class Fetch:
    """One fetch: what it came to, told once, and the end of its answer, told once."""

    def __init__(self, world: World, body: Body | None) -> None:
        self._world = world
        self.response: IOriginResponse | None = None
        self.over = self.left = False
        method = "GET" if body is None else "POST"
        self.waiting = world.memory.origin.fetch(origin_request(method, "/", (), body))
        self.waiting.addCallbacks(self._began, self._failed)

    def _began(self, response: IOriginResponse) -> None:
        assert not self.over and self.response is None
        self.response = response
        self._world.acts(self)
        if not self.left:
            response.deliver(self)

    def _failed(self, failure: Failure) -> None:
        assert not self.over and failure.check(OriginError, CancelledError)
        self._end()

    def write(self, data: bytes) -> None:
        assert data and not (self.over or self.left)
        self._world.acts(self)

    def complete(self, framing: Framing) -> None:
        self._end()

    def broken(self, error: OriginError) -> None:
        self._end()

    def _end(self) -> None:
        assert not (self.over or self.left)
        self.over = True
        self._world.acts(self)

    def leave(self) -> None:
        if self.response is not None and not (self.over or self.left):
            self.left = True
            self.response.abort()

    def turn(self, *, on: bool) -> None:
        if self.response is not None and not (self.over or self.left):
            (self.response.resume if on else self.response.pause)()


class World:
    """An origin with few connections, its server, and those who fetch from it."""

    #: Things that are done by those who are told something.
    ACTS = 40

    def __init__(self, number: int) -> None:
        self.chance = Random(SEED + number)
        self.memory = MemoryOrigin(
            max_connections=self.chance.choice([1, 2, 3]), queue=3, idle=self.chance.choice([0, 4.0])
        )
        self.wires: list[Wire] = []
        self.fetches: list[Fetch] = []
        self.bodies: list[Body] = []
        self.left = self.ACTS

    def acts(self, fetch: Fetch | None = None) -> None:
        """``fetch`` is told something; None: somebody's body is stopped."""
        if self.left <= 0 or self.chance.random() < 0.4:
            return
        self.left -= 1
        self.chance.choice([self.asks, self.asks, self.gives_up, self.leaves, self.turns])()
        if fetch is not None:
            match self.chance.randrange(6):
                case 0:
                    fetch.leave()
                case 1:
                    fetch.turn(on=False)
                case 2:
                    fetch.turn(on=False)
                    fetch.turn(on=True)
                case _:
                    pass

    def asks(self) -> None:
        body = None
        if self.chance.random() < 0.3:
            body = Body(self.chance.choice([3, UNKNOWN_LENGTH]))
            if self.chance.random() < 0.5:
                body.on_stop = self.acts
            self.bodies.append(body)
        self.fetches.append(Fetch(self, body))

    def gives_up(self) -> None:
        waiting = [fetch.waiting for fetch in self.fetches if not fetch.waiting.called]
        if waiting:
            self.chance.choice(waiting).cancel()

    def leaves(self) -> None:
        if self.fetches:
            self.chance.choice(self.fetches).leave()

    def turns(self) -> None:
        if self.fetches:
            self.chance.choice(self.fetches).turn(on=self.chance.random() < 0.5)

    # -- what happens ----------------------------------------------------------------------------------------------

    def connects(self) -> None:
        clock: Any = self.memory.clock
        if self.memory.made == len(clock.tcpClients):
            return
        if clock.connectors[self.memory.made].stoppedConnecting:
            self.memory.made += 1
        elif self.chance.random() < 0.2:
            self.memory.refuse(ConnectionRefusedError())
        else:
            self.wires.append(self.memory.connect())

    def says(self) -> None:
        wires = [wire for wire in self.wires if not (wire.gone or wire.aborted() or wire.closing())]
        if wires:
            self.chance.choice(wires).send(self.chance.choice(SAID))

    def ends(self) -> None:
        if self.wires and self.chance.random() < 0.4:
            self.chance.choice(self.wires).end(self.chance.random() < 0.5)

    def sends(self) -> None:
        going = [body for body in self.bodies if body.consumer is not None and not body.done.called]
        if going:
            body, what = self.chance.choice(going), self.chance.random()
            if what < 0.7:
                body.consumer.write(b"x" * self.chance.choice([1, 3, 5]))
            elif what < 0.85:
                body.done.callback(None)
            else:
                body.done.errback(CancelledError())

    def waits(self) -> None:
        self.memory.clock.advance(self.chance.choice([0, 0, 0.5, 6]))

    def run(self) -> None:
        happens = [self.asks] * 3 + [self.connects] * 3 + [self.says] * 6 + [self.sends, self.waits, self.turns] * 2
        happens += [self.ends, self.gives_up, self.leaves]
        for _ in range(80):
            self.chance.choice(happens)()

    def settle(self) -> None:
        """Everybody takes all there is, no body goes on, and every limit runs out."""
        self.left = 0
        for _ in range(60):
            for body in self.bodies:
                if body.consumer is not None and not body.done.called:
                    body.done.errback(CancelledError())
            for fetch in self.fetches:
                fetch.turn(on=True)
            self.memory.clock.advance(3)


def test_whatever_those_do_who_are_told_something_every_fetch_ends_once_and_no_connection_is_left(seeds: range) -> None:
    for number in seeds:
        world = World(number)
        world.run()
        world.settle()
        origin = world.memory.origin
        assert all(fetch.over or fetch.left for fetch in world.fetches), number
        assert (origin.connections, origin.idle_connections, origin.waiting) == (0, 0, 0), number
        assert not world.memory.delayed_calls, number
