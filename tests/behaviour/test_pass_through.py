"""What is not cacheable goes straight through: streamed both ways, bytes, fields and their order intact."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.interfaces import IPullProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer

from tests.support.client import connect, fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.process import resident
from tests.support.proxy import until
from txstalecache.flight.limits import Limits
from txstalecache.http.rules import Rules

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("method", "request_fields", "response_fields"),
    [
        ("POST", [], [("Cache-Control", "max-age=60")]),
        ("PUT", [], [("Cache-Control", "max-age=60")]),
        ("DELETE", [], []),
        ("OPTIONS", [], []),
        ("PATCH", [], []),
        ("GET", [], [("Cache-Control", "private, max-age=60")]),
        ("GET", [], [("Cache-Control", "no-store")]),
        ("GET", [], [("Cache-Control", "max-age=60"), ("Set-Cookie", "a=b")]),
        ("GET", [], [("Cache-Control", "max-age=60"), ("Vary", "*")]),
        ("GET", [("Authorization", "Basic eDp5")], [("Cache-Control", "max-age=60")]),
        ("GET", [("Cache-Control", "no-store")], [("Cache-Control", "max-age=60")]),
    ],
)
@pytest_twisted.ensureDeferred
async def test_each_of_these_reaches_the_origin_every_time_as_it_is(
    origin: ScriptedOrigin, make_proxy: Any, method: str, request_fields: Any, response_fields: Any
) -> None:
    origin.on("/x", lambda request: Answer(200, response_fields, b"answer %d" % request.number))
    proxy = await make_proxy(origin.url)
    for number in range(3):
        body = b"what the client says" if method in ("POST", "PUT", "PATCH") else b""
        reply = await fetch(proxy.port, method, "/x", request_fields, body)
        assert (reply.status, reply.body) == (200, b"answer %d" % number)
        seen = origin.requests[-1]
        assert (seen.method, seen.body) == (method.encode(), body)
        for name, value in request_fields:
            assert seen.field(name) == value.encode()
        for name, value in response_fields:
            assert reply.field(name) == value.encode()
    assert origin.hits("/x") == 3


@pytest_twisted.ensureDeferred
async def test_repeated_fields_keep_their_lines_and_order(origin: ScriptedOrigin, make_proxy: Any) -> None:
    cookies = [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2; Expires=Wed, 21 Oct 2099 07:28:00 GMT"), ("Link", "</x>")]
    origin.on("/x", Answer(200, cookies, b"x"))
    proxy = await make_proxy(origin.url)
    reply = await fetch(proxy.port, "POST", "/x", [("X-One", "1"), ("X-One", "2"), ("X-Two", "3")], b"body")
    kept = [(name.decode(), value.decode()) for name, value in reply.fields if name.lower() in (b"set-cookie", b"link")]
    assert kept == cookies
    sent = [(name.lower(), value) for name, value in origin.requests[-1].fields if name.lower().startswith(b"x-")]
    assert sent[:3] == [(b"x-one", b"1"), (b"x-one", b"2"), (b"x-two", b"3")]


@pytest_twisted.ensureDeferred
async def test_a_request_body_reaches_the_origin_before_its_end(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/up", lambda request: Answer(200, [], hashlib.sha256(request.body).hexdigest()))
    proxy = await make_proxy(origin.url)
    connection = await connect(proxy.port)
    reply = connection.expect("POST").done
    connection.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst")
    await until(lambda: bool(origin.requests) and origin.requests[0].body_length == 5)
    connection.send(b"again")
    assert (await reply).body.decode() == hashlib.sha256(b"firstagain").hexdigest()
    await connection.close()


@pytest_twisted.ensureDeferred
async def test_an_answer_to_a_post_streams(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", [Head(200, [("Content-Length", "6")]), Chunk(b"one"), Gate("go"), Chunk(b"two")])
    proxy = await make_proxy(origin.url)
    exchange = open_exchange(proxy.port, "POST", "/x", body=b"q")
    assert (await exchange.received(3)).body == b"one"
    origin.release("go")
    assert (await exchange.done).body == b"onetwo"


BLOCK = bytes(range(256)) * 4096
SIZE = 256


@implementer(IPullProducer)
class Big(Resource):
    """256 MiB, sent as the client takes it: four times what passing it on may cost."""

    isLeaf = True

    def render(self, request: Any) -> int:
        request.setHeader(b"Content-Length", b"%d" % (SIZE * MIB))
        request.setHeader(b"Cache-Control", b"max-age=60")
        self.request, self.left = request, SIZE
        request.registerProducer(self, False)
        return NOT_DONE_YET

    def resumeProducing(self) -> None:
        self.left -= 1
        self.request.write(BLOCK)
        if not self.left:
            self.request.unregisterProducer()
            self.request.finish()

    def stopProducing(self) -> None:
        pass


@pytest_twisted.ensureDeferred
async def test_a_large_body_down_costs_little_memory(make_proxy: Any) -> None:
    from twisted.internet import reactor

    anything: Any = reactor
    listening = anything.listenTCP(0, Site(Big()), interface="127.0.0.1")
    proxy = await make_proxy(f"http://127.0.0.1:{listening.getHost().port}")
    before = resident()
    peak = 0
    exchange = open_exchange(proxy.port, "GET", "/big", keep=False, timeout=100)
    for mark in range(8, SIZE + 1, 8):
        await exchange.received(mark * MIB)
        peak = max(peak, resident())
    reply = await exchange.done
    digest = hashlib.sha256()
    for _ in range(SIZE):
        digest.update(BLOCK)
    assert (reply.length, reply.digest) == (SIZE * MIB, digest.hexdigest())
    assert peak - before < 64 * MIB
    await listening.stopListening()


@pytest_twisted.ensureDeferred
async def test_the_least_window_that_may_be_set_lets_a_body_through(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = Answer(200, [], b"x" * MIB)
    proxy = await make_proxy(origin.url, limits=Limits(window=1), rules=Rules(max_object=0))
    assert (await fetch(proxy.port, "GET", "/x")).body == b"x" * MIB


@pytest_twisted.ensureDeferred
async def test_a_hundred_mebibytes_up_cost_little_memory(make_origin: Any, make_proxy: Any) -> None:
    origin = await make_origin(
        lambda request: Answer(200, [], str(request.body_length)), keep_bodies=False, keep_raw=False
    )
    proxy = await make_proxy(origin.url)
    before = resident()
    connection = await connect(proxy.port)
    reply = connection.expect("POST").done
    connection.send(b"POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
    peak = 0
    for sent in range(1, 101):
        connection.send(b"x" * MIB)
        await until(lambda sent=sent: bool(origin.requests) and origin.requests[0].body_length >= (sent - 4) * MIB)  # type: ignore[misc]
        peak = max(peak, resident())
    assert (await reply).body == str(100 * MIB).encode()
    assert peak - before < 48 * MIB
    await connection.close()


@pytest_twisted.ensureDeferred
async def test_options_that_goes_no_further_is_logged_once_and_the_origin_is_not_asked(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    proxy = await make_proxy(origin.url)
    for target, fields in (("*", []), ("/x", [("Max-Forwards", "0")])):
        reply = await fetch(proxy.port, "OPTIONS", target, fields)
        assert (reply.status, reply.field("content-length")) == (200, b"0")
        assert (reply.field("allow") or b"").startswith(b"GET")
        assert reply.field("server") is None
    assert [(record.target, record.status, record.why) for record in proxy.log] == [
        (b"*", 200, "options"),
        (b"/x", 200, "options"),
    ]
    assert not origin.requests
    origin.on("/x", Answer(200, [("Allow", "GET")]))
    assert (await fetch(proxy.port, "OPTIONS", "/x", [("Max-Forwards", "1")])).field("allow") == b"GET"
    assert origin.requests[0].field("max-forwards") == b"0"
