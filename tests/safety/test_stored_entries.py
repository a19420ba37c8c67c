"""What somebody has put into Redis in the cache's own form cannot split an answer, nor put two of them out of step."""

from __future__ import annotations

from typing import Any

import pytest

from tests.safety.lanes import either_lane
from tests.support.async_test import async_test
from tests.support.client import connect
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import until
from tests.support.redis import RedisServer
from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.keys import DEFAULT_TEMPLATE
from txstalecache.http.messages import Fields, RequestHead

__all__ = ["either_lane"]

DATE = (b"Date", b"Mon, 23 Nov 2026 10:00:00 GMT")
ANOTHER = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
EVIL: dict[str, tuple[list[tuple[bytes, bytes]], bytes]] = {
    "line end in a value": ([(b"X-A", b"b\r\nSet-Cookie: evil=1\r\n\r\n" + ANOTHER)], b"evil"),
    "bare line feed in a value": ([(b"X-A", b"b\nSet-Cookie: evil=1")], b"evil"),
    "bare CR in a value": ([(b"X-A", b"b\rSet-Cookie: evil=1")], b"evil"),
    "line end in a name": ([(b"X-A: b\r\nSet-Cookie", b"evil=1")], b"evil"),
    "empty name": ([(b"", b"evil=1")], b"evil"),
    "colon in a name": ([(b"Set-Cookie: evil", b"1")], b"evil"),
    "chunked": ([(b"Transfer-Encoding", b"chunked")], b"4\r\nevil\r\n0\r\n\r\n" + ANOTHER),
    "upgrade": ([(b"Connection", b"Upgrade"), (b"Upgrade", b"evil")], b"evil"),
}


@pytest.mark.parametrize("name", EVIL)
@async_test
async def test_nothing_in_an_entry_becomes_a_line_or_a_message(
    origin: ScriptedOrigin, make_proxy: Any, one_redis_server: RedisServer, name: str
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], b"for " + request.target)
    fields, body = EVIL[name]
    writer = await make_proxy(origin.url, redis=one_redis_server.url)
    reader = await make_proxy(origin.url, redis=one_redis_server.url)
    store = writer.backend.store
    now = store.now()
    freshness = Freshness(initial_age=0.0, lifetime=600.0, keep=600.0, while_revalidate=0.0)
    evil = Entry(
        status=200,
        fields=Fields([DATE, *fields]),
        body=(body,),
        request_time=now,
        response_time=now,
        freshness=freshness,
        selector=(),
        tags=frozenset(),
    )
    store.put(DEFAULT_TEMPLATE.key(RequestHead(b"GET", b"/x", Fields(), b"http", b"localhost")), evil, 600.0)
    await until(lambda: bool(one_redis_server.command("KEYS", "test:*")))
    connection = await connect(reader.port)
    for target in ("/x", "/x", "/y", "/x"):
        reply = await connection.request("GET", target)
        assert (reply.status, reply.body) == (200, b"for " + target.encode())
        assert not any(b"evil" in part for field in reply.fields for part in field)
    await connection.close()
