"""What ``[[route]]`` says beyond the seed is what happens: hooks by dotted name, uses, refreshing ahead, codings."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import connect, fetch
from tests.support.configured import Configured
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.proxy import settled, until
from txstalecache.config.routes import Match, Route, Routes, within
from txstalecache.flight.hooks import Hooks
from txstalecache.http.keys import KeyTemplate
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.store import Hardness, Scope

Run = Callable[[str], Awaitable[Configured]]

HOOKS = ("key", "storable", "ttl", "tags", "before_store")


def counting(origin: ScriptedOrigin, *fields: tuple[str, str]) -> None:
    numbers = iter(range(1, 1000))
    pairs = [("Cache-Control", "max-age=60"), *fields]
    origin.handler = lambda request: Answer(200, pairs, b"%d" % next(numbers))


def routed(origin: ScriptedOrigin, route: str = "") -> str:
    return f'[upstream.www]\nservers = "{origin.url}"\n[[route]]\n{route}\n'


def hooked(origin: ScriptedOrigin, *names: str) -> str:
    named = ", ".join(f"{name} = 'tests.support.hooks.{name}'" for name in names)
    return routed(origin, f"hooks = {{ {named} }}")


async def bodies(proxy: Configured, target: str, *values: str, name: str = "X-Shop") -> list[bytes]:
    return [(await fetch(proxy.port, "GET", target, [(name, value)])).body for value in values]


# -- whose, and for which --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("peer", "networks", "trusted"),
    [
        ("10.1.2.3", ["192.0.2.0/24", "10.0.0.0/8"], True),
        ("11.1.2.3", ["192.0.2.0/24", "10.0.0.0/8"], False),
        ("10.1.2.3", [], False),
        ("10.1.2.3", ["::/0"], False),
        ("2001:db8::1", ["2001:db8::/32"], True),
        ("2001:db8::1", ["0.0.0.0/0"], False),
        # As a socket for both families calls who comes by IPv4.
        ("::ffff:10.1.2.3", ["10.0.0.0/8"], True),
        ("::ffff:10.1.2.3", ["11.0.0.0/8"], False),
        # Over a unix socket there is no address.
        ("/run/x.sock", ["0.0.0.0/0", "::/0"], False),
        ("", ["0.0.0.0/0", "::/0"], False),
        (None, ["0.0.0.0/0", "::/0"], False),
    ],
)
def test_who_is_trusted_has_an_address_in_a_network_that_is(
    peer: str | None, networks: list[str], trusted: bool
) -> None:
    assert within(peer, tuple(map(ip_network, networks))) is trusted


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ({}, True),
        ({"bypass": ((b"x-a", None),)}, False),
        ({"refresh": ((b"x-a", None),)}, False),
        ({"refresh_ahead": 1.0}, False),
        ({"min_uses": 2}, False),
        ({"template": KeyTemplate.parse("${uri}${body}")}, False),
        ({"hooks": Hooks(key=lambda request: b"a")}, False),
        ({"hooks": Hooks(ttl=lambda request, response: 1.0)}, True),
    ],
)
def test_a_hit_depends_on_the_head_and_the_entry_alone_where_nothing_else_is_asked(
    said: dict[str, Any], plain: bool
) -> None:
    assert Route(**said).plain is plain


def test_what_no_route_is_for_is_served_under_the_defaults() -> None:
    routes = Routes([Route(name="a", match=Match(hosts=("A.example",)))])
    hosts = (b"a.example", b"b.example")
    picked = [routes.pick(RequestHead(b"GET", b"/", Fields(), b"http", host)) for host in hosts]
    assert picked == [routes.routes[0], Route()]
    assert Routes().routes == (Route(),)


# -- hooks -----------------------------------------------------------------------------------------------------------


@async_test
async def test_the_key_hook_adds_to_the_key(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(hooked(origin, "key"))
    assert await bodies(proxy, "/x", "a", "a", "b", "a") == [b"1", b"1", b"2", b"1"]


@async_test
async def test_the_storable_hook_keeps_an_answer_out(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin, ("X-Never", "1"))
    proxy = await configured(hooked(origin, "storable"))
    assert await bodies(proxy, "/x", "a", "a") == [b"1", b"2"]
    counting(origin)
    assert await bodies(proxy, "/x", "a", "a") == [b"1", b"1"]


@async_test
async def test_the_ttl_hook_gives_a_lifetime(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(hooked(origin, "ttl"))
    for target, least, most in (("/long", 495, 500), ("/x", 55, 60)):
        await fetch(proxy.port, "GET", target)
        status = (await fetch(proxy.port, "GET", target)).field("cache-status") or b""
        found = re.search(rb"ttl=(\d+)", status)
        assert found is not None and least <= int(found[1]) <= most, status


@async_test
async def test_the_tags_hook_gives_what_to_purge_by(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(hooked(origin, "tags"))
    assert await bodies(proxy, "/shoes/1", "", "") == [b"1", b"1"]
    assert await bodies(proxy, "/hats/1", "", "") == [b"2", b"2"]
    await proxy.service._resource.purge(Scope.of_tag(b"shoes"), Hardness.HARD)
    assert await bodies(proxy, "/hats/1", "") == [b"2"]
    assert await bodies(proxy, "/shoes/1", "") == [b"3"]


@async_test
async def test_the_before_store_hook_changes_what_is_stored_or_keeps_it_out(
    origin: ScriptedOrigin, configured: Run
) -> None:
    counting(origin)
    proxy = await configured(hooked(origin, "before_store"))
    await fetch(proxy.port, "GET", "/x")
    again = await fetch(proxy.port, "GET", "/x")
    assert (again.body, again.field("x-mark")) == (b"1", b"1")
    assert await bodies(proxy, "/secret", "", "") == [b"2", b"3"]


@pytest.mark.parametrize("name", HOOKS)
@async_test
async def test_a_hook_that_fails_costs_its_own_requests_the_cache_and_nobody_anything_else(
    origin: ScriptedOrigin, configured: Run, logged_failures: Any, name: str
) -> None:
    counting(origin)
    proxy = await configured(hooked(origin, name))
    replies = await settled(*[fetch(proxy.port, "GET", "/fails") for _ in range(5)])
    assert {reply.status for reply in replies} == {200}
    assert (await fetch(proxy.port, "GET", "/fails")).field("x-cache") != b"HIT"
    await fetch(proxy.port, "GET", "/x")
    assert (await fetch(proxy.port, "GET", "/x")).field("x-cache") == b"HIT"
    assert proxy.flights == 0
    assert logged_failures.flush(RuntimeError)


# -- uses, refreshing ahead, codings, lifetimes -----------------------------------------------------------------------


@async_test
async def test_only_what_has_been_asked_for_often_enough_is_stored(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin)
    proxy = await configured(routed(origin, "min_uses = 3"))
    assert await bodies(proxy, "/x", *"aaaaa") == [b"1", b"2", b"3", b"3", b"3"]


@async_test
async def test_what_is_asked_for_often_is_refreshed_before_it_is_stale_where_the_route_says_so(
    origin: ScriptedOrigin, configured: Run
) -> None:
    # It takes 30 s to make, and those count as age: in the last 20 s each hit may well be the one that renews it.
    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "1")]), Chunk(b"x")]

    async def nearly_stale(refresh_ahead: str, target: str) -> Configured:
        proxy = await configured(routed(origin, f"ttl = 100\nrefresh_ahead = {refresh_ahead}"))
        first = fetch(proxy.port, "GET", target)
        await origin.at_gate("go")
        proxy.age(30)
        origin.release("go")
        await first
        origin.hold("go")
        proxy.age(50)
        return proxy

    ahead = await nearly_stale("true", "/ahead")
    for _ in range(1000):
        assert (await fetch(ahead.port, "GET", "/ahead")).field("x-cache") == b"HIT"
        if ahead.flights:
            break
    assert ahead.flights == 1
    # One for all who come meanwhile, too.
    replies = await settled(*[fetch(ahead.port, "GET", "/ahead") for _ in range(20)])
    assert {reply.field("x-cache") for reply in replies} == {b"HIT"}
    await origin.at_gate("go")
    assert origin.hits("/ahead") == 2
    origin.release("go")
    await until(lambda: ahead.flights == 0)
    origin.hold("go")
    plain = await nearly_stale("false", "/plain")
    for _ in range(50):
        assert (await fetch(plain.port, "GET", "/plain")).field("x-cache") == b"HIT"
    assert origin.hits("/plain") == 1


@pytest.mark.parametrize("written", ["A.example", "a.example:81", "a.example:", "a.example.", "a.example.:81"])
@async_test
async def test_a_route_for_a_host_is_for_it_however_it_is_written(
    origin: ScriptedOrigin, configured: Run, written: str
) -> None:
    counting(origin)
    proxy = await configured(routed(origin, 'match = { host = "a.example" }\nrespond_with = { X-Route = "a" }'))
    reply = await fetch(proxy.port, "GET", "/", [("Host", written)])
    assert reply.field("x-route") == b"a"
    assert (await fetch(proxy.port, "GET", "/", [("Host", "b.example")])).field("x-route") is None


@async_test
async def test_codings_are_reduced_to_those_the_route_wants(origin: ScriptedOrigin, configured: Run) -> None:
    counting(origin, ("Vary", "Accept-Encoding"))
    proxy = await configured(routed(origin, 'encodings = ["br", "gzip"]'))
    same = ("gzip, deflate, br", "br;q=0.5,gzip", "br , zstd,gzip;q=1", "*")
    assert await bodies(proxy, "/x", *same, name="Accept-Encoding") == [b"1"] * 4
    assert await bodies(proxy, "/x", "gzip, br;q=0", "deflate", name="Accept-Encoding") == [b"2", b"3"]
    assert [request.field("accept-encoding") for request in origin.requests] == [b"br, gzip", b"gzip", None]


@async_test
async def test_negative_answers_have_lifetimes_of_their_own(origin: ScriptedOrigin, configured: Run) -> None:
    numbers = iter(range(1, 100))
    origin.handler = lambda request: Answer(int(request.path[1:4]), [], b"%d" % next(numbers))
    proxy = await configured(routed(origin, 'statuses = { 404 = "1m", 503 = "1m" }'))
    assert await bodies(proxy, "/404", "", "") == [b"1", b"1"]
    assert await bodies(proxy, "/503", "", "") == [b"2", b"2"]
    assert await bodies(proxy, "/403", "", "") == [b"3", b"4"]


@async_test
async def test_bypass_and_refresh_are_obeyed_for_whom_the_route_trusts_alone(
    origin: ScriptedOrigin, configured: Run
) -> None:
    text = 'bypass = ["X-Pass", "Cache-Tool: off"]\nrefresh = "X-New"\ntrusted = "{}"'
    for trusted, expected in (("127.0.0.0/8", [b"2", b"3", b"4", b"4"]), ("10.0.0.0/8", [b"1"] * 4)):
        counting(origin)
        proxy = await configured(routed(origin, text.format(trusted)))
        assert await bodies(proxy, "/x", "") == [b"1"]
        asked = [
            await fetch(proxy.port, "GET", "/x", fields)
            for fields in ([("X-Pass", "1")], [("Cache-Tool", "OFF")], [("X-New", "")], [("Cache-Tool", "on")])
        ]
        assert [reply.body for reply in asked] == expected
    # Whoever may not say so cannot tell the origin so either.
    assert all(request.field("x-new") is None for request in origin.requests)


# -- what is in force --------------------------------------------------------------------------------------------------


@async_test
async def test_limits_of_the_file_are_those_of_clients_and_flights(origin: ScriptedOrigin, configured: Run) -> None:
    from tests.support.origin import Gate

    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])]
    proxy = await configured(
        '[proxy]\nmax_upload = 10\n[limits]\ntarget = 100\nfields = 5\nwaiters_per_key = 2\nmethods = ["GET", "POST"]\n'
        + routed(origin, "ttl = 60")
    )
    assert (await fetch(proxy.port, "GET", "/" + "x" * 100)).status == 414
    assert (await fetch(proxy.port, "GET", "/", [(f"X-{n}", "1") for n in range(6)])).status == 431
    assert (await fetch(proxy.port, "PUT", "/", body=b"x")).status == 501
    assert (await fetch(proxy.port, "POST", "/", body=b"x" * 11)).status == 413
    waiting = [fetch(proxy.port, "GET", "/x") for _ in range(2)]
    await origin.at_gate("go")
    await until(lambda: proxy.service._resource.registry.waiting == 2)
    assert (await fetch(proxy.port, "GET", "/x")).status == 503
    origin.release("go")
    assert {reply.status for reply in await settled(*waiting)} == {200}


@async_test
async def test_forwarded_fields_are_passed_on_for_the_proxies_that_the_file_trusts(
    origin: ScriptedOrigin, configured: Run
) -> None:
    counting(origin)
    said = [("X-Forwarded-For", "1.2.3.4")]
    for trusted in ("10.0.0.0/8", "127.0.0.1"):
        proxy = await configured(f'[proxy]\ntrusted_proxies = ["{trusted}"]\n' + routed(origin))
        await fetch(proxy.port, "POST", "/x", said)
    assert [one.field("x-forwarded-for") for one in origin.requests] == [b"127.0.0.1", b"1.2.3.4, 127.0.0.1"]


@async_test
async def test_the_scheme_is_the_one_that_a_trusted_proxy_says(origin: ScriptedOrigin, configured: Run) -> None:
    """One that ends TLS before us: its clients' requests have keys of their own, and no word of others counts."""

    def answer(request: Any) -> Answer:
        return Answer(200, [("Cache-Control", "max-age=60")], request.field("x-forwarded-proto") or b"-")

    origin.handler = answer
    secure, plain = [("X-Forwarded-Proto", "https")], [("X-Forwarded-Proto", "http")]
    proxy = await configured('[proxy]\ntrusted_proxies = ["127.0.0.1"]\n' + routed(origin))
    for _ in range(2):
        assert [(await fetch(proxy.port, "GET", "/x", said)).body for said in (secure, plain)] == [b"https", b"http"]
    assert [one.field("x-forwarded-proto") for one in origin.requests] == [b"https", b"http"]
    connection = await connect(proxy.port)
    reply = await connection.request("GET", "/x", secure)
    assert (reply.body, reply.field("cache-status")) == (b"https", b"txstalecache; hit; ttl=60")
    assert (await connection.request("POST", "/y", secure)).body == b"https"
    await connection.close()
    other = await configured(routed(origin))
    assert (await fetch(other.port, "GET", "/x", secure)).body == b"http"
