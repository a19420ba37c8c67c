"""No response body reaches a client it was not made for: twenty identities, bodies that say whose they are."""

from __future__ import annotations

import random
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.lanes import either_lane
from tests.support.async_test import async_test
from tests.support.client import Reply, fetch
from tests.support.origin import Answer, Request, ScriptedOrigin
from tests.support.proxy import settled, until
from tests.support.redis import RedisServer
from txstalecache.http.rules import Cookies, Rules

__all__ = ["either_lane"]

IDENTITIES = 20

#: How a site tells its users apart, and how one of them says who it is.
SAYS = {
    "cookie": lambda who: [("Cookie", f"id={who}")],
    "authorization": lambda who: [("Authorization", f"Bearer {who}")],
    "api key": lambda who: [("X-Api-Key", who)],
    "token": lambda who: [("Auth-Token", who)],
}

#: What an application that makes a body for one user says about sharing it: from nothing at all to too little.
PERSONAL: dict[str, list[tuple[str, str]]] = {
    "nothing": [],
    "private": [("Cache-Control", "private")],
    "private with a lifetime": [("Cache-Control", "private, max-age=60")],
    "no-store": [("Cache-Control", "no-store")],
    "no-cache": [("Cache-Control", "no-cache")],
    "sets a cookie": [("Cache-Control", "max-age=60"), ("Set-Cookie", "session=1")],
    "varies": [("Cache-Control", "max-age=60"), ("Vary", "Cookie, Authorization, X-Api-Key, Auth-Token")],
    "varies by everything": [("Cache-Control", "max-age=60"), ("Vary", "*")],
    "only a validator": [("ETag", '"same"')],
    "old": [("Last-Modified", "Thu, 01 Jan 2015 00:00:00 GMT")],
}


def identity(request: Request) -> bytes:
    """Whom the application takes the sender for."""
    for name in ("cookie", "authorization", "x-api-key", "auth-token"):
        value = request.field(name)
        if value is not None:
            return value.rpartition(b"=")[2].rpartition(b" ")[2]
    return b"nobody"


def personal(fields: list[tuple[str, str]]) -> Any:
    """An application that makes every body for whoever asks."""
    return lambda request: Answer(200, fields, b"%s for %s" % (request.target, identity(request)))


async def everybody_asks(proxy: Any, says: Any, path: str, rounds: int) -> None:
    for _ in range(rounds):
        names = [f"user{number}" for number in range(IDENTITIES)] + [None] * 3
        random.Random(4711).shuffle(names)
        replies: list[Reply] = await settled(
            *[fetch(proxy.port, "GET", path, says(name) if name else []) for name in names]
        )
        for name, reply in zip(names, replies, strict=True):
            assert reply.status == 200
            assert reply.body == f"{path} for {name or 'nobody'}".encode()
            assert not reply.truncated


@pytest.mark.parametrize("declared", PERSONAL)
@pytest.mark.parametrize("said", SAYS)
@async_test
async def test_each_gets_what_was_made_for_it(
    origin: ScriptedOrigin, make_proxy: Any, said: str, declared: str
) -> None:
    origin.handler = personal(PERSONAL[declared])
    proxy = await make_proxy(origin.url)
    await everybody_asks(proxy, SAYS[said], "/me", 2)
    assert not proxy.flights and not proxy.resource.registry.waiting


@pytest.mark.parametrize(
    "rules",
    [
        Rules(ttl=60),
        Rules(ttl=60, cookies=Cookies.KEYED, keyed_fields=frozenset({b"cookie"})),
        Rules(default_ttl=60),
        Rules(ttl=60, stale=60),
    ],
    ids=["forced", "keyed", "default", "stale"],
)
@async_test
async def test_a_route_that_forces_a_ttl_still_gives_nobody_anothers_cookie(
    origin: ScriptedOrigin, make_proxy: Any, rules: Rules
) -> None:
    origin.handler = personal([])
    key = "${host}${request_uri}${http_cookie}" if rules.cookies is Cookies.KEYED else None
    proxy = await make_proxy(origin.url, rules=rules, key=key)
    await everybody_asks(proxy, SAYS["cookie"], "/me", 2)


@async_test
async def test_those_who_wait_for_a_private_answer_ask_for_themselves(origin: ScriptedOrigin, make_proxy: Any) -> None:
    async def held(request: Request) -> Answer:
        await origin._pass_gate("all")
        return Answer(200, [("Cache-Control", "private")], b"for " + identity(request))

    origin.handler = lambda request: Deferred.fromCoroutine(held(request))
    proxy = await make_proxy(origin.url)
    asked = [fetch(proxy.port, "GET", "/me", [("Cookie", f"id={number}")]) for number in range(IDENTITIES)]
    await until(lambda: proxy.resource.registry.waiting == IDENTITIES)
    await origin.arrived(1)
    assert len(origin.requests) == 1
    assert origin.requests[0].field("cookie") is None
    origin.release("all")
    replies = await settled(*asked)
    assert [reply.body for reply in replies] == [b"for %d" % number for number in range(IDENTITIES)]


@async_test
async def test_a_refresh_goes_with_nobodys_credentials(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(
        200, [("Cache-Control", "public, max-age=0, stale-while-revalidate=60")], b"for " + identity(request)
    )
    proxy = await make_proxy(origin.url)
    assert (await fetch(proxy.port, "GET", "/x")).body == b"for nobody"
    for said in ("cookie", "api key", "token", "authorization"):
        reply = await fetch(proxy.port, "GET", "/x", SAYS[said]("user"))
        assert reply.body == b"for nobody"
        await until(lambda: not proxy.flights)
    assert len(origin.requests) > 1
    assert {identity(request) for request in origin.requests} == {b"nobody"}


@async_test
async def test_what_was_chosen_by_who_asked_is_not_fetched_ahead_on_their_behalf(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.handler = lambda request: Answer(
        200, [("Cache-Control", "public, max-age=60"), ("Vary", "Cookie")], b"for " + identity(request)
    )
    proxy = await make_proxy(origin.url, refresh_ahead=1e9)  # every hit would have it fetched ahead
    await fetch(proxy.port, "GET", "/x", [("Cookie", "id=1")])
    asked = len(origin.requests)
    for _ in range(5):
        assert (await fetch(proxy.port, "GET", "/x", [("Cookie", "id=1")])).body == b"for 1"
        await until(lambda: not proxy.flights)
    assert len(origin.requests) == asked
    assert (await fetch(proxy.port, "GET", "/x")).body == b"for nobody"
    await until(lambda: not proxy.flights)
    assert len(origin.requests) > asked  # what was chosen by nobody's is
    assert identity(origin.requests[-1]) == b"nobody"


@async_test
async def test_what_one_uploads_and_is_told_reaches_no_other(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], b"thanks for " + request.body)
    proxy = await make_proxy(origin.url)
    replies = await settled(*[fetch(proxy.port, "POST", "/up", body=b"%d" % number) for number in range(IDENTITIES)])
    assert [reply.body for reply in replies] == [b"thanks for %d" % number for number in range(IDENTITIES)]


def written(server: RedisServer) -> str:
    """All that Redis has, with the names it is under."""
    names = server.command("KEYS", "*")
    read = {b"string": "GET", b"hash": "HGETALL", b"zset": "ZRANGE", b"stream": "XRANGE"}
    more = {b"zset": ("0", "-1"), b"stream": ("-", "+")}
    kinds = [(name, server.command("TYPE", name)) for name in names]
    return repr([(name, server.command(read[kind], name, *more.get(kind, ()))) for name, kind in kinds if kind in read])


SECRETS = ["Cookie", "Authorization", "X-Api-Key", "X-Session-Token", "X-JWT", "X_User_Token", "X-Auth"]
SECRETS += ["X-Amz-Security-Token", "Auth-Token", "Session-Id", "X-Password"]


@pytest.mark.parametrize("name", SECRETS)
@async_test
async def test_what_says_who_asks_is_not_written_to_redis_but_as_a_digest(
    origin: ScriptedOrigin, make_proxy: Any, one_redis_server: RedisServer, name: str
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "public, max-age=60"), ("Vary", name)], b"x")
    keyed = Rules(keyed_fields=frozenset({name.lower().encode()}))
    proxies = [
        await make_proxy(origin.url, redis=one_redis_server.url),
        await make_proxy(origin.url, redis=one_redis_server.url, key=f"$uri${{header:{name}}}", rules=keyed),
    ]
    for proxy, path in zip(proxies, ("/varied", "/keyed"), strict=True):
        for _ in range(3):
            await fetch(proxy.port, "GET", path, [(name, "topsecret")])
    await until(lambda: len(one_redis_server.command("KEYS", "*:v:*")) >= len(proxies))
    everything = written(one_redis_server)
    assert "max-age=60" in everything
    assert "topsecret" not in everything
