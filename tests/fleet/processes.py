"""Real proxies in processes of their own, asked over sockets by threads."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterable
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.support.process import PROXY, environment

__all__ = ["Origin", "Proxy", "ask", "together"]


class Origin:
    """An origin in threads: counts what comes, answers after ``delay`` seconds what ``answer`` says."""

    def __init__(self) -> None:
        self.hits: list[str] = []
        self.delay = 0.0
        self.fields = {"Cache-Control": "max-age=60"}
        self.status = 200
        self.chunks: Callable[[], Iterable[bytes]] | None = None
        """The body in pieces, as they are to be sent; chunked."""
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                origin.hits.append(self.path)
                number = len(origin.hits)
                status, fields = origin.status, dict(origin.fields)
                time.sleep(origin.delay)
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
        self._server.shutdown()
        self._server.server_close()


class Proxy:
    """One ``twistd txstalecache`` in the foreground, with its workers."""

    def __init__(self, cwd: Path, *arguments: str, command: list[str] | None = None, **popen: Any) -> None:
        listen = [] if any(one == "--listen" for one in arguments) else ["--listen", "tcp:0:interface=127.0.0.1"]
        self.process = subprocess.Popen(
            [*(command or PROXY["twistd"]), *listen, *arguments],
            cwd=cwd,
            env=popen.pop("env", None) or environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            **popen,
        )
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self._port = 0

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self._lines.append(line.decode("utf-8", "replace"))
                self._more.notify_all()

    @property
    def output(self) -> str:
        with self._more:
            return "".join(self._lines)

    def wait_for(self, pattern: str, count: int = 1, seconds: float = 20.0) -> list[re.Match[str]]:
        """The first ``count`` matches of ``pattern`` in the output, waited for."""
        deadline = time.monotonic() + seconds
        while True:
            found = list(re.finditer(pattern, self.output))
            if len(found) >= count:
                return found
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{pattern!r} is not {count} times in:\n{self.output}")
            with self._more:
                self._more.wait(0.1)

    @property
    def port(self) -> int:
        """Where it listens, once it does."""
        if not self._port:
            self._port = int(self.wait_for(r"listens on http://127\.0\.0\.1:(\d+), in front")[0][1])
        return self._port

    @property
    def admin(self) -> int:
        """Where the admin interface listens."""
        return int(self.wait_for(r"admin interface listens on http://127\.0\.0\.1:(\d+)")[0][1])

    def workers(self, count: int) -> list[int]:
        """The processes of the workers, once ``count`` have been started and listen."""
        self.wait_for(r"worker \d+: .*listens on", count)
        return [int(found[1]) for found in self.wait_for(r"worker \d+ started: process (\d+)", count)]

    def end(self, seconds: float = 45.0) -> int:
        """SIGTERM; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(seconds)
        finally:
            self.close()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)
        self._thread.join(10)
        if self.process.stdout is not None:
            self.process.stdout.close()


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
