"""What gets no further than the door is in the log once, as far as it was understood, and HEAD has no body there."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.support.async_test import async_test
from tests.support.client import connect
from tests.support.origin import Answer, Gate, Head, ScriptedOrigin
from tests.support.proxy import until
from txstalecache import CacheResource, CacheSite
from txstalecache.edge.limits import EdgeLimits
from txstalecache.observe.accesslog import Record


class Door:
    """A cache on a port, and all that is logged of it."""

    def __init__(self, origin: ScriptedOrigin, fast_lane: bool, plain: bool) -> None:
        from twisted.internet import reactor

        self.log: list[Record] = []
        self.cache = Plain(origin.url, log=self.log.append) if plain else CacheResource(origin.url, log=self.log.append)
        limits = EdgeLimits(
            body=1000, hosts=frozenset({b"a"}), target=200, head=2000, fields=20, head_deadline=0.3, request=0.5
        )
        listen: Any = reactor
        site = CacheSite(self.cache, listen, limits=limits, refused=self.cache.recorded, fast_lane=fast_lane)
        self.listening = listen.listenTCP(0, site, interface="127.0.0.1")

    async def ask(self, raw: bytes) -> bytes:
        """All that is answered to ``raw``."""
        connection = await connect(self.listening.getHost().port)
        connection.keep_raw = True
        connection._parser.paused = True
        connection.send(raw)
        await connection.lost
        return bytes(connection.received)


class Plain(CacheResource):
    """Goes through ``twisted.web``."""

    def render(self, request: Any) -> int:
        return super().render(request)


@pytest.fixture(params=["lane", "no lane", "twisted.web"])
def door(request: pytest.FixtureRequest, origin: ScriptedOrigin) -> Iterator[Door]:
    door = Door(origin, request.param == "lane", request.param == "twisted.web")
    yield door
    pytest_twisted.blockon(door.listening.stopListening())
    pytest_twisted.blockon(door.cache.close())


LONG = b"/" + b"x" * 300

REFUSED: dict[str, tuple[bytes, int, tuple[bytes, bytes, bytes]]] = {
    "body": (b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n", 413, (b"POST", b"/p", b"a")),
    "host": (b"GET /p?q HTTP/1.1\r\nHost: b:80\r\n\r\n", 421, (b"GET", b"/p?q", b"b:80")),
    "method": (b"TRACE /p HTTP/1.1\r\nHost: a\r\n\r\n", 405, (b"TRACE", b"/p", b"a")),
    "target": (b"GET " + LONG + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414, (b"GET", LONG, b"a")),
    "endless target": (b"GET " + LONG, 414, (b"GET", LONG, b"")),
    "fields": (b"GET /p HTTP/1.1\r\nHost: a\r\n" + b"X: y\r\n" * 30 + b"\r\n", 431, (b"GET", b"/p", b"a")),
    "head": (b"GET /p HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 3000, 431, (b"GET", b"/p", b"a")),
    "late": (b"GET /p HTTP/1.1\r\nHost: a\r\n", 408, (b"GET", b"/p", b"a")),
    "expectation": (b"PUT /p HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n", 417, (b"PUT", b"/p", b"a")),
    "version": (b"GET /p HTTP/2.0\r\nHost: a\r\n\r\n", 505, (b"GET", b"/p", b"a")),
    "fragment": (b"GET /p#x HTTP/1.1\r\nHost: a\r\n\r\n", 400, (b"GET", b"/p#x", b"a")),
    "field": (b"GET /p HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", 400, (b"GET", b"/p", b"a")),
    "no request": (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", 400, (b"-", b"-", b"")),
    "no request line": (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400, (b"-", b"-", b"")),
}


@pytest.mark.parametrize(("raw", "status", "asked"), REFUSED.values(), ids=REFUSED)
@async_test
async def test_what_is_refused_is_logged_with_what_was_asked_and_what_was_sent(
    raw: bytes, status: int, asked: tuple[bytes, bytes, bytes], door: Door
) -> None:
    answer = await door.ask(raw)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    (record,) = door.log
    assert (record.method, record.target, record.host) == asked
    assert (record.status, record.verdict, record.sent, record.complete) == (status, "refuse", len(body), True)
    assert body


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"HEAD / HTTP/1.1\r\nHost: a\r\nExpect: foo\r\n\r\n", 417),
        (b"HEAD /a#b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
        (b"HEAD " + LONG, 414),
    ],
)
@async_test
async def test_head_has_no_body_at_the_door(raw: bytes, status: int, door: Door) -> None:
    head, _, body = (await door.ask(raw)).partition(b"\r\n\r\n")
    assert (head[9:12], body) == (b"%d" % status, b"")
    assert [(record.method, record.sent) for record in door.log] == [(b"HEAD", 0)]


@async_test
async def test_an_upload_that_grows_too_large_is_one_request(door: Door, origin: ScriptedOrigin) -> None:
    origin.handler = Answer(200, [], b"answer")
    chunk = b"258\r\n" + b"x" * 600 + b"\r\n"
    answer = await door.ask(b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * 2)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert [(record.method, record.target, record.status) for record in door.log] == [(b"POST", b"/p", 413)]
    assert sum(count for *_, count in door.cache.tally.requests()) == 1


@async_test
async def test_an_answer_that_takes_too_long_is_one_request(door: Door, origin: ScriptedOrigin) -> None:
    origin.on("/p", [Gate("held"), Head(200, [("Content-Length", "0")])])
    assert (await door.ask(b"GET /p HTTP/1.1\r\nHost: a\r\n\r\n")).startswith(b"HTTP/1.1 504 ")
    origin.release("held")  # what comes of the fetch after that is no second one
    await until(lambda: not door.cache.registry.flights)
    assert [(record.target, record.status) for record in door.log] == [(b"/p", 504)]


@async_test
async def test_what_is_wrong_with_the_rest_of_a_body_after_its_answer_is_no_request(
    door: Door, origin: ScriptedOrigin
) -> None:
    connection = await connect(door.listening.getHost().port)
    connection.keep_raw = True
    connection._parser.paused = True
    connection.send(
        b"POST /p HTTP/1.1\r\nHost: a\r\nVia: 1.1 txstalecache\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"
    )
    assert b" 508 " in await connection.got(13)
    connection.send(b"rubbish\r\n")
    await connection.lost
    assert [(record.target, record.status) for record in door.log] == [(b"/p", 508)]
