"""An origin that takes a request's body for the next request (CL.0): what it then says too much reaches nobody."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.proxy import settled

POISON = b"GET /poison HTTP/1.1\r\nHost: a\r\n\r\n"


class Bodiless(Protocol):
    """Knows heads only, and takes its time over each: what it says too much comes when the next request is there."""

    SECONDS = 0.05

    def connectionMade(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.received = b""
        self.waiting = 0
        self.closing = self.gone = False

    def dataReceived(self, data: bytes) -> None:
        *heads, self.received = (self.received + data).split(b"\r\n\r\n")
        for head in heads:
            if self.closing:
                break  # as it was told
            self.closing = b"connection: close" in head.lower()
            self.factory.heads.append(head)
            self.waiting += 1
            deferLater(self.reactor, self.waiting * self.SECONDS, self.answer, head)

    def answer(self, head: bytes) -> None:
        self.waiting -= 1
        if self.gone:
            return
        text = b"for " + head.split()[1]
        self.transport.write(  # type: ignore[union-attr]
            b"HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
        )

    def connectionLost(self, reason: object = None) -> None:
        self.gone = True


@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "PUT"])
@async_test
async def test_what_a_body_smuggles_into_such_an_origin_is_nobodys_answer(make_proxy: Any, method: str) -> None:
    from twisted.internet import reactor

    anything: Any = reactor
    factory: Any = Factory.forProtocol(Bodiless)
    factory.heads = []
    listening = anything.listenTCP(0, factory, interface="127.0.0.1")
    proxy = await make_proxy(f"http://127.0.0.1:{listening.getHost().port}")
    for number in range(3):
        attack = await fetch(proxy.port, method, f"/attack/{number}", body=POISON)
        assert attack.body == b"for /attack/%d" % number
        victims = await settled(*[fetch(proxy.port, "GET", f"/{number}/{victim}") for victim in range(3)])
        assert [reply.body for reply in victims] == [b"for /%d/%d" % (number, victim) for victim in range(3)]
    assert not any(head.startswith(b"GET /poison") for head in factory.heads), "nor is it asked for"
    await deferLater(anything, 3 * Bodiless.SECONDS, lambda: None)
    await listening.stopListening()
