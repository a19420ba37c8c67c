"""The resource in somebody else's ``Site`` checks again what can still be seen; each check is tried.

First over sockets, through Twisted's own parser; then on requests as any ``Site`` might hand them over, so that no
check rests on that parser's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted
from twisted.web.server import Site
from twisted.web.test.requesthelper import DummyChannel

from tests.safety.payloads import CLOSES, OK, PAYLOADS
from tests.safety.test_request_payloads import requests_to
from tests.support.async_test import async_test
from tests.support.client import connect
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache import CacheResource
from txstalecache.edge.heads import Rejected
from txstalecache.edge.twistedweb import TwistedExchange


@pytest.fixture
def plain_site(origin: ScriptedOrigin) -> Iterator[int]:
    """The port of a ``Site`` with a cache as its root."""
    from twisted.internet import reactor

    anything: Any = reactor
    resource = CacheResource(origin.url)
    site = Site(resource, timeout=60)
    site.noisy = False
    listening = anything.listenTCP(0, site, interface="127.0.0.1")
    yield listening.getHost().port
    pytest_twisted.blockon(listening.stopListening())
    pytest_twisted.blockon(resource.close())


REFUSED = [
    ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 405),
    ("TRACE", b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("the same Host twice", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    ("a Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    ("a Host with a user", b"GET / HTTP/1.1\r\nHost: x@a\r\n\r\n", 400),
    ("a Host with a port that is none", b"GET / HTTP/1.1\r\nHost: a:x\r\n\r\n", 400),
    ("another authority", b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("another scheme", b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a fragment", b"GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("8-bit bytes in the target", b"GET /\xe4 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a DEL in the target", b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a target that begins with @", b"GET @evil/x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("a target without a slash", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("* with GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    ("a control in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x01b\r\n\r\n", 400),
    ("a DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX: a\x7fb\r\n\r\n", 400),
    ("a name that is no token", b"GET / HTTP/1.1\r\nHost: a\r\nX(y): a\r\n\r\n", 400),
    ("a method that is no token", b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    ("two lengths", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na", 400),
    ("a coding of HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (
        "no coding at all",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 0\r\n\r\n",
        400,
    ),
]


@pytest.mark.parametrize(("raw", "status"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
@async_test
async def test_what_a_plain_site_lets_pass_is_refused_by_the_resource(
    raw: bytes, status: int, origin: ScriptedOrigin, plain_site: int
) -> None:
    origin.handler = Answer(200, [("Cache-Control", "no-store")], b"answer")
    connection = await connect(plain_site)
    connection.send(raw)
    answer = await connection.got(len("HTTP/1.1 400 "))
    assert int(answer.split()[1]) == status
    await connection.abort()
    assert not origin.requests and not origin.malformed


@async_test
async def test_whatever_is_sent_to_a_plain_site_each_request_that_reaches_the_origin_is_well_formed(
    origin: ScriptedOrigin, plain_site: int
) -> None:
    """How many requests a connection carries is for that ``Site`` to say; each is written anew from what it said."""
    origin.handler = Answer(200, [("Cache-Control", "no-store")], b"answer")
    connections = await settled(*[connect(plain_site) for _ in PAYLOADS])
    for connection, payload in zip(connections, PAYLOADS, strict=True):
        connection.keep_raw = True
        connection._parser.paused = True
        connection.send(payload.raw)
    least = sum(payload.expected in (OK, CLOSES) for payload in PAYLOADS)
    await until(lambda: len(origin.requests) >= least)
    await later(1.0)  # for what else may come of it
    await settled(*[connection.abort() for connection in connections])
    assert not origin.malformed
    assert len(requests_to(origin)) == len(origin.requests) >= least


FIELDS: list[tuple[str, list[tuple[bytes, bytes]]]] = [
    ("no Host", []),
    ("two Hosts", [(b"Host", b"a"), (b"Host", b"b")]),
    ("an empty name", [(b"Host", b"a"), (b"", b"x")]),
    ("a line feed in a name", [(b"Host", b"a"), (b"X\nY", b"x")]),
    ("a space in a name", [(b"Host", b"a"), (b"X Y", b"x")]),
    ("a carriage return in a value", [(b"Host", b"a"), (b"X", b"x\ry")]),
    ("a NUL in a value", [(b"Host", b"a"), (b"X", b"x\0y")]),
    ("a length that is none", [(b"Host", b"a"), (b"Content-Length", b"+1")]),
    ("two lengths", [(b"Host", b"a"), (b"Content-Length", b"1"), (b"Content-Length", b"2")]),
    ("length and coding", [(b"Host", b"a"), (b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")]),
    ("an unknown coding", [(b"Host", b"a"), (b"Transfer-Encoding", b"gzip, chunked")]),
    ("two codings", [(b"Host", b"a"), (b"Transfer-Encoding", b"chunked"), (b"Transfer-Encoding", b"chunked")]),
]


def exchange(method: bytes, target: bytes, fields: list[tuple[bytes, bytes]]) -> TwistedExchange:
    """A request as a ``Site`` hands it over that checks nothing."""
    from twisted.internet.task import Clock
    from twisted.web.http import Request

    channel: Any = DummyChannel()
    request: Any = Request(channel, False)
    request.method, request.uri, request.clientproto = method, target, b"HTTP/1.1"
    # What Headers itself would mend or refuse is put where a parser of another make might put it.
    request.requestHeaders._rawHeaders = {}
    for name, value in fields:
        request.requestHeaders._rawHeaders.setdefault(name, []).append(value)
    return TwistedExchange(request, Clock())


@pytest.mark.parametrize("fields", [one[1] for one in FIELDS], ids=[one[0] for one in FIELDS])
def test_fields_are_checked_whoever_has_parsed_them(fields: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Rejected) as caught:
        exchange(b"POST", b"/", fields).head()
    assert caught.value.status in (400, 501)


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"GET\r\nX: y", b"/"),
        (b"", b"/"),
        (b"TRACE", b"/"),
        (b"CONNECT", b"a:1"),
        (b"GET", b""),
        (b"GET", b"/ HTTP/1.1\r\nX: y"),
        (b"GET", b"/\0"),
        (b"GET", b"http://evil/"),
    ],
)
def test_method_and_target_are_checked_whoever_has_parsed_them(method: bytes, target: bytes) -> None:
    with pytest.raises(Rejected):
        exchange(method, target, [(b"Host", b"a")]).head()


def test_what_is_well_formed_passes() -> None:
    head = exchange(b"GET", b"/x?y", [(b"Host", b"A:80"), (b"X", b"\xe4")]).head()
    assert (head.method, head.target) == (b"GET", b"/x?y")
