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
from txstalecache import CacheResource, LocalOrigin, Route, Routes, Rules, cached

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
