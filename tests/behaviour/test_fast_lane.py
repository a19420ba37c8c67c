"""Hits over real sockets: whole answers in their order, whoever writes them and however slowly they are taken."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from tests.support.client import connect, fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import later, until
from txstalecache.edge.fastlane import FastLane
from txstalecache.edge.limits import EdgeLimits

BODY = bytes(range(256)) * 256  # as much as leaves in one write
FIELDS = [("Cache-Control", "max-age=60"), ("ETag", '"1"')]


@pytest.fixture
def lanes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the lane took each of the requests, in their order."""
    took: list[bool] = []
    serve = FastLane.serve

    def watched(self: FastLane, channel: Any, asked: Any) -> bool:
        took.append(serve(self, channel, asked))
        return took[-1]

    monkeypatch.setattr(FastLane, "serve", watched)
    return took


@pytest_twisted.ensureDeferred
async def test_hits_misses_and_passes_alternate_on_one_connection(
    origin: ScriptedOrigin, make_proxy: Any, lanes: list[bool]
) -> None:
    origin.on("/x", Answer(200, FIELDS, BODY))
    origin.on("/pass", Answer(200, [("Cache-Control", "no-store")], b"mine"))
    proxy = await make_proxy(origin.url)
    connection = await connect(proxy.port)
    assert (await connection.request("GET", "/x")).body == BODY
    for _ in range(20):
        assert (await connection.request("GET", "/x")).body == BODY
        assert (await connection.request("GET", "/x", [("If-None-Match", '"1"')])).status == 304
        assert (await connection.request("POST", "/pass", body=b"a")).body == b"mine"
        assert (await connection.request("GET", "/x", [("Range", "bytes=1-2")])).body == BODY[1:3]
        assert (await connection.request("HEAD", "/x")).status == 200
    await connection.close()
    assert sum(lanes) == 80
    assert [record.verdict for record in proxy.log[:4]] == ["miss", "fresh", "fresh", "pass"]
    assert origin.hits("/x") == 1


@pytest_twisted.ensureDeferred
async def test_what_a_slow_client_has_not_taken_stays_in_order(
    origin: ScriptedOrigin, make_proxy: Any, lanes: list[bool]
) -> None:
    origin.on("/x", Answer(200, FIELDS, BODY))
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x")
    connection = await connect(proxy.port)
    connection.pause()
    exchanges = []
    for number in range(200):  # 12.5 MiB: far more than sockets hold
        exchanges.append(connection.expect("GET"))
        connection.send(f"GET /x HTTP/1.1\r\nHost: a\r\nX-Number: {number}\r\n\r\n")
        await later(0.002)  # not pipelined: each is answered before the next comes, as long as there is room
    connection.resume()
    for exchange in exchanges:
        assert (await exchange.done).body == BODY
    assert any(lanes[1:])
    await connection.close()


@pytest_twisted.ensureDeferred
async def test_a_client_that_takes_nothing_is_cut_off(
    origin: ScriptedOrigin, make_proxy: Any, lanes: list[bool]
) -> None:
    origin.on("/x", Answer(200, FIELDS, BODY))
    proxy = await make_proxy(origin.url, edge=EdgeLimits(stall=0.3, idle=20.0))
    await fetch(proxy.port, "GET", "/x")
    connection = await connect(proxy.port)
    connection.pause()
    for _ in range(400):
        connection.send("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
    await until(lambda: bool(proxy.site.channels))
    await until(lambda: not proxy.site.channels)
    await connection.abort()
