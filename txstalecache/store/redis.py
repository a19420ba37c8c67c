"""Redis, or the knowledge that it is not to be had: a circuit breaker, probes, and two kinds of connections.

Commands of one batch go out in one write and answer one Deferred. Reads and writes have a connection each, so that a
hit does not queue behind a large body on its way out; what is written stays in order.

Import this module late: txredisapi imports the reactor. Must not know: what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, DeferredList, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.observe.histogram import Histogram
from txstalecache.store.address import Address
from txstalecache.store.breaker import Breaker
from txstalecache.store.clock import FleetClock
from txstalecache.store.commands import Command, Commands, Refused, Unavailable, ignored
from txstalecache.store.connections import Connections, Watched
from txstalecache.store.layout import Layout
from txstalecache.store.limits import RedisLimits
from txstalecache.store.scripts import ALL, TRIAL, TRIED
from txstalecache.store.wheel import Wheel
from txstalecache.store.wire import Wire

__all__ = ["RedisClient"]

#: For how long nothing is to be refused before it is said again that something is, in seconds.
QUIET = 60.0
#: Names that are asked for before Redis is used: one that has not all of them is one of several, in a cluster.
PLACES = 16


class RedisClient:
    """Redis, or the knowledge that it is not to be had. Provides ``commands.ICommands``.

    Connects for ever once started. While it cannot connect, or the breaker is open, every command fails at once.
    """

    log = Logger()

    def __init__(
        self,
        reactor: IReactorTime,
        layout: Layout,
        time: FleetClock,
    ) -> None:
        self.clock = reactor
        self.address = Address(shown="nowhere yet")
        self.limits = RedisLimits()
        self.wheel = Wheel(reactor)
        self.waiting = 0
        """Bytes written or to be written whose reply has not come."""
        self.dropped = 0
        """Writes that were not even tried, so far."""
        self.errors = 0
        """Questions without an answer, and answers that were errors, so far."""
        self.latency = Histogram()
        """From a batch of commands to its last reply."""
        self.preparation: tuple[Callable[[], Command], Callable[[object], Coroutine[Any, Any, None]]] | None = None
        """What is asked before Redis counts as available, and who is told the answer."""
        self.when_up: list[Callable[[], None]] = []
        """Called each time that Redis has been found to answer in time, after it did not or on a new connection."""
        self.while_up: list[Callable[[], None]] = []
        """Called once a second while Redis is available."""
        self.when_down: list[Callable[[], None]] = []
        self.when_writer: list[Callable[[Wire | None], None]] = []
        """Called with the connection that writes each time it changes; with None when it is lost."""
        self._layout = layout
        self._time = time
        self._endpoint: IStreamClientEndpoint | None = None
        self._writer = Connections(self)
        self._reader = Connections(self)
        self._breaker = Breaker()
        self._up = self._hangs = self._gave_up = False
        self._said: bool | None = None
        self._why = "not connected yet"
        self._complained = float("-inf")
        """When it last refused to write."""
        self._advised = False
        self._measured = self._looked = float("-inf")
        self._closed = False
        self._probing = False
        self._first: list[Deferred[None]] = []

    # -- coming and going -------------------------------------------------------------------------------------------

    def start(self, address: Address) -> None:
        """Begin to connect to ``address``. ValueError when it cannot even be tried."""
        self.address = address
        self._endpoint = Watched(address.endpoint(self.clock, self.limits.connect), self)
        self._writer.startConnecting(self._endpoint)
        self._reader.startConnecting(self._endpoint)
        self._tick()

    def connect(self, factory: Connections) -> None:
        """Keep the connections of ``factory`` up too (tracking has one of its own)."""
        assert self._endpoint is not None
        factory.startConnecting(self._endpoint)

    def close(self) -> Deferred[None]:
        """Close what is open and stop trying; fires when all is gone. What waits for a reply fails."""
        self._closed = True
        self._up = False
        self.wheel.stop()
        done = DeferredList([self._writer.close(), self._reader.close()], consumeErrors=True)
        return done.addCallback(lambda _: self.wheel.stop())

    def when_available(self) -> Deferred[None]:
        """Fires when Redis is available; at once when it is. Cancelling is safe."""
        if self.available:
            return succeed(None)
        first: Deferred[None] = Deferred(self._first.remove)  # from this list, also once it is gone through
        self._first.append(first)
        return first

    def greeting(self) -> list[Command]:
        """The handshake: who we are, which database, our scripts."""
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

    def went(self, factory: Connections) -> None:
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
        wire = (self._reader.pick() or self._writer.pick()) if self.available else None
        if wire is None:
            return fail(Unavailable(self._why))
        return wire.send(commands, self.limits.read).addCallbacks(self._heard, self._unheard)

    def write(self, commands: Commands, size: int = 0) -> Deferred[list[object]]:
        """The replies to ``commands``, in the order written, within the write time limit."""
        wire = self._writer.pick() if self._up else None
        if wire is None or self.waiting + size > self.limits.waiting:
            self.dropped += 1
            return fail(Unavailable(self._why if wire is None else "too much is waiting to be written"))
        self.waiting += size
        sent = wire.send(commands, self.limits.write)
        return sent.addCallbacks(self._written, self._unwritten, callbackArgs=(size,), errbackArgs=(size,))

    def _heard(self, replies: list[object]) -> list[object]:
        for reply in replies:
            if isinstance(reply, Refused) and self._refused(str(reply), _READS_ON):
                return replies
        self._in_time()
        return replies

    def _in_time(self) -> None:
        """A read was answered while somebody waited for it. Nothing else says that asking is of use: what is written
        has more time, and an answer that comes late is none."""
        self._hangs = False
        self._breaker.succeeded()

    def _unwritten(self, failure: Failure, size: int) -> Failure:
        self.waiting -= size
        return self._unheard(failure)

    def _written(self, replies: list[object], size: int) -> list[object]:
        self.waiting -= size
        for reply in replies:
            if isinstance(reply, Refused):
                self._refused(str(reply), _WRITES_ON)
                if "READONLY" in str(reply):
                    self._look_elsewhere()
                now, before = self.clock.seconds(), self._complained
                self._complained = now
                if now - before > QUIET:
                    self.log.warn("Redis at {where} refuses to write: {why}", where=self.address.shown, why=str(reply))
                return replies
        return replies

    def _look_elsewhere(self) -> None:
        """What we write to has become a replica: where there are Sentinels, or a name that may lead elsewhere by now,
        connect anew, but not more often than every ten seconds."""
        now = self.clock.seconds()
        if self.address.path or now - self._looked < 10:
            return
        self._looked = now
        for factory in (self._writer, self._reader):
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
            for wire in (*self._writer.usable, *self._reader.usable):
                wire.send([("SCRIPT", "LOAD", script.text) for script in ALL], self.limits.write).addErrback(ignored)
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
        self._settle(self._up)

    def hangs(self) -> None:
        """Something is late: until a read is answered in time nothing more is asked but the probe."""
        self._hangs = True

    def gives_up(self) -> None:
        """Something was late for so long that its connection is closed: that is no longer a matter of waiting."""
        self._hangs = self._gave_up = True
        self.failed("no answer in time")

    def answers(self) -> None:
        """Something came. Whether all is well again the next probe says."""
        self._gave_up = False

    def _settle(self, well: bool) -> None:
        """Bring ``available`` up to date and say so once. ``well``: as far as the last probe says."""
        up = well and bool(self._writer.usable) and not (self._breaker.open or self._gave_up or self._closed)
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
            self._advise()
        else:
            if self._said is not False:
                self.log.warn(
                    "Redis at {where} is not available ({why}); going on without it",
                    where=self.address.shown,
                    why=self._why,
                )
            for tell in list(self.when_down):
                tell()
        self._said = up

    # -- once a second ----------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self._closed:
            return
        if self.available:
            wire = self._reader.pick() or self._writer.pick()
            if wire is not None and self.clock.seconds() - self._measured > self.limits.clock:
                self._measure(wire)
            for tell in self.while_up:
                tell()
        else:
            self._probe()
        for wire in (*self._reader.usable, *self._writer.usable):
            wire.keep_alive()
        self.wheel.add(self.limits.probe, self._tick)

    def _probe(self) -> None:
        """See whether reads are answered in time; then what is asked before Redis counts as available, which may be
        long."""
        wire = (self._reader.pick() or self._writer.pick()) if self._writer.usable else None
        if wire is None or self._probing:
            return
        self._probing = True
        wire.send([("GET", self._layout.probe)], self.limits.read).addCallbacks(self._probed, self._silent)

    def _probed(self, replies: list[object]) -> None:
        if isinstance(replies[0], Refused):
            self._probing = False
            self.failed(str(replies[0]))
            return
        self._in_time()
        wire = self._writer.pick()
        if wire is None:
            self._probing = False
            return
        # Whether we may do what we do; and where our names are, if it is one of a cluster.
        probe = self._layout.probe
        trial = [TRIAL([self._layout.trial], *TRIED), *(("GET", b"%b:%d" % (probe, at)) for at in range(PLACES))]
        prepare = [] if self.preparation is None else [self.preparation[0]()]
        sent = wire.send([*trial, *prepare], self.limits.write)
        sent.addCallbacks(lambda replies: self._tried(replies, wire), self._silent)

    def _tried(self, replies: list[object], wire: Wire) -> Deferred[None] | None:
        for reply in replies[: 1 + PLACES]:
            if isinstance(reply, Refused) and self._refused(str(reply), _READS_ON):
                self._probing = False
                self._settle(False)
                return None
        if self.preparation is None:
            self._prepared()
            return None
        learned = Deferred.fromCoroutine(self.preparation[1](replies[-1]))
        return learned.addCallback(lambda _: self._learned(wire))

    def _learned(self, wire: Wire) -> None:
        """All is known that was to be asked before, if it is still the same Redis: learning takes its time."""
        if wire.usable:
            self._prepared()
        else:
            self._probing = False
            self._probe()

    def _prepared(self) -> None:
        self._probing = False
        self._settle(True)
        if self._up:
            for tell in self.when_up:
                tell()

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

        wire = self._reader.pick() or self._writer.pick()
        if wire is not None:
            wire.send([("INFO", "memory")], self.limits.write).addCallback(told).addErrback(ignored)

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

        wire.send([("TIME",)], self.limits.write).addCallback(told).addErrback(ignored)


#: Errors about one value, or that leave reads worth while: a full server, a replica.
_READS_ON = frozenset({"WRONGTYPE", "CROSSSLOT", "OOM", "READONLY", "MISCONF", "NOREPLICAS"})
#: The same for what only writes: a script that met something odd.
_WRITES_ON = _READS_ON | {"ERR"}
