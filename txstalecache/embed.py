"""A cache in front of a resource of one's own, in one line.

Must not know: how anything is cached.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
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
    one, like a klein route (``@app.route("/x/<id>", branch=True)`` above, ``@cached(...)`` below), called once for each
    set of arguments. Seconds; None: the resource's own ``Cache-Control`` decides. ``store`` is memory of
    its own when left out; the caller starts and stops what it gives. TypeError and ValueError for what cannot be meant.
    """
    if not isinstance(key, str | None):
        raise TypeError(f"key: expected a text, not {type(key).__name__}")
    if not isinstance(store, StoreService | None):
        raise TypeError(f"store: expected what open_store gives, not {type(store).__name__}")
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
        if not callable(wrapped):
            raise TypeError(f"cached: expected an IResource, or what gives one, not {type(wrapped).__name__}")
        if iscoroutinefunction(wrapped):
            raise TypeError(
                f"cached: {wrapped.__name__} is a coroutine function, and the resource it gives cannot be waited for"
            )

        def make(*arguments: Any, **named: Any) -> CacheResource:
            return wrap(wrapped(*arguments, **named))

        return make if isinstance(wrapped, type) else _once(wrapped, make)

    return decorate


#: Resources that one decorated function keeps a cache for.
MOST = 100


def _once(wrapped: Callable[..., Any], make: Callable[..., CacheResource]) -> Callable[..., CacheResource]:
    """``make`` in the place of ``wrapped``, called once for each set of arguments."""
    made: dict[Any, CacheResource] = {}

    @wraps(wrapped)
    def once(*arguments: Any, **named: Any) -> CacheResource:
        # A request among the arguments is each time another one.
        asked = tuple(argument for argument in arguments if not hasattr(argument, "requestHeaders"))
        of = asked, tuple(sorted(named.items()))
        found = made.pop(of, None)
        if found is None:
            found = make(*arguments, **named)
            _make_room(made)
        made[of] = found
        return found

    return once


def _make_room(made: dict[Any, CacheResource]) -> None:
    """Close those of ``made`` that were used longest ago and have nothing under way, as many as are too many."""
    idle = [of for of, cache in made.items() if not cache.registry.flights] if len(made) >= MOST else []
    for of in idle[: len(made) - MOST + 1]:
        made.pop(of).close()
