"""A stale-while-revalidate caching HTTP reverse proxy for Twisted, with its cache shared in Redis."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from txstalecache.config.routes import Route, Routes
    from txstalecache.edge.resource import CacheResource
    from txstalecache.edge.site import CacheSite
    from txstalecache.http.keys import KeyTemplate
    from txstalecache.http.rules import Rules

__all__ = ["CacheResource", "CacheSite", "KeyTemplate", "Route", "Routes", "Rules", "__version__"]

__version__ = "0.1.0"

_HOMES = {
    "CacheResource": "txstalecache.edge.resource",
    "CacheSite": "txstalecache.edge.site",
    "KeyTemplate": "txstalecache.http.keys",
    "Route": "txstalecache.config.routes",
    "Routes": "txstalecache.config.routes",
    "Rules": "txstalecache.http.rules",
}


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are first asked for: ``twistd --help`` has no use for them."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
