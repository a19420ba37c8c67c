"""What is said about the client's connection (``X-Forwarded-*``): by a proxy before us, and to the origin.

Must not know: caching.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address

from txstalecache.config.routes import Networks, within
from txstalecache.http import forward
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.observe.accesslog import Record

__all__ = ["forwarded", "through", "with_scheme"]

_SAID_BY_CLIENTS = (b"forwarded", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-real-ip")


def with_scheme(request: RequestHead, trusted: bool) -> RequestHead:
    """``request`` with the scheme its client used: the one in ``X-Forwarded-Proto`` where who says so is ``trusted``,
    else that of the connection."""
    if not trusted:
        return request
    said = (request.fields.get(b"x-forwarded-proto") or b"").lower()
    return replace(request, scheme=said) if said in (b"http", b"https") and said != request.scheme else request


def forwarded(request: RequestHead, client: str | None, trusted: bool = False, pseudonym: Pseudonym = OURS) -> Fields:
    """The fields of a fetch for ``request`` alone, with what the client claims about itself replaced by what its
    connection shows: its address (None: it has none) and its scheme. What a ``trusted`` proxy says of its own client
    stays, its address is added. It goes on from the proxy called ``pseudonym``."""
    question = (forwarded, client, trusted, request.scheme, request.authority, pseudonym)
    return request.fields.once(question, lambda _: _forwarded(request, client, trusted, pseudonym))


def _forwarded(request: RequestHead, client: str | None, trusted: bool, pseudonym: Pseudonym) -> Fields:
    peer = (client or "-").encode("ascii", "replace")
    if not trusted:
        shown = ((b"X-Forwarded-For", peer), (b"X-Forwarded-Proto", request.scheme))
        return forward.alone(request, _SAID_BY_CLIENTS, shown, pseudonym)
    before = request.fields.get(b"x-forwarded-for")
    path = peer if before is None else before + b", " + peer
    fields = forward.alone(request, (b"x-forwarded-for",), ((b"X-Forwarded-For", path),), pseudonym)
    return fields if b"x-forwarded-proto" in fields else fields.adding(b"X-Forwarded-Proto", request.scheme)


def through(proxies: Networks, log: Callable[[Record], None]) -> Callable[[Record], None]:
    """``log``, told of the clients that ``proxies`` name, and not of those proxies."""
    if not proxies:
        return log
    return lambda record: log(replace(record, client=_named(record.client, record.fields, proxies)))


def _named(peer: str, fields: Fields, proxies: Networks) -> str:
    """Who stands behind ``peer``: from the end of ``X-Forwarded-For`` on, as far as one of ``proxies`` says so."""
    for said in reversed(b",".join(fields.get_all(b"x-forwarded-for")).split(b",")):
        if not within(peer, proxies):
            break
        try:
            peer = str(ip_address(said.strip().decode("ascii")))
        except ValueError:
            break
    return peer
