"""How ``twistd`` and ``twist`` find the service: a name, a module, one line of help; all else is loaded later."""

from __future__ import annotations

from twisted.application.service import ServiceMaker

txstalecache = ServiceMaker(
    "txstalecache",
    "txstalecache.tap",
    "A caching HTTP reverse proxy that serves stale at once, with its cache shared in Redis.",
    "txstalecache",
)
