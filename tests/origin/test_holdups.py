"""A client that hardly moves keeps no connection that somebody waits for."""

from __future__ import annotations

from typing import Any

import pytest

from tests.origin.memory import MemoryOrigin, Outcome, Wire
from tests.origin.test_upload import Body
from txstalecache.origin.interfaces import Fault

LONG = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
RATE = 100


class Taking:
    """A client that takes ``rate`` bytes a second of a long answer."""

    def __init__(self, memory: MemoryOrigin, rate: int) -> None:
        self.rate = rate
        outcome = memory.fetch(total=10_000)
        self.wire: Wire = memory.connect()
        self.wire.send(LONG)
        self.sink = outcome.deliver()
        assert outcome.response is not None
        self.response = outcome.response
        self.response.pause()

    def take(self, seconds: float) -> None:
        self.response.resume()
        self.wire.send(b"x" * int(self.rate * seconds))
        self.response.pause()

    @property
    def gone(self) -> bool:
        return self.wire.aborted()


def passes(memory: MemoryOrigin, seconds: float, *clients: Taking) -> None:
    for _ in range(int(seconds * 4)):
        for client in clients:
            if not client.gone:
                client.take(0.25)
        memory.clock.advance(0.25)


def origin(connections: int) -> MemoryOrigin:
    return MemoryOrigin(max_connections=connections, queue_wait=30, min_rate=RATE)


def test_as_many_give_way_as_wait_and_the_slowest_first() -> None:
    memory = origin(4)
    clients = [Taking(memory, rate) for rate in (40, 0, 80, 400)]
    passes(memory, 20, *clients)
    assert not any(client.gone for client in clients)  # nobody waits
    waiting: list[Outcome] = [memory.fetch()]
    passes(memory, 3, *clients)
    assert [client.gone for client in clients] == [False, True, False, False]
    memory.connect().send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert waiting[0].response is not None
    waiting += [memory.fetch() for _ in range(5)]
    passes(memory, 20, *clients)
    assert [client.gone for client in clients] == [True, True, True, False]  # who keeps up, keeps it


def test_what_came_is_delivered_first_and_the_end_is_told_as_what_it_is() -> None:
    memory = origin(1)
    client = Taking(memory, 0)
    memory.fetch()
    passes(memory, 3)
    assert client.gone and not client.sink.ended.called
    client.response.resume()
    assert client.sink.error is not None and client.sink.error.fault is Fault.OVERLOADED


@pytest.mark.parametrize(("rate", "full", "gone"), [(0, False, True), (RATE, False, False), (0, True, False)])
def test_an_upload_that_hardly_comes_gives_way_unless_it_is_the_origin_that_takes_nothing(
    rate: int, full: bool, gone: bool
) -> None:
    memory = origin(1)
    body = Body(1_000_000)
    sending = memory.fetch("POST", "/", (), body, between_bytes=1000, total=1000)
    wire: Any = memory.connect()
    if full:
        wire.producer.pauseProducing()
    memory.fetch()
    for _ in range(12):
        if rate:
            body.consumer.write(b"x" * (rate // 4))
        memory.clock.advance(0.25)
    assert wire.aborted() is gone
    assert sending.fault is (Fault.OVERLOADED if gone else None)


def test_nothing_is_looked_at_once_nobody_waits() -> None:
    memory = origin(1)
    client = Taking(memory, 400)
    before = memory.delayed_calls
    waiting = memory.fetch()
    passes(memory, 5, client)
    waiting.deferred.cancel()
    assert waiting.other is not None and memory.delayed_calls == before
    late = memory.fetch()
    passes(memory, 31, client)
    assert late.fault is Fault.OVERLOADED and memory.delayed_calls == before
