"""A log that cannot hurt: what an embedder's own function raises goes no further than Twisted's log.

Must not know: what is logged.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txstalecache.observe.accesslog import Record

__all__ = ["contained"]

_failures = Logger()


def contained(log: Callable[[Record], None] | None) -> Callable[[Record], None] | None:
    """``log``, which no request fails by. None stays None."""
    if log is None:
        return None
    write = log

    def record(record: Record) -> None:
        try:
            write(record)
        except Exception:
            _failures.failure("a request could not be logged")

    return record
