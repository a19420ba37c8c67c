"""A client for what wrk cannot ask: ``python bench/keepalive.py PORT METHOD PATH CONNECTIONS SECONDS``.

Each of the connections asks again as soon as it has its answer, which must come in one piece. Prints how many came, and
how many of them were not as they should be. Slower than some servers here: who compares them takes their CPU time.
"""

from __future__ import annotations

import select
import socket
import sys
from time import monotonic


def main(port: int, method: str, path: str, connections: int, seconds: float) -> int:
    request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    poll = select.epoll()
    open_ = {}
    for _ in range(connections):
        one = socket.create_connection(("127.0.0.1", port))
        open_[one.fileno()] = one
        poll.register(one.fileno(), select.EPOLLIN)
        one.send(request)
    got = bad = 0
    bodyless = method == "HEAD"
    end = monotonic() + seconds
    while monotonic() < end:
        for number, _ in poll.poll(0.1):
            one = open_[number]
            data = one.recv(65536)
            got += 1
            bad += not data.startswith(b"HTTP/1.1 200 ") or data.endswith(b"\r\n\r\n") is not bodyless
            one.send(request)
    print(got, bad)
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), float(sys.argv[5])))
