"""An https:// upstream is who it says, or it is not spoken to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import SSL4ServerEndpoint
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.logger import capturedLogs, formatEvent

from tests.origin.conftest import MakeHttpOrigin
from tests.support.async_test import async_test
from tests.support.origin import Answer, Chunk, Gate, Head, ScriptedOrigin
from tests.support.sink import KeepingSink, fetch_from, origin_request
from tests.support.tls import self_signed
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import Fault, Framing, OriginError
from txstalecache.origin.tls import TLS


def certificate(directory: Path, name: str, *names: str, days: int = 1) -> tuple[Path, Path]:
    """A certificate for ``names`` that signs itself; the paths of it and of its key."""
    paths = directory / f"{name}.pem", directory / f"{name}.key"
    for path, text in zip(paths, self_signed(*names, days=days), strict=True):
        path.write_bytes(text)
    return paths


@pytest.fixture
def pem(tmp_path: Path) -> tuple[Path, Path]:
    return certificate(tmp_path, "good", "localhost", "127.0.0.1")


@pytest.fixture
def secure(pem: tuple[Path, Path]) -> Iterator[ScriptedOrigin]:
    origin = ScriptedOrigin(Answer(200, (), b"secret"))
    pytest_twisted.blockon(origin.start_tls(*pem))
    yield origin
    pytest_twisted.blockon(origin.close())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@async_test
async def test_a_verified_origin_is_fetched_from_and_its_connection_kept(
    secure: ScriptedOrigin, http_origin: MakeHttpOrigin, pem: tuple[Path, Path], host: str
) -> None:
    ours = http_origin(f"https://{host}:{secure.port}", tls=TLS(ca_file=str(pem[0])))
    for _ in range(3):
        kept = await fetch_from(ours)
        assert (kept.body, kept.framing) == (b"secret", Framing.DELIMITED)
    assert len(secure.connections) == 1
    assert secure.requests[0].field("host") == f"{host}:{secure.port}".encode()


@async_test
async def test_many_at_once_share_few_connections_and_each_gets_its_own_answer(
    secure: ScriptedOrigin, http_origin: MakeHttpOrigin, pem: tuple[Path, Path]
) -> None:
    from twisted.internet.defer import Deferred

    secure.handler = lambda request: Answer(200, (), request.target * 10_000)
    ours = http_origin(secure.url, tls=TLS(ca_file=str(pem[0])), max_connections=8)
    got = await gatherResults([Deferred.fromCoroutine(fetch_from(ours, "GET", f"/{n}")) for n in range(40)])
    assert [kept.body for kept in got] == [f"/{n}".encode() * 10_000 for n in range(40)]
    assert len(secure.connections) <= 8


async def refused(ours: HttpOrigin, secure: ScriptedOrigin) -> None:
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours)
    assert caught.value.fault is Fault.UNREACHABLE
    assert secure.hits() == 0
    await secure.quiet()
    assert ours.connections == 0


@async_test
async def test_an_unknown_issuer_gets_no_request(secure: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    await refused(http_origin(secure.url), secure)


@async_test
async def test_another_name_gets_no_request(
    secure: ScriptedOrigin, http_origin: MakeHttpOrigin, pem: tuple[Path, Path]
) -> None:
    await refused(http_origin(secure.url, tls=TLS(ca_file=str(pem[0]), server_name="other.example")), secure)


@async_test
async def test_an_expired_certificate_gets_no_request(http_origin: MakeHttpOrigin, tmp_path: Path) -> None:
    pem = certificate(tmp_path, "old", "localhost", days=-1)
    secure = ScriptedOrigin(Answer())
    await secure.start_tls(*pem)
    await refused(http_origin(secure.url, tls=TLS(ca_file=str(pem[0]))), secure)
    await secure.close()


@async_test
async def test_why_a_server_is_not_trusted_is_said_once_until_it_is_or_it_is_for_another_reason(
    http_origin: MakeHttpOrigin, tmp_path: Path
) -> None:
    from twisted.internet import reactor

    good, bad = certificate(tmp_path, "good", "localhost"), certificate(tmp_path, "bad", "localhost")
    other = certificate(tmp_path, "other", "other.example")
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(good[0].read_bytes() + other[0].read_bytes())
    secure = ScriptedOrigin(Answer(200, (), b"secret"))
    await secure.start_tls(*good)
    port = secure.port
    ours = http_origin(secure.url, tls=TLS(ca_file=str(trusted)), idle=0.0)

    async def ask(pem: tuple[Path, Path]) -> list[str]:
        """What is said while two requests are made to a server with this certificate."""
        await secure.stop_listening()
        context = DefaultOpenSSLContextFactory(str(pem[1]), str(pem[0]))
        await secure.start(SSL4ServerEndpoint(cast(Any, reactor), port, context, interface="127.0.0.1"))
        with capturedLogs() as events:
            for _ in range(2):
                try:
                    await fetch_from(ours)
                except OriginError:
                    pass
        return [str(formatEvent(event)) for event in events if "TLS" in str(event["log_format"])]

    unknown = [f"no TLS with localhost:{port}: certificate verify failed"]
    assert await ask(bad) == unknown
    assert await ask(other) == [f"no TLS with localhost:{port}: the certificate is for another name"]
    assert await ask(other) == []
    assert await ask(good) == []
    assert await ask(bad) == unknown
    await secure.close()


@async_test
async def test_plain_http_where_tls_is_expected(http_origin: MakeHttpOrigin) -> None:
    from twisted.internet import protocol, reactor

    class Plain(protocol.Protocol):
        def dataReceived(self, data: bytes) -> None:
            assert self.transport is not None
            self.transport.write(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n")

    factory: Any = protocol.ServerFactory.forProtocol(Plain)
    plain: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    with pytest.raises(OriginError) as caught:
        await fetch_from(http_origin(f"https://127.0.0.1:{plain.getHost().port}"), connect=10)
    assert caught.value.fault is Fault.UNREACHABLE
    await plain.stopListening()


@async_test
async def test_a_handshake_that_does_not_end_is_a_connect_timeout(http_origin: MakeHttpOrigin) -> None:
    from twisted.internet import protocol, reactor

    factory: Any = protocol.ServerFactory.forProtocol(protocol.Protocol)
    silent: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
    ours = http_origin(f"https://127.0.0.1:{silent.getHost().port}")
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, connect=0.1)
    assert (caught.value.fault, caught.value.status) == (Fault.CONNECT_TIMEOUT, 504)
    await silent.stopListening()


@async_test
async def test_a_body_without_length_is_whole_only_after_a_tls_goodbye(
    secure: ScriptedOrigin, http_origin: MakeHttpOrigin, pem: tuple[Path, Path]
) -> None:
    """Somebody in between can forge a FIN, not a goodbye."""
    secure.on("/goodbye", Answer(200, (), b"whole", "close"))
    secure.on("/cut", [Head(200), Chunk(b"who"), Gate("sent"), Gate("never")])
    ours = http_origin(secure.url, tls=TLS(ca_file=str(pem[0])))
    kept = await fetch_from(ours, "GET", "/goodbye")
    assert (kept.body, kept.framing) == (b"whole", Framing.CLOSE)
    response = await ours.fetch(origin_request("GET", "/cut"))
    sink = KeepingSink()
    response.deliver(sink)
    await sink.received(3)
    transport: Any = secure.connections[-1].transport
    transport.transport.loseConnection()  # the TCP connection alone
    await sink.ended
    assert sink.framing is None
    assert sink.error is not None and sink.error.fault is Fault.TRUNCATED


@async_test
async def test_pause_holds_back_what_is_decrypted(
    secure: ScriptedOrigin, http_origin: MakeHttpOrigin, pem: tuple[Path, Path]
) -> None:
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    secure.handler = Answer(200, (), b"x" * 4_000_000)
    response = await http_origin(secure.url, tls=TLS(ca_file=str(pem[0]))).fetch(origin_request())
    sink = KeepingSink(keep=False)
    sink.on_write = lambda _: response.pause()
    response.deliver(sink)
    while not sink.ended.called:
        length = sink.length
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        await turned
        assert response.length == 4_000_000 and sink.length - length <= 200_000
        response.resume()
    assert (sink.length, sink.framing) == (4_000_000, Framing.DELIMITED)


def test_bad_tls_options_are_refused_in_one_line(tmp_path: Path, pem: tuple[Path, Path]) -> None:
    from twisted.internet import reactor

    (tmp_path / "rubbish").write_text("rubbish")
    (tmp_path / "half").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    bad = [
        TLS(ca_file=str(tmp_path / "none")),
        TLS(ca_file=str(tmp_path / "rubbish")),
        TLS(ca_file=str(tmp_path / "half")),
        TLS(client_certificate=str(tmp_path / "none")),
        TLS(client_certificate=str(tmp_path / "rubbish")),
        TLS(client_certificate=str(pem[0])),
    ]
    for tls in bad:
        with pytest.raises(ValueError) as caught:
            HttpOrigin(reactor, "https://localhost", tls=tls)
        assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    with pytest.raises(ValueError, match="https://"):
        HttpOrigin(reactor, "http://localhost", tls=TLS())
    with pytest.raises(ValueError, match="at least 1"):
        HttpOrigin(reactor, "http://localhost", max_connections=0)
