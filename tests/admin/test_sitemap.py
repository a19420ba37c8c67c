"""Sitemaps come from the origin: they are read with care, and warmed through the proxy."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from tests.admin.asking import TOKEN, Admin
from tests.fleet.processes import Proxy
from txstalecache.admin import sitemap
from txstalecache.admin.sitemap import MOST_BYTES, MOST_URLS, BadSitemap, Sitemap
from txstalecache.admin.warm import WarmJob
from txstalecache.edge.warming import Warmed

XMLNS = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
WHERE = "http://localhost/sitemap.xml"


def read(data: bytes, url: str) -> Sitemap:
    """What it comes to."""
    steps = sitemap.read(data, url)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def urlset(*locations: str) -> bytes:
    listed = "".join(f"<url><loc>{one}</loc><priority>0.5</priority></url>" for one in locations)
    return f'<?xml version="1.0"?><urlset {XMLNS}>{listed}</urlset>'.encode()


def index(*locations: str) -> bytes:
    listed = "".join(f"<sitemap><loc>{one}</loc></sitemap>" for one in locations)
    return f"<sitemapindex {XMLNS}>{listed}</sitemapindex>".encode()


def test_what_is_listed_is_asked_for_where_the_sitemap_was() -> None:
    found = read(urlset("http://localhost/a", " https://localhost:443/b?c=1&amp;d=2 ", "http://localhost/a"), WHERE)
    assert found.urls == ["http://localhost/a", "http://localhost/b?c=1&d=2"]
    assert read(index("http://localhost/one.xml"), WHERE).sitemaps == ["http://localhost/one.xml"]
    assert read(gzip.compress(urlset("http://localhost/a")), WHERE).urls == ["http://localhost/a"]


def test_it_speaks_for_its_own_host_only() -> None:
    found = read(urlset("http://localhost/a", "http://evil.example/b"), WHERE)
    assert (found.urls, found.others) == (["http://localhost/a"], ["http://evil.example/b"])


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not XML"),
        (b"<html><body>404</body></html>", "lists no URL"),
        (urlset(), "lists no URL"),
        (urlset("nonsense"), "is no URL"),
        (urlset("http://user@localhost/"), "is no URL"),
        (urlset("http://localhost/a")[:-9], "not XML"),
        (b"<a>" * 101 + b"</a>" * 101, "100 deep"),
        (
            '<!DOCTYPE x [<!ENTITY a "aaaa">]><urlset><url><loc>&a;</loc></url></urlset>'.encode("utf-16"),
            "document type",
        ),
        (b'<!DOCTYPE x [<!ENTITY a "aaaa">]><urlset><url><loc>&a;</loc></url></urlset>', "document type"),
        (gzip.compress(b" " * (MOST_BYTES + 10), mtime=0), "more than"),
        (gzip.compress(urlset("http://localhost/a"), mtime=0)[:-9], "cut short"),
        (b"\x1f\x8bnonsense", "not gzip"),
        (b" " * MOST_BYTES, "more than"),
    ],
)
def test_what_is_none_is_said_in_one_line(data: bytes, says: str) -> None:
    with pytest.raises(BadSitemap, match=says) as raised:
        read(data, WHERE)
    assert "\n" not in str(raised.value)


@given(st.binary(max_size=400) | st.text(max_size=200).map(lambda text: urlset(text)))
def test_nothing_but_a_bad_sitemap_comes_of_anything(data: bytes) -> None:
    try:
        found = read(data, WHERE)
    except BadSitemap:
        return
    assert all(url.startswith("http://localhost/") for url in found.urls)


@pytest.fixture
def pages() -> Iterator[tuple[str, list[str]]]:
    """A site with an index of sitemaps; its URL, and what was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            asked.append(self.path)
            body = {
                "/sitemap.xml": index("http://localhost/one.xml", "http://localhost/two.xml"),
                "/one.xml": urlset("http://localhost/a", "http://localhost/b"),
                "/two.xml": urlset("http://localhost/c", "http://elsewhere.example/d"),
                "/none.xml": b"<html/>",
                "/partly.xml": index(
                    "http://localhost/lost.xml", "http://localhost/none.xml", "http://localhost/one.xml"
                ),
                "/ring.xml": index("http://localhost/ring.xml", "http://localhost/one.xml"),
            }.get(self.path, b"page")
            self.send_response(404 if self.path == "/lost.xml" else 200)
            self.send_header("Cache-Control", "max-age=60")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def admin(pages: tuple[str, list[str]], tmp_path: Path) -> Iterator[Admin]:
    """Of a proxy in front of that site."""
    (tmp_path / "token").write_text(TOKEN)
    options = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(tmp_path / "token"))
    proxy = Proxy(tmp_path, "--origin", pages[0], "--redis", "memory", *options)
    try:
        yield Admin(proxy)
        assert proxy.end() == 0
    finally:
        proxy.close()


def warmed(admin: Admin, sitemap: str) -> dict[str, Any]:
    """What the job said at its end."""
    said = admin.post("/v1/warm", {"sitemap": sitemap})[1]
    job: dict[str, Any] = admin.until(f"/v1/warm/{said['job']}", lambda said: said["state"] != "running")
    return job


def test_a_sitemap_is_warmed_through_the_proxy(pages: tuple[str, list[str]], admin: Admin) -> None:
    asked = pages[1]
    job = warmed(admin, WHERE)
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 3, 1, 4)
    assert job["errors"] == [{"url": "http://elsewhere.example/d", "problem": "another host than the sitemap's"}]
    assert sorted(asked) == ["/a", "/b", "/c", "/one.xml", "/sitemap.xml", "/two.xml"]
    assert {admin.visit(path) for path in ("/a", "/b", "/c")} == {"page"}
    assert len(asked) == 6
    job = warmed(admin, "http://localhost/none.xml")
    assert (job["state"], job["errors"][0]["problem"]) == ("failed", "no sitemap: it lists no URL")
    # Whatever host is named: not that one is asked.
    job = warmed(admin, "http://elsewhere.example/lost.xml")
    assert job["errors"][0]["problem"] == "no sitemap: the proxy's origin answers 404"


def test_a_sitemap_of_an_index_that_is_none_costs_what_it_lists_and_no_more(admin: Admin) -> None:
    job = warmed(admin, "http://localhost/partly.xml")
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 2, 2, 4)
    assert [(error["url"], error["problem"]) for error in job["errors"]] == [
        ("http://localhost/lost.xml", "no sitemap: the proxy's origin answers 404"),
        ("http://localhost/none.xml", "no sitemap: it lists no URL"),
    ]


def test_an_index_that_lists_itself_comes_to_an_end(admin: Admin) -> None:
    job = warmed(admin, "http://localhost/ring.xml")
    assert (job["state"], job["done"], job["failed"]) == ("done", 2, 1)
    assert job["errors"] == [{"url": "http://localhost/ring.xml", "problem": "no sitemap: an index within an index"}]


def test_what_is_too_much_in_all_is_left_out_and_said_to_be() -> None:
    clock = Clock()
    most = MOST_URLS * 2 // 3
    bodies = {
        b"http://localhost/many.xml": index(*(f"http://localhost/{n}.xml" for n in (1, 2))),
        **{
            f"http://localhost/{n}.xml".encode(): urlset(*(f"http://localhost/{n}/{m}" for m in range(most)))
            for n in (1, 2)
        },
    }
    job = WarmJob("1", clock, lambda url, _: succeed(Warmed(200, True, "", bodies.get(url, b""))), 0.01, 1)
    job.start((), "http://localhost/many.xml")
    clock.pump([0] * 4)
    left_out = 2 * most - MOST_URLS
    assert job.told()["total"] == MOST_URLS + 1
    problem = f"{left_out} of its URLs are left out: more than {MOST_URLS} in all"
    assert job.told()["errors"] == [{"url": "http://localhost/2.xml", "problem": problem}]
    job.cancel()
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_long_one_is_read_in_turns_and_the_job_may_be_cancelled_between_them(packed: bool) -> None:
    clock = Clock()
    urls = [f"http://localhost/{number}" for number in range(5000)]
    listed = urlset(*urls)
    steps = sitemap.read(gzip.compress(listed) if packed else listed, WHERE)
    assert sum(1 for _ in steps) == -(-len(listed) // (32 * 1024)) > 7
    body = gzip.compress(listed) if packed else listed
    job = WarmJob("1", clock, lambda url, _: succeed(Warmed(200, True, "", body)), 0.01, 1)
    job.start((), WHERE)
    (answered,) = clock.getDelayedCalls()
    due = answered.func, answered.args, answered.kw  # type: ignore[attr-defined]
    answered.cancel()
    due[0](*due[1], **due[2])
    assert len(clock.getDelayedCalls()) == 1 and job.told()["total"] == 0
    job.cancel()
    assert clock.getDelayedCalls() == [] and job.told()["state"] == "cancelled"
