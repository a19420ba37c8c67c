"""A slow origin to try the proxy with, and what to try.

Must not know: the proxy in front of it.
"""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

__all__ = ["DemoOrigin", "DemoSite", "advice", "invitation"]


class DemoOrigin(Resource):
    """Answers any path after ``delay`` seconds, with a number that grows, the time, and leave to serve it stale.

    Paths that begin with ``/private`` are for nobody else.
    """

    isLeaf = True

    def __init__(self, reactor: IReactorTime, delay: float = 1.0) -> None:
        super().__init__()
        self._reactor = reactor
        self._delay = delay
        self.answers = 0

    def render(self, request: Request) -> int:
        """Any method; the answer comes later."""
        pause: Deferred[None] = deferLater(self._reactor, self._delay)
        request.notifyFinish().addErrback(lambda _: pause.cancel())
        pause.addCallbacks(lambda _: self._answer(request), self._left)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> None:
        self.answers += 1
        private = request.path.startswith(b"/private")
        control = b"private" if private else b"max-age=5, stale-while-revalidate=30"
        now = datetime.now(UTC)
        body = b"answer %d, made at %s for %s\n" % (self.answers, now.strftime("%H:%M:%S UTC").encode(), request.path)
        request.setHeader(b"Content-Type", b"text/plain; charset=utf-8")
        request.setHeader(b"Cache-Control", control)
        request.setHeader(b"ETag", b'"%d"' % self.answers)
        request.setHeader(b"Content-Length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()

    @staticmethod
    def _left(failure: Failure) -> None:
        """Whoever asked has gone."""


class DemoSite(Site):
    """Says nothing to the log: what the proxy does is to be seen there."""

    noisy = False
    displayTracebacks = False

    def log(self, request: object) -> None:
        """Nothing."""


def advice(url: str) -> str:
    """What to try with curl on the proxy at ``url``."""
    lines = [
        ("1 s: fetched from the origin, and stored", f"curl -i {url}/"),
        ("at once: fresh for 5 s", f"curl -i {url}/"),
        ("at once all the same: stale, refreshed behind you", f"sleep 6; curl -i {url}/"),
        ("at once: the answer of that refresh", f"curl -i {url}/"),
        ("1 s each time: for you alone", f"curl -i {url}/private"),
        ("60 clients pile up on one fetch", f"for i in $(seq 60); do curl -s {url}/new & sleep .01; done; wait"),
        ("nobody waits, though it goes stale meanwhile", f"for i in $(seq 600); do curl -s {url}/ >/dev/null; done"),
    ]
    tries = "".join(f"  # {comment}\n  {command}\n\n" for comment, command in lines)
    return f"\nThe proxy is on {url}, in front of an origin that takes 1 s. Try:\n\n{tries}Ctrl-C ends it.\n\n"


def invitation(url: str, token: bytes) -> str:
    """Where to watch it. What follows # is for the page alone: no browser sends it anywhere."""
    return f"See the dashboard meanwhile:\n\n  {url}/#token={token.decode('ascii')}\n\n"
