"""Every example starts as it is, but for addresses, and answers; a configuration is reloaded while it runs."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.request import urlopen

import pytest

from tests.fleet.processes import ask
from tests.support.process import Running, eventually
from tests.support.redis import redis_binaries
from tests.support.sentinel import Sentinels, free_port
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
        self.send_response(404 if self.path.endswith("/none") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Powered-By", "a test")
        if self.path.startswith("/page"):
            self.send_header("Cache-Control", "max-age=600")
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
    """``txstalecache run PATH``, and its port; must leave in order."""
    listen = ["--listen", "tcp:0:interface=127.0.0.1"]
    with Running([sys.executable, "-m", "txstalecache", "run", str(path), *listen], cwd) as one:
        yield one, int(one.wait_for(r"listens on http://127\.0\.0\.1:(\d+)")[1])
        one.process.send_signal(signal.SIGTERM)
        assert one.end() == 0
        assert "Traceback" not in one.output


def here(name: str, port: int, tmp_path: Path, redis: str = "") -> Path:
    """The example with its servers on this host; its Redis where ``redis`` says, else where there is none."""
    text = (EXAMPLES / name).read_text()
    text = re.sub(r"http://[0-9.]+:\d+", f"http://127.0.0.1:{port}", text)
    if redis:
        text = re.sub(r'"redis[^"]*"', f'"{redis}"', text)
    text = re.sub(r"(redis://)[^\"/]*", r"\g<1>127.0.0.1:1", text)
    if "[redis]" not in text:
        text += '\n[redis]\nurl = "memory"\n'
    path = tmp_path / name
    path.write_text(text)
    return path


#: A request of each (method, target, body, fields), and what the cache says when it comes again.
PROBES: dict[str, list[tuple[str, str, str | None, dict[str, str], str]]] = {
    "seed.toml": [
        ("GET", "/api/x", None, {}, "HIT"),
        ("GET", "/api/x?other", None, {}, "HIT"),
        ("GET", "/api/x", None, {"X_Skip_Fetch": "TRUE"}, "MISS"),
        ("GET", "/other", None, {}, "MISS"),
    ],
    "wordpress.toml": [
        ("GET", "/?utm_source=a", None, {}, "HIT"),
        ("GET", "/?b=2&a=1", None, {}, "HIT"),
        ("GET", "/none", None, {}, "HIT"),
        ("GET", "/a.css", None, {"Cookie": "wordpress_logged_in=1"}, "HIT"),
        ("GET", "/", None, {"Cookie": "wordpress_logged_in=1"}, "BYPASS"),
        ("GET", "/wp-admin/", None, {}, "MISS"),
        ("POST", "/wp-comments-post.php", "c", {}, "BYPASS"),
    ],
    "api.toml": [
        ("GET", "/v1/items", None, {}, "HIT"),
        ("GET", "/v1/none", None, {}, "HIT"),
        ("POST", "/v1/search", "q", {}, "HIT"),
        ("GET", "/v1/items", None, {"Authorization": "Bearer x"}, "BYPASS"),
    ],
    "ha-pair.toml": [("GET", "/page", None, {}, "HIT"), ("GET", "/x", None, {}, "MISS")],
}


def test_every_example_is_probed() -> None:
    assert {path.name for path in EXAMPLES.glob("*.toml")} == set(PROBES)


@pytest.mark.parametrize("name", sorted(set(PROBES) - {"ha-pair.toml"}))
def test_an_example_starts_and_does_what_it_says(name: str, site: int, tmp_path: Path) -> None:
    Configuration.load(str(EXAMPLES / name))
    with running(here(name, site, tmp_path), tmp_path) as (_, port):
        for method, target, body, fields, second in PROBES[name]:
            ask(port, target, method, body, **fields)
            status, got, _ = ask(port, target, method, body, **fields)
            assert status == (404 if target.endswith("/none") else 200), target
            assert got["x-cache"] == second, (target, fields, got)
            assert ("x-powered-by" in got) is (name != "wordpress.toml")
        if name == "api.toml":
            assert "GET /items" in Site.asked  # /v1 is taken off
        if name == "wordpress.toml":
            # Another order, and what a tracker added, are the same page.
            assert ask(port, "/?a=1&fbclid=3&b=2")[1]["x-cache"] == "HIT"


@pytest.mark.slow
def test_the_pair_shares_its_hits_and_has_them_back_after_a_failover(site: int, tmp_path: Path) -> None:
    binaries = redis_binaries()
    with ExitStack() as stack:
        servers = Sentinels(binaries[max(binaries)], tmp_path, stack)
        path = here("ha-pair.toml", site, tmp_path, servers.url)
        eventually(servers.knows_the_replica)
        (one, a), (two, b) = (stack.enter_context(running(path, tmp_path)) for _ in range(2))
        for proxy in (one, two):
            proxy.wait_for("Redis at .* is connected")
        assert ask(a, "/page/shared")[1]["x-cache"] == "MISS"
        eventually(lambda: ask(b, "/page/shared")[1]["x-cache"] == "HIT")
        assert Site.asked == ["GET /page/shared"]
        # Only the first host has had this one, and Redis has it from there.
        ask(a, "/page/before")
        eventually(lambda: len(servers.servers[1].command("KEYS", "*:e")) == 2)
        servers.servers[0].kill()
        for port in (a, b):
            for number in range(10):
                assert ask(port, f"/page/without/{number}")[0] == 200
            assert ask(port, "/page/shared")[0] == 200
        for proxy in (one, two):
            proxy.wait_for("Redis at .* is back", 30)
        eventually(lambda: ask(b, "/page/before")[1]["x-cache"] == "HIT")
        assert Site.asked.count("GET /page/before") == 1
        ask(a, "/page/after")
        eventually(lambda: ask(b, "/page/after")[1]["x-cache"] == "HIT")
        assert Site.asked.count("GET /page/after") == 1


def test_without_any_redis_the_pair_goes_on_each_for_itself(site: int, tmp_path: Path) -> None:
    with running(here("ha-pair.toml", site, tmp_path, "redis+sentinel://127.0.0.1:1/cache"), tmp_path) as (_, port):
        for method, target, body, fields, second in PROBES["ha-pair.toml"]:
            ask(port, target, method, body, **fields)
            assert ask(port, target, method, body, **fields)[1]["x-cache"] == second


def test_the_embedded_example_answers(tmp_path: Path) -> None:
    pytest.importorskip("klein")
    port = free_port()
    with Running([sys.executable, str(EXAMPLES / "embedded.py"), str(port)], tmp_path) as one:
        one.wait_for("starting on")
        for path, cache in (("/", None), ("/report", "MISS"), ("/report", "HIT")):
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as reply:
                assert (reply.status, reply.headers["X-Cache"]) == (200, cache)


def test_sighup_reloads_without_dropping_a_connection_and_a_bad_file_changes_nothing(site: int, tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    usual = f'[redis]\nurl = "memory"\n[upstream.www]\nservers = ["http://127.0.0.1:{site}"]\n'

    def says(mark: str) -> str:
        return usual + f'[defaults]\nrespond_with = {{ X-Of = "{mark}" }}\nttl = 60\n'

    def get() -> tuple[str | None, str | None]:
        client.request("GET", "/x")
        reply = client.getresponse()
        reply.read()
        assert client.sock is connected
        return reply.getheader("X-Of"), reply.getheader("X-Cache")

    path.write_text(says("one"))
    with running(path, tmp_path) as (one, port), closing(HTTPConnection("127.0.0.1", port, timeout=20)) as client:
        client.connect()
        connected = client.sock
        get()
        assert get() == ("one", "HIT")
        path.write_text("[[route]]\nttl = 'x'\n")
        one.process.send_signal(signal.SIGHUP)
        one.wait_for(r"configuration not reloaded: .*route\[1\]\.ttl")
        assert get() == ("one", "HIT")
        path.write_text(says("two"))
        one.process.send_signal(signal.SIGHUP)
        one.wait_for("configuration reloaded")
        assert get() == ("two", "HIT")


def test_the_test_of_a_page_passes_by_its_own_clock(tmp_path: Path) -> None:
    """What a resource answers is dated by the clock that its cache has."""
    command = [sys.executable, "-m", "twisted.trial", str(EXAMPLES / "in_a_test.py")]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
