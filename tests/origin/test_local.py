"""A resource in the same process as the origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.wsgi import WSGIResource
from zope.interface.verify import verifyObject

from tests.origin.test_upload import Body, Whole
from tests.support.async_test import async_test
from tests.support.sink import KeepingSink, fetch_from, origin_request
from txstalecache.origin.interfaces import Framing, IOrigin
from txstalecache.origin.local import LocalOrigin


class Tree(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []
        self.ended: list[Any] = []
        self.arrived: Deferred[None] = Deferred()

    def render(self, request: Any) -> Any:
        self.requests.append(request)
        request.notifyFinish().addBoth(self.ended.append)
        if not self.arrived.called:
            self.arrived.callback(None)
        if request.path == b"/echo":
            return bytes(request.content.read())
        if request.path == b"/host":
            return bytes(request.getHeader(b"host"))
        if request.path in (b"/later", b"/big"):
            return NOT_DONE_YET
        return b"hello"


@pytest.fixture
def tree() -> Tree:
    return Tree()


@pytest.fixture
def local(tree: Tree) -> Iterator[LocalOrigin]:
    from twisted.internet import reactor

    origin = LocalOrigin(reactor, tree)
    yield origin
    pytest_twisted.blockon(origin.close())


async def turns(count: int = 5) -> None:
    from twisted.internet import reactor

    for _ in range(count):
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        await turned


@async_test
async def test_a_resource_is_fetched_from_like_a_server(local: LocalOrigin) -> None:
    verifyObject(IOrigin, local)
    for _ in range(3):
        kept = await fetch_from(local)
        assert (kept.status, kept.body, kept.framing) == (200, b"hello", Framing.DELIMITED)
    assert local.connections == 1
    assert (await fetch_from(local, "GET", "/host", [("Host", "a.example")])).body == b"a.example"
    assert (await fetch_from(local, "HEAD")).head.fields.get(b"content-length") == b"5"
    assert (await fetch_from(local, "POST", "/echo", (), Whole(b"x" * 500_000))).body == b"x" * 500_000


@async_test
async def test_what_it_writes_comes_as_it_is_written(local: LocalOrigin, tree: Tree) -> None:
    fetching = local.fetch(origin_request("GET", "/later"))
    await tree.arrived
    tree.requests[0].write(b"one")
    response = await fetching
    sink = KeepingSink()
    response.deliver(sink)
    await sink.received(3)
    assert not sink.ended.called
    tree.requests[0].write(b"two")
    tree.requests[0].finish()
    await sink.ended
    assert (sink.body, sink.framing) == (b"onetwo", Framing.DELIMITED)


class Pusher:
    """Writes 64 KiB pieces for as long as it may."""

    def __init__(self, request: Any, pieces: int) -> None:
        self.request, self.left = request, pieces
        self.paused = self.stopped = False

    def resumeProducing(self) -> None:
        self.paused = False
        while self.left and not self.paused:
            self.left -= 1
            self.request.write(b"x" * 65536)
        if not self.left and not self.stopped:
            self.stopped = True
            self.request.unregisterProducer()
            self.request.finish()

    def pauseProducing(self) -> None:
        self.paused = True

    def stopProducing(self) -> None:
        self.paused = self.stopped = True


class Puller(Pusher):
    def resumeProducing(self) -> None:
        self.left -= 1
        self.request.write(b"x" * 65536)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()


@pytest.mark.parametrize("streaming", [True, False])
@async_test
async def test_its_producer_is_held_back_by_a_slow_reader(local: LocalOrigin, tree: Tree, streaming: bool) -> None:
    fetching = local.fetch(origin_request("GET", "/big"))
    await tree.arrived
    producer: Any = (Pusher if streaming else Puller)(tree.requests[0], 200)
    tree.requests[0].registerProducer(producer, streaming)
    if streaming:
        producer.resumeProducing()
    response = await fetching
    await turns(50)
    assert producer.left > 190
    sink = KeepingSink(keep=False)
    response.deliver(sink)
    await sink.received(1_000_000)
    response.pause()
    await turns(50)
    before = producer.left
    await turns(50)
    assert producer.left == before > 0
    response.resume()
    await sink.ended
    assert (sink.length, sink.framing) == (200 * 65536, Framing.DELIMITED)


@pytest.mark.parametrize("how", ["cancel", "abort"])
@async_test
async def test_when_nobody_wants_it_the_resource_is_told(local: LocalOrigin, tree: Tree, how: str) -> None:
    fetching = local.fetch(origin_request("GET", "/later"))
    await tree.arrived
    if how == "cancel":
        fetching.cancel()
        with pytest.raises(CancelledError):
            await fetching
    else:
        tree.requests[0].write(b"one")
        (await fetching).abort()
    await turns()
    assert len(tree.ended) == 1
    assert local.connections == 0


@async_test
async def test_an_upload_is_held_back_and_cut_bodies_are_not_served(local: LocalOrigin, tree: Tree) -> None:
    body = Body(10)
    fetching = local.fetch(origin_request("POST", "/echo", (), body))
    await body.started
    body.consumer.write(b"abc")
    await turns()
    fetching.cancel()
    with pytest.raises(CancelledError):
        await fetching
    await turns()
    assert tree.requests == []
    assert local.connections == 0


@async_test
async def test_each_of_many_at_once_gets_its_own_answer(local: LocalOrigin) -> None:
    bodies = [b"%d" % number * 1000 for number in range(400)]
    got = await gatherResults(
        [Deferred.fromCoroutine(fetch_from(local, "POST", "/echo", (), Whole(body))) for body in bodies]
    )
    assert [kept.body for kept in got] == bodies


@async_test
async def test_a_wsgi_application_is_an_origin() -> None:
    from twisted.internet import reactor
    from twisted.python.threadpool import ThreadPool

    def application(environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [("Cache-Control", "max-age=1")])
        return [environ["PATH_INFO"].encode(), environ["wsgi.input"].read()]

    threads = ThreadPool(1, 2)
    threads.start()
    local = LocalOrigin(reactor, WSGIResource(reactor, threads, application))
    try:
        kept = await fetch_from(local, "POST", "/x", (), Whole(b"abc"))
        assert (kept.body, kept.head.fields.get(b"cache-control")) == (b"/xabc", b"max-age=1")
    finally:
        await local.close()
        threads.stop()
