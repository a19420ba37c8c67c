"""Mutated requests against a whole channel in memory, with h11 as the oracle.

Nothing raises, nothing hangs, every answer is well-formed; and whatever is accepted, somebody else reads just the same.
20,000 with ``--long``, fewer by default; each is made from its number, so that a failing one can be had again.
"""

from __future__ import annotations

import random
import re
from typing import Any

import h11
import pytest
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from tests.safety.payloads import OK, PAYLOADS
from tests.support.transport import Transport
from txstalecache.edge.channel import Phase
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.site import CacheSite
from txstalecache.edge.twistedweb import CacheRequest

SEED = 20260101

# The good ones more often: most mutations of a bad one are bad.
SEEDS = [
    payload.raw for payload in PAYLOADS if len(payload.raw) < 4096 for _ in range(6 if payload.expected == OK else 1)
] + [
    b"GET /a?b=c HTTP/1.1\r\nHost: example.com\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n" * 2,
    b"POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\nbody\r\n0\r\nT: 1\r\n\r\n"
    b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    b"PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbodyGET /next HTTP/1.1\r\nHost: a\r\n\r\n",
]

#: What parsers have been seen to stumble over.
PIECES = [
    *(bytes([byte]) for byte in (0, 9, 10, 11, 12, 13, 32, 34, 35, 44, 45, 48, 58, 59, 95, 127, 128, 133, 160, 255)),
    b"\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\n ",
    b"0\r\n\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 4\r\n",
    b"Content-Length: 0\r\n",
    b"Host: b\r\n",
    b"Connection: close\r\n",
    b"Expect: 100-continue\r\n",
    b" HTTP/1.1",
    b" HTTP/1.0",
    b"chunked",
    b"http://a",
    b"GET /s HTTP/1.1\r\nHost: a\r\n\r\n",
]


def mutated(number: int) -> tuple[bytes, random.Random]:
    """The ``number``-th input, and the randomness that goes on with it."""
    chance = random.Random(SEED + number)
    data = bytearray(chance.choice(SEEDS))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8))):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(6):
            case 0:
                data[at:at] = chance.choice(PIECES)
            case 1:
                data[at : at + 1] = chance.choice(PIECES)
            case 2:
                del data[at : at + chance.choice((1, 1, 2, 8))]
            case 3:
                data[at:at] = data[at : at + chance.choice((1, 4, 20))]
            case 4 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 5:
                other = chance.choice(SEEDS)
                data[at:] = other[chance.randrange(len(other)) :]
            case _:
                pass
    return bytes(data), chance


class Body:
    """An origin's side of an upload."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...


class Taker(Resource):
    """Takes each request with its body, then answers."""

    isLeaf = True
    streams = True

    def __init__(self) -> None:
        super().__init__()
        self.whole: list[tuple[bytes, bytes, bytes]] = []

    def render(self, request: Request) -> int:
        assert isinstance(request, CacheRequest)
        method, uri, body = request.method, request.uri, Body()

        def ended(_: object) -> None:
            self.whole.append((method, uri, bytes(body.data)))
            request.setHeader(b"Content-Length", b"2")
            request.write(b"ok")
            request.finish()

        if request.upload is None:
            ended(None)
        else:
            request.upload.startProducing(body).addCallbacks(ended, lambda _: None)  # type: ignore[arg-type]
        return NOT_DONE_YET


def ours(data: bytes, chance: random.Random) -> tuple[list[tuple[bytes, bytes, bytes]], bytes]:
    """What our channel makes of ``data``, arriving in any pieces: whole requests, and what it said."""
    clock, taker, wire = Clock(), Taker(), Transport()
    channel: Any = CacheSite(taker, clock, limits=EdgeLimits(connections=1)).buildProtocol(None)
    channel.makeConnection(wire)
    at = 0
    while at < len(data):
        piece = chance.choice((len(data), len(data), 1, 7, 100))
        channel.dataReceived(data[at : at + piece])
        at += piece
    clock.pump([5.0] * 30)
    assert channel.phase is Phase.CLOSED, channel.phase
    channel.connectionLost(Failure(ConnectionDone()))
    assert clock.getDelayedCalls() == []
    return taker.whole, wire.value()


def theirs(data: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """What h11 makes of ``data``, up to where it gives up; an empty line before a request is forgiven, which h11 does
    not (RFC 9112 §2.2)."""
    whole: list[tuple[bytes, bytes, bytes]] = []
    while data:
        server = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        server.receive_data(data.removeprefix(b"\r\n"))
        body = b""
        try:
            head = server.next_event()
            if not isinstance(head, h11.Request):
                break
            while isinstance(event := server.next_event(), h11.Data):
                body += bytes(event.data)
        except h11.RemoteProtocolError:
            break
        if not isinstance(event, h11.EndOfMessage):
            break
        whole.append((head.method, head.target, body))
        if server.their_state is h11.MUST_CLOSE or head.method == b"CONNECT":
            break
        data = server.trailing_data[0]
    return whole


def answers(said: bytes, methods: list[bytes]) -> int:
    """How many final answers are in ``said``, all of them well-formed."""
    count = 0
    while said:
        client = h11.Connection(h11.CLIENT)
        method = methods[count] if count < len(methods) else b"GET"
        client.send(h11.Request(method=method, target="/", headers=[("Host", "a"), ("Content-Length", "0")]))
        client.send(h11.EndOfMessage())
        client.receive_data(said)
        client.receive_data(b"")
        event = client.next_event()
        while not isinstance(event, h11.EndOfMessage):
            assert isinstance(event, h11.InformationalResponse | h11.Response | h11.Data), event
            event = client.next_event()
        count += 1
        said = client.trailing_data[0]
    return count


def origin_form(target: bytes) -> bytes:
    """The target without scheme and authority."""
    match = re.match(rb"(?i)http://[^/?]*", target)
    rest = target[match.end() :] if match else target
    return rest if match is None or rest.startswith(b"/") else b"/" + rest


def test_what_is_accepted_is_what_others_read_too(request: pytest.FixtureRequest) -> None:
    accepted = 0
    rounds = 20_000 if request.config.getoption("--long") else 2_000
    for number in range(rounds):
        data, chance = mutated(number)
        whole, said = ours(data, chance)
        others = theirs(data)
        seen = [(method, origin_form(target), body) for method, target, body in others]
        assert whole == seen[: len(whole)], (number, data, whole, others)
        assert len(whole) <= answers(said, [method for method, _, _ in whole]) <= len(whole) + 1, (number, data, said)
        accepted += bool(whole)
    assert accepted > rounds / 10, "the mutations leave too little that is accepted"
