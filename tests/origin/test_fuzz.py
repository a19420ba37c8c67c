"""Twenty thousand mutated responses: no exception, no hang, nothing taken for whole that h11 would not take.

Seeded; ``TXSTALECACHE_FUZZ_SEED`` and ``TXSTALECACHE_FUZZ_ROUNDS`` for longer runs.
"""

from __future__ import annotations

import os
import random

import h11

from tests.origin.memory import MemoryOrigin, Outcome, Wire
from txstalecache.origin.interfaces import Framing

SEED = int(os.environ.get("TXSTALECACHE_FUZZ_SEED", "7"))
ROUNDS = int(os.environ.get("TXSTALECACHE_FUZZ_ROUNDS", "20000"))

CHUNKED = b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "a"\r\n\r\n'
SEEDS = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nCache-Control: max-age=60\r\n\r\nhello",
    b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello",
    CHUNKED + b"5\r\nhello\r\n6;a=b\r\n world\r\n0\r\n\r\n",
    CHUNKED + b"a\r\n0123456789\r\n0\r\nX-Trailer: y\r\n\r\n",
    b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nuntil the end",
    b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 7\r\n\r\n',
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison",
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close, x-a\r\nX-A: b\r\n\r\n",
]
TOKENS = [
    b"\r\n", b"\n", b"\r", b"\x00", b" ", b"\t", b":", b";", b",", b"0", b"-1", b"+1", b"0x5", b"\xff", b"\r\n\r\n",
    b"\r\n ", b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip\r\n", b"Connection: close\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Go\r\n\r\n",
    b"0\r\n\r\n", b"ffffffffffffffff\r\n", b"HTTP/1.1 101 Switching\r\n\r\n", b"A" * 300, b"HTTP/2.0",
]  # fmt: skip


def mutate(rng: random.Random) -> bytes:
    data = bytearray(rng.choice(SEEDS))
    for _ in range(rng.choice([0, 1, 1, 1, 2, 3, 6])):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(6):
            case 0:
                data[at:at] = rng.choice(TOKENS)
            case 1:
                del data[at : at + rng.choice([1, 1, 2, 5])]
            case 2 if at < len(data):
                data[at] = rng.randrange(256)
            case 3:
                del data[at:]
            case 4:
                data[at : at + 2] = rng.choice(TOKENS)
            case _:
                other = rng.choice(SEEDS)
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.randrange(40)]
    return bytes(data)


def judgement(data: bytes, method: bytes) -> tuple[int, bytes, bool] | None:
    """What h11 makes of it, ended by a FIN: status, body, and whether bytes follow. None: not a whole response."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body, bool(connection.trailing_data[0])
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError as error:
        # Trailers, which we drop unread: h11 minds what stands in them, after the whole body has come.
        if status and "Transfer-Encoding" in str(error):
            return status, body, True
        return None


def play(wire: Wire, outcome: Outcome, data: bytes, rng: random.Random) -> tuple[bytes, Framing | None]:
    """Send ``data`` in pieces, pausing now and then, then end the connection. What the sink got."""
    sink = None
    at = 0
    while at < len(data):
        step = rng.choice([1, 2, 7, 50, 1 << 20])
        if wire.aborted() or wire.closing():
            break
        wire.send(data[at : at + step])
        at += step
        if outcome.response is not None:
            if sink is None and rng.random() < 0.8:
                sink = outcome.deliver()
            if rng.random() < 0.2:
                outcome.response.pause()
            if rng.random() < 0.3:
                outcome.response.resume()
    wire.end()
    if outcome.response is None:
        return b"", None
    sink = sink or outcome.deliver()
    outcome.response.resume()
    assert sink.ended.called
    return sink.body, sink.framing


def test_no_mutated_response_hangs_or_leaves_anything_behind() -> None:
    rng = random.Random(SEED)
    whole = 0
    for number in range(ROUNDS):
        data = mutate(rng)
        method = b"HEAD" if number % 10 == 0 else b"GET"
        memory = MemoryOrigin()
        outcome = memory.fetch(method)
        wire = memory.connect()
        body, framing = play(wire, outcome, data, rng)
        memory.clock.advance(0)
        said = f"round {number} of seed {SEED}: {data!r}"
        assert not outcome.pending, said
        assert outcome.other is None, said
        assert (memory.origin.connections, memory.delayed_calls) == (0, 0), said
        if framing is None:
            continue
        whole += 1
        theirs = judgement(data, method)
        assert outcome.response is not None
        assert theirs is not None, said
        assert (outcome.response.head.status, body) == theirs[:2], said
    assert whole > ROUNDS / 20  # not everything is refused, or this would show nothing
