"""The proxy as one service: builds the parts, starts them in order, stops them in the opposite one.

Listening comes first, while the process still may open low ports; the store may come up later, or never.
Must not know: command lines.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.service import Service
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, DeferredLock, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache import __version__
from txstalecache.admin.facts import Facts
from txstalecache.admin.flown import Flown
from txstalecache.config.settings import Settings, SettingsError
from txstalecache.demo import DemoOrigin, DemoSite, advice, invitation
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.flight.limits import affordable
from txstalecache.listening import Endpoint, one_line
from txstalecache.observe.accesslog import AccessLog, Record, combined, json_line
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import IOrigin
from txstalecache.store import open_store
from txstalecache.upstreams import Upstream

if TYPE_CHECKING:
    from txstalecache.administration import Administration
    from txstalecache.observe.spans import Spans

__all__ = ["CannotStart", "ProxyService"]

#: Seconds that requests in progress are given when the service stops.
DRAIN = 30.0


class CannotStart(SystemExit, Exception):
    """The proxy cannot run: ends the process with one line on standard error, and in the log of a daemon, and status 1,
    without a traceback.

    An ``Exception`` as well, so that twistd removes its pid file and tells the process that waits for the daemon.
    """

    _log = Logger()

    def __init__(self, problem: str) -> None:
        super().__init__(f"txstalecache: {problem}")
        # No critical one: before there is a log, those go to standard error as well.
        self._log.error("{problem}", problem=problem)
        # Not what the interpreter is to print: by now sys.stderr may be twistd's log.
        self.code = 1
        if sys.__stderr__ is not None:
            print(self, file=sys.__stderr__, flush=True)


def _endpoint(reactor: Any, description: str, option: str) -> Endpoint:
    """What the ``option`` describes, or CannotStart."""
    try:
        return Endpoint(reactor, description)
    except ValueError as error:
        raise CannotStart(f"{option} {description}: {error}") from None


def _origins(upstreams: Mapping[str, Upstream]) -> dict[str, IOrigin]:
    return {name: upstream.origin for name, upstream in upstreams.items()}


def _each(*listeners: Callable[[Record], None] | None) -> Callable[[Record], None] | None:
    """One that tells all of ``listeners`` there are; None when there are none."""
    there = [listener for listener in listeners if listener is not None]
    if len(there) < 2:
        return there[0] if there else None

    def tell(record: Record) -> None:
        for listener in there:
            listener(record)

    return tell


class ProxyService(Service):
    """The whole proxy. Owns every part it builds."""

    _log = Logger()

    def __init__(self, reactor: Any, settings: Settings, *, listening: Any = None) -> None:
        """Raises CannotStart when ``settings.listen`` means nothing to Twisted. Nothing is opened before the start.

        ``listening`` is the reactor that listens on the public endpoint, where that is another one.
        """
        self._reactor = reactor
        self._settings = settings
        self._fleet = fleet = settings.fleet
        self._endpoint = _endpoint(listening or reactor, settings.listen, "--listen")
        self._admin_endpoint = None if fleet.admin is None else _endpoint(reactor, fleet.admin, "--admin")
        self._administration: Administration | None = None
        self._ticking = LoopingCall(lambda: self._facts.tick())
        self._ticking.clock = reactor
        self._settled = self._leaving = False
        self._reloading = DeferredLock()
        """Whether the store has answered, or has had time enough; whether the service is being stopped."""
        self._port: IListeningPort | None = None
        self._demo_port: IListeningPort | None = None
        self._pending: Deferred[None] | None = None
        """The attempt to listen, once it was made."""
        self._problem = ""

    # -- start ---------------------------------------------------------------------------------------------------

    def privilegedStartService(self) -> None:
        """Listen, while it may still be allowed."""
        super().privilegedStartService()
        self._listen()

    def startService(self) -> None:
        """Start what is left to start. ``twist`` calls nothing before this."""
        self._listen()
        super().startService()
        self._store.startService()
        self._ticking.start(1.0).addErrback(lambda failure: self._log.failure("counting failed", failure))
        self._store.ready().addCallback(self._answered)

    def _answered(self, _: object) -> None:
        self._settled = True
        self._open()

    def _open(self) -> None:
        """Take requests. None is taken before it is known how the store is, which is a short while: it would be fetched
        though another process has it, or does so, or be refused for lack of a Redis."""
        port: Any = self._port
        if self.running and isinstance(port, FileDescriptor):
            port.startReading()

    def _listen(self) -> None:
        if self._pending is not None:
            return
        origin = self._settings.origin or self._demo()
        self._build(origin)
        if self._settings.config is not None:
            origin = ", ".join(upstream.name for upstream in self._settings.upstreams)
        listening = self._endpoint.listen(self._site)
        self._pending = listening.addCallback(self._listening, origin).addErrback(self._deaf)
        self._listen_admin()
        if self._problem:
            raise CannotStart(self._problem)

    def _listen_admin(self) -> None:
        """Listen for the operator; never on the public endpoint."""
        endpoint = self._admin_endpoint
        if endpoint is None or self._problem:
            return
        # Late: what it takes to load is a part of what a process takes to start, and no worker has one.
        from txstalecache.administration import Administration

        administration = self._administration = Administration(
            self._reactor,
            self._resource,
            self._facts,
            token=self._fleet.token,
            hosts=self._fleet.admin_hosts,
            ask=self.ask,
            covers=self._covers,
            ready=self.unready,
        )
        self.flown.tell = administration.flew

        def listening(port: IListeningPort) -> None:
            where = endpoint.where(port.getHost())
            self._log.info("the admin interface listens on {where}", where=where)
            self._say(invitation(where, self._fleet.token))

        started = administration.listen(endpoint)
        started.addCallbacks(listening, self._deaf, errbackArgs=(self._fleet.admin,))

    _covers = "process"

    def ask(self, what: str, seconds: float = 1.0, **said: object) -> Deferred[list[dict[str, Any]]]:
        """What the processes that serve say (``admin.facts``), those that say something within ``seconds``: here, this
        one."""
        return maybeDeferred(self.answers()[what], **said).addCallback(lambda told: [told])

    def answers(self) -> Mapping[str, Callable[..., Any]]:
        """What this process can be asked."""
        return {**self._facts.answers(), "watch": self.flown.watch}

    @property
    def connections(self) -> int:
        """Clients' connections that stand."""
        return len(self._site.channels)

    def unready(self) -> str:
        """Why requests had better go elsewhere; empty when they need not."""
        if self._leaving:
            return "draining"
        if self._port is None:
            return "not listening yet"
        return "" if self._settled else "the store has not answered yet"

    def _demo(self) -> str:
        """Start the demo's origin; its URL."""
        site = DemoSite(DemoOrigin(self._reactor))
        self._demo_port = port = self._reactor.listenTCP(0, site, interface="127.0.0.1")
        return f"http://127.0.0.1:{port.getHost().port}"

    def _build(self, origin: str) -> None:
        settings, reactor = self._settings, self._reactor
        self._routes = settings.routes()
        self._upstreams: dict[str, Upstream] = {}
        self._access_log, self._spans = self._open_log(), self._open_spans()
        try:
            self._store = open_store(
                reactor,
                redis=settings.redis,
                prefix=settings.prefix,
                memory=settings.memory,
                mode=self._fleet.redis_down,
            )
            for plan in settings.upstreams:
                self._upstreams[plan.name] = Upstream.open(reactor, plan)
            self._origins = _origins(self._upstreams) or {"origin": HttpOrigin(reactor, origin)}
        except ValueError as error:  # what only shows when it is used: a certificate that cannot be read
            raise CannotStart(one_line(error)) from None
        self._resource = CacheResource(
            origin=next(iter(self._origins.values())),
            origins=self._origins,
            trusted_proxies=settings.trusted_proxies,
            store=self._store,
            reactor=reactor,
            routes=self._routes,
            limits=affordable(settings.of_flights),
            log=_each(self._access_log, self._spans),
            name=settings.name,
        )
        limits = EdgeLimits(body=settings.max_upload, hosts=settings.hosts, **settings.of_clients)
        self._site = CacheSite(self._resource, reactor, limits=limits, refused=self._resource.recorded)
        self._site.noisy = False
        self._facts = Facts(
            self._resource.registry,
            self._resource.tally,
            self._store,
            self._routes,
            limits,
            lambda: self._origins,
            reactor,
            __version__,
            self._resource.pseudonym,
        )
        self.flown = Flown(self._resource.registry, self._facts, reactor)

    def _open_spans(self) -> Spans | None:
        if os.environ.get("OTEL_TRACES_EXPORTER", "none") in ("", "none"):
            return None
        try:
            from txstalecache.observe.spans import Spans
        except ImportError:
            raise CannotStart("OTEL_TRACES_EXPORTER is set: spans need txstalecache[otel]") from None
        try:
            return Spans.of_environment(__version__)
        except ValueError as error:
            raise CannotStart(one_line(error)) from None

    def _open_log(self) -> AccessLog | None:
        path = self._settings.access_log
        if path is None:
            return None
        try:
            return AccessLog(path, json_line if self._settings.access_log_format == "json" else combined)
        except OSError as error:
            raise CannotStart(f"--access-log: {one_line(error)}") from None

    def _listening(self, port: IListeningPort, origin: str) -> None:
        self._port = port
        if not self._settled and isinstance(port, FileDescriptor):
            # Before the reactor turns: who comes waits on the socket.
            port.stopReading()
        where = self._endpoint.where(port.getHost())
        self._log.info(
            "txstalecache {v} listens on {where}, in front of {origin}", v=__version__, where=where, origin=origin
        )
        self._say(advice(where))

    def _say(self, text: str) -> None:
        """Tell whoever started the demo."""
        # Not sys.stdout: twistd makes that write to its log, a time before each line.
        if self._settings.demo and sys.__stdout__ is not None:
            sys.__stdout__.write(text)
            sys.__stdout__.flush()

    def _deaf(self, failure: Failure, where: str | None = None) -> None:
        """Listening failed; for the endpoints Twisted brings, before ``listen`` returned."""
        self._problem = f"cannot listen on {where or self._settings.listen}: {one_line(failure.value or OSError())}"
        if self.running:
            self._log.critical("{problem}", problem=self._problem)
            self._reactor.stop()

    # -- what is read again --------------------------------------------------------------------------------------

    @property
    def rereads(self) -> bool:
        """Whether anything can be read again while it runs."""
        admin = self._admin_endpoint
        return self._settings.config is not None or self._endpoint.secure or (admin is not None and admin.secure)

    def reread(self) -> None:
        """Read again what there is on disk: certificates of endpoints, and the configuration file."""
        if not self.rereads:
            self._log.info("there is nothing to read again: neither a configuration file nor a certificate")
        self.renew()
        if self._admin_endpoint is not None:
            self._renew(self._admin_endpoint)
        if self._settings.config is not None and not self._reloading.waiting:
            # Who waits already will read what the file says by then.
            reloading = self.reload()
            reloading.addErrback(lambda failure: self._log.failure("configuration not reloaded", failure))

    def renew(self) -> bool:
        """Read the certificate of the public endpoint again, if it has one; whether it can be used. Connections that
        stand keep theirs; one that cannot be used changes nothing, and the log says why."""
        return self._renew(self._endpoint)

    def _renew(self, endpoint: Endpoint) -> bool:
        try:
            endpoint.renew()
        except ValueError as error:
            self._log.error(
                "the certificate of {where} stays as it was read before: {why}", where=endpoint.description, why=error
            )
            return False
        if endpoint.secure:
            self._log.info("the certificate of {where} was read again", where=endpoint.description)
        return True

    def reload(self, text: str | None = None) -> Deferred[bool]:
        """Read the configuration file again, or take ``text`` for what it says; fires with whether its routes and
        upstreams are in force by then. What is under way goes on as it began. A file that makes no sense changes
        nothing, and the log says what is wrong with it.

        Thousands of routes take seconds to be read: a thread does that, and one after the other whoever asks for it."""
        return self._reloading.run(lambda: Deferred.fromCoroutine(self._reload(text)))

    async def _reload(self, text: str | None) -> bool:
        before = self._settings
        if before.config is None or self._pending is None:
            self._log.info("there is no configuration file to read again")
            return False
        upstreams: dict[str, Upstream] = {}
        try:
            after = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), before.reread, text)
            if not self.running:
                return False
            for plan in after.upstreams:
                known = self._upstreams.get(plan.name)
                kept = known if known is not None and known.is_as(plan) else None
                upstreams[plan.name] = kept or Upstream.open(self._reactor, plan)
        except ValueError as error:
            for problem in error.problems if isinstance(error, SettingsError) else [one_line(error)]:
                self._log.error("configuration not reloaded: {problem}", problem=problem)
            self._retire(upstreams, self._upstreams)
            return False
        gone, self._upstreams = self._upstreams, upstreams
        self._origins = _origins(upstreams)
        self._resource.registry.origin = next(iter(self._origins.values()))
        self._resource.origins = self._origins
        self._routes.set(after.routes().routes)
        self._settings = after
        self._retire(gone, upstreams)
        # The last one is for what no [[route]] is for.
        self._log.info("configuration reloaded: {n} routes", n=len(after.of_file) - 1)
        if after.waiting:
            self._log.warn("not before a restart: {places}", places=", ".join(after.waiting))
        return True

    def _retire(self, upstreams: Mapping[str, Upstream], kept: Mapping[str, Upstream]) -> None:
        """Close those of ``upstreams`` that are not ``kept``; fetches under way keep their connections."""
        for name, upstream in upstreams.items():
            if kept.get(name) is not upstream:
                Deferred.fromCoroutine(self._closing(f"upstream {name}", upstream.origin.close))

    # -- stop ----------------------------------------------------------------------------------------------------

    def stopService(self) -> Deferred[None]:
        """Fires when the requests in progress have their answers, after 30 s at most, and every part is closed."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._pending is None:
            return
        self._pending.cancel()
        if self._port is not None:
            await self._closing("listener", self._port.stopListening)
        self._leaving = True
        await self._drain()
        if self._administration is not None:
            await self._closing("admin interface", self._administration.close)
        if self._ticking.running:
            self._ticking.stop()
        # Whoever is still here gets 503; then nothing asks the origin or the store any more.
        await self._closing("flights", self._resource.close)
        for name, origin in self._origins.items():
            await self._closing(f"upstream {name}", origin.close)
        await self._closing("store", self._store.stopService)
        if self._demo_port is not None:
            await self._closing("demo", self._demo_port.stopListening)
        if self._access_log is not None:
            await self._closing("access log", self._access_log.close)
        if self._spans is not None:
            # What is left is exported, which may take its time.
            threads = self._reactor.getThreadPool()
            await self._closing("spans", partial(deferToThreadPool, self._reactor, threads, self._spans.close))

    async def _drain(self) -> None:
        """Returns when the requests in progress have their answers, or have had time enough."""
        drained = Deferred.fromCoroutine(self._drained())
        await drained.addTimeout(DRAIN, self._reactor, lambda late, seconds: None)

    async def _drained(self) -> None:
        await self._site.drain()
        # What is read in other processes, is to be stored, or has changed things needs no connection here.
        await self._resource.registry.landed()

    async def _closing(self, name: str, close: Callable[[], Any]) -> None:
        """Close one part; that it fails is no reason to keep the others open."""
        try:
            await maybeDeferred(close)
        except Exception:
            self._log.failure("closing {name} failed", name=name)
