"""What cannot be meant is refused where it is written, and not request by request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from txstalecache import (
    CacheResource,
    CacheSite,
    Clocks,
    Deadlines,
    HttpOrigin,
    Limits,
    LocalOrigin,
    Route,
    Routes,
    Rules,
    cached,
    open_store,
)
from txstalecache.config.routes import Match
from txstalecache.edge.limits import EdgeLimits
from txstalecache.flight.hooks import Hooks
from txstalecache.store import Scope

URL: Any = "http://127.0.0.1:1"


def anything(value: object) -> Any:
    return value


async def later() -> Resource:
    return Resource()


MISTAKES: dict[str, tuple[Callable[[], object], type[Exception], str]] = {
    "no origin": (
        lambda: CacheResource(anything(None)),
        TypeError,
        "origin: expected a URL or an IOrigin, not NoneType",
    ),
    "a resource as origin": (
        lambda: CacheResource(anything(CacheResource(URL))),
        TypeError,
        "origin: expected a URL or an IOrigin, not CacheResource",
    ),
    "a URL that is none": (lambda: CacheResource(anything(b"127.0.0.1:80")), ValueError, "http://"),
    "the name of a store": (
        lambda: CacheResource(URL, anything("redis://:secret@db")),
        TypeError,
        "store: expected what open_store gives, not str",
    ),
    "one route": (
        lambda: CacheResource(URL, routes=anything(Route())),
        TypeError,
        "routes: expected Routes, not Route",
    ),
    "a list of routes": (
        lambda: CacheResource(URL, routes=anything([])),
        TypeError,
        "routes: expected Routes, not list",
    ),
    "an upstream that is none": (
        lambda: CacheResource(URL, routes=Routes([Route(name="shop", upstream="nope")])),
        ValueError,
        "route shop: no upstream nope among origins",
    ),
    "a text as a lifetime": (lambda: Rules(ttl=anything("5s")), TypeError, "ttl: expected a number, not str"),
    "a text as a window": (lambda: Rules(stale=anything("5s")), TypeError, "stale: expected a number, not str"),
    "a lifetime below 0": (lambda: Rules(ttl=-1), ValueError, "ttl -1: expected at least 0"),
    "a lifetime that is no number": (
        lambda: Rules(max_ttl=float("nan")),
        ValueError,
        "max_ttl nan: expected at least 0",
    ),
    "a size below 0": (lambda: Rules(max_object=-1), ValueError, "max_object -1: expected at least 0"),
    "a size that is none": (
        lambda: Rules(min_size=anything(None)),
        TypeError,
        "min_size: expected a number, not NoneType",
    ),
    "a text for a status": (
        lambda: Rules(statuses={404: anything("5s")}),
        TypeError,
        "statuses[404]: expected a number, not str",
    ),
    "a text for a decorator": (lambda: cached(ttl=anything("5s")), TypeError, "ttl: expected a number, not str"),
    "a decorated function that gives no resource": (
        lambda: cached()(lambda: b"page")(),
        TypeError,
        "resource: expected an IResource, not bytes",
    ),
    "a decorated function that is to be waited for": (
        lambda: cached()(later),
        TypeError,
        "cached: later is a coroutine function, and the resource it gives cannot be waited for",
    ),
    "nothing to decorate": (
        lambda: cached()(anything(b"page")),
        TypeError,
        "cached: expected an IResource, or what gives one, not bytes",
    ),
    "the name of a store for a decorator": (
        lambda: cached(store=anything("redis://:secret@db")),
        TypeError,
        "store: expected what open_store gives, not str",
    ),
    "a key that is none": (lambda: cached(key=anything(5)), TypeError, "key: expected a text, not int"),
    "no resource": (
        lambda: LocalOrigin(anything(None), anything("page")),
        TypeError,
        "resource: expected an IResource, not str",
    ),
    "a text to refresh": (
        lambda: CacheResource(URL).refresh(anything("http://a/")),
        TypeError,
        "url: expected bytes, not str",
    ),
    "a text to warm": (
        lambda: CacheResource(URL).warm(anything("http://a/")),
        TypeError,
        "url: expected bytes, not str",
    ),
}

#: What is of another type than it has to be, beside those above: what is said begins with its name.
TYPES: dict[str, Callable[[], object]] = {
    "cookies": lambda: Rules(ttl=60, cookies=anything("pass")),
    "ranges": lambda: Rules(ranges=anything("part")),
    "methods": lambda: Rules(methods=anything({"GET"})),
    "keyed_fields": lambda: Rules(keyed_fields=anything({"authorization"})),
    "statuses": lambda: Rules(statuses=anything([404])),
    "template": lambda: Route(template=anything("$uri")),
    "rules": lambda: Route(rules=anything({"ttl": 5})),
    "match": lambda: Route(match=anything("/x")),
    "clocks": lambda: Route(clocks=anything(5)),
    "deadlines": lambda: Route(deadlines=anything(5)),
    "hooks": lambda: Route(hooks=anything(len)),
    "key": lambda: Hooks(key=anything("x")),
    "strip": lambda: Route(strip=anything(("cookie",))),
    "hide": lambda: Route(hide=anything(b"server")),
    "respond_with": lambda: Route(respond_with=anything((("a", "b"),))),
    "ask_with": lambda: Route(ask_with=anything({b"a": b"b"})),
    "bypass": lambda: Route(bypass=anything((b"x-nocache",))),
    "refresh": lambda: Route(refresh=anything((("x", None),))),
    "trusted": lambda: Route(trusted=anything(("10.0.0.0/8",))),
    "min_uses": lambda: Route(min_uses=anything("3")),
    "prefix": lambda: Match(prefix=anything(b"/x")),
    "regex": lambda: Match(regex=anything("^/x")),
    "hosts": lambda: Match(hosts=anything("example.org")),
    "routes": lambda: Routes(anything(Route())),
    "wait_deadline": lambda: Clocks(wait_deadline=anything("5")),
    "late": lambda: Clocks(late=anything("pass")),
    "waiters": lambda: Limits(waiters=anything("5")),
    "connect": lambda: Deadlines(connect=anything("5s")),
    "body": lambda: EdgeLimits(body=anything("1M")),
    "head": lambda: EdgeLimits(head=anything(None)),
    "hosts ": lambda: EdgeLimits(hosts=anything(frozenset({"example.org"}))),
    "limits": lambda: CacheResource(URL, limits=anything(EdgeLimits())),
    "limits ": lambda: CacheSite(CacheResource(URL), anything(None), limits=anything(Limits())),
    "resource": lambda: CacheSite(anything(URL), anything(None)),
    "trusted_proxies": lambda: CacheResource(URL, trusted_proxies=anything(("10.0.0.0/8",))),
    "origins": lambda: CacheResource(URL, origins=anything({"a": URL})),
    "log": lambda: CacheResource(URL, log=anything(5)),
    "name": lambda: CacheResource(URL, name=anything(b"a")),
    "scope": lambda: CacheResource(URL).purge(anything("blue")),
    "hardness": lambda: CacheResource(URL).purge(Scope.everything(), anything("soft")),
    "tag": lambda: Scope.of_tag(anything("blue")),
    "url": lambda: HttpOrigin(anything(None), anything(b"http://a")),
    "tls": lambda: HttpOrigin(anything(None), "https://a", tls=anything("ca.pem")),
    "redis": lambda: open_store(anything(None), redis=anything(None)),
    "memory": lambda: open_store(anything(None), redis="memory", memory=anything("64M")),
}


@pytest.mark.parametrize(("name", "mistake"), TYPES.items(), ids=TYPES)
@async_test
async def test_what_is_of_another_type_is_refused_by_its_name(name: str, mistake: Callable[[], object]) -> None:
    with pytest.raises(TypeError, match=f"^{name.strip()}\\b.*: expected .*, not "):
        mistake()


VALUES: dict[str, Callable[[], object]] = {
    "strip": lambda: Route(strip=(b"Cookie",)),
    "hide": lambda: Route(hide=(b"Server",)),
    "keyed_fields": lambda: Rules(keyed_fields=frozenset({b"Authorization"})),
    "respond_with": lambda: Route(respond_with=((b"a", b"b\r\nc: d"),)),
    "ask_with": lambda: Route(ask_with=((b"a b", b"c"),)),
    "wait_stale": lambda: Clocks(wait_stale=-1),
    "flights": lambda: Limits(flights=-1),
    "total": lambda: Deadlines(total=-1),
    "idle": lambda: EdgeLimits(idle=-1),
    "memory": lambda: open_store(anything(None), redis="memory", memory=-1),
}


@pytest.mark.parametrize(("name", "mistake"), VALUES.items(), ids=VALUES)
def test_what_cannot_be_meant_is_refused_by_its_name(name: str, mistake: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=f"^{name}\\b.*: "):
        mistake()


@pytest.mark.parametrize(("mistake", "error", "text"), MISTAKES.values(), ids=MISTAKES)
@async_test
async def test_a_mistake_is_told_where_it_is_made(
    mistake: Callable[[], object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as caught:
        mistake()
    assert text in str(caught.value)
    assert "secret" not in str(caught.value)


@async_test
async def test_a_url_may_be_bytes(origin: ScriptedOrigin) -> None:
    from twisted.internet import reactor

    listen: Any = reactor
    origin.handler = Answer(200, [], b"answer")
    resource = CacheResource(origin.url.encode())
    listening = listen.listenTCP(0, Site(resource), interface="127.0.0.1")
    assert (await fetch(listening.getHost().port, "GET", "/x")).body == b"answer"
    await listening.stopListening()
    await resource.close()
