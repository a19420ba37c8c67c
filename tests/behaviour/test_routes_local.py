"""A resource, a WSGI app or a klein route in the same process, cached in front of itself."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import Data
from twisted.web.wsgi import WSGIResource

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.proxy import until
from txstalecache import CacheResource, LocalOrigin, Route, Routes, Rules, cached


class Serving:
    """A resource on a port."""

    def __init__(self, resource: Any) -> None:
        from twisted.internet import reactor

        listen: Any = reactor
        self.listening = listen.listenTCP(0, Site(resource), interface="127.0.0.1")
        self.port = self.listening.getHost().port


class Counting(Resource):
    isLeaf = True
    answers = 0

    def render_GET(self, request: Any) -> bytes:
        self.answers += 1
        return b"%d" % self.answers


@async_test
async def test_a_decorated_class_is_cached_where_it_stands() -> None:
    @cached(ttl=60, stale=10)
    class Page(Counting):
        """One page."""

    root = Resource()
    page: Any = Page()
    root.putChild(b"page", page)
    serving = Serving(root)
    for expected in (b"MISS", b"HIT"):
        reply = await fetch(serving.port, "GET", "/page")
        assert (reply.body, reply.field("x-cache")) == (b"1", expected)
    await serving.listening.stopListening()
    await page.close()


@async_test
async def test_a_klein_route_is_cached() -> None:
    klein = pytest.importorskip("klein")
    app = klein.Klein()
    made: list[CacheResource] = []

    @app.route("/page", branch=True)  # type: ignore[untyped-decorator, unused-ignore]
    @cached(ttl=60)
    def page(request: Any) -> Resource:
        return Counting()

    @app.route("/own")  # type: ignore[untyped-decorator, unused-ignore]
    def own(request: Any) -> bytes:
        made.append(page())
        return b"own"

    serving = Serving(app.resource())
    for expected in (b"MISS", b"HIT"):
        reply = await fetch(serving.port, "GET", "/page")
        assert (reply.body, reply.field("x-cache")) == (b"1", expected)
    assert (await fetch(serving.port, "GET", "/own")).body == b"own"
    await serving.listening.stopListening()
    for resource in made:
        await resource.close()


class Held(Resource):
    """Answers when it is let."""

    isLeaf = True

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.asked: list[Any] = []

    def render_GET(self, request: Any) -> int:
        self.asked.append(request)
        return NOT_DONE_YET

    def let(self) -> None:
        for request in self.asked:
            request.write(self.text.encode())
            request.finish()


@async_test
async def test_a_klein_route_with_parameters_is_cached_for_each_of_them() -> None:
    klein = pytest.importorskip("klein")

    class Shop:
        app = klein.Klein()

        @app.route("/<kind>/<int:number>", branch=True)  # type: ignore[untyped-decorator, unused-ignore]
        @cached(ttl=60)
        def page(self, request: Any, kind: str, number: int) -> Resource:
            made.append(f"{kind} {number}")
            return Data(made[-1].encode(), "text/plain")

    made: list[str] = []
    shop = Shop()
    serving = Serving(shop.app.resource())
    for target in ("/hat/1", "/hat/2", "/coat/1"):
        for expected in (b"MISS", b"HIT"):
            reply = await fetch(serving.port, "GET", target)
            assert (reply.body, reply.field("x-cache")) == (target[1:].replace("/", " ").encode(), expected)
    assert made == ["hat 1", "hat 2", "coat 1"]
    await serving.listening.stopListening()
    for kind, number in (("hat", 1), ("hat", 2), ("coat", 1)):
        await shop.page(number=number, kind=kind).close()
    assert len(made) == 3


@async_test
async def test_what_is_being_fetched_is_not_dropped_for_other_parameters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("txstalecache.embed.MOST", 2)
    klein = pytest.importorskip("klein")
    app = klein.Klein()
    pages = {name: Held(name) for name in "abcd"}
    made: list[str] = []

    @app.route("/<name>", branch=True)  # type: ignore[untyped-decorator, unused-ignore]
    @cached(ttl=60)
    def page(request: Any, name: str) -> Resource:
        made.append(name)
        return pages[name]

    serving = Serving(app.resource())
    asked = [fetch(serving.port, "GET", f"/{name}") for name in "abcd"]
    await until(lambda: all(held.asked for held in pages.values()))
    for held in pages.values():
        held.let()
    assert [(await reply).body for reply in asked] == [b"a", b"b", b"c", b"d"]
    await serving.listening.stopListening()
    for name in "abcd":
        await page(name=name).close()


def test_the_hundred_pages_used_last_keep_their_caches_and_one_that_is_dropped_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed: list[object] = []
    monkeypatch.setattr("txstalecache.embed._Owning.close", lambda cache: closed.append(cache))
    made: list[int] = []

    @cached(ttl=60, reactor=Clock())
    def page(number: int) -> Resource:
        made.append(number)
        return Data(b"%d" % number, "text/plain")

    caches = [page(number) for number in range(100)]
    assert (page(0), closed) == (caches[0], [])
    page(100)
    assert closed == [caches[1]]
    assert (page(0), page(2), made) == (caches[0], caches[2], list(range(101)))
    assert page(1) is not caches[1]
    assert closed == [caches[1], caches[3]]


@async_test
async def test_a_wsgi_app_is_cached() -> None:
    flask = pytest.importorskip("flask")
    from twisted.internet import reactor

    app = flask.Flask("shop")
    numbers = iter(range(1, 100))

    @app.get("/<name>")  # type: ignore[untyped-decorator, unused-ignore]
    def page(name: str) -> str:
        return f"{name} {next(numbers)}"

    pool = ThreadPool(1, 2)
    pool.start()
    origin = LocalOrigin(reactor, WSGIResource(reactor, pool, app))
    resource = CacheResource(origin, routes=Routes([Route(rules=Rules(ttl=60))]))
    serving = Serving(resource)
    for expected in (b"MISS", b"HIT"):
        reply = await fetch(serving.port, "GET", "/hat")
        assert (reply.body, reply.field("x-cache")) == (b"hat 1", expected)
    await serving.listening.stopListening()
    await resource.close()
    await origin.close()
    pool.stop()
