"""A command that asks over the network, from its begin to its exit status, on the reactor.

Must not know: what the command does.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txstalecache.cli.exits import Exit

__all__ = ["perform"]


def perform(work: Callable[[Any], Coroutine[Any, Any, int]]) -> int:
    """Run ``work(reactor)``; its exit status, or what it raised. Ctrl-C cancels it, and waits for it to clean up."""
    from twisted.internet import reactor as installed
    from twisted.logger import globalLogBeginner

    reactor: Any = installed
    # The one who reads is a person or a script: what is to be said is said by the command.
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    outcome: list[int | Failure] = []
    working: Deferred[int] | None = None

    def begin() -> None:
        nonlocal working
        working = Deferred.fromCoroutine(work(reactor))
        working.addBoth(end)

    def end(result: int | Failure) -> None:
        outcome.append(result)
        if not stopping:
            reactor.stop()

    stopping = False
    stopped: Deferred[None] = Deferred()

    def stop() -> Deferred[None] | None:
        nonlocal stopping
        stopping = True
        if outcome or working is None:
            return None
        working.addBoth(lambda _: stopped.callback(None))
        working.cancel()
        return stopped

    reactor.callWhenRunning(begin)
    reactor.addSystemEventTrigger("before", "shutdown", stop)
    reactor.run()
    result = outcome[0] if outcome else Exit.INTERRUPTED
    if isinstance(result, Failure):
        if result.check(CancelledError):
            return Exit.INTERRUPTED
        result.raiseException()
    return int(result)
