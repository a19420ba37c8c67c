"""One door to the store: from what an operator writes to what flights use.

Must not know: options, routes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.http import expect
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead
from txstalecache.observe.histogram import Histogram
from txstalecache.store.address import Address, parse
from txstalecache.store.changes import Changes
from txstalecache.store.clock import FleetClock, uptime
from txstalecache.store.interfaces import Found, ILeases
from txstalecache.store.layout import Layout
from txstalecache.store.lease import LocalLeases, RedisLeases
from txstalecache.store.memory import MemoryTier
from txstalecache.store.purgelog import PurgeLog
from txstalecache.store.purges import Purges
from txstalecache.store.redisserver import EmbeddedRedis, NoServer
from txstalecache.store.relay import Relays
from txstalecache.store.remote import Remote
from txstalecache.store.tiered import TieredStore

if TYPE_CHECKING:
    from txstalecache.store.redis import RedisClient
    from txstalecache.store.tracking import Tracking

__all__ = ["MODES", "StoreService", "open_store"]

#: ``local``: without Redis, memory and coalescing within the process. ``protect``: say so (503) instead.
MODES = ("local", "protect")

DEFAULT_PREFIX = "txsc:"
DEFAULT_MEMORY = 64 * 1024 * 1024


class StoreService(Service):
    """The store of one process: ``store`` (IStore) and ``leases`` (ILeases) may be used at any time, also before it is
    started and while Redis is not there."""

    log = Logger()
    name = "store"

    #: How long ``ready`` waits for Redis at most, in seconds.
    PATIENCE = 2.0
    #: How long stopping waits for writes that are on their way and getting there, in seconds.
    FAREWELL = 5.0

    def __init__(self, reactor: IReactorTime, redis: str, prefix: str, memory: int, mode: str, embedded: int) -> None:
        expect.of_kind("redis", redis, str, "a text")
        expect.of_kind("prefix", prefix, str, "a text")
        expect.number("memory", memory)
        expect.number("embedded", embedded)
        if mode not in MODES:
            raise ValueError(f"the store's mode is local or protect, not {mode!r}")
        self._reactor = reactor
        self.mode = mode
        self._layout = Layout(prefix)
        self._address: Address | None = None
        self._server: EmbeddedRedis | None = None
        self._trouble = ""
        self._client: RedisClient | None = None
        self._tracking: Tracking | None = None
        self.clock = FleetClock(uptime) if IReactorCore.providedBy(reactor) else FleetClock(reactor.seconds)
        self.memory = MemoryTier(memory)
        self.changes = Changes(reactor)
        self.when_discarded: set[Callable[[str], object]] = set()
        """Called with the digest of each key that some process, this one too, has discarded in Redis."""
        local = LocalLeases(reactor, self.changes)
        self.leases: ILeases = local
        self.store = TieredStore(self.memory, self.clock)
        if redis == "embedded":
            try:
                self._server = EmbeddedRedis(reactor, embedded)
            except NoServer as error:
                self._trouble = str(error)
        elif redis != "memory":
            self._address = parse(redis)
            self._address.endpoint(reactor, 1.0)  # what is wrong with it is to be said now
        if self._server is not None or self._address is not None:
            self._attach(local)
        self._peek = self.store.peek
        if redis != "memory":
            self.store.peek = self._peek_unstarted

    def _attach(self, local: LocalLeases) -> None:
        # Late: they import txredisapi, and that the reactor.
        from txstalecache.store.redis import RedisClient
        from txstalecache.store.tracking import Tracking

        client = self._client = RedisClient(self._reactor, self._layout, self.clock)
        purges = Purges()

        def turn() -> Deferred[None]:
            return deferLater(self._reactor, 0)

        purge_log = PurgeLog(client, self._layout, purges, Remote.USEFUL, self.clock, turn)
        remote = Remote(client, self._layout, purge_log, turn)
        client.preparation = purge_log.everything, purge_log.learn_everything
        self.store = TieredStore(self.memory, self.clock, remote, purges)
        self._relays = relays = Relays(self._reactor, client, self._layout, client.wheel, self.changes)
        self.leases = self._leases = RedisLeases(
            client, self._layout, client.wheel, self.clock.ticks, local, self.changes, relays
        )
        self._tracking = Tracking(client, self._layout, self._changed, self.store.tracked)
        client.when_up.append(self.store.reachable)
        client.while_up.append(self.store.try_again)

    def _changed(self, name: bytes | None) -> None:
        if name is None:
            self.store.emptied()
            self.changes.happened(None)
            return
        if name == self._layout.purges:
            self.store.purged()
            return
        read = self._layout.read(name)
        if read is None:
            return
        digest, letter, rest = read
        match letter:
            case "b" | "r":
                pass
            case "w":
                self._leases.watched(rest)
            case "s":
                self.changes.happened(f"{digest}:{rest}")
            case "l" | "h":
                self.changes.happened(digest)
            case _:
                self.store.changed(digest)
                self.changes.happened(digest)
                if letter == "d":
                    for tell in self.when_discarded:
                        tell(digest)

    # -- what it is -------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """One line on where entries are kept."""
        held = f"memory ({self.memory.limit // 1024 // 1024} MiB)"
        if self._trouble:
            return f"{held} only: {self._trouble}"
        if self._server is not None:
            return f"{held} over an embedded Redis ({self._server.binary})"
        if self._address is not None:
            return f"{held} over Redis at {self._address.shown}"
        return f"{held} only"

    @property
    def degraded(self) -> bool:
        """Whether there should be a Redis and is none to be had now."""
        return bool(self._trouble) or (self._client is not None and not self._client.available)

    @property
    def protecting(self) -> bool:
        """Whether misses are to be refused rather than sent upstream: mode ``protect`` without its Redis."""
        return self.mode == "protect" and self.degraded

    @property
    def url(self) -> str | None:
        """Where the embedded Redis is, for workers to share; None before it is started and without one."""
        return (self._server.url or None) if self._server is not None else None

    def figures(self) -> dict[str, float]:
        """Numbers for the metrics; what is counted since the start ends in ``_total``."""
        client, memory, store = self._client, self.memory, self.store
        found: dict[str, float] = {
            "memory_bytes": memory.bytes,
            "memory_limit_bytes": memory.limit,
            "memory_keys": len(memory),
            "memory_evicted_total": memory.evicted,
            "redis_lookups_total": store.asked,
            "redis_unwritten_total": store.unwritten,
            "purge_scopes": len(store.purges),
        }
        if client is not None and store.remote is not None:
            found |= {
                "redis_available": float(client.available),
                "redis_breaker_open": float(client.breaker_open),
                "redis_tracking": float(store.session != 0),
                "redis_waiting_bytes": client.waiting,
                "redis_dropped_total": client.dropped,
                "redis_errors_total": client.errors,
                "redis_corrupt_total": store.remote.corrupt + store.remote.purge_log.corrupt,
            }
        return found

    @property
    def redis_latency(self) -> Histogram | None:
        """How long Redis took to answer so far; None without one."""
        return None if self._client is None else self._client.latency

    # -- coming and going -------------------------------------------------------------------------------------------

    def _peek_unstarted(self, key: Key, request: RequestHead) -> Found | None:
        """Stands in for the store's ``peek`` until somebody has started it, or has been told to."""
        self.store.peek = self._peek
        self.log.warn("the store is used and was not started: until startService() there is no Redis, but memory only")
        return self._peek(key, request)

    def startService(self) -> None:
        super().startService()
        self.store.peek = self._peek
        (self.log.warn if self._trouble else self.log.info)("store: {what}", what=self.describe())
        if self._server is not None:
            maybeDeferred(self._server.start).addCallback(self._connect).addErrback(self._broken)
        elif self._address is not None:
            self._connect(None)

    def _broken(self, failure: Failure) -> None:
        if failure.check(OSError):  # nowhere to put its socket, for one
            self.log.error("the embedded Redis does not start: {error}; going on without it", error=failure.value)
            return
        self.log.failure("the embedded Redis does not start; going on without it", failure)

    def _connect(self, _: object) -> None:
        address = self._address if self._server is None else parse(self._server.url)
        if self._client is not None and self._tracking is not None and address is not None and self.running:
            self._client.start(address)
            self._tracking.start()

    def ready(self) -> Deferred[None]:
        """Fires when Redis is connected and tells what changes, when it is known not to be there, or after 2 s; nobody
        needs to wait for it."""
        client, tracking = self._client, self._tracking
        if client is None or tracking is None:
            return succeed(None)
        both = DeferredList([client.when_available(), tracking.when_active()], consumeErrors=True)
        first: Deferred[None] = Deferred(lambda _: both.cancel())

        def settled(_: object = None) -> None:
            if not first.called:
                first.callback(None)

        def over(result: object) -> object:
            client.when_down.remove(settled)
            return result

        client.when_down.append(settled)
        first.addBoth(over)
        both.addCallback(settled)
        return first.addTimeout(self.PATIENCE, self._reactor, lambda result, seconds: None)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._client is not None:
            # A slow line may take longer than is waited for.
            both = DeferredList([self._relays.flush(), self.store.flush()], consumeErrors=True)
            await both.addTimeout(self.FAREWELL, self._reactor, lambda result, seconds: None)
            # What was waited for may end as a connection is lost, and ClientService cannot be stopped from there.
            await deferLater(self._reactor, 0, lambda: None)
        if self._tracking is not None:
            await self._tracking.close()
        if self._client is not None:
            await self._client.close()
        self.changes.close()
        if self._server is not None:
            await self._server.stop()


def open_store(
    reactor: IReactorTime,
    *,
    redis: str = "embedded",
    prefix: str = DEFAULT_PREFIX,
    memory: int = DEFAULT_MEMORY,
    mode: str = "local",
    embedded: int = 256 * 1024 * 1024,
) -> StoreService:
    """The store over ``redis``: ``embedded``, ``memory`` (none), or a URL. A service to start and stop.

    ``memory`` bounds the memory tier and ``embedded`` the embedded server, in bytes. ValueError, in one line and
    without credentials, when something cannot be meant; TypeError for what is of another type. It never fails for
    lack of a Redis.
    """
    return StoreService(reactor, redis, prefix, memory, mode, embedded)
