"""A klein app with one slow route, cached in the same process: ``python examples/embedded.py [PORT]``."""

from __future__ import annotations

import sys
from typing import Any

from klein import Klein
from twisted.internet.task import deferLater
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from txstalecache import cached

app = Klein()


class Report(Resource):
    """Takes a second to make."""

    isLeaf = True
    made = 0

    def render_GET(self, request: Any) -> int:
        """The report, later."""
        from twisted.internet import reactor

        self.made += 1
        made = b"report %d\n" % self.made
        deferLater(reactor, 1.0).addCallback(lambda _: (request.write(made), request.finish()))
        return NOT_DONE_YET


@app.route("/report", branch=True)
@cached(ttl=5, stale=60)
def report(request: Any) -> Resource:
    """Made once, however many ask for it, and at most every 5 s."""
    return Report()


@app.route("/")
def home(request: Any) -> str:
    """Not cached."""
    return "see /report\n"


if __name__ == "__main__":
    app.run("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
