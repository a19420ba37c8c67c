"""What is on its way to Redis, and nobody waits for: what was written and is not confirmed, and what else is going on.

What was written holds in this process until Redis has said yes or no. Whatever becomes of it, it ends here: what did
not reach Redis is counted, and what should not have happened is logged.

Must not know: how Redis is talked to, the memory tier; what is written and why.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterator
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.http.keys import Key
from txstalecache.store.commands import Refused, Unavailable
from txstalecache.store.memory import Shelf

__all__ = ["Pending", "UnderWay"]


class Pending:
    """What was written about one key and Redis has not confirmed yet."""

    __slots__ = ("shelf", "unmarked", "writes")

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.writes = 0
        self.unmarked = False
        """Whether a marker that Redis still knows was taken away."""

    def overlay(self, shelf: Shelf) -> None:
        """Change ``shelf``, which is what Redis says, into what it will say."""
        over = self.shelf
        if over.complete:
            shelf.discard(over.cut)
        for variant in over.variants.values():
            shelf.add(variant)
        if over.advice is not None or self.unmarked:
            shelf.advice = over.advice
        if over.cookie is not None:
            shelf.cookie = over.cookie


class UnderWay:
    """All that is on its way. Its length: the keys that something is pending about."""

    log = Logger()

    def __init__(self) -> None:
        self.unwritten = 0
        """Writes that did not reach Redis, so far."""
        self._pending: dict[Key, Pending] = {}
        self._running: set[Deferred[Any]] = set()
        self.about = self._pending.get
        """What is pending about a key, or None. Asked by every request that memory does not answer."""

    def __len__(self) -> int:
        return len(self._pending)

    def __iter__(self) -> Iterator[Pending]:
        return iter(list(self._pending.values()))

    def pend(self, key: Key) -> Pending:
        """What is pending about ``key``, to be added to; to be ``send`` at once."""
        pending = self._pending.get(key)
        if pending is None:
            pending = self._pending[key] = Pending(Shelf(key))
        return pending

    def send(self, pending: Pending, writing: Deferred[Any]) -> None:
        """What was added to ``pending`` is being written; it is over when ``writing`` fires."""
        pending.writes += 1
        self._running.add(writing)
        writing.addErrback(self._unwritten).addBoth(self._written, pending, writing)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Let ``coroutine`` run, now and later."""
        done: Deferred[None] = Deferred.fromCoroutine(coroutine)
        if done.called:
            done.addErrback(self.broken)
            return
        self._running.add(done)

        done.addErrback(self.broken).addBoth(lambda _: self._running.discard(done))

    def flush(self) -> Deferred[None]:
        """Fires when what was written so far is in Redis, or has failed: at most the write time limit."""
        waiting: list[Deferred[None]] = []
        for done in self._running:
            one: Deferred[None] = Deferred()
            done.addBoth(_also, one)
            waiting.append(one)
        # Who no longer waits for all of them cancels each.
        return DeferredList(waiting, consumeErrors=True).addCallback(lambda _: None)

    def broken(self, failure: Failure) -> None:
        """Something failed for another reason than Redis: nobody else will say so."""
        self.log.failure("a fault of the store's own", failure)

    def _unwritten(self, failure: Failure) -> None:
        if failure.check(Unavailable, Refused):
            self.unwritten += 1
        else:
            self.broken(failure)

    def _written(self, _: object, pending: Pending, writing: Deferred[Any]) -> None:
        self._running.discard(writing)
        pending.writes -= 1
        key = pending.shelf.key
        if not pending.writes and self._pending.get(key) is pending:
            del self._pending[key]


def _also(result: object, other: Deferred[None]) -> object:
    other.callback(None)
    return result
