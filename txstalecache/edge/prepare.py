"""A request as its route would have it: before it is looked up, and before it goes to the origin. Pure.

Must not know: stores, flights, connections.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import log

from txstalecache.config.routes import Condition, Route
from txstalecache.http.entry import Entry
from txstalecache.http.fields import members
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Cookies

__all__ = ["addressed", "early", "meets", "prepared"]


def prepared(route: Route, head: RequestHead) -> RequestHead:
    """``head`` without what the route says does not matter: cookies that are ignored or not keyed, codings nobody
    wants. Only for methods that are answered from the cache."""
    if head.method not in route.rules.methods:
        return head
    fields, template = head.fields, route.template
    cookies = Cookies.PASS
    if b"cookie" in fields and not (route.rules.cookies is Cookies.KEYED and b"cookie" in template.fields):
        cookies = route.rules.cookies
    encodings = route.encodings if b"accept-encoding" in fields else ()
    if cookies is Cookies.PASS and not encodings:
        return head
    question = (prepared, cookies, template.cookies, encodings)
    fields = fields.once(question, lambda said: _prepared(said, cookies, template.cookies, encodings))
    return replace(head, fields=fields)


def _prepared(fields: Fields, cookies: Cookies, crumbs: frozenset[bytes], encodings: Sequence[bytes]) -> Fields:
    if cookies is Cookies.IGNORE:
        fields = fields.without(b"cookie")
    elif cookies is Cookies.KEYED:
        fields = _only(fields, crumbs)
    if encodings:
        wanted = _codings(fields.get(b"accept-encoding") or b"", encodings)
        fields = fields.without(b"accept-encoding")
        if wanted:
            fields = fields.adding(b"Accept-Encoding", wanted)
    return fields


def _only(fields: Fields, names: frozenset[bytes]) -> Fields:
    """The crumbs of Cookie called so; others may not make a difference to what others get."""
    crumbs = [crumb.strip(b" \t") for line in fields.get_all(b"cookie") for crumb in line.split(b";")]
    kept = sorted(crumb for crumb in crumbs if crumb.partition(b"=")[0].strip(b" \t") in names)
    bare = fields.without(b"cookie")
    return bare.adding(b"Cookie", b"; ".join(kept)) if kept else bare


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


def early(entry: Entry, now: float, beta: float, chance: float) -> bool:
    """Whether a fresh entry is to be refreshed already: the likelier, the nearer its end and the longer its fetch took
    (XFetch: Vattani, Chierichetti, Lowenstein 2015). ``chance`` is uniform in (0, 1]."""
    took = max(0.001, entry.response_time - entry.request_time)
    left = entry.freshness.lifetime - entry.age(now)
    return -took * beta * log(chance) >= left
