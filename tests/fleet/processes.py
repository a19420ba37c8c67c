"""Real proxies in processes of their own, asked over sockets by threads."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.process import PROXY, Running

__all__ = ["Origin", "Proxy", "ask", "owners", "together"]


class Origin:
    """An origin in threads: counts what comes, answers after ``delay`` seconds what ``answer`` says."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.delay = 0.0
        self.fields = {"Cache-Control": "max-age=60"}
        self.status = 200
        self.chunks: Callable[[], Iterable[bytes]] | None = None
        """The body in pieces, as they are to be sent; chunked."""
        self.open = threading.Event()
        """Nothing is answered while it is not set."""
        self.open.set()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                origin.hits.append(self.path)
                number = len(origin.hits)
                status, fields = origin.status, dict(origin.fields)
                time.sleep(origin.delay)
                origin.open.wait(30)
                body = f"{number}\n".encode()
                try:
                    self.send_response(status)
                    if origin.chunks is not None:
                        for name, value in {**fields, "Transfer-Encoding": "chunked"}.items():
                            self.send_header(name, value)
                        self.end_headers()
                        for chunk in origin.chunks():
                            self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                        self.wfile.write(b"0\r\n\r\n")
                        return
                    for name, value in {**fields, "Content-Length": str(len(body))}.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True

            do_POST = do_GET

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self.open.set()
        self._server.shutdown()
        self._server.server_close()


class Proxy(Running):
    """One ``twistd txstalecache`` in the foreground, with its workers."""

    def __init__(self, cwd: Path, *arguments: str, command: list[str] | None = None, **popen: Any) -> None:
        listen = [] if any(one == "--listen" for one in arguments) else ["--listen", "tcp:0:interface=127.0.0.1"]
        super().__init__([*(command or PROXY["twistd"]), *listen, *arguments], cwd, **popen)
        self._port = 0

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        if not self._port:
            self._port = int(self.wait_for(r"listens on http://127\.0\.0\.1:(\d+), in front")[1])
        return self._port

    @property
    def admin(self) -> int:
        """Where the admin interface listens."""
        return int(self.wait_for(r"admin interface listens on http://127\.0\.0\.1:(\d+)")[1])

    def workers(self, count: int) -> list[int]:
        """The processes of the workers, once ``count`` have been started and listen."""
        self.wait_for_all(r"worker \d+: .*listens on", count)
        return [int(found[1]) for found in self.wait_for_all(r"worker \d+ started: process (\d+)", count)]

    def end(self, seconds: float = 60.0) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return super().end(seconds)


def ask(
    port: int, path: str = "/x", method: str = "GET", body: str | None = None, **fields: str
) -> tuple[int, dict[str, str], str]:
    """Status, fields (lower case) and body of one answer, on a connection of its own."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        headers = {"Host": "localhost", **{name.replace("_", "-"): value for name, value in fields.items()}}
        connection.request(method, path, body, headers)
        reply = connection.getresponse()
        text = reply.read().decode("latin-1")
        return reply.status, {name.lower(): value for name, value in reply.getheaders()}, text
    finally:
        connection.close()


def owners(port: int, processes: list[int]) -> dict[int, int]:
    """Which of ``processes`` has accepted which connection to ``port``: by the client's port."""
    sockets: dict[str, int] = {}
    for process in processes:
        folder = Path(f"/proc/{process}/fd")
        for link in folder.iterdir():
            try:
                sockets[os.readlink(link)] = process
            except OSError:
                pass  # closed meanwhile
    found = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        words = line.split()
        here, there = (int(address.rpartition(":")[2], 16) for address in words[1:3])
        owner = sockets.get(f"socket:[{words[9]}]")
        if here == port and there and owner is not None:
            found[there] = owner
    return found


def together(asks: list[Callable[[], Any]]) -> list[tuple[Any, float]]:
    """What each of ``asks`` came to (an exception is a result), begun at the same time, and how long it took."""
    results: list[tuple[Any, float]] = [(None, 0.0)] * len(asks)
    ready = threading.Barrier(len(asks))

    def run(number: int) -> None:
        ready.wait(30)
        began = time.monotonic()
        try:
            result: Any = asks[number]()
        except Exception as error:
            result = error
        results[number] = (result, time.monotonic() - began)

    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(asks))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results
