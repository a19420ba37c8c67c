"""A TCP (or unix socket) proxy that spoils what passes through it, for tests: client, origin or Redis side.

::

    proxy = FaultProxy(origin.port)
    yield proxy.start()                  # talk to 127.0.0.1:proxy.port, or give start() another endpoint
    proxy.down.latency = 0.05            # server -> client; ``proxy.up`` is client -> server
    proxy.down.cut_at = 1000             # a RST after so many bytes of each connection (``cut_with = "fin"``)
    proxy.down.rate = 500                # a drip, in bytes per second
    proxy.down.corrupt_at = 10           # flips one byte
    proxy.down.extra = b"HTTP/1.1 200 …" # sent once per connection, after the server's first bytes
    proxy.hold()                         # black hole: connections stay, nothing passes ... proxy.release()
    proxy.cut()                          # RST all connections now
    yield proxy.refuse(); yield proxy.start()      # nobody listens; then again, on the same port
    yield proxy.close()

Settings are read as bytes pass, so a test may change them at any time. ``proxy.passed_up`` and ``passed_down`` count
bytes; ``proxy.accepted`` connections. Bounded: what cannot be passed on is not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import defer, protocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint, IStreamServerEndpoint
from twisted.python.failure import Failure

__all__ = ["Direction", "FaultProxy"]

#: Bytes held for one direction of a connection before its source is paused.
LIMIT = 65536


@dataclass
class Direction:
    """What happens to the bytes that go one way. Zero and None mean: nothing."""

    latency: float = 0.0
    """Seconds each piece is held back."""
    rate: float = 0.0
    """Bytes per second."""
    cut_at: int | None = None
    """Cut each connection after so many bytes this way."""
    cut_with: str = "rst"
    """``rst``, or ``fin``."""
    corrupt_at: int | None = None
    """Flip all bits of this byte of each connection, counted from 0."""
    extra: bytes = b""
    """Sent after the first piece that passes this way."""
    held: bool = False
    """Let nothing pass for now."""


class _Side(protocol.Protocol):
    """One end of a proxied connection: reads from its socket, hands to the other side."""

    def __init__(self, proxy: FaultProxy, direction: Direction, count: Callable[[int], None]) -> None:
        self.proxy = proxy
        self.direction = direction
        self.count = count
        self.other: _Side | None = None
        self.queue: deque[tuple[float, bytes]] = deque()
        self.queued = 0
        self.passed = 0
        self.is_open = False
        self.ended = False
        self.timer: Any = None
        self.next_at = 0.0
        self.extra_sent = False

    def connectionMade(self) -> None:
        self.is_open = True
        cast(Any, self.transport).registerProducer(_Reading(self), True)
        self.proxy._sides.add(self)
        self.pump()

    def dataReceived(self, data: bytes) -> None:
        self.queue.append((self.proxy._now() + self.direction.latency, data))
        self.queued += len(data)
        if self.queued > LIMIT:
            cast(Any, self.transport).pauseProducing()
        self.pump()

    def pump(self) -> None:
        """Pass on what may go now."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        self.timer = None
        other, way = self.other, self.direction
        if other is None or not other.is_open or way.held:
            return
        now = self.proxy._now()
        while self.queue:
            due, data = self.queue[0]
            due = max(due, self.next_at)
            if due > now:
                self.timer = self.proxy._later(due - now, self.pump)
                return
            self.queue.popleft()
            piece, rest = data, b""
            if way.rate:
                size = max(1, int(way.rate / 50))
                piece, rest = data[:size], data[size:]
                self.next_at = now + len(piece) / way.rate
            if rest:
                self.queue.appendleft((due, rest))
            self.queued -= len(piece)
            if not self._pass(other, piece):
                return
        if self.queued <= LIMIT and self.is_open and not other.choked:
            cast(Any, self.transport).resumeProducing()
        if self.ended:
            cast(Any, other.transport).loseConnection()

    choked = False

    def _pass(self, other: _Side, piece: bytes) -> bool:
        way = self.direction
        if way.corrupt_at is not None and self.passed <= way.corrupt_at < self.passed + len(piece):
            at = way.corrupt_at - self.passed
            piece = piece[:at] + bytes([piece[at] ^ 0xFF]) + piece[at + 1 :]
        cut = way.cut_at is not None and self.passed + len(piece) >= way.cut_at
        if cut and way.cut_at is not None:
            piece = piece[: max(way.cut_at - self.passed, 0)]
        self.passed += len(piece)
        self.count(len(piece))
        cast(Any, other.transport).write(piece)
        if way.extra and not self.extra_sent:
            self.extra_sent = True
            cast(Any, other.transport).write(way.extra)
        if cut:
            self.queue.clear()
            self.queued = 0
            # A RST throws away what is written and not yet sent, so it comes a moment later.
            if way.cut_with == "rst":
                self.timer = self.proxy._later(0.02, self._abort_both)
            else:
                for end in (self, other):
                    cast(Any, end.transport).loseConnection()
            return False
        return True

    def _abort_both(self) -> None:
        self.abort()
        if self.other is not None:
            self.other.abort()

    def abort(self) -> None:
        """Cut this side with a RST."""
        if self.is_open:
            cast(Any, self.transport).abortConnection()

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:
        self.is_open = False
        self.ended = True
        self.proxy._sides.discard(self)
        other = self.other
        if other is not None and other.is_open:
            if reason.check(protocol.connectionDone.type) is None:
                other.abort()
            else:
                self.pump()
        elif self.timer is not None and self.timer.active():
            self.timer.cancel()
        if other is not None and not other.is_open and other.timer is not None and other.timer.active():
            other.timer.cancel()
        self.proxy._check()


class _Reading:
    """Back-pressure: when a side's socket is full, its peer is not read."""

    def __init__(self, side: _Side) -> None:
        self._side = side

    def _source(self) -> Any:
        other = self._side.other
        return other.transport if other is not None and other.is_open else None

    def pauseProducing(self) -> None:
        self._side.choked = True
        source = self._source()
        if source is not None:
            source.pauseProducing()

    def resumeProducing(self) -> None:
        self._side.choked = False
        source = self._source()
        if source is not None and self._side.other is not None and self._side.other.queued <= LIMIT:
            source.resumeProducing()

    def stopProducing(self) -> None:
        pass


class FaultProxy:
    """See the module's text. ``target``: a port on 127.0.0.1, or an endpoint."""

    def __init__(self, target: int | IStreamClientEndpoint) -> None:
        self._target = target
        self.up = Direction()
        self.down = Direction()
        self.passed_up = 0
        self.passed_down = 0
        self.accepted = 0
        self.port = 0
        self._listening: IListeningPort | None = None
        self._sides: set[_Side] = set()
        self._connecting: set[Deferred[Any]] = set()
        self._quiet: list[Deferred[None]] = []

    def start(self, endpoint: IStreamServerEndpoint | None = None) -> Deferred[FaultProxy]:
        """Listen, on 127.0.0.1 (again on the same port after ``refuse``) or on ``endpoint``; fires with this proxy."""
        from twisted.internet import endpoints, reactor

        if endpoint is None:
            endpoint = endpoints.TCP4ServerEndpoint(cast(Any, reactor), self.port, backlog=1024, interface="127.0.0.1")
        return endpoint.listen(protocol.Factory.forProtocol(self._accept)).addCallback(self._started)

    def _started(self, listening: IListeningPort) -> FaultProxy:
        self._listening = listening
        self.port = getattr(listening.getHost(), "port", 0)
        return self

    def _accept(self) -> _Side:
        from twisted.internet import endpoints, reactor

        def count_up(size: int) -> None:
            self.passed_up += size

        def count_down(size: int) -> None:
            self.passed_down += size

        self.accepted += 1
        client = _Side(self, self.up, count_up)
        server = _Side(self, self.down, count_down)
        client.other, server.other = server, client
        target = self._target
        if isinstance(target, int):
            target = endpoints.TCP4ClientEndpoint(cast(Any, reactor), "127.0.0.1", target, timeout=10)
        connecting: Deferred[Any] = target.connect(protocol.Factory.forProtocol(lambda: server))
        self._connecting.add(connecting)

        def connected(_: Any) -> None:
            self._connecting.discard(connecting)
            if client.ended:
                server.abort()
            else:
                client.pump()

        def failed(_: Any) -> None:
            self._connecting.discard(connecting)
            client.abort()

        connecting.addCallbacks(connected, failed)
        return client

    def hold(self) -> None:
        """Black hole: nothing passes either way until ``release``; connections are accepted and stay."""
        self.up.held = self.down.held = True

    def release(self) -> None:
        """Let pass again, beginning with what was held."""
        self.up.held = self.down.held = False
        for side in list(self._sides):
            side.pump()

    def cut(self) -> None:
        """RST every connection."""
        for side in list(self._sides):
            side.abort()

    def refuse(self) -> Deferred[None]:
        """Listen no more and cut what stands; ``start`` again to come back."""
        listening, self._listening = self._listening, None
        self.cut()
        stopped = listening.stopListening() if listening is not None else None
        return stopped if isinstance(stopped, Deferred) else defer.succeed(None)

    def close(self) -> Deferred[None]:
        """Stop listening and cut; fires when all connections are gone."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        await self.refuse()
        for connecting in list(self._connecting):
            connecting.cancel()
        self.cut()
        if self._sides:
            quiet: Deferred[None] = Deferred()
            self._quiet.append(quiet)
            await quiet

    def _check(self) -> None:
        if not self._sides:
            quiet, self._quiet = self._quiet, []
            for waiting in quiet:
                waiting.callback(None)

    def _now(self) -> float:
        from twisted.internet import reactor

        return float(cast(Any, reactor).seconds())

    def _later(self, delay: float, function: Callable[[], Any]) -> Any:
        from twisted.internet import reactor

        return cast(Any, reactor).callLater(delay, function)


@pytest.fixture
def make_fault_proxy() -> Generator[Callable[..., Deferred[FaultProxy]], None, None]:
    """``proxy = yield make_fault_proxy(port)``: a listening FaultProxy that is closed after the test."""
    proxies: list[FaultProxy] = []

    def make(target: Any, endpoint: Any = None) -> Deferred[FaultProxy]:
        proxy = FaultProxy(target)
        proxies.append(proxy)
        return proxy.start(endpoint)

    yield make

    @defer.inlineCallbacks
    def close() -> Generator[Deferred[Any], Any, None]:
        for proxy in proxies:
            yield proxy.close()

    pytest_twisted.blockon(close())
