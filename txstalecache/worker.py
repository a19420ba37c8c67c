"""One worker process: the proxy on a socket that its parent has opened. Started by ``workers``, by nobody else.

``python -m txstalecache.worker OPTIONS`` with the parent's own options; what differs is told in the environment. On
standard input come the parent's questions (``intercom``). It leaves, draining, on SIGTERM and when its standard input
ends: the parent is gone.
Must not know: the other workers.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, cast

from twisted.internet.interfaces import IListeningPort

from txstalecache.intercom import Answerer, Answers
from txstalecache.turns import Shares, Turns

__all__ = ["ANSWERS", "CONFIGURATION", "SHARES", "SOCKET", "TOLD", "Inherited", "main"]

#: The environment variable with what the parent says.
TOLD = "TXSTALECACHE_WORKER"
#: The descriptors at which a worker finds the socket, where its answers to the parent go, at which it finds what the
#: configuration file says and what it said when the parent was started, and what page it shares with the others.
SOCKET, ANSWERS, CONFIGURATION, SHARES = 3, 4, 5, 6


class Inherited:
    """A reactor that listens on the socket ``descriptor`` whatever it is told to listen on; else the one it stands for.

    That way the same endpoint description does in parent and worker, with all that wraps the socket (TLS, PROXY).
    """

    def __init__(self, reactor: Any, descriptor: int, opened: Callable[[Any], object]) -> None:
        """``opened`` is called with the port."""
        self._reactor = reactor
        self._descriptor = descriptor
        self._opened = opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        return self._adopt(factory, backlog)

    def listenUNIX(
        self, address: str, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        return self._adopt(factory, backlog)

    def listenSSL(
        self, port: int, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        from twisted.protocols.tls import TLSMemoryBIOFactory

        return self._adopt(TLSMemoryBIOFactory(contextFactory, False, factory), backlog)

    def _adopt(self, factory: Any, backlog: int) -> IListeningPort:
        # Late: it imports the reactor's parts.
        from twisted.internet import unix

        with socket.socket(fileno=os.dup(self._descriptor)) as known:
            family = known.family
        port: Any
        if family == socket.AF_UNIX:
            port = unix.Port._fromListeningDescriptor(self._reactor, self._descriptor, factory)
            # The file is the parent's: what has no name in the file system is neither given a mode nor removed. And the
            # socket is everybody's: to shut it down closes it for all, which Twisted knows of TCP alone.
            port._bindPath, port._shouldShutdown = b"\0", False
            port.backlog = backlog  # it listens anew
            port.startListening()
        else:
            port = self._reactor.adoptStreamPort(self._descriptor, family, factory)
        os.close(self._descriptor)  # it has one of its own
        self._opened(port)
        return cast(IListeningPort, port)


def _texts_of(descriptor: int) -> list[str]:
    """What the file behind ``descriptor`` holds."""
    with os.fdopen(descriptor, "rb") as file:
        file.seek(0)
        return list(json.load(file))


def main(arguments: list[str]) -> None:
    """Run until told to leave."""
    # The parent hears it too, and says what the file says.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    told = json.loads(os.environ.pop(TOLD))
    from twisted.internet import reactor as installed
    from twisted.internet.stdio import StandardIO
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from txstalecache.config.fleet import Fleet
    from txstalecache.config.options import Options
    from txstalecache.process import collect_rarely, count_uptime, leave, leave_in_order
    from txstalecache.service import ProxyService

    reactor: Any = installed
    count_uptime(reactor)
    collect_rarely(reactor)
    # What the parent has in force, whatever the file says by now. The token is for the parent alone.
    options = Options(*_texts_of(CONFIGURATION))
    options.parseOptions(arguments)
    listen = options.settings.listen
    if "systemd:" in listen:
        # What systemd passed on was passed to the parent.
        listen = listen[: listen.index("systemd:")] + "tcp:0"
    fleet = Fleet(redis_down=options.settings.fleet.redis_down)
    settings = replace(options.settings, redis=told["redis"], listen=listen, fleet=fleet)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    shares = Shares(SHARES, told["workers"])

    def opened(port: Any) -> None:
        Turns(reactor, port, shares, told["number"], lambda: service.connections)

    service = ProxyService(reactor, settings, listening=Inherited(reactor, SOCKET, opened))

    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    leave_in_order(reactor)
    service.privilegedStartService()
    service.startService()
    answers: Answers = {
        **service.answers(),
        "renew": lambda: {"done": service.renew()},
        "reload": lambda text: service.reload(text).addCallback(lambda done: {"done": done}),
    }
    answerer = Answerer(answers, lambda: leave(reactor))
    service.flown.tell = partial(answerer.say, "flight")
    StandardIO(answerer, stdout=ANSWERS, reactor=reactor)  # type: ignore[call-arg]
    reactor.run()


if __name__ == "__main__":
    main(sys.argv[1:])
