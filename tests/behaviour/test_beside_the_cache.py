"""Other resources beside the cache, under a ``CacheSite``: they find what they would find under a plain ``Site``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.rewrite import RewriterResource
from twisted.web.server import Site
from twisted.web.util import DeferredResource
from twisted.web.wsgi import WSGIResource

from tests.support.async_test import async_test
from tests.support.client import Reply, connect, fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import until
from txstalecache import CacheResource, CacheSite
from txstalecache.edge.limits import EdgeLimits
from txstalecache.observe.accesslog import Record


class Form(Resource):
    """Says what it finds."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.rendered = 0

    def render(self, request: Any) -> bytes:
        self.rendered += 1
        body = request.content.read()
        shown = body if len(body) < 1000 else b"%d bytes" % len(body)
        return repr((request.method, request.path, sorted(request.args.items()), shown)).encode()


class Wrapped(Resource):
    """A tree that finds its leaf later, as an authentication does."""

    def getChild(self, path: bytes, request: Any) -> Any:
        from twisted.internet.defer import succeed

        return DeferredResource(succeed(Form()))


class Beside:
    """The same tree under a plain site and under ours."""

    def __init__(self, origin: ScriptedOrigin, threads: ThreadPool) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.log: list[Record] = []
        self.form = Form()
        self.cache = CacheResource(origin.url)
        self.listening: list[Any] = []
        self.ours = CacheSite(
            self.tree(threads), self.reactor, limits=EdgeLimits(body=400_000), refused=self.log.append
        )
        self.plain_port, self.port = self.listen(Site(self.tree(threads))), self.listen(self.ours)

    def tree(self, threads: ThreadPool) -> Resource:
        root = Resource()
        root.putChild(b"form", self.form)
        root.putChild(b"later", Wrapped())
        root.putChild(b"wsgi", WSGIResource(self.reactor, threads, application))
        root.putChild(b"rewritten", RewriterResource(Form(), rewritten))
        root.putChild(b"cache", self.cache)
        return root

    def listen(self, site: Site) -> int:
        self.listening.append(self.reactor.listenTCP(0, site, interface="127.0.0.1"))
        return int(self.listening[-1].getHost().port)


def application(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    return [environ["SCRIPT_NAME"].encode(), environ["CONTENT_LENGTH"].encode(), environ["wsgi.input"].read()]


def rewritten(request: Any) -> None:
    request.path = b"/elsewhere"


@pytest.fixture
def beside(origin: ScriptedOrigin) -> Iterator[Beside]:
    threads = ThreadPool(1, 2)
    threads.start()
    beside = Beside(origin, threads)
    yield beside
    for port in beside.listening:
        pytest_twisted.blockon(port.stopListening())
    pytest_twisted.blockon(beside.cache.close())
    threads.stop()


URLENCODED = [("Content-Type", "application/x-www-form-urlencoded")]
MULTIPART = [("Content-Type", "multipart/form-data; boundary=x")]
PARTS = b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n--x--\r\n'

ASKED: list[tuple[str, str, list[tuple[str, str]], bytes]] = [
    ("POST", "/form?a=0&c=3", URLENCODED, b"a=1&b=2"),
    ("POST", "/form", MULTIPART, PARTS),
    ("POST", "/form", [("Content-Type", "text/plain")], b"z" * 300_000),
    ("PUT", "/form", URLENCODED, b"a=1"),
    ("POST", "/form", [], b""),
    ("GET", "/form?q=1", [], b""),
    ("POST", "/form", [*URLENCODED, ("Transfer-Encoding", "chunked")], b"3\r\na=1\r\n4\r\n&b=2\r\n0\r\n\r\n"),
    ("POST", "/later/x", URLENCODED, b"a=1"),
    ("POST", "/wsgi/x", URLENCODED, b"a=1"),
    ("POST", "/rewritten/x?q=1", URLENCODED, b"a=1"),
    ("POST", "/nowhere", URLENCODED, b"a=1"),
]


@pytest.mark.parametrize(("method", "target", "fields", "body"), ASKED, ids=[f"{a[0]} {a[1]} {a[2]}" for a in ASKED])
@async_test
async def test_a_resource_beside_the_cache_finds_the_body_and_the_form_as_under_a_plain_site(
    method: str, target: str, fields: list[tuple[str, str]], body: bytes, beside: Beside
) -> None:
    def told(reply: Reply) -> tuple[int, bytes]:
        return reply.status, reply.body

    expected = told(await fetch(beside.plain_port, method, target, fields, body))
    assert told(await fetch(beside.port, method, target, fields, body)) == expected


@async_test
async def test_it_is_not_rendered_before_the_whole_body_is_there_nor_when_the_rest_never_comes(beside: Beside) -> None:
    connection = await connect(beside.port)
    connection.send(b"POST /form HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n")
    assert await connection.got(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"half")
    await until(lambda: any(channel._body_length for channel in beside.ours.channels))
    assert beside.form.rendered == 0
    await connection.abort()
    await until(lambda: not beside.ours.channels)
    assert beside.form.rendered == 0


@async_test
async def test_a_body_beyond_the_limit_of_the_site_gets_413_and_one_record(beside: Beside) -> None:
    chunk = b"%x\r\n%b\r\n" % (300_000, b"x" * 300_000)
    fields = [("Transfer-Encoding", "chunked")]
    assert (await fetch(beside.port, "POST", "/form", fields, chunk * 2 + b"0\r\n\r\n")).status == 413
    assert beside.form.rendered == 0
    assert [(record.status, record.why) for record in beside.log] == [(413, "body too large")]


@async_test
async def test_a_form_that_is_none_gets_400_and_the_site_goes_on(beside: Beside) -> None:
    reply = await fetch(beside.port, "POST", "/form", [("Content-Type", "multipart/form-data")], b"a=1")
    assert (reply.status, beside.form.rendered) == (400, 0)
    assert [(record.status, record.why) for record in beside.log] == [(400, "malformed form")]
    assert (await fetch(beside.port, "GET", "/form")).status == 200


@async_test
async def test_the_connection_carries_the_next_request_after_a_form(beside: Beside) -> None:
    connection = await connect(beside.port)
    for _ in range(2):
        reply = await connection.request("POST", "/form", URLENCODED, b"a=1")
        assert b"[(b'a', [b'1'])]" in reply.body
    await connection.close()


@async_test
async def test_uploads_to_the_cache_beside_it_go_on_streaming(beside: Beside, origin: ScriptedOrigin) -> None:
    origin.handler = Answer(200, [("Cache-Control", "no-store")], b"answer")
    connection = await connect(beside.port)
    connection.send(b"POST /cache/x HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf")
    await until(lambda: bool(origin.connections))
    connection.send(b"more")
    assert b" 200 OK" in await connection.got(15)
    assert origin.requests[-1].body == b"halfmore"
    await connection.close()
