"""``rediss://``: the server's certificate and name are verified, or nothing is said to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import PrivateCertificate
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import until
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from tests.support.tls import self_signed


def certificate(name: str) -> bytes:
    """A certificate that signs itself, and its key."""
    return b"".join(self_signed(name))


class Passing(Protocol):
    """One direction of a connection through the terminator."""

    peer: Passing | None = None
    heard = 0

    def dataReceived(self, data: bytes) -> None:
        Passing.heard += len(data)
        if self.peer is None:
            self.waiting += data
        else:
            self.peer.transport.write(data)  # type: ignore[union-attr]

    waiting = b""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.loseConnection()


class Terminator(Factory[Passing]):
    """TLS in front of a Redis that has none."""

    def __init__(self, reactor: Any, socket: str) -> None:
        self._reactor = reactor
        self._socket = socket

    def buildProtocol(self, addr: object) -> Passing:
        outside = Passing()

        def connected(inside: Any) -> None:
            outside.peer, inside.peer = inside, outside
            inside.transport.write(outside.waiting)
            if outside.transport is None or not outside.transport.connected:  # type: ignore[attr-defined]
                inside.transport.loseConnection()

        UNIXClientEndpoint(self._reactor, self._socket).connect(Factory.forProtocol(Passing)).addCallback(connected)
        return outside


def terminated(name: str, server: RedisServer, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """The port on which there is TLS for ``name``, and the authority that says so."""
    from twisted.internet import reactor

    pem = certificate(name)
    authority = tmp_path / f"{name}.pem"
    authority.write_bytes(pem.split(b"-----BEGIN PRIVATE")[0])
    Passing.heard = 0
    listen: Any = reactor
    options = PrivateCertificate.loadPEM(pem).options()
    port = listen.listenSSL(0, Terminator(reactor, server.socket), options, interface="127.0.0.1")
    yield port.getHost().port, authority
    pytest_twisted.blockon(port.stopListening())


@pytest.fixture
def terminator(one_redis_server: RedisServer, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    yield from terminated("localhost", one_redis_server, tmp_path)


@pytest.fixture
def by_number(one_redis_server: RedisServer, tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """As Sentinels name servers: by address."""
    yield from terminated("127.0.0.1", one_redis_server, tmp_path)


class Sentinel(Protocol):
    """Says where the master is."""

    heard = b""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        Sentinel.heard += data
        self.transport.write(
            b"+OK\r\n*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%b\r\n" % (len(self.factory.port), self.factory.port)
        )


@pytest.mark.parametrize("wrong", ["", "name", "authority"])
@async_test
async def test_sentinels_and_what_they_name_are_verified(
    by_number: tuple[int, Path], make_store: MakeStore, wrong: str, tmp_path: Path
) -> None:
    from twisted.internet import reactor

    port, authority = by_number
    pem = authority.read_bytes() if wrong != "authority" else certificate("127.0.0.1")
    listen: Any = reactor
    own = certificate("127.0.0.1" if wrong != "name" else "localhost")
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(b"".join(one.split(b"-----BEGIN PRIVATE")[0] for one in (pem, own)))
    factory = Factory.forProtocol(Sentinel)
    factory.port = b"%d" % port  # type: ignore[attr-defined]
    Sentinel.heard = b""
    sentinel = listen.listenSSL(0, factory, PrivateCertificate.loadPEM(own).options(), interface="127.0.0.1")
    url = f"rediss+sentinel://127.0.0.1:{sentinel.getHost().port}/main?sentinel_password=s3cret&ca={bundle}"
    backend = await make_store(url, ready=not wrong)
    if wrong:
        await until(lambda: backend._client._said is False)
        assert (b"s3cret" in Sentinel.heard) is (wrong == "authority")  # the Sentinel was in order then, the master not
        assert Passing.heard == 0
    else:
        backend.store.put(key(), entry(backend.store.now()), 15)
        await backend.store.flush()
        backend.memory.clear()
        assert (await backend.store.lookup(key(), get())).where == "redis"
    await backend.stopService()
    await sentinel.stopListening()


@async_test
async def test_a_verified_server_is_used(terminator: tuple[int, Path], make_store: MakeStore) -> None:
    port, authority = terminator
    backend = await make_store(f"rediss://localhost:{port}?ca={authority}")
    stored = entry(backend.store.now(), b"x" * 2_000_000)
    backend.store.put(key(), stored, 15)
    await backend.store.flush()
    backend.memory.clear()
    found = (await backend.store.lookup(key(), get())).entry
    assert found is not None and b"".join(found.body) == b"".join(stored.body)
    await backend.stopService()


@async_test
async def test_an_authority_that_was_renewed_is_trusted_by_the_next_connection(
    terminator: tuple[int, Path], make_store: MakeStore, tmp_path: Path
) -> None:
    port, authority = terminator
    renewed, trusted = authority.read_bytes(), tmp_path / "trusted.pem"
    trusted.write_bytes(certificate("localhost").split(b"-----BEGIN PRIVATE")[0])
    backend = await make_store(f"rediss://localhost:{port}?ca={trusted}", ready=False)
    await until(lambda: backend._client._said is False)
    # While it cannot be read, what was read before holds.
    trusted.unlink()
    with capturedLogs() as events:
        await until(lambda: any("what was read before is trusted" in str(formatEvent(event)) for event in events))
    trusted.write_bytes(renewed)
    await until(lambda: backend._client.available)
    with capturedLogs() as events:
        trusted.write_text("rubbish")
        for wire in [*backend._client._writer.live, *backend._client._reader.live]:
            wire.transport.abortConnection()
        await until(lambda: any("no certificate in it" in str(formatEvent(event)) for event in events))
        await until(lambda: backend._client.available)
    await backend.stopService()


@pytest.mark.parametrize("wrong", ["name", "authority"])
@async_test
async def test_one_that_is_not_gets_no_password(
    terminator: tuple[int, Path], make_store: MakeStore, wrong: str, tmp_path: Path
) -> None:
    port, authority = terminator
    other = tmp_path / "other.pem"
    other.write_bytes(certificate("localhost").split(b"-----BEGIN PRIVATE")[0])
    host = "127.0.0.1" if wrong == "name" else "localhost"
    trusted = authority if wrong == "name" else other
    backend = await make_store(f"rediss://:s3cret@{host}:{port}?ca={trusted}", ready=False)
    await until(lambda: backend._client._said is False)
    assert (await backend.store.lookup(key(), get())).entry is None
    await backend.stopService()
    assert Passing.heard == 0
