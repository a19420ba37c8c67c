"""Upstreams as a file names them, over sockets: one that is dead costs nobody an answer, routes go where they say."""

from __future__ import annotations

import socket
from typing import Any

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.origin import Answer
from txstalecache.config.toml import Configuration
from txstalecache.upstreams import open_upstream


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@async_test
async def test_a_dead_server_costs_nobody_an_answer(make_origin: Any, make_proxy: Any) -> None:
    from twisted.internet import reactor

    origin = await make_origin(lambda request: Answer(200, [], request.target))
    text = f"[upstream.www]\nservers = ['http://127.0.0.1:{dead_port()}', '{origin.url}']\nmax_fails = 2\n"
    group = open_upstream(reactor, Configuration.parse(text).upstreams[0])
    proxy = await make_proxy(group)
    for number in range(8):
        assert (await fetch(proxy.port, "GET", f"/{number}")).status == 200
    assert not group.members[0].health.well  # type: ignore[attr-defined]
    # Left alone by now: what may not be sent twice is answered as well.
    for _ in range(4):
        assert (await fetch(proxy.port, "POST", "/", body=b"x")).status == 200


@async_test
async def test_a_route_goes_where_it_says_and_is_addressed_as_its_upstream_says(
    make_origin: Any, make_proxy: Any
) -> None:
    from twisted.internet import reactor

    one = await make_origin(lambda request: Answer(200, [], b"one"))
    two = await make_origin(lambda request: Answer(200, [], b"two"))
    configuration = Configuration.parse(
        f"[upstream.one]\nservers = '{one.url}'\n"
        f"[upstream.two]\nservers = '{two.url}'\nhost = 'inner'\nstrip_prefix = '/two'\nadd_prefix = '/v1'\n"
        "[[route]]\nmatch = { prefix = '/two' }\nupstream = 'two'\nttl = 60\n"
    )
    origins = {plan.name: open_upstream(reactor, plan) for plan in configuration.upstreams}
    proxy = await make_proxy(origins["one"])
    proxy.resource._routes.set(configuration.routes)
    proxy.resource.origins = origins
    for target, body in (("/x", b"one"), ("/two/x?y", b"two"), ("/two/x?y", b"two")):
        assert (await fetch(proxy.port, "GET", target)).body == body
    assert (await fetch(proxy.port, "POST", "/two", body=b"x")).body == b"two"
    assert [request.target for request in two.requests] == [b"/v1/x?y", b"/v1/"]
    assert {request.field("host") for request in two.requests} == {b"inner"}
    assert len(one.requests) == 1
    await origins["two"].close()
