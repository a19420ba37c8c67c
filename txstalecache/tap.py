"""What ``twistd`` and ``twist`` load by name: the options, and how to make the service of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from txstalecache.config.options import Options

if TYPE_CHECKING:
    from twisted.application.service import IService

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """The proxy as a service, on the reactor that is installed by now."""
    # Late: twist chooses the reactor after it has read the options, and --help needs none of this.
    from twisted.internet import reactor

    from txstalecache.service import ProxyService

    return ProxyService(reactor, options.settings)
