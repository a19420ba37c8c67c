"""After a successful DELETE or PUT nobody gets what its target answered before, however many keys that had."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import Reply, connect, fetch, open_exchange
from tests.support.configured import Configured
from tests.support.origin import Answer, Chunk, Gate, Head, Request, ScriptedOrigin
from tests.support.proxy import until
from tests.support.redis import RedisServer

CACHEABLE = ("Cache-Control", "max-age=60")

Run = Callable[[str], Awaitable[Configured]]

POSTED = 'methods = ["GET", "HEAD", "POST"]'
PLAIN = 'match = { methods = ["GET", "HEAD", "DELETE"] }'
HOOK = "hooks = { key = 'tests.support.hooks.key' }"
SHOPS = 'key = "$http_x_shop|$uri"'
ONE_ARGUMENT = 'key = "$http_x_shop|$uri|$arg_a"'


def versioned(origin: ScriptedOrigin) -> None:
    """Each unsafe request makes another version of everything."""
    version = iter(range(2, 1000))
    now = [1]

    def answer(request: Any) -> Answer:
        if request.method in (b"DELETE", b"PUT"):
            now[0] = next(version)
            return Answer(204)
        return Answer(200, [("Cache-Control", "public, max-age=60")], b"%d" % now[0])

    origin.handler = answer


def routed(origin: ScriptedOrigin, *routes: str) -> str:
    tables = "".join(f"[[route]]\n{route}\n" for route in routes)
    return f'[upstream.www]\nservers = "{origin.url}"\n{tables}'


@pytest.mark.parametrize(
    ("routes", "stored", "unsafe", "target"),
    [
        pytest.param([POSTED], "POST /q", "DELETE /q", "POST /q", id="post"),
        pytest.param([PLAIN, POSTED], "POST /q", "DELETE /q", "POST /q", id="post on a route of its own"),
        pytest.param([HOOK], "GET /q", "PUT /q", "GET /q", id="hook"),
        pytest.param([SHOPS], "GET /q?x=1", "DELETE /q?x=2", "GET /q?x=2", id="path"),
        pytest.param([SHOPS], "GET /q", "DELETE /q?x=2", "GET /q?x=2", id="no query"),
        pytest.param(['key = "$uri"'], "GET /q?x=1", "DELETE /q?x=2", "GET /q?x=2", id="path alone"),
        pytest.param([ONE_ARGUMENT], "GET /q?a=1&x=1", "DELETE /q?a=1&x=2", "GET /q?a=1&x=2", id="argument"),
    ],
)
@async_test
async def test_all_keys_of_the_target_go(
    origin: ScriptedOrigin,
    configured: Run,
    routes: list[str],
    stored: str,
    unsafe: str,
    target: str,
) -> None:
    versioned(origin)
    proxy = await configured(routed(origin, *routes))

    async def ask(what: str, shop: str = "a") -> Reply:
        method, path = what.split()
        return await fetch(proxy.port, method, path, [("X-Shop", shop)], b"q" if method == "POST" else b"")

    for _ in range(2):
        assert (await ask(stored)).body == b"1"
    assert (await ask(target)).field("x-cache") == b"HIT"
    assert (await ask(unsafe, "b")).status == 204
    assert (await ask(target)).body == b"2"


@async_test
async def test_another_hosts_unsafe_request_discards_what_the_hosts_share(
    origin: ScriptedOrigin, configured: Run
) -> None:
    versioned(origin)
    proxy = await configured(routed(origin, SHOPS))

    async def ask(method: str, host: str, shop: str) -> Reply:
        return await fetch(proxy.port, method, "/q", [("Host", host), ("X-Shop", shop)])

    assert (await ask("GET", "a.example", "a")).body == b"1"
    assert (await ask("GET", "b.example", "a")).field("x-cache") == b"HIT"
    assert (await ask("DELETE", "b.example", "b")).status == 204
    assert (await ask("GET", "b.example", "a")).body == b"2"


@async_test
async def test_what_has_another_path_stays(origin: ScriptedOrigin, configured: Run) -> None:
    versioned(origin)
    proxy = await configured(routed(origin, SHOPS))
    for target in ("/qq", "/q/q"):
        await fetch(proxy.port, "GET", target)
    await fetch(proxy.port, "DELETE", "/q?x")
    for target in ("/qq", "/q/q"):
        assert (await fetch(proxy.port, "GET", target)).field("x-cache") == b"HIT"


@async_test
async def test_a_post_of_a_cached_kind_that_passes_leaves_the_others(origin: ScriptedOrigin, configured: Run) -> None:
    versioned(origin)
    proxy = await configured(routed(origin, POSTED))
    for body in (b"a", b"x" * 100_000):
        await fetch(proxy.port, "POST", "/q", body=body)
    assert (await fetch(proxy.port, "POST", "/q", body=b"a")).field("x-cache") == b"HIT"


@async_test
async def test_who_asks_after_it_gets_nothing_that_another_process_asked_for_before_it(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: RedisServer
) -> None:
    written = []

    def answer(request: Request) -> Any:
        if request.method == b"PUT":
            written.append(request.target)
            return Answer(204)
        old = [] if written else [Gate("old")]
        return [*old, Head(200, [CACHEABLE, ("Content-Length", "1")]), Chunk(b"2" if written else b"1")]

    origin.handler = answer
    here, there = [await make_proxy(origin.url, redis=redis_server.url) for _ in range(2)]
    before = fetch(here.port, "GET", "/q")
    await origin.arrived(1)
    assert (await fetch(there.port, "PUT", "/q", body=b"x")).status == 204
    (flight,) = here.resource.registry.flights
    await until(lambda: flight.outdated)
    assert [(await fetch(proxy.port, "GET", "/q")).body for proxy in (here, there)] == [b"2", b"2"]
    origin.release("old")
    assert (await before).body == b"1"
    assert [(await fetch(proxy.port, "GET", "/q")).body for proxy in (here, there)] == [b"2", b"2"]


@pytest.mark.parametrize(
    ("status", "body", "after"),
    [
        pytest.param(204, b"", b"2", id="success"),
        pytest.param(204, b"whole", b"2", id="success of a body"),
        pytest.param(500, b"", b"1", id="failure"),
    ],
)
@async_test
async def test_it_does_so_as_well_when_its_client_has_left_before_the_answer(
    origin: ScriptedOrigin, make_proxy: Any, status: int, body: bytes, after: bytes
) -> None:
    version = [b"1"]

    def answer(request: Request) -> Any:
        if request.method == b"GET":
            return Answer(200, [CACHEABLE], version[0])
        version[0] = b"2"
        return [Gate("done"), Head(status, [("Content-Length", "0")])]

    origin.handler = answer
    proxy = await make_proxy(origin.url)
    assert (await fetch(proxy.port, "GET", "/q")).body == b"1"
    leaving = open_exchange(proxy.port, "PUT", "/q", body=body)
    await origin.arrived(2)
    leaving.abort()
    await until(lambda: proxy.resource.registry.waiting == 0)
    assert (await fetch(proxy.port, "GET", "/q")).body == b"1"
    origin.release("done")
    await until(lambda: not proxy.resource.registry.flights)
    assert (await fetch(proxy.port, "GET", "/q")).body == after


@async_test
async def test_what_its_client_has_not_said_to_the_end_is_not_waited_for(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    proxy = await make_proxy(origin.url)
    connection = await connect(proxy.port)
    connection.send(b"PUT /q HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
    await until(lambda: bool(proxy.resource.registry.flights))
    await connection.abort()
    await until(lambda: not proxy.resource.registry.flights)


@pytest.mark.parametrize("written", ["A.example", "a.example:80", "a.example:", "a.example.", "a.example.:80"])
@async_test
async def test_it_is_one_target_however_its_host_is_written(
    origin: ScriptedOrigin, configured: Run, written: str
) -> None:
    versioned(origin)
    proxy = await configured(routed(origin))

    async def ask(method: str, host: str) -> Reply:
        return await fetch(proxy.port, method, "/q", [("Host", host)])

    assert (await ask("GET", "a.example")).body == b"1"
    assert (await ask("DELETE", written)).status == 204
    assert (await ask("GET", "a.example")).body == b"2"
    assert (await ask("GET", written)).field("x-cache") == b"HIT"
