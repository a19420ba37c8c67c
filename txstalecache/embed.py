"""A cache in front of a resource of one's own, in one line.

Must not know: how anything is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from txstalecache.config.routes import Route, Routes
from txstalecache.edge.resource import CacheResource
from txstalecache.http.keys import DEFAULT_TEMPLATE, KeyTemplate
from txstalecache.http.rules import Rules
from txstalecache.origin.local import LocalOrigin
from txstalecache.store.opening import StoreService

__all__ = ["cached"]


class _Owning(CacheResource):
    """A cache that closes its origin with itself."""

    def close(self) -> Deferred[None]:
        return super().close().addCallback(lambda _: self.registry.origin.close())


def cached(
    *,
    ttl: float | None = None,
    stale: float | None = None,
    stale_if_error: float | None = None,
    key: str | None = None,
    store: StoreService | None = None,
    reactor: Any = None,
) -> Callable[[Any], Any]:
    """A decorator: what is asked of the resource is answered from a cache, fetched once, served stale.

    For an ``IResource``; for a class of them, whose instances it then wraps as they are made; for a function that gives
    one, like a klein route (``@app.route("/x", branch=True)`` above, ``@cached(...)`` below), called once for each set
    of arguments. Seconds; None: the resource's own ``Cache-Control`` decides. ``store`` is memory of
    its own when left out; the caller starts and stops what it gives.
    """
    template = DEFAULT_TEMPLATE if key is None else KeyTemplate.parse(key)
    route = Route(template=template, rules=Rules(ttl=ttl, stale=stale, stale_if_error=stale_if_error))

    def wrap(resource: Any) -> CacheResource:
        clock = reactor
        if clock is None:
            from twisted.internet import reactor as clock
        return _Owning(LocalOrigin(clock, resource), store, routes=Routes([route]), reactor=clock)

    def decorate(wrapped: Any) -> Any:
        if IResource.providedBy(wrapped):
            return wrap(wrapped)
        made: dict[Any, CacheResource] = {}

        def make(*arguments: Any, **named: Any) -> CacheResource:
            return wrap(wrapped(*arguments, **named))

        if isinstance(wrapped, type):
            return make

        def once(*arguments: Any) -> CacheResource:
            # A request among the arguments is each time another one.
            asked = tuple(argument for argument in arguments if not hasattr(argument, "requestHeaders"))
            found = made.get(asked)
            if found is None:
                if len(made) >= MOST:
                    made.pop(next(iter(made))).close()
                found = made[asked] = make(*arguments)
            return found

        once.__name__ = getattr(wrapped, "__name__", "cached")
        once.__doc__ = wrapped.__doc__
        return once

    return decorate


#: Resources that one decorated function keeps a cache for.
MOST = 100
