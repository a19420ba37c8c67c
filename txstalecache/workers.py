"""Several processes as one service: the parent holds the listening socket, the Redis and the admin interface; workers
answer.

The socket is opened once and shared, so that what waits to be accepted belongs to no worker: one that is killed takes
only the connections with it that it had accepted.
Must not know: how a request is answered.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.config.settings import Settings
from txstalecache.intercom import Asker, Unanswered
from txstalecache.nameless import nameless
from txstalecache.pause import Pause
from txstalecache.service import DRAIN, CannotStart, ProxyService
from txstalecache.store.opening import StoreService
from txstalecache.store.redisserver import NoServer, find_server
from txstalecache.turns import Shares
from txstalecache.worker import ANSWERS, CONFIGURATION, SHARES, SOCKET, TOLD

__all__ = ["WorkersService"]

#: Seconds that a worker is given to leave: to drain, to have its Redis take what is on its way there, and to close.
LEAVING = DRAIN + StoreService.FAREWELL + 5.0

#: Seconds that a worker is given to read anew what is on disk.
RELOADING = 30.0

#: A Redis that is away.
NOWHERE = "unix:///nonexistent/redis.sock"


class Worker(ProcessProtocol):
    """One place among the workers: a process, started again when it ends, after a pause."""

    log = Logger()
    #: Seconds after which the end of a process is no sign of one that cannot live.
    SOUND = 10.0

    def __init__(
        self,
        reactor: Any,
        number: int,
        descriptor: int,
        shares: Shares,
        arguments: list[str],
        redis: str,
        text: str,
        started: str,
        unasked: Callable[[int, str, dict[str, Any]], None],
    ) -> None:
        """``unasked`` is called with its number and what it says by itself."""
        self._reactor = reactor
        self.number = number
        self._descriptor = descriptor
        self._shares = shares
        self._arguments = arguments
        self._redis = redis
        self._text, self._started = text, started
        """What the configuration file says, as far as it is in force, and what it said when the service was made;
        nothing without one."""
        self._pause = Pause(reactor, self.SOUND)
        self._timer: IDelayedCall | None = None
        self._process: Any = None
        self._stopped: Deferred[None] | None = None
        self._rest = b""
        self._asker = Asker(reactor, self._write, partial(unasked, number))

    @property
    def pid(self) -> int | None:
        """The process; None between two."""
        return None if self._process is None else int(self._process.pid)

    def start(self) -> None:
        """Start the process; where the system has none to give now, it is tried again."""
        self._timer = None
        self._pause.begin()
        try:
            self._process = self._spawn()
        except OSError as error:
            self._again(f"could not be started ({error})")
            return
        self.log.info("worker {number} started: process {pid}", number=self.number, pid=self._process.pid)

    def _spawn(self) -> Any:
        told = json.dumps(
            {
                "redis": self._redis,
                "number": self.number,
                "workers": self._shares.workers,
            }
        )
        environment = {name: text for name, text in os.environ.items() if not name.startswith("LISTEN_")}
        with nameless() as text:
            text.write(json.dumps([self._text, self._started]).encode())
            text.flush()
            return self._reactor.spawnProcess(
                self,
                sys.executable,
                [sys.executable, "-m", "txstalecache.worker", *self._arguments],
                env={**environment, TOLD: told},
                # Its access log goes where ours goes; what it logs beside that comes to us.
                childFDs={
                    0: "w",
                    1: 1,
                    2: "r",
                    SOCKET: self._descriptor,
                    ANSWERS: "r",
                    CONFIGURATION: text.fileno(),
                    SHARES: self._shares.descriptor,
                },
            )

    def _again(self, what: str) -> None:
        """Start another, after a pause."""
        pause = self._pause.end()
        self.log.error(
            "worker {number} {what}; starting another in {pause:.1f} s", number=self.number, what=what, pause=pause
        )
        self._timer = self._reactor.callLater(pause, self.start)

    def stop(self) -> Deferred[None]:
        """Let it drain; fires when it is gone, at the latest when it had to be killed."""
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._process is None:
            stopped.callback(None)
        else:
            self._process.signalProcess("TERM")
            self._timer = self._reactor.callLater(LEAVING, self._kill)
        return stopped

    def reload(self, text: str) -> None:
        """Let it, and those started in its place, do as ``text`` says, but in what holds until a restart."""
        self._text = text
        self._have("reload", text=text)

    def renew(self) -> None:
        """Let it read the certificate again; those started in its place do so anyway."""
        self._have("renew")

    def _have(self, what: str, **said: object) -> None:
        """Have it do ``what``; the log says where that was not done."""

        def told(answer: Mapping[str, object]) -> None:
            # One that is being started finds what is new there.
            if self._process is not None and not answer.get("done"):
                why = answer.get("problem", "see above")
                self.log.error("worker {number}: no {what}: {why}", number=self.number, what=what, why=why)

        self.ask(what, said, RELOADING).addCallback(told)

    def ask(self, what: str, said: Mapping[str, object], seconds: float) -> Deferred[dict[str, Any]]:
        """What it answers, with its number and process; with a ``problem`` where there is no answer. Never fails,
        unless it is cancelled."""
        known = {"worker": self.number, "pid": self.pid}
        if self._process is None:
            return succeed({**known, "problem": "being started again"})

        def unanswered(failure: Failure) -> dict[str, Any]:
            failure.trap(Unanswered)
            return {"problem": failure.getErrorMessage()}

        asked = self._asker.ask(what, said, seconds).addErrback(unanswered)
        return asked.addCallback(lambda told: {**told, **known})

    def _write(self, data: bytes) -> None:
        if 0 in self._process.pipes:  # else it is about to end
            self._process.writeToChild(0, data)

    def _kill(self) -> None:
        self._timer = None
        if self._process is not None:
            self._process.signalProcess("KILL")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        if childFD == ANSWERS:
            self._asker.heard(data)
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > 65536:
            lines, self._rest = [self._rest], b""
        for line in lines:
            self._said(line)

    def _said(self, line: bytes) -> None:
        if line.strip():
            self.log.info("worker {number}: {line}", number=self.number, line=line.decode("utf-8", "replace"))

    def processEnded(self, reason: Failure) -> None:
        self._said(self._rest)
        self._shares.gone(self.number)
        self._process, self._rest = None, b""
        self._asker.lost()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stopped is not None:
            if not self._stopped.called:
                self._stopped.callback(None)
            return
        self._again(f"has ended ({reason.getErrorMessage()})")


class WorkersService(ProxyService):
    """``settings.fleet.workers`` processes; ``arguments`` are the options they are started with. CannotStart also where
    there is no Redis for them to share."""

    def __init__(self, reactor: Any, settings: Settings, arguments: list[str]) -> None:
        super().__init__(reactor, settings)
        if settings.redis == "embedded":
            try:
                find_server()
            except NoServer as error:
                raise CannotStart(f"several workers need a Redis to share, and there is {error}") from None
        # The last one counts: a name as it was written would be looked up from where twistd has gone meanwhile.
        self._arguments = arguments if settings.config is None else [*arguments, "--config", settings.config]
        self._started = settings.text
        self._workers: list[Worker] = []
        self._shares: Shares | None = None

    def _open(self) -> None:
        """Have the workers take requests: nothing is ever accepted here. An embedded Redis is started by now."""
        port: Any = self._port
        if port is None or not self.running:
            return
        redis = self._store.url or self._settings.redis
        if redis == "embedded":
            # It has found no place to be, as was said. Not memory alone: nobody would hear of a purge.
            redis = NOWHERE
        shares = self._shares = Shares.fresh(self._fleet.workers)
        for number in range(1, self._fleet.workers + 1):
            texts = self._settings.text, self._started
            worker = Worker(self._reactor, number, port.fileno(), shares, self._arguments, redis, *texts, self._unasked)
            self._workers.append(worker)
            worker.start()

    async def _drain(self) -> None:
        for stopped in [worker.stop() for worker in self._workers]:
            await stopped
        if self._shares is not None:
            self._shares.close()
        await super()._drain()

    async def _reload(self, text: str | None) -> bool:
        """As the service of one process; then the workers do as the file says, and those started after them."""
        done = await super()._reload(text)
        if done:
            for worker in self._workers:
                worker.reload(self._settings.text)
        return done

    def renew(self) -> bool:
        """As the service of one process; then the workers do, who speak under it."""
        done = super().renew()
        if done and self._endpoint.secure:
            for worker in self._workers:
                worker.renew()
        return done

    def ask(self, what: str, seconds: float = 1.0, **said: object) -> Deferred[list[dict[str, Any]]]:
        """Ask every worker ``what`` (a name in ``worker.main``'s answers), with ``said`` as keywords; a dictionary of
        each, in order, with its ``worker`` (number) and ``pid``, and a ``problem`` where it gave no answer within
        ``seconds``. Never fails, unless it is cancelled."""
        asked = [worker.ask(what, said, seconds) for worker in self._workers]

        def given_up(failure: Failure) -> Failure:
            # Each of the questions has failed; whoever has cancelled expects one failure, and that one.
            assert isinstance(failure.value, FirstError)
            return failure.value.subFailure

        return gatherResults(asked, consumeErrors=True).addErrback(given_up)

    def _unasked(self, number: int, what: str, told: dict[str, Any]) -> None:
        if what == "flight" and self._administration is not None:
            self._administration.flew({**told, "leader": {**told["leader"], "worker": number}})

    _covers = "workers"

    def unready(self) -> str:
        """As of the service of one process; and a worker has to run."""
        why = super().unready()
        return why or ("" if any(worker.pid is not None for worker in self._workers) else "no worker runs")
