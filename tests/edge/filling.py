"""A process that fills its memory tier several times over: ``python -m tests.edge.filling MIB SIZE...``.

Prints by how many bytes it has grown since it had served a little, as the kernel sees it. SIZE: bytes of a body.
"""

from __future__ import annotations

import gc
import os
import sys
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, succeed

from tests.edge.test_fastlane import DATE, Side
from tests.support.held_origin import HeldResponse
from tests.support.process import resident
from txstalecache.config.routes import Route
from txstalecache.flight.body import Body
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.origin.interfaces import OriginRequest

#: Bytes of body that come at a time.
CHUNK = 16 * 1024
FIELDS = [(b"Date", DATE), (b"Cache-Control", b"max-age=6000"), (b"Content-Type", b"text/html")]


def fetch(request: OriginRequest) -> Deferred[Any]:
    """``/N``: N bytes like no others."""
    size = int(request.head.path[1:])
    response = HeldResponse(ResponseHead(200, Fields([*FIELDS, (b"Content-Length", b"%d" % size)])), size)
    for at in range(0, size, CHUNK):
        response.send(os.urandom(min(CHUNK, size - at)))
    response.end()
    return succeed(response)


def main(limit: int, sizes: list[int]) -> int:
    side = Side(Route(), True, memory=limit)
    side.origin.fetch = fetch  # type: ignore[method-assign]

    def ask(size: int, number: int) -> None:
        line = b" /%d?%d HTTP/1.1\r\nHost: a\r\n" % (size, number)
        requests = [b"GET" + line] * 2  # the second time its answer is made ready
        if size > Body.COMPACT:
            # A long one has no ready answer, but its head and its parts have.
            requests += [b"HEAD" + line, b"GET" + line + b"Range: bytes=0-0\r\n"] * 2
        for request in requests:
            side.send(request + b"\r\n")
            side.heard()
            side.said = b""
            side.log.clear()

    for number in range(200):
        ask(100, -number)
    gc.collect()
    before, chosen, number = resident(), Random(1), 0
    # Until it has had to let go of twice as much as it has room for.
    while side.memory.evicted < 2 * len(side.memory):
        ask(chosen.choice(sizes), number)
        number += 1
    print(resident() - before)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) << 20, [int(word) for word in sys.argv[2:]]))
