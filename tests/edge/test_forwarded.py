"""Whom the access log names: the client, as far back as somebody trusted says who that is."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest

from txstalecache.edge.forwarded import through
from txstalecache.http.messages import Fields
from txstalecache.observe.accesslog import Record

PROXIES = tuple(ip_network(one) for one in ("10.0.0.0/8", "fd00::/8"))


def logged(peer: str, *lines: bytes, proxies: Any = PROXIES) -> str:
    records: list[Record] = []
    fields = Fields([(b"X-Forwarded-For", line) for line in lines])
    asked: dict[str, Any] = {"method": b"GET", "target": b"/", "version": b"HTTP/1.1", "fields": fields}
    log = through(proxies, records.append)
    log(Record(time=0.0, client=peer, **asked, status=200, sent=0, verdict="fresh"))
    return records[0].client


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("10.0.0.1", [b"203.0.113.9"], "203.0.113.9"),
        ("10.0.0.1", [b"198.51.100.1, 203.0.113.9 ,10.0.0.2"], "203.0.113.9"),  # what a client says is its own affair
        ("10.0.0.1", [b"198.51.100.1", b"2001:DB8::1,fd00::2"], "2001:db8::1"),
        ("10.0.0.1", [b"10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("203.0.113.9", [b"198.51.100.1"], "203.0.113.9"),
        ("-", [b"198.51.100.1"], "-"),
        ("10.0.0.1", [b"unknown"], "10.0.0.1"),
        ("10.0.0.1", [b'203.0.113.9" 200 -, 10.0.0.2'], "10.0.0.2"),
        ("10.0.0.1", [b"\xff, , 10.0.0.2"], "10.0.0.2"),
    ],
)
def test_it_is_the_last_one_that_is_no_trusted_proxy(peer: str, lines: list[bytes], client: str) -> None:
    assert logged(peer, *lines) == client


def test_where_nobody_is_trusted_it_is_the_peer() -> None:
    assert logged("10.0.0.1", b"203.0.113.9", proxies=()) == "10.0.0.1"
