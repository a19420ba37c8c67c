"""Stores that are closed after the test, and what is said of their Redis."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from txstalecache.store import StoreService, open_store

#: What it makes is a StoreService; tests look inside it, so its type is left open.
MakeStore = Callable[..., Deferred[Any]]


@pytest.fixture
def make_store() -> Iterator[MakeStore]:
    """``backend = await make_store(redis=url)``: a started store, connected and told of changes if it can be."""
    from twisted.internet import reactor

    made: list[StoreService] = []

    @inlineCallbacks
    def make(
        redis: str, memory: int = 16 * 1024 * 1024, ready: bool = True, prefix: str = "test:", mode: str = "local"
    ) -> Generator[Deferred[Any], Any, StoreService]:
        backend = open_store(reactor, redis=redis, memory=memory, prefix=prefix, mode=mode)
        made.append(backend)
        backend.startService()
        if ready:
            yield backend.ready()
        return backend

    yield make
    for backend in made:
        if backend.running:
            pytest_twisted.blockon(backend.stopService())


@implementer(ILogObserver)
class Said:
    """What one module of the store has logged."""

    def __init__(self, module: str) -> None:
        self._namespace = f"txstalecache.store.{module}."
        self.lines: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith(self._namespace) and event["log_level"] >= LogLevel.info:
            self.lines.append(formatEvent(event))

    def count(self, words: str) -> int:
        return sum(words in line for line in self.lines)


@contextmanager
def heard_of(module: str) -> Iterator[Said]:
    """What ``module`` logs meanwhile."""
    observer = Said(module)
    globalLogPublisher.addObserver(observer)
    try:
        yield observer
    finally:
        globalLogPublisher.removeObserver(observer)


@pytest.fixture
def said() -> Iterator[Said]:
    """What is logged about Redis coming and going."""
    with heard_of("redis") as observer:
        yield observer
