"""What ``twistd`` and ``twist`` load by name: the options, and how to make the service of them."""

from __future__ import annotations

import gc
import signal
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any

from txstalecache.config.options import Options

if TYPE_CHECKING:
    from twisted.application.service import IService

    from txstalecache.service import ProxyService

__all__ = ["Options", "collect_rarely", "count_uptime", "leave_in_order", "makeService"]


def makeService(options: Options) -> IService:
    """The proxy as a service, on the reactor that is installed by now."""
    # Late: twist chooses the reactor after it has read the options, and --help needs none of this.
    from twisted.internet import reactor

    from txstalecache.service import ProxyService
    from txstalecache.workers import WorkersService

    service: ProxyService
    count_uptime(reactor)
    collect_rarely(reactor)
    if options.settings.fleet.workers > 1:
        service = WorkersService(reactor, options.settings, options.given)
    else:
        service = ProxyService(reactor, options.settings)
    leave_in_order(reactor)
    if options.settings.config is not None:
        reload_when_told(reactor, service)
    return service


def count_uptime(reactor: Any) -> None:
    """Let every deadline be as long as it is, whoever sets the host's clock: Twisted's reactors count by that clock.

    Only where nothing is due yet, which would be due at another time then.
    """
    from txstalecache.store.clock import uptime

    if not reactor.getDelayedCalls():
        reactor.seconds = uptime


def collect_rarely(reactor: Any) -> None:
    """Keep the garbage collector from going through all that lives, entries above all, again and again: requests leave
    it next to nothing to find, as what they hold is let go of when they end.

    Once the reactor runs, and for the whole process: an application that embeds the cache decides this for itself.
    """

    def settle() -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)

    reactor.callWhenRunning(settle)


def leave_in_order(reactor: Any) -> None:
    """Let SIGTERM end the process with status 0 once the service has stopped: it was asked to leave, and did.

    twistd and twist would drain all the same, but then kill themselves with the signal; with SIGINT they do.
    What comes after either changes nothing.
    """

    from twisted.internet.error import ReactorNotRunning

    def stop() -> None:
        try:
            reactor.stop()
        except ReactorNotRunning:
            pass  # it stops by itself

    def once(leave: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def told(number: int, frame: FrameType | None) -> None:
            for other in (signal.SIGTERM, signal.SIGINT):
                signal.signal(other, lambda *_: None)
            leave(number, frame)

        return told

    def obey() -> None:
        signal.signal(signal.SIGTERM, once(lambda *_: reactor.callFromThread(stop)))
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            signal.signal(signal.SIGINT, once(interrupt))

    # The reactor sets its own handlers after it has called what waits for it to run.
    reactor.callWhenRunning(reactor.callLater, 0, obey)


def reload_when_told(reactor: Any, service: ProxyService) -> None:
    """At SIGHUP the configuration file is read again."""

    def obey() -> None:
        signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(service.reload))

    reactor.callWhenRunning(reactor.callLater, 0, obey)
