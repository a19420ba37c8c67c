"""The instruments themselves: what the scripted origin sends is what the raw client reports."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.defer import Deferred, gatherResults

from tests.support.async_test import async_test
from tests.support.client import NoReply, connect, fetch, open_exchange
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Answer, Chunk, Close, Gate, Hang, Head, Raw, Reset, ScriptedOrigin

CHUNKED = [("Transfer-Encoding", "chunked")]


@async_test
async def test_an_answer_comes_as_scripted(origin: ScriptedOrigin) -> None:
    origin.on("/x", lambda request: Answer(201, [("A", "1"), ("a", "2")], request.body * 2))
    reply = await fetch(origin.port, "POST", "/x?q", [("B", "b")], b"ho")
    assert (reply.status, reply.field("a"), reply.body, reply.truncated) == (201, b"1, 2", b"hoho", False)
    assert origin.requests[0].target == b"/x?q"
    assert origin.requests[0].fields == [(b"Host", b"localhost"), (b"B", b"b"), (b"Content-Length", b"2")]
    assert origin.hits("/x") == 1
    assert (await fetch(origin.port, "GET", "/y")).status == 404


@async_test
async def test_a_gate_holds_the_body_until_it_is_released(origin: ScriptedOrigin) -> None:
    origin.handler = [Head(103, [("Link", "</a>")]), Head(200, CHUNKED), Chunk(b"a"), Gate("go"), Chunk(b"b")]
    exchange = open_exchange(origin.port)
    await origin.at_gate("go")
    await exchange.received(1)
    assert exchange.reply.body == b"a" and not exchange.done.called
    origin.release("go")
    reply = await exchange.done
    assert reply.body == b"ab"
    assert reply.informational == [(103, [(b"Link", b"</a>")])]


@async_test
async def test_cut_replies_are_seen_as_cut(origin: ScriptedOrigin) -> None:
    origin.on("/short", [Head(200, [("Content-Length", "5")]), Chunk(b"abc"), Close()])
    origin.on("/chunk", [Head(200, CHUNKED), Chunk(b"abc"), Close()])
    origin.on("/reset", [Head(200), Chunk(b"abc"), Gate("sent"), Reset()])
    origin.on("/close", [Head(200), Chunk(b"abc"), Close()])
    for path, truncated in [("/short", True), ("/chunk", True), ("/reset", True), ("/close", False)]:
        exchange = open_exchange(origin.port, "GET", path)
        await exchange.received(3)
        if path == "/reset":
            origin.release("sent")
        reply = await exchange.done
        assert (reply.truncated, reply.body) == (truncated, b"abc"), path


@async_test
async def test_no_reply_is_an_error(origin: ScriptedOrigin) -> None:
    origin.on("/rubbish", [Raw(b"SSH-2.0\r\n\r\n"), Hang()])
    origin.on("/hang", [Hang()])
    with pytest.raises(NoReply):
        await fetch(origin.port, "GET", "/rubbish")
    with pytest.raises(NoReply, match="timeout"):
        await fetch(origin.port, "GET", "/hang", timeout=0.05)


@async_test
async def test_one_connection_carries_many_requests_in_order(origin: ScriptedOrigin) -> None:
    origin.handler = lambda request: Answer(200, (), request.target)
    connection = await connect(origin.port)
    replies = await gatherResults([connection.request("GET", f"/{n}") for n in range(5)])
    assert [reply.body for reply in replies] == [b"/0", b"/1", b"/2", b"/3", b"/4"]
    assert (await connection.request("HEAD", "/")).fields == [(b"Content-Length", b"1")]
    connection.send(b"GET / HTTP/1.1\r\nHost : x\r\n\r\n")
    reply = await connection.expect().done
    assert reply.status == 400 and len(origin.malformed) == 1
    await connection.lost
    assert origin.connections[0].requests == origin.requests


@async_test
async def test_two_thousand_clients_at_once(origin: ScriptedOrigin) -> None:
    origin.keep_raw = False
    origin.handler = [Gate("all"), Head(200, [("Content-Length", "2")]), Chunk(b"ok")]
    replies = [fetch(origin.port) for _ in range(2000)]
    await origin.arrived(2000)
    origin.release("all")
    got = await gatherResults(replies)
    assert {(reply.status, reply.body) for reply in got} == {(200, b"ok")}


MakeProxy = Callable[..., Deferred[FaultProxy]]


@async_test
async def test_the_fault_proxy_passes_what_it_is_not_told_to_spoil(
    origin: ScriptedOrigin, make_fault_proxy: MakeProxy
) -> None:
    origin.handler = lambda request: Answer(200, (), request.body * 2)
    proxy = await make_fault_proxy(origin.port)
    reply = await fetch(proxy.port, "POST", "/", (), b"x" * 3_000_000)
    assert reply.length == 6_000_000 and not reply.truncated
    assert proxy.passed_up > 3_000_000 and proxy.passed_down > 6_000_000 and proxy.accepted == 1


@async_test
async def test_the_fault_proxy_spoils_what_it_is_told_to(origin: ScriptedOrigin, make_fault_proxy: MakeProxy) -> None:
    origin.handler = Answer(200, (), b"x" * 1000)
    proxy = await make_fault_proxy(origin.port)
    for end in ("fin", "rst"):
        proxy.down.cut_at, proxy.down.cut_with = 500, end
        reply = await fetch(proxy.port)
        assert reply.truncated and reply.length < 500
    proxy.down.cut_at = None
    proxy.down.corrupt_at = 200
    reply = await fetch(proxy.port)
    assert reply.length == 1000 and reply.body.count(b"x") == 999
    proxy.down.corrupt_at = None
    proxy.down.latency = 0.1
    reply = await fetch(proxy.port)
    assert reply.seconds >= 0.09
    proxy.down.latency, proxy.down.rate = 0, 10_000
    reply = await fetch(proxy.port)
    assert reply.seconds >= 0.08 and reply.length == 1000
    proxy.down.rate, proxy.down.extra = 0, b"extra"
    connection = await connect(proxy.port)
    await connection.request()
    await connection.got(1050)
    assert bytes(connection.received).endswith(b"extra")
    await connection.close()


@async_test
async def test_the_fault_proxy_holds_cuts_and_refuses(origin: ScriptedOrigin, make_fault_proxy: MakeProxy) -> None:
    origin.handler = Answer(200, (), b"x")
    proxy = await make_fault_proxy(origin.port)
    proxy.hold()
    with pytest.raises(NoReply, match="timeout"):
        await fetch(proxy.port, timeout=0.1)
    held = open_exchange(proxy.port)
    proxy.release()
    assert (await held.done).body == b"x"
    proxy.hold()
    cut = open_exchange(proxy.port)
    while proxy.accepted < 3:
        turned: Deferred[None] = Deferred()
        from twisted.internet import reactor

        reactor.callLater(0, turned.callback, None)
        await turned
    proxy.cut()
    with pytest.raises(NoReply):
        await cut.done
    proxy.release()
    await proxy.refuse()
    with pytest.raises(NoReply, match="no connection"):
        await fetch(proxy.port)
    await proxy.start()
    assert (await fetch(proxy.port)).body == b"x"
