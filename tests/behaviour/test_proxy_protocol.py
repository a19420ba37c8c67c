"""Behind PROXY the client is whom that names, and not whoever stands in front: in the log, towards the origin, and
where it is asked whose word counts. Behind a proxy that is trusted, the log names whom that names."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from twisted.internet import endpoints, reactor
from twisted.internet.interfaces import IListeningPort
from twisted.protocols.haproxy import proxyEndpoint

from tests.support.async_test import async_test
from tests.support.client import connect, fetch
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.proxy import Proxy

PROXY = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n"


@pytest.fixture
def behind() -> Iterator[Any]:
    """``connection = await behind(proxy)``: as of a client at 203.0.113.9, whose connection a balancer passes on."""
    ports: list[IListeningPort] = []

    async def made(proxy: Proxy) -> Any:
        listening = endpoints.TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await proxyEndpoint(listening).listen(proxy.site)
        ports.append(port)
        connection = await connect(port.getHost().port)
        connection.send(PROXY)
        return connection

    yield made
    for port in ports:
        port.stopListening()


@async_test
async def test_the_client_is_whom_it_names(origin: ScriptedOrigin, make_proxy: Any, behind: Any) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    origin.on("/y", Answer(200, [], b"y"))
    proxy = await make_proxy(origin.url)
    connection = await behind(proxy)
    for _ in range(2):
        await connection.request("GET", "/x")
    await connection.request("POST", "/y")
    connection.send(b"GET /x HTTP/9.9\r\n\r\n")
    await connection.expect().done
    assert [record.client for record in proxy.log] == ["203.0.113.9"] * 4
    assert origin.requests[-1].field("x-forwarded-for") == b"203.0.113.9"


@pytest.mark.parametrize(("trusted", "passed"), [("127.0.0.1", False), ("203.0.113.0/24", True)])
@async_test
async def test_its_word_counts_where_the_route_trusts_it(
    origin: ScriptedOrigin, make_proxy: Any, behind: Any, trusted: str, passed: bool
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    proxy = await make_proxy(origin.url, bypass=((b"x-pass", None),), trusted=(ip_network(trusted),))
    connection = await behind(proxy)
    reply = await connection.request("GET", "/x", [("X-Pass", "1")])
    assert (b"detail=bypass" in (reply.field("cache-status") or b"")) is passed
    await connection.close()


@pytest.mark.parametrize(("trusted", "client"), [("127.0.0.1", "203.0.113.9"), ("10.0.0.0/8", "127.0.0.1")])
@async_test
async def test_the_log_names_whom_a_trusted_proxy_names(
    origin: ScriptedOrigin, make_proxy: Any, trusted: str, client: str
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60")], b"x"))
    proxy = await make_proxy(origin.url, trusted_proxies=(ip_network(trusted),))
    named = [("X-Forwarded-For", "198.51.100.1, 203.0.113.9")]
    for method in ("GET", "GET", "GET", "TRACE"):
        await fetch(proxy.port, method, "/x", named)
    assert [record.role for record in proxy.log] == ["leader", "hit", "hit", "-"]
    assert [record.client for record in proxy.log] == [client] * 4
