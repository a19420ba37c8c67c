"""What an operator may ask and tell a running proxy, over HTTP, on an endpoint of its own."""

from txstalecache.admin.resource import AdminResource, IPurger

__all__ = ["AdminResource", "IPurger"]
