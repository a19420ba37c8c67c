"""Clients over TLS that never shake hands cost no more than others, and no longer."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import Any

from twisted.internet.endpoints import SSL4ClientEndpoint
from twisted.internet.ssl import CertificateOptions, PrivateCertificate
from twisted.internet.threads import deferToThread

from tests.support.async_test import async_test
from tests.support.client import connect
from tests.support.origin import Answer, Request, ScriptedOrigin
from tests.support.proxy import later, until
from tests.support.tls import Authority
from txstalecache import CacheResource, CacheSite
from txstalecache.edge.limits import EdgeLimits


@async_test
async def test_a_silent_client_too_many_is_cut_soon(origin: ScriptedOrigin, tmp_path: Path) -> None:
    """It cannot be told 503 before it has shaken hands, and is not waited for until it does."""
    from twisted.internet import reactor

    anything: Any = reactor
    origin.handler = Answer(200, [], b"fine")
    resource = CacheResource(origin.url)
    site = CacheSite(resource, anything, limits=EdgeLimits(connections=2, linger=0.3))
    both, _ = Authority(tmp_path).issue("127.0.0.1")
    options = PrivateCertificate.loadPEM(both.read_bytes()).options()
    listening = anything.listenSSL(0, site, options, interface="127.0.0.1")
    silent = [socket.create_connection(("127.0.0.1", listening.getHost().port)) for _ in range(10)]
    for one in silent:
        one.setblocking(False)
    await later(0.05)
    began = time.monotonic()
    await until(lambda: sum(_ended(one) for one in silent) == len(silent) - 2, 5)
    assert time.monotonic() - began < 3
    assert len(site.channels) == 2, "those that were in time may still shake hands"
    for one in silent:
        one.close()
    await until(lambda: not site.channels)
    await listening.stopListening()
    await resource.close()


@async_test
async def test_who_takes_an_answer_slowly_gets_all_of_it(origin: ScriptedOrigin, tmp_path: Path) -> None:
    """What the socket has taken is not taken by its client yet, and TLS waits for that with the end."""
    from twisted.internet import reactor

    anything: Any = reactor
    size = 60_000
    origin.handler = Answer(200, [("Cache-Control", "max-age=60")], b"x" * size)
    resource = CacheResource(origin.url)
    site = CacheSite(resource, anything, limits=EdgeLimits(connections=9, idle=0.3, stall=0.6))
    both, _ = Authority(tmp_path).issue("127.0.0.1")
    options = PrivateCertificate.loadPEM(both.read_bytes()).options()
    listening = anything.listenSSL(0, site, options, interface="127.0.0.1")
    for fields in (b"", b"", b"Connection: close\r\n"):
        taken: bytes = await deferToThread(_slowly, listening.getHost().port, fields, size)
        assert len(taken.partition(b"\r\n\r\n")[2]) == size
    await until(lambda: not site.channels)
    await listening.stopListening()
    await resource.close()


def _slowly(port: int, fields: bytes, size: int) -> bytes:
    """All of an answer, a piece at a time."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.settimeout(10)
    plain.connect(("127.0.0.1", port))
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    taken = b""
    with context.wrap_socket(plain) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n" % fields)
        while len(taken) < size and (piece := client.recv(3000)):
            taken += piece
            time.sleep(0.08)
    return taken


def _ended(client: socket.socket) -> bool:
    try:
        return client.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


@async_test
async def test_the_origin_is_told_of_tls_whatever_its_answers_vary_by(origin: ScriptedOrigin, tmp_path: Path) -> None:
    """Else it sends whoever came by TLS to where he came from, and that for everybody."""
    from twisted.internet import reactor

    def answer(request: Request) -> Answer:
        fields = [("Cache-Control", "max-age=60"), ("Vary", "X-Forwarded-Proto")]
        if request.field("x-forwarded-proto") == b"https":
            return Answer(200, fields, b"by TLS")
        return Answer(301, [*fields, ("Location", "https://127.0.0.1" + request.target.decode())])

    anything: Any = reactor
    origin.handler = answer
    resource = CacheResource(origin.url)
    both, _ = Authority(tmp_path).issue("127.0.0.1")
    options = PrivateCertificate.loadPEM(both.read_bytes()).options()
    listening = anything.listenSSL(0, CacheSite(resource, anything), options, interface="127.0.0.1")
    endpoint = SSL4ClientEndpoint(anything, "127.0.0.1", listening.getHost().port, CertificateOptions())
    connection = await connect(endpoint=endpoint)
    for said in ([], [("X-Forwarded-Proto", "http")], []):
        reply = await connection.request("GET", "/x", said)
        assert (reply.status, reply.body) == (200, b"by TLS")
    assert [request.field("x-forwarded-proto") for request in origin.requests] == [b"https"]
    await connection.close()
    await listening.stopListening()
    await resource.close()
