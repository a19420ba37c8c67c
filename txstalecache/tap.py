"""What ``twistd`` and ``twist`` load by name: the options, and how to make the service of them.

Must not know: what the options mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from txstalecache.config.options import Options

if TYPE_CHECKING:
    from twisted.application.service import IService

    from txstalecache.service import ProxyService

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> IService:
    """The proxy as a service, on the reactor that is installed by now."""
    # Late: twist chooses the reactor after it has read the options, and --help needs none of this.
    from twisted.internet import reactor

    from txstalecache.process import collect_rarely, count_uptime, leave_in_order, reload_when_told
    from txstalecache.service import ProxyService
    from txstalecache.workers import WorkersService

    service: ProxyService
    count_uptime(reactor)
    collect_rarely(reactor)
    if options.settings.fleet.workers > 1:
        service = WorkersService(reactor, options.settings, options.given)
    else:
        service = ProxyService(reactor, options.settings)
    leave_in_order(reactor)
    reload_when_told(reactor, service.reread, needed=service.rereads)
    return service
