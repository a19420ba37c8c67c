"""The connections to Redis: txredisapi's factories and parser, with our time limits, handshake and circuit breaker.

Commands of one batch go out in one write and answer one Deferred. Reads and writes have a connection each (reads as
many as configured), so that a hit does not queue behind a large body on its way out; what is written stays in order.

Import this module late: txredisapi imports the reactor. Must not know: what is stored.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import hiredis
import txredisapi
from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txstalecache.observe.histogram import Histogram
from txstalecache.store.address import Address
from txstalecache.store.breaker import Breaker
from txstalecache.store.clock import FleetClock
from txstalecache.store.deadlines import Deadlines
from txstalecache.store.layout import Layout
from txstalecache.store.remote import Command, Refused, Unavailable
from txstalecache.store.scripts import ALL

__all__ = ["Connections", "Limits", "RedisClient", "Wire"]


#: As hiredis spells it.
_Words = tuple[str | int | float | bytes | memoryview]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Time limits in seconds, sizes in bytes."""

    connect: float = 1.0
    read: float = 0.25
    write: float = 1.0
    """Also how long a connection may leave anything unanswered before it is given up."""
    probe: float = 1.0
    """Between looks whether an unavailable Redis is back."""
    clock: float = 30.0
    """Between measurements of Redis' time."""
    waiting: int = 64 * 1024 * 1024
    """What may wait to be written; more is dropped."""
    retry: float = 1.0
    """The longest pause between attempts to connect."""


class _Batch:
    """Commands sent together and what came back so far."""

    __slots__ = ("done", "replies", "sent", "want")

    def __init__(self, want: int, done: Deferred[list[object]], sent: float) -> None:
        self.want = want
        self.done = done
        self.replies: list[object] = []
        self.sent = sent

    @property
    def answered(self) -> bool:
        return self.want == len(self.replies)


class Wire(txredisapi.RedisProtocol):  # type: ignore[misc]
    """One connection. Usable (txredisapi's "connected") once the server has answered the handshake."""

    def __init__(self, owner: Connections) -> None:
        # The handshake is ours: a failed AUTH or SELECT in txredisapi's own ends reconnecting for ever (its #146).
        super().__init__(charset=None, convertNumbers=False)
        self.owner = owner
        self.usable = False
        self._refused = False
        self._heard = owner.client.clock.seconds()
        """When something last came from there."""
        self._batches: deque[_Batch] = deque()

    def connectionMade(self) -> None:
        self.owner.live.add(self)
        self.send(self.owner.handshake(), self.owner.client.limits.write).addCallbacks(self._greeted, self._dismissed)

    def _greeted(self, replies: list[object]) -> None:
        refused = next((reply for reply in replies if isinstance(reply, Refused)), None)
        if refused is not None:
            self._refuse(f"refused: {refused}")
            return
        if self.owner.client.address.sentinels and not _is_master(replies):
            # What the Sentinels say is a moment old: it may have stepped down since.
            self._refuse("not the master any longer")
            return
        txredisapi.RedisProtocol.connectionMade(self)
        self.usable = True
        self.owner.greeted(self, replies)

    def _dismissed(self, failure: Failure) -> None:
        if self in self.owner.live:  # else it is lost, and its loss says why
            self._refuse("no answer to the handshake")

    def _refuse(self, why: str) -> None:
        self._refused = True
        self.transport.abortConnection()
        self.owner.unusable(why)

    def connectionLost(self, why: Failure) -> None:
        self.owner.live.discard(self)
        if not self.usable and not self._refused:
            # Most likely TLS: what is wrong with a certificate is known only after "connecting" has succeeded.
            self.owner.unusable(f"connection lost at once: {why.getErrorMessage() or why.value!r}")
        was, self.usable = self.usable, False
        super().connectionLost(why)
        if was:
            self.owner.lost(self)
        batches, self._batches = self._batches, deque()
        for batch in batches:
            if not batch.done.called:
                batch.done.errback(Unavailable("connection lost"))

    def send(self, commands: Sequence[Command], limit: float) -> Deferred[list[object]]:
        """Write ``commands`` at once; fires with as many replies, or fails with Unavailable after ``limit`` seconds."""
        client = self.owner.client
        # Cancelled or late, a batch keeps its place in the queue: its replies still come.
        batch = _Batch(len(commands), Deferred(), client.clock.seconds())
        self._batches.append(batch)
        self.transport.write(b"".join([hiredis.pack_command(cast("_Words", tuple(command))) for command in commands]))
        client.deadlines.add(limit, lambda: self._late(batch, limit))
        return batch.done

    def _late(self, batch: _Batch, limit: float) -> None:
        if batch.answered or batch not in self._batches:
            return
        client = self.owner.client
        longest, now = client.limits.write, client.clock.seconds()
        quiet = now - max(batch.sent, self._heard)
        if limit < longest and not batch.done.called:
            batch.done.errback(Unavailable("no answer in time"))
            client.hangs()
        if quiet < longest - Deadlines.TICK:
            # What is large takes its time on a slow line: as long as answers come, it goes on.
            client.deadlines.add(longest - quiet, lambda: self._late(batch, longest))
            return
        # Nothing for this long: what answers later is not worth having, and a hung connection is not a connection.
        if not batch.done.called:
            batch.done.errback(Unavailable("no answer in time"))
        client.gives_up()
        self.transport.abortConnection()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        reader = self._reader
        self._heard = self.owner.client.clock.seconds()
        try:
            reader.feed(data)
            reply = reader.gets()
            while reply is not False:
                self.replyReceived(reply)
                reply = reader.gets()
        except Exception as error:  # whatever the parser makes of rubbish, MemoryError included
            self._refuse(f"not a Redis answer: {type(error).__name__}")

    def replyReceived(self, reply: object) -> None:
        if not self._batches:
            raise txredisapi.InvalidResponse("a reply nobody asked for")
        self.owner.client.answers()
        batch = self._batches[0]
        batch.replies.append(Refused(str(reply)) if isinstance(reply, Exception) else reply)
        if batch.answered:
            self._batches.popleft()
            self.owner.client.latency.add(self._heard - batch.sent)
            if not batch.done.called:
                batch.done.callback(batch.replies)


class Connections(txredisapi.RedisFactory):  # type: ignore[misc]
    """Keeps connections up, for ever: pauses between attempts stay short, and nothing but ``disconnect`` ends it."""

    def __init__(self, client: RedisClient, size: int, protocol: Callable[[Connections], Wire] = Wire) -> None:
        super().__init__(None, None, size, charset=None, convertNumbers=False)
        self.client = client
        self.live: set[Wire] = set()
        self.usable: list[Wire] = []
        self._protocol = protocol
        self._turn = 0
        # Nobody waits for the first complete pool, but its failure would be logged as unhandled.
        self.deferred.addErrback(lambda failure: None)

    def stopTrying(self) -> Deferred[None]:
        return succeed(None)

    def retryDelay(self, attempt: int) -> float:
        return float(min(self.client.limits.retry, 0.05 * 2 ** min(attempt, 10)) * random.uniform(0.7, 1.0))

    def buildProtocol(self, addr: object) -> Wire:
        wire = self._protocol(self)
        # txredisapi's own pool is not used: it keeps lost connections in its queue until somebody asks for one.
        wire.factory = self
        return wire

    def handshake(self) -> list[Command]:
        """What a new connection says first."""
        return self.client.greeting()

    def greeted(self, wire: Wire, replies: list[object]) -> None:
        """``wire`` may be used."""
        self.usable.append(wire)
        self.client.came(self, wire)

    def lost(self, wire: Wire) -> None:
        """``wire`` may not be used any longer."""
        if wire in self.usable:
            self.usable.remove(wire)
        self.client.went(self, wire)

    def unusable(self, why: str) -> None:
        """A connection was made and cannot be used."""
        self.client.failed(why)

    def pick(self) -> Wire | None:
        """Any usable connection, in turn."""
        if not self.usable:
            return None
        self._turn += 1
        return self.usable[self._turn % len(self.usable)]

    def close(self) -> Deferred[None]:
        """Close all connections at once: a server that hangs would not let go of those with something unsent."""
        for wire in list(self.live):
            wire.transport.abortConnection()
        done: Deferred[None] = self.disconnect()
        return done


@implementer(IStreamClientEndpoint)
class _Watched:
    """An endpoint that tells the client why a connection could not be made."""

    def __init__(self, endpoint: IStreamClientEndpoint, client: RedisClient) -> None:
        self._endpoint = endpoint
        self._client = client

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(factory).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            self._client.failed(f"cannot connect: {failure.getErrorMessage()}")
        return failure


class RedisClient:
    """Redis, or the knowledge that it is not to be had. Provides ``remote.ICommands``.

    Connects for ever once started. While it cannot connect, or the breaker is open, every command fails at once.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        layout: Layout,
        time: FleetClock,
        pool: int = 2,
        limits: Limits | None = None,
    ) -> None:
        if not 1 <= pool <= 4:
            raise ValueError("a pool of Redis connections has 1 to 4 of them")
        self.clock = reactor
        self.address = Address(shown="nowhere yet")
        self.limits = limits or Limits()
        self.deadlines = Deadlines(reactor)
        self.waiting = 0
        """Bytes written or to be written whose reply has not come."""
        self.dropped = 0
        """Writes that were not even tried, so far."""
        self.errors = 0
        """Questions without an answer, and answers that were errors, so far."""
        self.latency = Histogram()
        """From a batch of commands to its last reply."""
        self.preparation: tuple[Callable[[], Command], Callable[[object], None]] | None = None
        """What is asked before Redis counts as available, and who is told the answer."""
        self.when_up: list[Callable[[], None]] = []
        """Called each time Redis becomes available."""
        self.when_down: list[Callable[[], None]] = []
        self.when_writer: list[Callable[[Wire | None], None]] = []
        """Called with the connection that writes each time it changes; with None when it is lost."""
        self._layout = layout
        self._time = time
        self._endpoint: IStreamClientEndpoint | None = None
        self._writer = Connections(self, 1)
        self._readers = Connections(self, pool - 1) if pool > 1 else self._writer
        self._breaker = Breaker()
        self._up = self._hangs = self._gave_up = False
        self._said: bool | None = None
        self._why = "not connected yet"
        self._complained = False
        self._advised = False
        self._measured = self._looked = float("-inf")
        self._closed = False
        self._probing = False
        self._first: list[Deferred[None]] = []

    # -- coming and going -------------------------------------------------------------------------------------------

    def start(self, address: Address) -> None:
        """Begin to connect to ``address``. ValueError when it cannot even be tried."""
        self.address = address
        self._endpoint = _Watched(address.endpoint(self.clock, self.limits.connect), self)
        self._writer.startConnecting(self._endpoint)
        if self._readers is not self._writer:
            self._readers.startConnecting(self._endpoint)
        self._tick()

    def connect(self, factory: Connections) -> None:
        """Keep the connections of ``factory`` up too (tracking has one of its own)."""
        factory.startConnecting(self._endpoint)

    def close(self) -> Deferred[None]:
        """Close what is open and stop trying; fires when all is gone. What waits for a reply fails."""
        self._closed = True
        self._up = False
        self.deadlines.stop()
        factories = {self._writer, self._readers}
        done = DeferredList([factory.close() for factory in factories], consumeErrors=True)
        return done.addCallback(lambda _: self.deadlines.stop())

    def when_available(self) -> Deferred[None]:
        """Fires when Redis is available; at once when it is. Cancelling is safe."""
        if self.available:
            return succeed(None)
        first: Deferred[None] = Deferred(lambda d: self._first.remove(d))
        self._first.append(first)
        return first

    def greeting(self) -> list[Command]:
        """The handshake: who we are, which database, our scripts; the time last."""
        commands: list[Command] = []
        address = self.address
        if address.password is not None:
            user = () if address.username is None else (address.username,)
            commands.append(("AUTH", *user, address.password))
        if address.db:
            commands.append(("SELECT", address.db))
        commands += [("SCRIPT", "LOAD", script.text) for script in ALL]
        if address.sentinels:
            commands.append(("ROLE",))
        return commands

    def came(self, factory: Connections, wire: Wire) -> None:
        """A connection is usable."""
        if factory is self._writer:
            for tell in self.when_writer:
                tell(wire)
        self._measure(wire)
        self._probe()

    def went(self, factory: Connections, wire: Wire) -> None:
        """A usable connection is lost."""
        if self._closed:
            return
        if factory is self._writer:
            for tell in self.when_writer:
                tell(None)
        self.failed("connection lost")

    @property
    def available(self) -> bool:
        """Whether it is worth waiting for an answer: connected, the breaker closed, and nothing late."""
        return self._up and not self._hangs

    @property
    def writable(self) -> bool:
        """Whether a write has a chance. Nobody waits for it: it may be sent while something is late."""
        return self._up

    @property
    def breaker_open(self) -> bool:
        """Whether Redis failed so often that it is only tried once a second."""
        return self._breaker.open

    # -- asking -----------------------------------------------------------------------------------------------------

    def read(self, commands: Sequence[Command]) -> Deferred[list[object]]:
        """The replies to ``commands``, within the read time limit."""
        wire = (self._readers.pick() or self._writer.pick()) if self.available else None
        if wire is None:
            return fail(Unavailable(self._why))
        return wire.send(commands, self.limits.read).addCallbacks(self._heard, self._unheard)

    def write(self, commands: Sequence[Command], size: int = 0) -> Deferred[list[object]]:
        """The replies to ``commands``, in the order written, within the write time limit."""
        wire = self._writer.pick() if self._up else None
        if wire is None or self.waiting + size > self.limits.waiting:
            self.dropped += 1
            return fail(Unavailable(self._why if wire is None else "too much is waiting to be written"))
        self.waiting += size
        sent = wire.send(commands, self.limits.write)

        def settle(result: list[object] | Failure) -> list[object] | Failure:
            self.waiting -= size
            return result

        sent.addBoth(settle)
        return sent.addCallbacks(self._written, self._unheard)

    def _heard(self, replies: list[object]) -> list[object]:
        for reply in replies:
            if isinstance(reply, Refused) and self._refused(str(reply), _READS_ON):
                return replies
        self._breaker.succeeded()
        return replies

    def _written(self, replies: list[object]) -> list[object]:
        for reply in replies:
            if isinstance(reply, Refused):
                self._refused(str(reply), _WRITES_ON)
                if "READONLY" in str(reply):
                    self._look_elsewhere()
                if not self._complained:
                    self._complained = True
                    self.log.warn("Redis at {where} refuses to write: {why}", where=self.address.shown, why=str(reply))
                return replies
        self._complained = False
        self._breaker.succeeded()
        return replies

    def _look_elsewhere(self) -> None:
        """What we write to has become a replica: where there are Sentinels, or a name that may lead elsewhere by now,
        connect anew, but not more often than every ten seconds."""
        now = self.clock.seconds()
        if self.address.path or now - self._looked < 10:
            return
        self._looked = now
        for factory in (self._writer, self._readers):
            for wire in list(factory.usable):
                wire.transport.abortConnection()

    def _unheard(self, failure: Failure) -> Failure:
        if not failure.check(CancelledError):
            self.errors += 1
            self.failed(failure.getErrorMessage())
        return failure

    def _refused(self, why: str, harmless: frozenset[str]) -> bool:
        """An error instead of a reply. Whether it says that asking on is of no use for now."""
        self.errors += 1
        word = why.partition(" ")[0]
        if word == "NOSCRIPT":
            for wire in (*self._writer.usable, *self._readers.usable):
                wire.send([("SCRIPT", "LOAD", script.text) for script in ALL], self.limits.write).addErrback(_ignore)
            return False
        if word in harmless or (word == "ERR" and ("READONLY" in why or "OOM" in why)):
            return False
        self.failed(why)
        return True

    def failed(self, why: str) -> None:
        """Something went wrong: count it, and look whether Redis is still worth asking."""
        if self._closed:
            return
        self._why = why
        self._breaker.failed(self.clock.seconds())
        self._settle()

    def hangs(self) -> None:
        """Something is late: until something answers nothing more is asked but the probe."""
        self._hangs = True

    def gives_up(self) -> None:
        """Something was late for so long that its connection is closed: that is no longer a matter of waiting."""
        self._hangs = self._gave_up = True
        self.failed("no answer in time")

    def answers(self) -> None:
        """Something came. Whether all is well again the next probe says."""
        self._hangs = self._gave_up = False

    def _settle(self) -> None:
        """Bring ``available`` up to date and say so once."""
        up = bool(self._writer.usable) and not (self._breaker.open or self._gave_up or self._closed)
        if up == self._up and self._said is not None:
            return
        self._up = up
        if up:
            if self._said is False:
                self.log.info("Redis at {where} is back", where=self.address.shown)
            else:
                self.log.info("Redis at {where} is connected", where=self.address.shown)
            first, self._first = self._first, []
            for waiting in first:
                waiting.callback(None)
            for tell in self.when_up:
                tell()
            self._advise()
        else:
            if self._said is not False:
                self.log.warn(
                    "Redis at {where} is not available ({why}); going on without it",
                    where=self.address.shown,
                    why=self._why,
                )
            for tell in self.when_down:
                tell()
        self._said = up

    # -- once a second ----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._closed:
            return
        if not self.available:
            self._probe()
        elif self.clock.seconds() - self._measured > self.limits.clock:
            wire = self._readers.pick() or self._writer.pick()
            if wire is not None:
                self._measure(wire)
        self.deadlines.add(self.limits.probe, self._tick)

    def _probe(self) -> None:
        """See whether reads are answered, on the connection that writes."""
        wire = self._writer.usable[0] if self._writer.usable else None
        if wire is None or self._probing:
            return
        self._probing = True
        commands: list[Command] = [("GET", self._layout.probe)]
        limit = self.limits.read
        if self.preparation is not None:
            commands.append(self.preparation[0]())
            limit = self.limits.write
        wire.send(commands, limit).addCallbacks(self._probed, self._silent)

    def _probed(self, replies: list[object]) -> None:
        self._probing = False
        if isinstance(replies[0], Refused):
            self.failed(str(replies[0]))
            return
        if self.preparation is not None:
            self.preparation[1](replies[1])
        self._breaker.succeeded()
        self._settle()

    def _advise(self) -> None:
        """Say once what about the server will make trouble later."""
        if self._advised:
            return
        self._advised = True

        def told(replies: list[object]) -> None:
            reply = replies[0]
            if not isinstance(reply, bytes):
                return
            said = dict(line.split(b":", 1) for line in reply.splitlines() if b":" in line)
            policy = said.get(b"maxmemory_policy", b"").decode("ascii", "replace")
            if said.get(b"maxmemory") == b"0":
                self.log.warn(
                    "Redis at {where} has no maxmemory: it will grow until the host has no more",
                    where=self.address.shown,
                )
            elif policy == "noeviction":
                self.log.warn(
                    "Redis at {where} has the policy noeviction: once full, nothing new is stored (try allkeys-lru)",
                    where=self.address.shown,
                )

        wire = self._readers.pick() or self._writer.pick()
        if wire is not None:
            wire.send([("INFO", "memory")], self.limits.write).addCallback(told).addErrback(_ignore)

    def _silent(self, failure: Failure) -> None:
        self._probing = False
        self.failed(failure.getErrorMessage())

    def _measure(self, wire: Wire) -> None:
        asked = self._time.ticks()
        self._measured = self.clock.seconds()

        def told(replies: list[object]) -> None:
            reply = replies[0]
            if isinstance(reply, list) and len(reply) == 2:
                try:
                    theirs = int(reply[0]) + int(reply[1]) / 1_000_000
                except (TypeError, ValueError):
                    return
                self._time.measured(theirs, asked, self._time.ticks())

        wire.send([("TIME",)], self.limits.write).addCallback(told).addErrback(_ignore)


#: Errors about one value, or that leave reads worth while: a full server, a replica.
_READS_ON = frozenset({"WRONGTYPE", "CROSSSLOT", "OOM", "READONLY", "MISCONF", "NOREPLICAS"})
#: The same for what only writes: a script that met something odd.
_WRITES_ON = _READS_ON | {"ERR"}


def _is_master(replies: list[object]) -> bool:
    return any(isinstance(reply, list) and reply[:1] == [b"master"] for reply in replies)


def _ignore(failure: Failure) -> None:
    """What is not waited for and may fail."""
