"""A resource behind ``cached`` or a ``LocalOrigin`` sees what it would see if it stood in the tree itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.endpoints import SSL4ClientEndpoint
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.python.threadpool import ThreadPool
from twisted.web.resource import Resource
from twisted.web.server import Session, Site
from twisted.web.static import Data, File
from twisted.web.wsgi import WSGIResource

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.proxy import later, until
from tests.support.tls import Authority
from txstalecache import CacheResource, CacheSite, LocalOrigin, cached

Wrap = Callable[[Any], Any]


class Leaf(Resource):
    """Says where it is."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        places = (request.prepath, request.postpath, request.path, request.uri, request.sitepath)
        urls = (request.prePathURL(), str(request.URLPath()), request.getRequestHostname(), request.isSecure())
        return repr((places, urls, request.getHost())).encode()


class Tree(Resource):
    """Every child says where it is."""

    def getChild(self, path: bytes, request: Any) -> Resource:
        return self if not path else Leaf()

    def render_GET(self, request: Any) -> bytes:
        return b"index at " + repr((request.prepath, request.postpath)).encode()


class Anywhere(Resource):
    """Has the same child under each name."""

    def __init__(self, child: Any) -> None:
        super().__init__()
        self.child = child

    def getChild(self, path: bytes, request: Any) -> Any:
        return self.child


def application(environ: Any, start_response: Any) -> Any:
    start_response("200 OK", [])
    names = ("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING", "SERVER_NAME", "SERVER_PORT", "wsgi.url_scheme")
    return [repr([environ[name] for name in names]).encode()]


TARGETS = [
    "/tree/",
    "/tree/x",
    "/tree/x/y%20z/?q=1",
    "/deep/er/x",
    "/leaf",
    "/leaf/x/y",
    "/data",
    "/files/page.txt",
    "/files/none.txt",
    "/any/one/x",
    "/any/two/x",
    "/wsgi/x?q=1",
    "/wsgi",
]


def by_cached(resource: Any) -> Any:
    return cached(ttl=60)(resource)


def by_hand(resource: Any) -> Any:
    from twisted.internet import reactor

    return CacheResource(LocalOrigin(reactor, resource))


class Serving:
    """The same tree on ports of its own, with what is in it wrapped."""

    def __init__(self, files: Path, threads: ThreadPool) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.files, self.threads = files, threads
        self.listening: list[Any] = []
        self.wrapped: list[CacheResource] = []

    def tree(self, wrap: Wrap) -> Resource:
        root, deep, anywhere = Resource(), Resource(), Anywhere(wrap(Tree()))
        children = {
            b"tree": Tree(),
            b"leaf": Leaf(),
            b"data": Data(b"data", "text/plain"),
            b"files": File(str(self.files)),
            b"wsgi": WSGIResource(self.reactor, self.threads, application),
        }
        for name, child in children.items():
            root.putChild(name, wrap(child))
        root.putChild(b"deep", deep)
        deep.putChild(b"er", wrap(Tree()))
        root.putChild(b"any", anywhere)
        return root

    def keeping(self, wrap: Wrap) -> Wrap:
        """``wrap``, whose results are closed at the end."""

        def wrapping(resource: Any) -> Any:
            self.wrapped.append(wrap(resource))
            return self.wrapped[-1]

        return wrapping

    def listen(self, site: Site, pem: Path | None = None) -> int:
        """The port ``site`` is on; ``pem``: over TLS, with what is in there."""
        if pem is None:
            listening = self.reactor.listenTCP(0, site, interface="127.0.0.1")
        else:
            options = PrivateCertificate.loadPEM(pem.read_bytes()).options()
            listening = self.reactor.listenSSL(0, site, options, interface="127.0.0.1")
        self.listening.append(listening)
        return int(listening.getHost().port)


@pytest.fixture
def serving(tmp_path: Path) -> Any:
    (tmp_path / "page.txt").write_text("a page")
    threads = ThreadPool(1, 2)
    threads.start()
    serving = Serving(tmp_path, threads)
    yield serving
    for port in serving.listening:
        pytest_twisted.blockon(port.stopListening())
    for resource in serving.wrapped:
        pytest_twisted.blockon(resource.close())
        origin: Any = resource.registry.origin
        pytest_twisted.blockon(origin.close())
    threads.stop()


def without_port(text: bytes, port: int) -> bytes:
    return text.replace(b"%d" % port, b"PORT")


@pytest.mark.parametrize("strict", [False, True], ids=["Site", "CacheSite"])
@pytest.mark.parametrize("wrap", [by_cached, by_hand])
@async_test
async def test_below_a_path_it_sees_what_it_would_see_without(wrap: Wrap, strict: bool, serving: Serving) -> None:
    root = serving.tree(serving.keeping(wrap))
    site = CacheSite(root, serving.reactor) if strict else Site(root)
    bare, behind = serving.listen(Site(serving.tree(lambda resource: resource))), serving.listen(site)
    for target in TARGETS:
        expected = await fetch(bare, "GET", target, host=f"127.0.0.1:{bare}")
        reply = await fetch(behind, "GET", target, host=f"127.0.0.1:{behind}")
        got = (reply.status, without_port(reply.body, behind))
        assert got == (expected.status, without_port(expected.body, bare)), target


@pytest.mark.parametrize("strict", [False, True], ids=["Site", "CacheSite"])
@async_test
async def test_as_the_root_it_sees_what_it_would_see_without(strict: bool, serving: Serving) -> None:
    root = serving.keeping(by_cached)(Tree())
    site = CacheSite(root, serving.reactor) if strict else Site(root)
    bare, behind = serving.listen(Site(Tree())), serving.listen(site)
    for target in ("/", "/x/y"):
        expected = await fetch(bare, "GET", target, host=f"127.0.0.1:{bare}")
        reply = await fetch(behind, "GET", target, host=f"127.0.0.1:{behind}")
        assert without_port(reply.body, behind) == without_port(expected.body, bare)


class Counting(Resource):
    """Counts, and says where it is."""

    made = 0

    def getChild(self, path: bytes, request: Any) -> Resource:
        return self

    def render_GET(self, request: Any) -> bytes:
        self.made += 1
        return b"%d at %r" % (self.made, (request.prepath, request.prePathURL()))


@async_test
async def test_so_it_does_behind_a_stale_answer_and_when_it_is_refreshed_by_hand(serving: Serving) -> None:
    root, page = Resource(), Counting()
    cache = serving.keeping(cached(ttl=0.05, stale=60))(page)
    root.putChild(b"here", cache)
    port = serving.listen(Site(root))
    while page.made < 3:
        reply = await fetch(port, "GET", "/here/x", host=f"127.0.0.1:{port}")
        assert reply.body.endswith(f"at ([b'here', b'x'], b'http://127.0.0.1:{port}/here/x')".encode())
        await later(0.01)
    await cache.refresh(f"http://127.0.0.1:{port}/here/y".encode())
    await until(lambda: page.made == 4)
    assert b"at ([b'here', b'y']" in (await fetch(port, "GET", "/here/y", host=f"127.0.0.1:{port}")).body


@async_test
async def test_the_scheme_is_that_of_the_clients_connection(serving: Serving) -> None:
    root = Resource()
    root.putChild(b"leaf", serving.keeping(by_cached)(Leaf()))
    both, _ = Authority(serving.files).issue("127.0.0.1")
    plain, secure = serving.listen(Site(root)), serving.listen(Site(root), both)
    assert b"'http://localhost/leaf'" in (await fetch(plain, "GET", "/leaf")).body
    endpoint = SSL4ClientEndpoint(serving.reactor, "127.0.0.1", secure, CertificateOptions())
    assert b"'https://localhost/leaf'" in (await fetch(target="/leaf", endpoint=endpoint)).body


class Login(Resource):
    """Remembers who it is."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        session = request.getSession()
        session.user = request.args[b"as"][0]
        return type(session).__name__.encode()


class Greeting(Resource):
    """Says who it is, and whether that is so for as long as the site says."""

    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        session = request.getSession()
        return getattr(session, "user", b"nobody") + b" in a " + type(session).__name__.encode()


class LongSession(Session):
    """Of the application's own."""

    sessionTimeout = 3600


@pytest.mark.parametrize("strict", [False, True], ids=["Site", "CacheSite"])
@pytest.mark.parametrize("wrap", [by_cached, by_hand])
@async_test
async def test_a_session_is_that_of_the_site(wrap: Wrap, strict: bool, serving: Serving) -> None:
    root, wrapped = Resource(), serving.keeping(wrap)
    root.putChild(b"login", Login())
    for name in (b"one", b"two"):
        root.putChild(name, wrapped(Greeting()))
    root.putChild(b"bare", Greeting())
    site = CacheSite(root, serving.reactor) if strict else Site(root)
    site.sessionFactory = LongSession
    port = serving.listen(site)
    cookie = (await fetch(port, "GET", "/login?as=ann")).field("set-cookie")
    assert cookie is not None
    fields = [("Cookie", cookie.partition(b";")[0])]
    for target in ("/one", "/two", "/bare", "/one"):
        reply = await fetch(port, "GET", target, fields)
        assert (reply.body, reply.field("set-cookie")) == (b"ann in a LongSession", None), target
    made = (await fetch(port, "GET", "/two")).field("set-cookie")
    assert made is not None and made.partition(b";")[0].partition(b"=")[2] in site.sessions
    for session in list(site.sessions.values()):
        session.expire()


@pytest.mark.parametrize("strict", [False, True], ids=["Site", "CacheSite"])
@async_test
async def test_sessions_over_tls_are_those_of_the_site_there(strict: bool, serving: Serving) -> None:
    root = Resource()
    root.putChild(b"login", Login())
    root.putChild(b"one", serving.keeping(by_cached)(Greeting()))
    both, _ = Authority(serving.files).issue("127.0.0.1")
    sites = [CacheSite(root, serving.reactor) if strict else Site(root) for _ in range(2)]
    plain, secure = serving.listen(sites[0]), serving.listen(sites[1], both)
    endpoint = SSL4ClientEndpoint(serving.reactor, "127.0.0.1", secure, CertificateOptions())
    cookie = (await fetch(target="/login?as=ann", endpoint=endpoint)).field("set-cookie")
    assert cookie is not None
    fields = [("Cookie", cookie.partition(b";")[0])]
    both_ways = [fetch(target="/one", fields=fields, endpoint=endpoint), fetch(plain, "GET", "/one")]
    assert [(await asked).body for asked in both_ways] == [b"ann in a Session", b"nobody in a Session"]
    assert [len(site.sessions) for site in sites] == [1, 1]
    for site in sites:
        for session in list(site.sessions.values()):
            session.expire()


@pytest.mark.parametrize("strict", [False, True], ids=["Site", "CacheSite"])
@async_test
async def test_as_the_root_it_has_the_site_too(strict: bool, serving: Serving) -> None:
    cache = serving.keeping(by_cached)(Greeting())
    site = CacheSite(cache, serving.reactor) if strict else Site(cache)
    site.sessionFactory = LongSession
    assert (await fetch(serving.listen(site), "GET", "/")).body == b"nobody in a LongSession"
    (session,) = site.sessions.values()
    session.expire()
