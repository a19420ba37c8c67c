"""The origin sees none or exactly one well-formed request, and the connection ends in a defined state."""

from __future__ import annotations

from typing import Any

import h11
import pytest

from tests.safety.lanes import either_lane
from tests.safety.payloads import CLOSES, OK, PAYLOADS, Payload
from tests.support.async_test import async_test
from tests.support.client import connect
from tests.support.origin import Answer, Request, ScriptedOrigin
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.reply import ALLOWED

__all__ = ["either_lane"]

#: What never comes is given up soon; what comes is here at once.
SOON = EdgeLimits(head_deadline=0.25, body_deadline=0.25, linger=0.05, methods=frozenset(ALLOWED.split(b", ")))


def requests_to(origin: ScriptedOrigin) -> list[h11.Request]:
    """The requests in what ``origin`` received, in the eyes of somebody else. Raises when they are not well-formed."""
    return [request for one in origin.connections for request, _ in requests_in(bytes(one.received))]


def requests_in(raw: bytes) -> list[tuple[h11.Request, bytes]]:
    """The requests on one connection, and their bodies."""
    found: list[tuple[h11.Request, bytes]] = []
    server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    server.receive_data(raw)
    while True:
        event = server.next_event()
        if isinstance(event, h11.Request):
            found.append((event, b""))
        elif isinstance(event, h11.Data):
            found[-1] = (found[-1][0], found[-1][1] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            server.send(h11.Response(status_code=200, headers=[("Content-Length", "0")]))
            server.send(h11.EndOfMessage())
            if server.our_state is h11.MUST_CLOSE:
                assert not server.trailing_data[0]
                return found
            server.start_next_cycle()
        else:
            assert event is h11.NEED_DATA
            assert not server.trailing_data[0], "an incomplete request"
            return found


def reply_in(raw: bytes) -> h11.Response:
    """The one response in what a client received before the end of the connection; nothing else may be in there."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    client.send(h11.EndOfMessage())
    client.receive_data(raw)
    client.receive_data(b"")
    response = client.next_event()
    assert isinstance(response, h11.Response), response
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Data)
    assert not client.trailing_data[0]
    return response


def test_there_are_many_of_them_and_each_is_there_once() -> None:
    assert len(PAYLOADS) >= 170
    assert len({payload.name for payload in PAYLOADS}) == len(PAYLOADS)
    assert len({payload.raw for payload in PAYLOADS}) == len(PAYLOADS)


@pytest.mark.parametrize("payload", PAYLOADS, ids=lambda payload: payload.name)
@async_test
async def test_none_or_exactly_one_request_reaches_the_origin(
    payload: Payload, origin: ScriptedOrigin, make_proxy: Any
) -> None:
    whole: list[str] = []

    def answer(request: Request) -> Answer:
        whole.append(request.path)
        return Answer(200, [("Cache-Control", "no-store")], b"answer")

    origin.handler = answer
    proxy = await make_proxy(origin.url, edge=SOON)
    connection = await connect(proxy.port)
    if payload.expected in (OK, CLOSES):
        method = payload.raw.strip().split(b" ")[0]
        exchange = connection.expect(method)
        connection.send(payload.raw)
        reply = await exchange.done
        assert (reply.status, reply.body) == (200, b"answer")
        if payload.expected == OK:
            after = await connection.request("GET", "/after", host="a")
            assert after.status == 200
            await connection.close()
        else:
            assert (reply.field("connection") or b"").lower() == b"close"
            await connection.lost
        seen = requests_to(origin)
        assert len(seen) == (2 if payload.expected == OK else 1)
        assert seen[0].method == method
        if payload.expected == OK:
            assert seen[1].target == b"/after"
    else:
        connection.send(payload.raw)
        await connection.lost
        refusal = reply_in(bytes(connection.received))
        assert refusal.status_code == payload.expected
        assert (b"connection", b"close") in refusal.headers
        assert payload.expected in [record.status for record in proxy.log]
        # A head whose body turned out bad may have gone ahead: to no origin is that a request.
        assert whole == []
    assert not any(request.path == "/smuggled" for request in origin.requests)
    assert not proxy.flights
