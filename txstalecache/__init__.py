"""A stale-while-revalidate caching HTTP reverse proxy for Twisted, with its cache shared in Redis."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txstalecache.config.routes import Route, Routes
    from txstalecache.edge.resource import CacheResource
    from txstalecache.edge.site import CacheSite
    from txstalecache.embed import cached
    from txstalecache.flight.clocks import Clocks, Late
    from txstalecache.flight.limits import Limits
    from txstalecache.http.keys import KeyTemplate
    from txstalecache.http.rules import Cookies, Rules
    from txstalecache.origin.http import HttpOrigin
    from txstalecache.origin.interfaces import Deadlines
    from txstalecache.origin.local import LocalOrigin
    from txstalecache.store.opening import open_store

__all__ = [
    "CacheResource",
    "CacheSite",
    "Clocks",
    "Cookies",
    "Deadlines",
    "HttpOrigin",
    "KeyTemplate",
    "Late",
    "Limits",
    "LocalOrigin",
    "Route",
    "Routes",
    "Rules",
    "__version__",
    "cached",
    "open_store",
]

__version__ = "0.1.0"

_HOMES = {
    "CacheResource": "txstalecache.edge.resource",
    "CacheSite": "txstalecache.edge.site",
    "Clocks": "txstalecache.flight.clocks",
    "Cookies": "txstalecache.http.rules",
    "Deadlines": "txstalecache.origin.interfaces",
    "HttpOrigin": "txstalecache.origin.http",
    "KeyTemplate": "txstalecache.http.keys",
    "Late": "txstalecache.flight.clocks",
    "Limits": "txstalecache.flight.limits",
    "LocalOrigin": "txstalecache.origin.local",
    "Route": "txstalecache.config.routes",
    "Routes": "txstalecache.config.routes",
    "Rules": "txstalecache.http.rules",
    "cached": "txstalecache.embed",
    "open_store": "txstalecache.store.opening",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are first asked for: ``twistd --help`` has no use for them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
