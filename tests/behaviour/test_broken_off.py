"""An answer of a resource of one's own that fails on its way is nobody's whole answer, and is not kept."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.conftest import LoggedFailures
from tests.support.async_test import async_test
from tests.support.client import NoReply, fetch
from txstalecache import CacheSite, cached


class Broken(Exception):
    """What the resource fails of."""


class Page(Resource):
    """Breaks off the first time, in one of several ways; from then on it is whole."""

    isLeaf = True
    made = 0

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way

    def render_GET(self, request: Any) -> Any:
        from twisted.internet import reactor

        self.made += 1
        if self.made > 1:
            return b"whole %d" % self.made
        if self.way == "short":
            request.setHeader(b"Content-Length", b"10")
        if self.way == "long":
            request.setHeader(b"Content-Length", b"2")
        request.write(b"half")
        if self.way == "raises":
            raise Broken
        if self.way == "later":
            deferLater(reactor, 0.01, self.broken).addErrback(request.processingFailed).addErrback(lambda _: None)
        elif self.way == "producing":
            request.registerProducer(self, True)
            deferLater(reactor, 0.01, self.broken).addErrback(request.processingFailed).addErrback(lambda _: None)
        else:
            request.finish()
        return NOT_DONE_YET

    def broken(self) -> None:
        raise Broken

    stopped = False

    def stopProducing(self) -> None:
        self.stopped = True

    def pauseProducing(self) -> None:
        pass

    resumeProducing = pauseProducing


WAYS = {"raises": True, "later": True, "producing": True, "short": False, "long": False}


@pytest.mark.parametrize("strict", [False, True], ids=["Site", "CacheSite"])
@pytest.mark.parametrize("way", WAYS)
@async_test
async def test_what_breaks_off_is_seen_to_be_cut_and_not_kept(
    way: str, strict: bool, logged_failures: LoggedFailures
) -> None:
    from twisted.internet import reactor

    listen: Any = reactor
    page = Page(way)
    cache = cached(ttl=60)(page)
    listening = listen.listenTCP(0, CacheSite(cache, listen) if strict else Site(cache), interface="127.0.0.1")
    port = listening.getHost().port
    try:
        first = await fetch(port, "GET", "/x", timeout=5)
    except NoReply as lost:
        assert "timeout" not in str(lost)
    else:
        assert first.status == 502 or first.truncated
        assert b"Failed" not in first.body
    assert (await fetch(port, "GET", "/x")).body == b"whole 2"
    assert page.stopped is (way == "producing")
    assert len(logged_failures.flush(Broken)) == WAYS[way]
    await listening.stopListening()
    await cache.close()
