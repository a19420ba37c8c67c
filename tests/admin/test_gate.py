"""Who may ask the admin interface, and by which name."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.web.server import Request
from twisted.web.test.requesthelper import DummyChannel

from tests.admin.asking import TOKEN, Admin
from tests.fleet.processes import Origin, Proxy, ask
from txstalecache.admin.gate import Gate, Refused
from txstalecache.admin.openapi import DOCUMENT

OPEN = {"/healthz", "/readyz", "/openapi.json"}
EVERY = [
    (path.replace("{id}", "1"), method.upper())
    for path, item in DOCUMENT["paths"].items()
    for method in item
    if method != "parameters"
]


@pytest.mark.parametrize(("path", "method"), EVERY)
def test_without_the_token_there_is_nothing_but_what_says_nothing(admin: Admin, path: str, method: str) -> None:
    for token in ("", "Bearer", "Bearer wrong-token-of-some-length", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x"):
        status, said = admin.send(method, path, None, Authorization=token)
        if path in OPEN:
            assert status == 200
        else:
            assert (status, said) == (401, {"error": "the token is missing or wrong"})


def test_a_name_that_was_made_to_point_here_is_turned_away(admin: Admin) -> None:
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "10.0.0.1"):
        for path in ("/v1/status", "/healthz", "/", "/openapi.json"):
            assert admin.get(path, Host=host)[0] == 421, (host, path)
    port = admin.proxy.admin
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert client.recv(1024).startswith(b"HTTP/1.1 421 Misdirected Request\r\n")
    for host in ("localhost", f"localhost:{port}", "127.0.0.1", f"127.0.0.1:{port}", "[::1]", "a.localhost"):
        assert admin.get("/v1/status", Host=host)[0] == 200, host


@pytest.mark.parametrize("name", ["192.0.2.7", "192.0.2.7:8081", "[::ffff:192.0.2.7]:8081"])
def test_the_address_it_came_to_is_ours_where_one_socket_is_for_ipv6_and_ipv4(name: str) -> None:
    asked = Request(DummyChannel())
    asked.host = IPv6Address("TCP", "::ffff:192.0.2.7", 8081)
    asked.requestHeaders.setRawHeaders(b"host", [name.encode()])
    Gate(TOKEN.encode()).named(asked)
    asked.requestHeaders.setRawHeaders(b"host", [b"192.0.2.8"])
    with pytest.raises(Refused, match="--admin-hosts"):
        Gate(TOKEN.encode()).named(asked)


def came(here: IAddress, **fields: list[str]) -> Request:
    """A request that came to the address ``here``."""
    asked = Request(DummyChannel())
    asked.host = here
    for name, lines in fields.items():
        asked.requestHeaders.setRawHeaders(name, lines)
    return asked


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("LocalHost:8081", True),
        ("localhost.", True),
        ("a.b.localhost", True),
        ("127.8.8.8", True),
        ("[::1]:8081", True),
        ("192.0.2.7:8081", True),
        ("Cache.example.net.:8081", True),
        ("notlocalhost", False),
        ("localhost.example", False),
        ("a.cache.example.net", False),
        ("192.0.2.8", False),
        ("", False),
    ],
)
def test_a_name_is_ours_however_it_is_written(host: str, ours: bool) -> None:
    gate = Gate(TOKEN.encode(), {"cache.example.net"})
    asked = came(IPv4Address("TCP", "192.0.2.7", 8081), host=[host])
    if ours:
        gate.named(asked)
    else:
        with pytest.raises(Refused) as refused:
            gate.named(asked)
        assert refused.value.status == 421


def test_over_a_unix_socket_any_name_will_do() -> None:
    Gate(TOKEN.encode()).named(came(UNIXAddress(b"/run/s"), host=["evil.example"]))


@pytest.mark.parametrize(
    ("lines", "known"),
    [
        ([f"Bearer {TOKEN}"], True),
        ([f"bearer   {TOKEN} "], True),
        ([], False),
        ([""], False),
        ([f"Bearer {TOKEN}", f"Bearer {TOKEN}"], False),
        ([f"Bearer {TOKEN} {TOKEN}"], False),
        ([f"Token {TOKEN}"], False),
        ([f"Bearer {TOKEN.upper()}"], False),
    ],
)
def test_the_token_is_known_by_one_line_that_has_it(lines: list[str], known: bool) -> None:
    gate, asked = Gate(TOKEN.encode()), came(UNIXAddress(b"/run/s"), authorization=lines)
    if known:
        gate.known(asked)
    else:
        with pytest.raises(Refused) as refused:
            gate.known(asked)
        assert (refused.value.status, refused.value.fields) == (401, {"WWW-Authenticate": "Bearer"})


def test_there_is_no_gate_without_a_token() -> None:
    with pytest.raises(ValueError, match="without a token"):
        Gate(b"")


def test_a_form_of_another_site_is_refused_even_with_the_token(admin: Admin) -> None:
    said = json.dumps({"scope": "all"})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        assert admin.send("POST", "/v1/purge", said, **{"Content-Type": kind})[0] == 415
    assert admin.send("POST", "/v1/purge", said, **{"Content-Type": "application/json; charset=utf-8"})[0] == 200


def test_nobody_else_may_read_the_answers(admin: Admin) -> None:
    for method, path in (("GET", "/v1/status"), ("OPTIONS", "/v1/status"), ("GET", "/")):
        _, fields, _ = ask(admin.proxy.admin, path, method, Origin="http://evil.example", Host="localhost")
        assert not [name for name in fields if name.startswith("access-control-")]
        assert "set-cookie" not in fields
        assert fields["x-content-type-options"] == "nosniff"


def test_what_is_wrong_is_said_in_one_line(admin: Admin) -> None:
    asked: list[tuple[str, str, Any, str]] = [
        ("GET", "/v1/entry", None, "url:"),
        ("GET", "/v1/entry?url=x", None, "url: expected a URL"),
        ("GET", "/v1/entry?url=http://a/&url=http://b/", None, "url: given more than once"),
        ("GET", "/v1/entry?url=http://a/&x=1", None, "unknown: 'x'"),
        ("GET", "/v1/entry?url=http://a/&body=maybe", None, "body:"),
        ("GET", "/v1/top?by=luck", None, "by: expected one of"),
        ("GET", "/v1/top?limit=0", None, "limit:"),
        ("GET", "/v1/top?limit=99999999999999999999", None, "limit:"),
        ("GET", "/v1/top?limit=000010000000", None, "limit:"),
        ("GET", f"/v1/top?limit=00001{'0' * 5000}", None, "limit:"),
        ("POST", "/v1/explain", {"url": "http://a/", "fields": {"a b": "c"}}, "fields:"),
        ("POST", "/v1/explain", {"url": "http://a/", "fields": {"a": "b\r\nc: d"}}, "fields:"),
        ("POST", "/v1/explain", {"url": "http://a/", "method": "GET /x"}, "method:"),
        ("POST", "/v1/explain", {"url": "ftp://a/"}, "url:"),
        ("POST", "/v1/warm", {}, "expected either urls or sitemap"),
        ("POST", "/v1/warm", {"urls": ["http://a/", 3]}, "urls[1]:"),
        ("POST", "/v1/warm", {"urls": ["http://a/"], "rate": 0}, "rate:"),
        ("POST", "/v1/warm", {"urls": ["http://a/"], "concurrency": 1e9}, "concurrency:"),
        ("POST", "/v1/purge", {"scope": "url", "value": "http://a/", "dry": "yes"}, "dry:"),
        ("POST", "/v1/purge", [], "expected a JSON object"),
    ]
    for method, path, said, problem in asked:
        status, answer = admin.send(
            method, path, None if said is None else json.dumps(said), **{"Content-Type": "application/json"}
        )
        assert (status, answer["error"].startswith(problem)) == (400, True), (path, answer)
    assert admin.get("/v1/nothing")[0] == 404
    assert admin.send("DELETE", "/v1/status", None)[0] == 405


def test_over_a_unix_socket_with_the_token_from_the_environment(
    site: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TXSTALECACHE_ADMIN_TOKEN", TOKEN)
    place = tmp_path / "admin.sock"
    proxy = Proxy(tmp_path, "--origin", site.url, "--redis", "memory", "--admin", f"unix:{place}")
    try:
        proxy.wait_for("admin interface listens")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(place))
            connection.sendall(
                f"GET /v1/status HTTP/1.1\r\nHost: anything\r\nAuthorization: Bearer {TOKEN}\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            answer = b""
            while chunk := connection.recv(65536):
                answer += chunk
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert json.loads(answer.partition(b"\r\n\r\n")[2])["process"]["pid"] == proxy.process.pid
        assert TOKEN not in proxy.output
        assert proxy.end() == 0
    finally:
        proxy.close()


def test_a_name_that_is_allowed_is_ours_and_a_short_token_is_none(
    site: Origin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from txstalecache.config.options import Options

    options = ["--origin", site.url, "--admin", "tcp:0", "--admin-hosts", "Cache.example.net"]
    monkeypatch.setenv("TXSTALECACHE_ADMIN_TOKEN", "short")
    with pytest.raises(SystemExit):
        Options().parseOptions(options)
    assert "--admin: expected one token of 16" in capsys.readouterr().err
    monkeypatch.setenv("TXSTALECACHE_ADMIN_TOKEN", TOKEN)
    read = Options()
    read.parseOptions(options)
    fleet = read.settings.fleet
    assert (fleet.token, fleet.admin_hosts) == (TOKEN.encode(), frozenset({"cache.example.net"}))
    with pytest.raises(SystemExit):
        Options().parseOptions(["--origin", site.url, "--admin-hosts", "a.example"])
    assert "--admin-hosts: is for --admin, which is not given" in capsys.readouterr().err


def test_while_it_drains_it_is_alive_and_not_ready(site: Origin, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    options = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(tmp_path / "token"))
    proxy = Proxy(tmp_path, "--origin", site.url, "--redis", "memory", *options)
    try:
        admin = Admin(proxy)
        admin.until("/readyz", lambda said: said["ready"])
        site.open.clear()
        answered: list[str] = []
        client = threading.Thread(target=lambda: answered.append(admin.visit("/last")))
        client.start()
        admin.until("/v1/flights", lambda said: said["flights"])
        proxy.process.terminate()
        said = admin.until("/readyz", lambda said: not said["ready"])
        assert said["why"] == "draining"
        assert admin.get("/readyz")[0] == 503
        assert admin.get("/healthz")[0] == 200
        site.open.set()
        client.join(10)
        assert answered[0].strip().isdigit()
        assert proxy.end() == 0
    finally:
        site.open.set()
        proxy.close()
