"""An origin that is down, slow or broken: stale where it is permitted, else 502 or 504 within its time limit."""

from __future__ import annotations

import socket
from typing import Any

import pytest
import pytest_twisted

from tests.support.client import connect, fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Hang, Head, Raw, Reset, ScriptedOrigin
from tests.support.proxy import settled, until
from txstalecache.origin.interfaces import Deadlines

FRESH_BY_A_HAIR = [("Cache-Control", "max-age=5"), ("Age", "5"), ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT")]


def closed_port() -> str:
    """The URL of a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest_twisted.ensureDeferred
async def test_a_refused_connection_is_502(make_proxy: Any) -> None:
    proxy = await make_proxy(closed_port())
    reply = await fetch(proxy.port, "GET", "/x")
    assert reply.status == 502
    assert b"detail=connect" in (reply.field("cache-status") or b"")


@pytest_twisted.ensureDeferred
async def test_an_origin_that_says_nothing_is_504_for_everybody(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", [Hang()])
    proxy = await make_proxy(origin.url, deadlines=Deadlines(first_byte=0.5))
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(10)])
    assert {reply.status for reply in replies} == {504}
    assert {reply.field("retry-after") for reply in replies} == {b"1"}
    assert origin.hits("/x") == 2  # one fetch and, because others waited, one more
    assert proxy.flights == 0


@pytest_twisted.ensureDeferred
async def test_requests_that_were_sent_at_once_on_one_connection_are_all_told_that_it_is_down(make_proxy: Any) -> None:
    proxy = await make_proxy(closed_port())
    connection = await connect(proxy.port)
    connection.send(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
    replies = [await connection.expect("GET").done for _ in range(3)]
    assert [reply.status for reply in replies] == [502] * 3
    await connection.close()
    assert proxy.flights == 0


@pytest.mark.parametrize("rubbish", [[Raw(b"SSH-2.0-x\r\n\r\n")], [Reset()]])
@pytest_twisted.ensureDeferred
async def test_rubbish_is_502(origin: ScriptedOrigin, make_proxy: Any, rubbish: Any) -> None:
    origin.on("/x", rubbish)
    proxy = await make_proxy(origin.url)
    assert (await fetch(proxy.port, "GET", "/x")).status == 502


@pytest_twisted.ensureDeferred
async def test_stale_stands_in_for_an_origin_that_cannot_be_reached(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, FRESH_BY_A_HAIR, b"old"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", [Reset()])
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(10)])
    assert {(reply.status, reply.body) for reply in replies} == {(200, b"old")}
    assert all(b"detail=unreachable" in (reply.field("cache-status") or b"") for reply in replies)


@pytest.mark.parametrize(("method", "body"), [("GET", b"old"), ("HEAD", b"")])
@pytest.mark.parametrize("fails", [[Reset()], Answer(503)])
@pytest_twisted.ensureDeferred
async def test_it_stands_in_for_all_requests_that_were_sent_at_once_on_one_connection(
    origin: ScriptedOrigin, make_proxy: Any, fails: Any, method: str, body: bytes
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=5, stale-if-error=60"), ("Age", "5")], b"old"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", fails)
    connection = await connect(proxy.port)
    connection.send(f"{method} /x HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3)
    replies = [await connection.expect(method).done for _ in range(3)]
    assert [(reply.status, reply.body) for reply in replies] == [(200, body)] * 3
    await connection.close()


@pytest.mark.parametrize("forbidding", ["must-revalidate", "proxy-revalidate", "s-maxage=5", "no-cache"])
@pytest_twisted.ensureDeferred
async def test_but_not_where_that_is_forbidden(origin: ScriptedOrigin, make_proxy: Any, forbidding: str) -> None:
    fields = [("Cache-Control", f"max-age=5, {forbidding}"), ("Age", "5"), ("ETag", '"1"')]
    origin.on("/x", Answer(200, fields, b"old"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", [Reset()])
    assert (await fetch(proxy.port, "GET", "/x")).status == 502


@pytest_twisted.ensureDeferred
async def test_stale_if_error_stands_in_for_an_error(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=5, stale-if-error=60"), ("Age", "6")], b"old"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", Answer(503, [], b"sorry"))
    for _ in range(3):
        reply = await fetch(proxy.port, "GET", "/x")
        assert (reply.status, reply.body) == (200, b"old")


@pytest.mark.parametrize("failing", [[Reset()], Answer(503, [], b"sorry")])
@pytest.mark.parametrize("window", ["stale-while-revalidate=60", "stale-if-error=60"])
@pytest_twisted.ensureDeferred
async def test_stale_that_is_for_everybody_stands_in_for_who_says_authorization_too(
    origin: ScriptedOrigin, make_proxy: Any, window: str, failing: Any
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", f"public, max-age=5, {window}"), ("Age", "6")], b"old"))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    origin.on("/x", failing)
    for _ in range(3):
        reply = await fetch(proxy.port, "GET", "/x", [("Authorization", "Basic eDp5")])
        assert (reply.status, reply.body) == (200, b"old")
    await until(lambda: proxy.flights == 0)


@pytest.mark.parametrize("framing", [("Content-Length", "100"), ("Transfer-Encoding", "chunked")])
@pytest_twisted.ensureDeferred
async def test_a_body_cut_short_is_visible_to_everybody_and_stored_nowhere(
    origin: ScriptedOrigin, make_proxy: Any, framing: tuple[str, str]
) -> None:
    head = Head(200, [("Cache-Control", "max-age=60"), framing])
    origin.on("/x", [head, Chunk(b"half"), Gate("go"), Reset()])
    proxy = await make_proxy(origin.url)
    exchanges = [open_exchange(proxy.port, "GET", "/x") for _ in range(5)]
    for exchange in exchanges:
        await exchange.received(4)
    origin.release("go")
    replies = await settled(*[exchange.done for exchange in exchanges])
    assert all(reply.truncated for reply in replies)
    await until(lambda: proxy.flights == 0)
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"whole"))
    assert (await fetch(proxy.port, "GET", "/x")).body == b"whole"


@pytest.mark.parametrize(
    ("ending", "deadlines", "fault"),
    [(Reset(), Deadlines(), "truncated"), (Hang(), Deadlines(between_bytes=0.3), "timeout")],
)
@pytest_twisted.ensureDeferred
async def test_an_answer_that_breaks_off_counts_among_the_origins_faults(
    origin: ScriptedOrigin, make_proxy: Any, ending: Any, deadlines: Deadlines, fault: str
) -> None:
    for path, control in [("/shared", "max-age=60"), ("/alone", "private")]:
        head = Head(200, [("Cache-Control", control), ("Content-Length", "100")])
        origin.on(path, [head, Chunk(b"half"), Gate(path), ending])
    proxy = await make_proxy(origin.url, deadlines=deadlines)
    for count, path in enumerate(["/shared", "/alone"], 1):
        exchange = open_exchange(proxy.port, "GET", path)
        await exchange.received(4)
        origin.release(path)
        assert (await exchange.done).truncated
        await until(lambda: proxy.flights == 0)
        assert proxy.resource.registry.figures.faults == {fault: count}


@pytest_twisted.ensureDeferred
async def test_one_clients_error_is_the_origins_own(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", Answer(503, [("X-Why", "maintenance")], b"sorry"))
    proxy = await make_proxy(origin.url)
    for _ in range(2):
        reply = await fetch(proxy.port, "GET", "/x")
        assert (reply.status, reply.body, reply.field("x-why")) == (503, b"sorry", b"maintenance")
    assert origin.hits("/x") == 2
