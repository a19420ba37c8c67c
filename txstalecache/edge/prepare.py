"""A request as its route would have it: before it is looked up, and before it goes to the origin. Pure.

Must not know: stores, flights, connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from txstalecache.config.routes import Condition, Route
from txstalecache.http.fields import end_to_end, members
from txstalecache.http.forward import with_host
from txstalecache.http.keys import Key, KeyTemplate, cookie_value, split_url
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Cookies

__all__ = ["addressed", "anonymous", "key_of", "meets", "prepared"]


def anonymous(url: bytes) -> RequestHead:
    """What somebody asks for ``url`` with who says nothing about himself. ValueError when it is no such URL."""
    scheme, host, target = split_url(url)
    return RequestHead(b"GET", target, Fields([(b"Host", host)]), scheme, host)


def prepared(route: Route, head: RequestHead) -> RequestHead:
    """``head`` as it is looked up, judged and sent on: what its key, its variant and the origin make of it is the same.

    Without what is for one hop, and without keyed fields that say nothing; with ``Host`` as keys have it and the scheme
    in ``X-Forwarded-Proto``, unless that is keyed; and, for methods that are answered from the cache, without what the
    route says does not matter: cookies that are ignored or not keyed, codings nobody wants."""
    template, cookies, encodings = route.template, Cookies.PASS, route.encodings
    if head.method not in route.rules.methods:
        encodings = ()
    elif b"cookie" not in template.fields:
        cookies = route.rules.cookies
    question = (prepared, head.scheme, head.authority, template.fields, cookies, template.cookies, encodings)
    fields = head.fields.once(question, lambda said: _prepared(said, head, template, cookies, encodings))
    return head if fields is head.fields else replace(head, fields=fields)


def key_of(route: Route, head: RequestHead) -> Key:
    """The key of ``head`` under ``route``, as far as a head says it. Raises what the route's own code raises."""
    key = route.template.key(head)
    if head.method in route.rules.methods and route.hooks is not None and route.hooks.key is not None:
        key = key.extended(b"hook", route.hooks.part(head))
    return key


def _prepared(
    fields: Fields, head: RequestHead, template: KeyTemplate, cookies: Cookies, encodings: Sequence[bytes]
) -> Fields:
    fields = with_host(end_to_end(fields), head.host)
    # What a client says of it is poison, and what the origin is told is what the key has.
    if b"x-forwarded-proto" not in template.fields and (head.scheme != b"http" or b"x-forwarded-proto" in fields):
        fields = fields.replacing(b"X-Forwarded-Proto", head.scheme)
    silent = [name for name in template.fields if fields.get(name) == b""]
    if silent:
        fields = fields.without(*silent)  # its key is that of a request without it
    if b"cookie" in fields:
        if cookies is Cookies.IGNORE:
            fields = fields.without(b"cookie")
        elif cookies is Cookies.KEYED:
            fields = _only(fields, template.cookies)
    if encodings and b"accept-encoding" in fields:
        wanted = _codings(fields.get(b"accept-encoding") or b"", encodings)
        fields = fields.without(b"accept-encoding")
        if wanted:
            fields = fields.adding(b"Accept-Encoding", wanted)
    return fields


def _only(fields: Fields, names: frozenset[bytes]) -> Fields:
    """The crumbs of Cookie called so, of each the one that is in the key; others may not make a difference to what
    others get."""
    crumbs = [b"%b=%b" % (name, value) for name in sorted(names) if (value := cookie_value(fields, name)) is not None]
    bare = fields.without(b"cookie")
    return bare.adding(b"Cookie", b"; ".join(crumbs)) if crumbs else bare


def _codings(accepted: bytes, wanted: Sequence[bytes]) -> bytes:
    """Those of ``wanted`` that the client takes, in the order the route has them (RFC 9110 §12.5.3)."""
    takes: dict[bytes, bool] = {}
    for member in members(accepted):
        coding, _, parameters = member.partition(b";")
        weight = parameters.replace(b" ", b"").lower()
        takes[coding.strip(b" \t").lower()] = not (weight.startswith(b"q=0") and not weight.strip(b"q=0."))
    return b", ".join(coding for coding in wanted if takes.get(coding, takes.get(b"*", False)))


def addressed(route: Route, fields: Fields) -> Fields:
    """The fields of a fetch with what the route takes away from them and adds to them."""
    if route.strip or route.bypass or route.refresh:
        fields = fields.without(*route.strip, *[name for name, _ in (*route.bypass, *route.refresh)])
    for name, value in route.ask_with:
        fields = fields.replacing(name, value)
    return fields


def meets(head: RequestHead, conditions: Sequence[Condition]) -> bool:
    """Whether one of ``conditions`` is met."""
    for name, wanted in conditions:
        value = head.fields.get(name)
        if value is not None and (wanted is None or value.strip().lower() == wanted.lower()):
            return True
    return False
