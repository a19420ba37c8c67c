"""Redis down, at start or later: a plain coalescing proxy, which says so once and comes back by itself."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted
from twisted.logger import ILogObserver, globalLogPublisher
from zope.interface import implementer

from tests.support.client import fetch
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache import CacheResource, CacheSite, open_store

CACHEABLE = [("Cache-Control", "max-age=60")]


@implementer(ILogObserver)
class Lines:
    """What was logged meanwhile."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: Any) -> None:
        from twisted.logger import formatEvent

        self.texts.append(formatEvent(event))

    def about(self, word: str) -> list[str]:
        return [text for text in self.texts if word in text]

    def __enter__(self) -> Lines:
        globalLogPublisher.addObserver(self)
        return self

    def __exit__(self, *_: object) -> None:
        globalLogPublisher.removeObserver(self)


@pytest_twisted.ensureDeferred
async def test_absent_at_start_it_still_coalesces_and_serves_from_memory(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    redis_server.kill()
    origin.on("/x", [Gate("go"), Head(200, [*CACHEABLE, ("Content-Length", "1")]), Chunk(b"x")])
    with Lines() as lines:
        proxy = await make_proxy(origin.url, redis=redis_server.url)
        waiting = [fetch(proxy.port, "GET", "/x") for _ in range(20)]
        await until(lambda: proxy.resource.registry.waiting == 20)
        origin.release("go")
        assert {reply.body for reply in await settled(*waiting)} == {b"x"}
        assert (await fetch(proxy.port, "GET", "/x")).field("x-cache") == b"HIT"
        assert origin.hits("/x") == 1
        redis_server.start()
        for _ in range(600):
            if redis_server.command("CLIENT", "LIST").count(b"\n") > 1 and lines.about("back"):
                break
            await later(0.01)
        origin.on("/y", Answer(200, CACHEABLE, b"y"))
        await fetch(proxy.port, "GET", "/y")
        await proxy.backend.store.flush()
        assert [key for key in redis_server.command("KEYS", "*") if key.endswith(b":e")]
    assert len(lines.about("not available")) == 1


@pytest_twisted.ensureDeferred
async def test_lost_later_it_costs_hits_and_no_answer(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    origin.handler = lambda request: Answer(200, CACHEABLE, request.target)
    proxy = await make_proxy(origin.url, redis=redis_server.url)
    with Lines() as lines:
        for number in range(40):
            if number == 5:
                redis_server.kill()
            reply = await fetch(proxy.port, "GET", f"/{number % 7}")
            assert (reply.status, reply.body) == (200, b"/%d" % (number % 7))
    assert len(lines.about("not available")) == 1


@pytest.mark.parametrize("redis", ["redis://127.0.0.1:1", "embedded"])
@pytest_twisted.ensureDeferred
async def test_a_store_that_nobody_has_started_says_so_once_and_is_silent_when_it_is_started(
    redis: str, origin: ScriptedOrigin
) -> None:
    from twisted.internet import reactor

    anything: Any = reactor
    origin.handler = lambda request: Answer(200, CACHEABLE, request.target)
    store = open_store(anything, redis=redis)
    cache = CacheResource(origin.url, store)
    listening = anything.listenTCP(0, CacheSite(cache, anything), interface="127.0.0.1")
    port = listening.getHost().port
    with Lines() as lines:
        for path in ("/a", "/b", "/a"):
            assert (await fetch(port, "GET", path)).status == 200
        assert len(lines.about("startService")) == 1
        store.startService()
        assert (await fetch(port, "GET", "/c")).status == 200
        await store.stopService()
        assert (await fetch(port, "GET", "/d")).status == 200
        assert len(lines.about("startService")) == 1
    await listening.stopListening()
    await cache.close()


@pytest_twisted.ensureDeferred
async def test_a_store_in_memory_needs_no_start(origin: ScriptedOrigin) -> None:
    origin.handler = lambda request: Answer(200, CACHEABLE, request.target)
    with Lines() as lines:
        cache = CacheResource(origin.url)
        await cache.refresh(b"http://a/")
        await until(lambda: origin.hits("/") == 1)
    assert not lines.about("startService")
    await cache.close()
