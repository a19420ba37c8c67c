"""What is written past the transport stays in order with what waits in it."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet import abstract
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IReactorFDSet
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.tcp import Server
from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from zope.interface import implementer

from txstalecache.edge.outlet import JOINED, Outlet


@implementer(IReactorFDSet)
class Turns:
    """A reactor whose turns the test makes."""

    def __init__(self) -> None:
        self.writers: set[Any] = set()

    def addReader(self, reader: object) -> None: ...

    def removeReader(self, reader: object) -> None: ...

    def addWriter(self, writer: object) -> None:
        self.writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        self.writers.discard(writer)

    def getReaders(self) -> list[Any]:
        return []

    def getWriters(self) -> list[Any]:
        return list(self.writers)

    def removeAll(self) -> list[Any]:
        return []

    def turn(self) -> None:
        for writer in list(self.writers):
            writer.doWrite()


class Line:
    """Two ends of a connection; the near one is a server's transport."""

    def __init__(self) -> None:
        self.reactor = Turns()
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.far.setblocking(False)
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        peer = ("127.0.0.1", 1)
        self.near = near
        self.transport: Any = Server(near, Protocol(), peer, _Port(), 1, self.reactor)  # type: ignore[arg-type]
        self.outlet = Outlet(self.transport)

    def heard(self) -> bytes:
        """All that arrives, taking turns until nothing more does."""
        heard = []
        while True:
            try:
                heard.append(self.far.recv(1 << 20))
            except BlockingIOError:
                if not self.reactor.writers:
                    return b"".join(heard)
                self.reactor.turn()


class _Port:
    _realPortNumber = 1

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 1)


@pytest.fixture
def line() -> Iterator[Line]:
    line = Line()
    yield line
    line.near.close()
    line.far.close()


def test_a_short_answer_is_there_without_a_turn_of_the_reactor(line: Line) -> None:
    assert line.outlet._socket is not None
    line.outlet.put(b"head ", (b"body",), 4)
    assert line.far.recv(100) == b"head body"
    assert not line.reactor.writers


def test_nothing_overtakes_what_was_written_before(line: Line) -> None:
    line.transport.write(b"first ")
    line.outlet.put(b"second ", (b"third",), 5)
    assert line.heard() == b"first second third"


def test_nothing_overtakes_what_did_not_fit(line: Line) -> None:
    """Half of it is in the transport's other buffer then."""
    line.transport.write(b"x" * 500_000)
    line.reactor.turn()
    before = line.far.recv(1 << 20)  # there is room again
    assert len(before) < 500_000
    line.outlet.put(b"head", (b"body",), 4)
    assert before + line.heard() == b"x" * 500_000 + b"headbody"


@pytest.mark.parametrize("length", [100, JOINED, JOINED + 1, 300_000])
def test_what_the_socket_does_not_take_follows(line: Line, length: int) -> None:
    bodies = [bytes([65 + number]) * length for number in range(5)]
    for body in bodies:
        line.outlet.put(b"head", (body[: length // 2], body[length // 2 :]), length)
    assert line.heard() == b"".join(b"head" + body for body in bodies)


def test_a_connection_that_is_being_closed_is_not_written_to(line: Line) -> None:
    line.transport.loseConnection()
    line.outlet.put(b"late", (), 0)
    with pytest.raises(BlockingIOError):
        line.far.recv(100)


def test_after_the_end_the_socket_is_left_alone(line: Line) -> None:
    line.outlet.close()
    line.outlet.put(b"head", (), 0)
    with pytest.raises(BlockingIOError):
        line.far.recv(100)


def test_what_waits_is_known_whatever_is_wrapped_around_the_transport(line: Line) -> None:
    line.outlet.put(b"h", (b"x" * 200_000,), 200_000)
    wrapped: Any = ProtocolWrapper(WrappingFactory(Factory()), Protocol())
    wrapped.transport = line.transport
    waiting = line.outlet.waiting
    assert 100_000 < waiting == Outlet(wrapped).waiting
    assert len(line.far.recv(1000)) == 1000
    while line.outlet.waiting == waiting:
        line.far.recv(4096)
        line.reactor.turn()
    assert line.outlet.waiting < waiting
    line.heard()
    assert line.outlet.waiting == 0
    assert Outlet(StringTransport()).waiting == 0


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_so_is_what_waits_in_the_socket(line: Line) -> None:
    line.outlet.put(b"h", (b"x" * 100,), 100)
    assert not line.transport._tempDataLen and line.outlet.waiting > 0
    line.far.recv(1000)
    assert line.outlet.waiting == 0


def test_what_waits_is_told_too_by_a_twisted_that_calls_it_otherwise(line: Line) -> None:
    line.outlet.put(b"h", (b"x" * 200_000,), 200_000)
    line.reactor.turn()
    named = line.transport._tempDataLen
    try:
        del line.transport._tempDataLen
        assert line.outlet.waiting > 0
    finally:
        line.transport._tempDataLen = named


def test_other_transports_get_every_byte() -> None:
    transport = StringTransport()
    outlet = Outlet(transport)
    outlet.put(b"head", (b"bo", b"dy"), 4)
    assert outlet._socket is None and transport.value() == b"headbody"


def test_twisted_still_says_what_waits_by_the_names_that_are_asked() -> None:
    """They are not public. Whoever sees this fail: the outlet has fallen back to the transport (slower, not wrong)
    where ``_tempDataLen`` is gone; look how ``abstract.FileDescriptor`` buffers now."""
    waiting: Any = abstract.FileDescriptor(Turns())
    waiting.connected = 1
    assert (waiting._tempDataLen, waiting.dataBuffer) == (0, b"")
    waiting.write(b"four")
    assert waiting._tempDataLen == 4
    waiting.writeSequence([b"and", b"seven"])
    assert waiting._tempDataLen == 12
    waiting.writeSomeData = lambda data: 5
    waiting.doWrite()
    assert waiting._tempDataLen == 0 and len(waiting.dataBuffer) == 12 > waiting.offset == 5
    waiting.doWrite()
    waiting.writeSomeData = len
    waiting.doWrite()
    assert (waiting._tempDataLen, waiting.dataBuffer) == (0, b"")
