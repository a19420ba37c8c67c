"""What makes a process fit to serve: its clock, its garbage, and what signals do to it.

Everything in here is for the whole process: an application that embeds the cache decides it for itself.
Must not know: what is served.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.internet.error import ReactorNotRunning

from txstalecache.store.clock import uptime

__all__ = ["collect_rarely", "count_uptime", "leave", "leave_in_order", "reload_when_told"]


def count_uptime(reactor: Any) -> None:
    """Let every deadline be as long as it is, whoever sets the host's clock: Twisted's reactors count by that clock.

    Only where nothing is due yet, which would be due at another time then.
    """
    if not reactor.getDelayedCalls():
        reactor.seconds = uptime


def collect_rarely(reactor: Any) -> None:
    """Keep the garbage collector from going through all that lives, entries above all, again and again: requests leave
    it next to nothing to find, as what they hold is let go of when they end. Once the reactor runs.
    """

    def settle() -> None:
        gc.collect()
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)

    reactor.callWhenRunning(settle)


def leave(reactor: Any) -> None:
    """Stop ``reactor``, unless it is being stopped already."""
    try:
        reactor.stop()
    except ReactorNotRunning:
        pass


def leave_in_order(reactor: Any) -> None:
    """Let SIGTERM end the process with status 0 once the service has stopped: it was asked to leave, and did.

    twistd and twist would drain all the same, but then kill themselves with the signal; with SIGINT they do.
    What comes after either changes nothing.
    """

    def once(obeyed: Callable[[int, FrameType | None], object]) -> Callable[[int, FrameType | None], None]:
        def told(number: int, frame: FrameType | None) -> None:
            for other in (signal.SIGTERM, signal.SIGINT):
                signal.signal(other, lambda *_: None)
            obeyed(number, frame)

        return told

    def obey() -> None:
        signal.signal(signal.SIGTERM, once(lambda *_: reactor.callFromThread(leave, reactor)))
        interrupt = signal.getsignal(signal.SIGINT)
        if callable(interrupt):
            signal.signal(signal.SIGINT, once(interrupt))

    # The reactor sets its own handlers after it has called what waits for it to run.
    reactor.callWhenRunning(reactor.callLater, 0, obey)


def reload_when_told(reactor: Any, reload: Callable[[], object], *, needed: bool) -> None:
    """At SIGHUP ``reload`` is called. Where that is not ``needed``, there being nothing to read again, and the process
    belongs to a terminal, it ends with that, as processes do."""

    def obey() -> None:
        if needed or not os.isatty(0):
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reload))

    # Once it runs: a daemon has left its terminal by then.
    reactor.callWhenRunning(reactor.callLater, 0, obey)
