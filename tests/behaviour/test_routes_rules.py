"""What a route says about caching is what happens, socket to socket."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tests.support.async_test import async_test
from tests.support.client import connect, fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import settled, until
from txstalecache.config.routes import Route
from txstalecache.config.toml import Configuration
from txstalecache.http.rules import Cookies, Rules

PUBLIC = [("Cache-Control", "max-age=60")]


def route_of(text: str) -> dict[str, Any]:
    route: Route = Configuration.parse(f"[upstream.www]\nservers = 'http://127.0.0.1:9'\n[[route]]\n{text}").routes[0]
    names = [field.name for field in fields(route) if field.init and field.name not in ("match", "name", "upstream")]
    return {name: getattr(route, name) for name in names}


def echo(origin: ScriptedOrigin, fields: Any = PUBLIC, status: int = 200) -> None:
    numbers = iter(range(1, 1000))
    origin.handler = lambda request: Answer(status, fields, b"%d:" % next(numbers) + request.body)


@async_test
async def test_a_post_is_cached_by_its_body(origin: ScriptedOrigin, make_proxy: Any) -> None:
    echo(origin)
    proxy = await make_proxy(origin.url, **route_of("methods = ['GET', 'HEAD', 'POST']"))
    replies = await settled(*[fetch(proxy.port, "POST", "/q", body=b"a") for _ in range(3)])
    assert {reply.body for reply in replies} == {b"1:a"}
    assert (await fetch(proxy.port, "POST", "/q", body=b"b")).body == b"2:b"
    again = await fetch(proxy.port, "POST", "/q", body=b"a")
    assert (again.body, again.field("x-cache")) == (b"1:a", b"HIT")
    assert (await fetch(proxy.port, "GET", "/q")).body == b"3:"
    long = b"x" * 100_000
    assert (await fetch(proxy.port, "POST", "/q", body=long)).field("x-cache") == b"BYPASS"


@async_test
async def test_a_post_is_not_answered_with_what_the_same_body_got_as_another_type(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    def typed(request: Any) -> Answer:
        kinds = [value for name, value in request.fields if name.lower() in (b"content-type", b"content-encoding")]
        return Answer(200, PUBLIC, b" ".join(kinds))

    origin.handler = typed
    proxy = await make_proxy(origin.url, **route_of("methods = ['GET', 'HEAD', 'POST']"))

    async def post(*fields: tuple[str, str]) -> Any:
        return await fetch(proxy.port, "POST", "/q", list(fields), b"{}")

    assert (await post(("Content-Type", "text/evil"))).body == b"text/evil"
    assert (await post(("Content-Type", "application/json"))).body == b"application/json"
    gzipped = ("Content-Encoding", "gzip")
    assert (await post(("Content-Type", "application/json"), gzipped)).body == b"application/json gzip"
    again = await post(("Content-Type", "application/json"))
    assert (again.body, again.field("x-cache")) == (b"application/json", b"HIT")


@async_test
async def test_a_route_of_no_lifetimes_at_all_stores_nothing_and_cookies_and_credentials_go_alone(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    # As docs/migrating.rst has it for Varnish's pass.
    proxy = await make_proxy(origin.url, **route_of("ttl = 0\nmax_ttl = 0\nstale = 0\nstale_if_error = 0"))
    lasting = [
        ("Cache-Control", "max-age=60, stale-while-revalidate=60, stale-if-error=60"),
        ("ETag", '"a"'),
        ("Last-Modified", "Mon, 01 Jan 2024 00:00:00 GMT"),
    ]
    for said in (lasting, [*lasting, ("Age", "30")], lasting[1:]):
        for status in (200, 404):
            echo(origin, said, status)
            for number in (b"1:", b"2:"):
                reply = await fetch(proxy.port, "GET", "/q")
                assert (reply.body, reply.field("x-store")) == (number, b"BYPASS")
    echo(origin, lasting)
    # Sent anew, not asked whether it is as it was.
    assert not any(request.field("if-none-match") for request in origin.requests)
    credentials = [("Cookie", "a=b"), ("Authorization", "Basic eDp5"), ("X-Api-Key", "k")]
    replies = await settled(*[fetch(proxy.port, "GET", "/own", [one]) for one in credentials])
    assert len({reply.body for reply in replies}) == 3


async def chunked(port: int, *pieces: bytes) -> Any:
    """The answer to a POST of these chunks."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return await fetch(port, "POST", "/q", [("Transfer-Encoding", "chunked")], framed)


@async_test
async def test_a_post_in_chunks_has_the_key_of_the_same_body_with_a_length(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    echo(origin)
    proxy = await make_proxy(origin.url, **route_of("methods = ['GET', 'HEAD', 'POST']\nmax_key_body = 10"))
    assert (await chunked(proxy.port, b"a", b"bc")).body == b"1:abc"
    for again in (await fetch(proxy.port, "POST", "/q", body=b"abc"), await chunked(proxy.port, b"ab", b"c")):
        assert (again.body, again.field("x-cache")) == (b"1:abc", b"HIT")
    assert (await chunked(proxy.port, b"abd")).body == b"2:abd"
    assert (await chunked(proxy.port, b"x" * 10)).field("x-cache") == b"MISS"
    # Too long for a key: passed whole, as it came, however the limit falls among the chunks and however much follows.
    for pieces in ([b"x" * 11], [b"x" * 10, b"y"], [b"x"] * 11, [b"x" * 9, b"y" * 700_000, b"z" * 700_000, b"!"]):
        reply = await chunked(proxy.port, *pieces)
        assert reply.field("x-cache") == b"BYPASS"
        assert reply.body.partition(b":")[2] == b"".join(pieces)


@async_test
async def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_nothing_behind(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    import socket

    from tests.support.proxy import until

    echo(origin)
    proxy = await make_proxy(origin.url, **route_of("methods = ['GET', 'HEAD', 'POST']\nmax_key_body = 10"))
    for part in (b"3\r\nabc\r\n", b"f\r\n" + b"x" * 15 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"POST /q HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + part)
            await until(lambda: len(proxy.site.channels) == 1)
        await until(lambda: not proxy.site.channels and not proxy.flights)
    assert (await chunked(proxy.port, b"abc")).body == b"1:abc"


@async_test
async def test_ignored_cookies_never_reach_a_fetch_that_is_cached(origin: ScriptedOrigin, make_proxy: Any) -> None:
    echo(origin, [])
    proxy = await make_proxy(origin.url, **route_of("cookies = 'ignore'\nttl = 60"))
    await fetch(proxy.port, "GET", "/x", [("Cookie", "a=1")])
    assert origin.requests[0].field("cookie") is None
    assert (await fetch(proxy.port, "GET", "/x", [("Cookie", "a=2")])).body == b"1:"
    await fetch(proxy.port, "POST", "/x", [("Cookie", "a=1")])
    assert origin.requests[-1].field("cookie") == b"a=1"


@async_test
async def test_a_keyed_cookie_reaches_the_origin_and_no_other_does(origin: ScriptedOrigin, make_proxy: Any) -> None:
    echo(origin, [])
    proxy = await make_proxy(origin.url, **route_of("key = '$uri|$cookie_lang'\ncookies = 'keyed'\nttl = 60"))
    await fetch(proxy.port, "GET", "/x", [("Cookie", "who=me; lang=de")])
    assert origin.requests[0].field("cookie") == b"lang=de"
    assert (await fetch(proxy.port, "GET", "/x", [("Cookie", "lang=de; who=you")])).body == b"1:"
    assert (await fetch(proxy.port, "GET", "/x", [("Cookie", "lang=fr")])).body == b"2:"


@async_test
async def test_sizes_bound_what_is_stored(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(200, PUBLIC, b"x" * int(request.path[1:]))
    proxy = await make_proxy(origin.url, **route_of("min_size = 10\nmax_object = 20"))
    stored = []
    for size in (9, 10, 20, 21):
        await fetch(proxy.port, "GET", f"/{size}")
        stored.append((await fetch(proxy.port, "GET", f"/{size}")).field("x-cache"))
    assert stored == [b"MISS", b"HIT", b"HIT", b"MISS"]


def test_the_defaults_of_a_file_are_the_defaults_of_the_classes() -> None:
    route = Configuration.parse("[upstream.www]\nservers = 'http://127.0.0.1:9'").routes[-1]
    assert route == Route()
    assert route.rules == Rules() and route.rules.cookies is Cookies.PASS


@async_test
async def test_what_went_stale_while_a_body_came_is_not_fresh(origin: ScriptedOrigin, make_proxy: Any) -> None:
    echo(origin, [("Cache-Control", "max-age=60")])
    proxy = await make_proxy(origin.url, **route_of("methods = ['GET', 'HEAD', 'POST']"))
    for _ in range(2):
        assert (await fetch(proxy.port, "POST", "/q", [("Host", "a")], b"abc")).body == b"1:abc"
    connection = await connect(proxy.port)
    asked = connection.expect("POST")
    connection.send(b"POST /q HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na")
    await until(lambda: any(channel.asked is not None for channel in proxy.site.channels))
    proxy.age(61)
    connection.send(b"bc")
    assert (await asked.done).body == b"2:abc"
    await connection.close()
