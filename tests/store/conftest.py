"""Stores that are closed after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks

from txstalecache.store import StoreService, open_store

MakeStore = Callable[..., Deferred[StoreService]]


@pytest.fixture
def make_store() -> Iterator[MakeStore]:
    """``backend = await make_store(redis=url)``: a started store, connected and told of changes if that is to be had."""
    from twisted.internet import reactor

    made: list[StoreService] = []

    @inlineCallbacks
    def make(redis: str, memory: int = 16 * 1024 * 1024, ready: bool = True, **more: str) -> object:  # type: ignore[misc]
        backend = open_store(reactor, redis=redis, memory=memory, prefix=more.pop("prefix", "test:"), **more)  # type: ignore[arg-type]
        made.append(backend)
        backend.startService()
        if ready:
            yield backend.ready()
        return backend

    yield make  # type: ignore[misc]
    for backend in made:
        if backend.running:
            pytest_twisted.blockon(backend.stopService())
