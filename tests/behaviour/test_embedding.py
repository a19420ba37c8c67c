"""The resource in somebody else's Site: as its root, and deep in an existing tree."""

from __future__ import annotations

from typing import Any

import pytest_twisted
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from txstalecache import CacheResource


async def serve(root: Any) -> Any:
    from twisted.internet import reactor

    anything: Any = reactor
    return anything.listenTCP(0, Site(root), interface="127.0.0.1")


@pytest_twisted.ensureDeferred
async def test_as_the_root_of_a_plain_site(origin: ScriptedOrigin) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], request.method + request.body)
    resource = CacheResource(origin.url)
    listening = await serve(resource)
    port = listening.getHost().port
    assert (await fetch(port, "GET", "/x")).body == b"GET"
    reply = await fetch(port, "GET", "/x")
    assert (reply.body, reply.field("x-cache"), origin.hits("/x")) == (b"GET", b"HIT", 1)
    large = b"p" * 300_000  # more than Twisted keeps in memory
    assert (await fetch(port, "POST", "/x", body=large)).body == b"POST" + large
    assert (await fetch(port, "GET", "/x")).field("x-cache") == b"MISS"  # the POST has invalidated it
    await listening.stopListening()
    await resource.close()


@pytest_twisted.ensureDeferred
async def test_below_a_path_of_an_existing_tree(origin: ScriptedOrigin) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], request.target)
    root = Resource()
    resource = CacheResource(origin.url)
    root.putChild(b"api", resource)
    root.putChild(b"own", Data(b"not cached", "text/plain"))
    listening = await serve(root)
    port = listening.getHost().port
    assert (await fetch(port, "GET", "/own")).body == b"not cached"
    for expected in (b"MISS", b"HIT"):
        reply = await fetch(port, "GET", "/api/v1/x?y")
        assert (reply.body, reply.field("x-cache")) == (b"/api/v1/x?y", expected)
    await listening.stopListening()
    await resource.close()
