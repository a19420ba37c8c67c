"""Every example starts as it is, but for addresses, and answers; a configuration is reloaded while it runs."""

from __future__ import annotations

import re
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

import pytest

from tests.test_service import Running, ask
from txstalecache.config.toml import Configuration

EXAMPLES = Path(__file__).parents[2] / "examples"


class Site(BaseHTTPRequestHandler):
    """Counts what it is asked."""

    protocol_version = "HTTP/1.1"
    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = b"%s %s" % (self.path.encode(), self.rfile.read(length))
        if self.path != "/healthz":
            self.asked.append(f"{self.command} {self.path}")
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing."""


@pytest.fixture
def site() -> Iterator[int]:
    Site.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join(5)


@contextmanager
def running(path: Path, cwd: Path) -> Iterator[tuple[Running, int]]:
    listen = ["--listen", "tcp:0:interface=127.0.0.1"]
    one = Running([sys.executable, "-m", "txstalecache", "run", str(path), *listen], cwd)
    try:
        yield one, int(one.wait_for(r"http://127\.0\.0\.1:(\d+)")[1])
        one.process.send_signal(signal.SIGTERM)
        assert one.end() == 0
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.end()
        assert one.process.stdout is not None
        one.process.stdout.close()


def here(name: str, port: int, tmp_path: Path) -> Path:
    """The example with its servers on this host, and its Redis where there is none."""
    text = (EXAMPLES / name).read_text()
    text = re.sub(r"http://[0-9.]+:\d+", f"http://127.0.0.1:{port}", text)
    text = re.sub(r"(redis[a-z+]*://)[^\"/]*", r"\g<1>127.0.0.1:1", text)
    if "[redis]" not in text:
        text += '\n[redis]\nurl = "memory"\n'
    path = tmp_path / name
    path.write_text(text)
    return path


#: A target of each, and what the cache says of the second request for it.
PROBES = {
    "seed.toml": [("/api/x", "HIT"), ("/other", "MISS")],
    "wordpress.toml": [("/?utm_source=a", "HIT"), ("/a.css", "HIT"), ("/wp-admin/", "MISS")],
    "api.toml": [("/v1/items", "HIT"), ("/v1/search?q", "HIT")],
    "ha-pair.toml": [("/x", "MISS")],
}


def test_every_example_is_probed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.toml")} == set(PROBES)


@pytest.mark.parametrize("name", sorted(PROBES))
def test_an_example_starts_and_answers(name: str, site: int, tmp_path: Path) -> None:
    Configuration.load(str(EXAMPLES / name))
    with running(here(name, site, tmp_path), tmp_path) as (_, port):
        for target, second in PROBES[name]:
            ask(port, target)
            head, _ = ask(port, target)
            assert head.startswith("HTTP/1.1 200"), head
            assert f"X-Cache: {second}" in head, (target, head)
        if name == "api.toml":
            assert "GET /items" in Site.asked  # /v1 is taken off


def test_the_embedded_example_answers(tmp_path: Path) -> None:
    pytest.importorskip("klein")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = Running([sys.executable, str(EXAMPLES / "embedded.py"), str(port)], tmp_path)
    try:
        one.wait_for("starting on")
        for path, cache in (("/", None), ("/report", "MISS"), ("/report", "HIT")):
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
                assert (reply.status, reply.headers["X-Cache"]) == (200, cache)
    finally:
        one.process.kill()
        one.end()
        assert one.process.stdout is not None
        one.process.stdout.close()


def test_sighup_reloads_without_dropping_a_connection_and_a_bad_file_changes_nothing(site: int, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    usual = f'[redis]\nurl = "memory"\n[upstream.www]\nservers = ["http://127.0.0.1:{site}"]\n'
    path.write_text(usual + '[defaults]\nrespond_with = { X-Of = "one" }\nttl = 60\n')
    with running(path, tmp_path) as (one, port):
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            ask(port, "/x", client)
            assert "X-Of: one" in ask(port, "/x", client)[0]
            path.write_text("[[route]]\nttl = 'x'\n")
            one.process.send_signal(signal.SIGHUP)
            one.wait_for(r"configuration not reloaded: .*route\[1\]\.ttl")
            assert "X-Of: one" in ask(port, "/x", client)[0]
            path.write_text(usual + '[defaults]\nrespond_with = { X-Of = "two" }\nttl = 60\n')
            one.process.send_signal(signal.SIGHUP)
            one.wait_for("configuration reloaded")
            head, _ = ask(port, "/x", client)
            assert "X-Of: two" in head and "X-Cache: HIT" in head
