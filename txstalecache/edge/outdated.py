"""What a request that changes its target makes out of date beside the one key of that (RFC 9111 §4.4). Pure.

Must not know: stores, who asks.
"""

from __future__ import annotations

from txstalecache.config.routes import Route
from txstalecache.http.messages import RequestHead
from txstalecache.store import Scope

__all__ = ["scopes"]


def scopes(route: Route, method: bytes, asked: RequestHead) -> list[Scope]:
    """What covers all that ``route`` may have stored and would answer ``asked`` with, whoever asks; [] where ``asked``
    has the only key there is for its target. ``method`` is what changes that.

    Where the key has no more than the path, what was stored for another query is the answer as well.
    """
    template, target = route.template, asked.target
    if not (_keyed_beside(route) or _posted(route, method)):
        return []
    host = asked.host if template.has_host else b""
    if template.has_target:
        return [Scope.of_url(target, host)]
    return [Scope.of_url(asked.path, host), Scope.of_prefix(asked.path + b"?", host)]


def _keyed_beside(route: Route) -> bool:
    """Whether requests for one target have different keys."""
    template = route.template
    hooked = route.hooks is not None and route.hooks.key is not None
    return bool(template.fields or template.cookies or template.needs_body or hooked)


def _posted(route: Route, method: bytes) -> bool:
    """Whether answers to other bodies may be stored for the target. Where ``method`` is one that the route answers from
    the cache, it says by that that they do not change what it answers."""
    return len(route.rules.methods - {b"GET", b"HEAD"}) > 0 and method not in route.rules.methods
