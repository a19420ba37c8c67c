"""A cache in a test, on a clock that only the test moves: ``trial examples/in_a_test.py``."""

from __future__ import annotations

from typing import Any

from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from txstalecache import cached


class Page(Resource):
    """Counts how often it is made."""

    isLeaf = True
    made = 0

    def render_GET(self, request: Any) -> bytes:
        """The page, another one each time."""
        self.made += 1
        request.setHeader(b"Cache-Control", b"max-age=5, stale-while-revalidate=60")
        return b"page %d" % self.made


class PageTests(SynchronousTestCase):
    """The page is made every 5 s at most, and nobody waits for it once it is there."""

    def setUp(self) -> None:
        """The cache and what is behind it live by one clock; the agent asks it without a socket."""
        self.clock = Clock()
        self.cache = cached(reactor=self.clock)(Page())
        self.addCleanup(self.cache.close)
        self.agent = RequestTraversalAgent(self.cache)
        self.client = HTTPClient(self.agent)

    def settle(self) -> None:
        """Let all happen that needs no time: ``flush`` moves the client's bytes, a turn of the clock the rest."""
        for _ in range(20):
            self.agent.flush()
            self.clock.advance(0)

    def get(self) -> tuple[str, str]:
        """What is answered, and how it came about."""
        asked = self.client.get("http://example.org/")
        self.settle()
        reply = self.successResultOf(asked)
        text = reply.text()
        self.settle()
        return self.successResultOf(text), reply.headers.getRawHeaders("X-Cache")[0]

    def test_it_is_served_stale_while_it_is_made_anew(self) -> None:
        """Time passes when the test says so, and for the answers too."""
        self.assertEqual(self.get(), ("page 1", "MISS"))
        self.assertEqual(self.get(), ("page 1", "HIT"))
        self.clock.advance(6)
        self.assertEqual(self.get(), ("page 1", "STALE"))
        self.assertEqual(self.get(), ("page 2", "HIT"))
        self.clock.advance(100)
        self.assertEqual(self.get(), ("page 3", "MISS"))
