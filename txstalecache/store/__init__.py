"""Where entries live: memory over Redis. ``open_store`` is the door; ``interfaces`` is what comes out of it."""

from txstalecache.store.opening import StoreService, open_store
from txstalecache.store.purges import Hardness, Scope

__all__ = ["Hardness", "Scope", "StoreService", "open_store"]
