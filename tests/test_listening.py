"""Where it listens, and how that is told; certificates that are renewed on disk: at SIGHUP, for connections from then
on, in one process and in several."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory
from twisted.internet.testing import MemoryReactor

from tests.fleet.processes import Proxy
from tests.support.tls import Authority
from txstalecache.listening import Endpoint, one_line


@pytest.mark.parametrize(
    ("described", "waiting"),
    [
        ("tcp:80", 1024),
        (r"tcp6:80:interface=\:\:", 1024),
        ("unix:/nowhere/s:mode=660", 1024),
        ("ssl:443:privateKey={pem}", 1024),
        ("haproxy:tcp:80", 1024),
        ("tcp:80:backlog=7", 7),
        ("unix:/nowhere/s:backlog=7:mode=660", 7),
        ("ssl:443:backlog=7:privateKey={pem}", 7),
    ],
)
def test_as_many_may_wait_to_be_accepted_as_it_is_told_or_as_the_docs_say(
    described: str, waiting: int, tmp_path: Path
) -> None:
    reactor = MemoryReactor()
    pem, _ = Authority(tmp_path).issue("localhost") if "{pem}" in described else (tmp_path, None)
    Endpoint(reactor, described.format(pem=pem)).listen(Factory())
    opened: list[Any] = [*reactor.tcpServers, *reactor.unixServers, *reactor.sslServers]
    (server,) = opened
    assert server[3 if reactor.sslServers else 2] == waiting


@pytest.mark.parametrize(
    ("described", "address", "said"),
    [
        ("tcp:80", IPv4Address("TCP", "0.0.0.0", 80), "http://127.0.0.1:80"),
        ("tcp:80", IPv4Address("TCP", "192.0.2.1", 80), "http://192.0.2.1:80"),
        ("tcp6:80", IPv6Address("TCP", "::", 80), "http://[::1]:80"),
        ("haproxy:tcp:80", IPv4Address("TCP", "0.0.0.0", 80), "127.0.0.1:80 (haproxy)"),
        ("unix:/run/s", UNIXAddress(b"/run/s"), str(UNIXAddress(b"/run/s"))),
    ],
)
def test_where_it_listens_is_said_as_a_client_on_this_host_would_ask(
    described: str, address: IAddress, said: str
) -> None:
    assert Endpoint(MemoryReactor(), described).where(address) == said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(2, "No such file or directory", "/a"), "No such file or directory: /a"),
        # As of the lock of a unix socket.
        (OSError(13, "Permission denied", "7", None, "/run/s.lock"), "Permission denied: /run/s.lock"),
        (OSError(98, "Address already in use"), "Address already in use"),
        (CannotListenError("127.0.0.1", 80, OSError(98, "Address already in use")), "Address already in use"),
        (ValueError("two\nlines"), "two lines"),
        (KeyError(), "KeyError"),
    ],
)
def test_why_it_cannot_listen_is_one_line(error: Exception, said: str) -> None:
    assert one_line(error) == said


SAID = r"listens on (?:https://)?127\.0\.0\.1:(\d+)"


class Site:
    """The files of a site's certificate, as whoever renews them writes them."""

    def __init__(self, directory: Path) -> None:
        self._authority = Authority(directory)
        self._trust = ssl.create_default_context(cafile=str(self._authority.path))
        self.certificate, self.key = directory / "site.pem", directory / "site.key"
        self.renew()

    @property
    def endpoint(self) -> str:
        return f"ssl:0:interface=127.0.0.1:privateKey={self.key}:certKey={self.certificate}"

    def renew(self) -> None:
        both, key = self._authority.issue("localhost")
        self.certificate.write_text(both.read_text().partition("-----BEGIN PRIVATE")[0])
        shutil.copy(key, self.key)

    def connect(self, port: int) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        return self._trust.wrap_socket(plain, server_hostname="localhost")

    def shown(self, port: int) -> bytes | None:
        """The certificate that a new connection is shown."""
        with self.connect(port) as connection:
            return connection.getpeercert(binary_form=True)

    @property
    def newest(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


def answered(connection: ssl.SSLSocket) -> bool:
    """Whether a request on ``connection``, which stays open, is answered."""
    connection.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n")
    said = b""
    while b"\r\n\r\n" not in said:
        piece = connection.recv(65536)
        if not piece:
            return False
        said += piece
    return said.startswith(b"HTTP/1.1 502")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_renewed_certificate_is_shown_after_sighup_and_connections_that_stand_go_on(
    workers: int, tmp_path: Path
) -> None:
    site = Site(tmp_path)
    options = ["--origin", "http://127.0.0.1:9", "--workers", str(workers), "--listen", site.endpoint]
    with Proxy(tmp_path, *options, *([] if workers > 1 else ["--redis", "memory"])) as proxy:
        port = int(proxy.wait_for(SAID)[1])
        if workers > 1:
            proxy.workers(workers)
        first = site.newest
        with site.connect(port) as standing:
            assert answered(standing)
            site.renew()
            assert site.shown(port) == first != site.newest
            proxy.process.send_signal(signal.SIGHUP)
            # The parent of workers has one of its own, and each of them.
            proxy.wait_for_all("was read again", workers if workers == 1 else workers + 1)
            assert {site.shown(port) for _ in range(20)} == {site.newest}
            assert answered(standing)
            assert standing.getpeercert(binary_form=True) == first
        # Half of what is new: the other file is the old one.
        known, key = site.newest, site.key.read_bytes()
        site.renew()
        site.key.write_bytes(key)
        proxy.process.send_signal(signal.SIGHUP)
        told = proxy.wait_for("the certificate of (.*) stays as it was read before: (.*)")
        assert told[1] == site.endpoint
        assert "do not match" in told[2]
        assert {site.shown(port) for _ in range(20)} == {known}
        site.key.unlink()
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for(f"stays as it was read before: No such file or directory: {site.key}")
        assert {site.shown(port) for _ in range(20)} == {known}
        proxy.process.terminate()
        assert proxy.end() == 0
        assert "Traceback" not in proxy.output


def test_so_is_that_of_the_admin_interface_and_the_file_is_read_whatever_becomes_of_it(tmp_path: Path) -> None:
    site = Site(tmp_path)
    file, token = tmp_path / "proxy.toml", tmp_path / "token"
    token.write_text("a-token-of-some-length")
    text = (
        f"[redis]\nurl = 'memory'\n[admin]\nlisten = '{site.endpoint}'\ntoken_file = '{token}'\n"
        "[upstream.www]\nservers = 'http://127.0.0.1:9'\n"
    )
    file.write_text(text)
    with Proxy(tmp_path, "--config", str(file)) as proxy:
        port = int(proxy.wait_for(f"the admin interface {SAID}")[1])
        site.renew()
        assert site.shown(port) != site.newest
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for("configuration reloaded: 0 routes")
        assert site.shown(port) == site.newest
        known = site.newest
        site.certificate.write_text("rubbish")
        file.write_text(text + "[[route]]\n")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for("configuration reloaded: 1 routes")
        assert "stays as it was read before: not a certificate and its key, in PEM" in proxy.output
        assert site.shown(port) == known


def test_behind_a_balancer_too(tmp_path: Path) -> None:
    site = Site(tmp_path)
    listen = f"haproxy:{site.endpoint}"
    with Proxy(tmp_path, "--origin", "http://127.0.0.1:9", "--redis", "memory", "--listen", listen) as proxy:
        port = int(proxy.wait_for(SAID)[1])
        assert site.shown(port) == site.newest
        site.renew()
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for("was read again")
        assert site.shown(port) == site.newest
