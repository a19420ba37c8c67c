"""A change is in force before the client hears of it (RFC 9111 §4.4): whoever is next in line does not get what was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import connect, encode_request, fetch, open_exchange
from tests.support.origin import Answer, Chunk, Gate, Head, Request, ScriptedOrigin

FRESH = [("Cache-Control", "max-age=3600")]


@async_test
async def test_the_next_request_on_the_same_connection(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.on("/x", lambda request: Answer(200, FRESH, b"%d" % request.number))
    proxy = await make_proxy(origin.url)
    assert (await fetch(proxy.port, "GET", "/x")).body == b"0"
    connection = await connect(proxy.port)
    changed, after = connection.expect("POST").done, connection.expect("GET").done
    connection.send(encode_request("POST", "/x", body=b"a") + encode_request("GET", "/x"))
    assert (await changed).body == b"1"
    assert (await after).body == b"2"
    await connection.close()


@pytest.mark.parametrize("method", ["POST", "DELETE", "BREW"])
@async_test
async def test_whoever_asks_when_the_head_of_the_success_is_seen(
    origin: ScriptedOrigin, make_proxy: Any, method: str
) -> None:
    def answer(request: Request) -> Any:
        if request.method == b"GET":
            return Answer(200, FRESH, b"%d" % request.number)
        return [Head(200, [("Content-Length", "1")]), Gate("end"), Chunk(b"x")]

    origin.on("/x", answer)
    proxy = await make_proxy(origin.url)
    assert (await fetch(proxy.port, "GET", "/x")).body == b"0"
    change = open_exchange(proxy.port, method, "/x")
    await change.begun
    assert (await fetch(proxy.port, "GET", "/x")).body == b"2"
    origin.release("end")
    await change.done
    assert (await fetch(proxy.port, "GET", "/x")).body == b"2"


@async_test
async def test_what_was_in_the_air_when_it_changed_is_not_stored(origin: ScriptedOrigin, make_proxy: Any) -> None:
    def answer(request: Request) -> Any:
        if request.method == b"GET" and request.number == 0:
            return [Gate("old"), Head(200, [*FRESH, ("Content-Length", "3")]), Chunk(b"old")]
        return Answer(200, FRESH, b"new")

    origin.on("/x", answer)
    proxy = await make_proxy(origin.url)
    old = open_exchange(proxy.port, "GET", "/x")
    await origin.at_gate("old")
    await fetch(proxy.port, "POST", "/x", body=b"a")
    assert (await fetch(proxy.port, "GET", "/x")).body == b"new"
    origin.release("old")
    assert (await old.done).body == b"old"
    assert (await fetch(proxy.port, "GET", "/x")).body == b"new"
