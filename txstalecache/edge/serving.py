"""The coroutine that serves one exchange, stepped from one Deferred that it awaits to the next.

``Deferred.fromCoroutine`` does this and more: it runs each in a context of its own, and makes a Deferred for who waits
for the end. Nobody waits for the end of an exchange, nothing here keeps anything in a context, and all that is not a
hit of the lane would pay for both.
Must not know: what is served.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

__all__ = ["Serving"]


class Serving:
    """Owns ``coroutine`` once it has been started. ``failed`` is told what it raised, CancelledError too."""

    __slots__ = ("_awaited", "_coroutine", "_failed")

    def __init__(self, coroutine: Coroutine[Deferred[Any], Any, None], failed: Callable[[Failure], None]) -> None:
        self._coroutine = coroutine
        self._failed = failed
        self._awaited: Deferred[Any] | None = None

    def start(self) -> None:
        """Run it as far as it goes. Call once."""
        self._step(None)

    def cancel(self) -> None:
        """Cancel what is awaited, if anything is."""
        if self._awaited is not None:
            self._awaited.cancel()

    def _step(self, result: object) -> None:
        coroutine, self._awaited = self._coroutine, None
        try:
            # What has come it takes from the Deferred itself.
            error = result.value if isinstance(result, Failure) else None
            awaited = coroutine.send(None) if error is None else coroutine.throw(error)
        except StopIteration:
            return
        except Exception:
            self._failed(Failure())
            return
        self._awaited = awaited
        awaited.addBoth(self._step)
