"""A whole proxy in the test's own process: real sockets, a real store, its access log kept.

::

    proxy = Proxy(origin.url, redis="memory", rules=Rules(ttl=5))
    yield proxy.start()
    reply = yield fetch(proxy.port, "GET", "/x")
    assert proxy.log[-1].verdict == "miss"
    yield proxy.close()

``redis`` takes what ``--redis`` takes. ``route`` are fields of ``config.routes.Route``. With ``clock`` (a
``task.Clock``) the flights' clocks are the test's.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, inlineCallbacks
from twisted.internet.interfaces import IListeningPort, IReactorTime

from txstalecache.config.routes import Networks, Route, Routes
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.flight.limits import Limits
from txstalecache.http.keys import KeyTemplate
from txstalecache.http.rules import Rules
from txstalecache.observe.accesslog import Record

__all__ = ["Proxy", "later", "make_proxy", "settled", "until"]


class Proxy:
    """See the module. Not to be started twice."""

    def __init__(
        self,
        origin: str | Any,
        *,
        redis: str = "memory",
        prefix: str = "test:",
        memory: int = 64 * 1024 * 1024,
        rules: Rules | None = None,
        key: str | None = None,
        limits: Limits | None = None,
        edge: EdgeLimits | None = None,
        clock: IReactorTime | None = None,
        before: tuple[Route, ...] = (),
        trusted_proxies: Networks = (),
        **route: Any,
    ) -> None:
        from twisted.internet import reactor

        from txstalecache.origin.http import HttpOrigin
        from txstalecache.store import open_store

        self._reactor: Any = reactor
        self.origin = HttpOrigin(reactor, origin) if isinstance(origin, str) else origin
        self.backend = open_store(reactor, redis=redis, prefix=prefix, memory=memory)
        self.log: list[Record] = []
        if rules is not None:
            route["rules"] = rules
        if key is not None:
            route["template"] = KeyTemplate.parse(key)
        self.resource = CacheResource(
            self.origin,
            self.backend,
            reactor=clock or reactor,
            routes=Routes((*before, Route(**route))),
            limits=limits or Limits(),
            trusted_proxies=trusted_proxies,
            log=self.log.append,
        )
        self.site = CacheSite(
            self.resource, reactor, limits=edge or EdgeLimits(body=None), refused=self.resource.recorded
        )
        self._listening: IListeningPort | None = None

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        assert self._listening is not None
        return int(self._listening.getHost().port)  # type: ignore[attr-defined]

    @property
    def flights(self) -> int:
        """How many are in the air."""
        return len(self.resource.registry.flights)

    def age(self, seconds: float) -> None:
        """As if so much time had passed for what is stored: the store's clock is ahead by it. No timer has moved, nor
        what Redis lets expire."""
        self.backend.clock._offset += seconds

    @inlineCallbacks
    def start(self) -> Any:
        """Listen on a free port."""
        self.backend.startService()
        yield self.backend.ready()
        self._listening = self._reactor.listenTCP(0, self.site, backlog=1024, interface="127.0.0.1")

    @inlineCallbacks
    def close(self) -> Any:
        """Stop listening, land what is in the air, close origin and store."""
        if self._listening is not None:
            yield self._listening.stopListening()
        yield self.resource.close()
        yield self.origin.close()
        yield self.backend.stopService()


def settled(*waiting: Deferred[Any]) -> Deferred[Any]:
    """All of ``waiting``, in order; the first failure is the result's."""
    from twisted.internet.defer import gatherResults

    return gatherResults(waiting, consumeErrors=True)


@pytest.fixture
def make_proxy() -> Generator[Callable[..., Deferred[Proxy]], None, None]:
    """``proxy = await make_proxy(origin.url, rules=…)``: a listening Proxy that is closed after the test."""
    proxies: list[Proxy] = []

    @inlineCallbacks
    def make(origin: Any, **options: Any) -> Any:
        proxy = Proxy(origin, **options)
        proxies.append(proxy)
        yield proxy.start()
        return proxy

    yield make

    @inlineCallbacks
    def close() -> Any:
        for proxy in proxies:
            yield proxy.close()

    pytest_twisted.blockon(close())


def later(seconds: float) -> Deferred[None]:
    """Fires after ``seconds`` of real time; for what only time brings about, such as the end of a lifetime."""
    from twisted.internet import reactor, task

    return task.deferLater(cast(Any, reactor), seconds)


async def until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Returns once ``true()``; fails the test when that takes longer than ``seconds``."""
    for _ in range(int(seconds / 0.005)):
        if true():
            return
        await later(0.005)
    raise AssertionError(f"still not so after {seconds} s")
