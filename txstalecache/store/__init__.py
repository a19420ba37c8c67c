"""Where entries live: memory over Redis. ``open_store`` is the door; ``interfaces`` is what comes out of it."""

from txstalecache.store.opening import StoreService, open_store

__all__ = ["StoreService", "open_store"]
