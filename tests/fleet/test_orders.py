"""What an operator says, read as a purge."""

from __future__ import annotations

import json

import pytest

from txstalecache.admin.orders import BadOrder, Mode, Order
from txstalecache.store.purges import Scope


def read(**said: object) -> Order:
    return Order.read(json.dumps(said).encode())


def test_a_variant_is_a_url_and_what_requests_say() -> None:
    order = read(scope="variant", value="http://Example.org/a", fields={"Accept-Language": " de ", "Cookie": None})
    assert order.scope == Scope.of_variant(b"/a", {b"accept-language": b"de", b"cookie": None}, b"example.org")
    assert (order.mode, order.url) == (Mode.HARD, None)
    assert read(scope="variant", value="/a", fields={"A": "b"}, mode="soft").mode is Mode.SOFT


@pytest.mark.parametrize(
    "said",
    [
        {"scope": "variant", "value": "/a"},
        {"scope": "variant", "value": "/a", "fields": {}},
        {"scope": "variant", "value": "/a", "fields": ["a"]},
        {"scope": "variant", "value": "/a", "fields": {"a b": "c"}},
        {"scope": "variant", "value": "/a", "fields": {"": "c"}},
        {"scope": "variant", "value": "/a", "fields": {"a": 1}},
        {"scope": "variant", "value": "/a", "fields": {"a": "b\r\nc"}},
        {"scope": "variant", "value": "/a", "fields": {"a": "ü"}},
        {"scope": "variant", "value": "/a", "fields": {f"a{n}": "b" for n in range(33)}},
        {"scope": "variant", "fields": {"a": "b"}},
        {"scope": "url", "value": "/a", "fields": {"a": "b"}},
        {"scope": "all", "fields": {"a": "b"}},
        {"scope": "host", "value": "http://example.org"},
        {"scope": "host", "value": "example.org/x"},
        {"scope": "host", "value": "[::1"},
        {"scope": "host", "value": "[::g]"},
        {"scope": "host", "value": "*.example.org"},
        {"scope": "host", "value": "example..org"},
        {"scope": "host", "value": "example.org:99999"},
        {"scope": "prefix", "value": "http://[::1/x"},
    ],
)
def test_what_cannot_be_meant_is_said(said: dict[str, object]) -> None:
    with pytest.raises(BadOrder):
        read(**said)


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("Example.org", b"example.org"),
        ("example.org:80", b"example.org"),
        ("example.org:8080", b"example.org:8080"),
        ("[::1]:8080", b"[::1]:8080"),
    ],
)
def test_a_host_is_as_keys_have_it(said: str, host: bytes) -> None:
    assert read(scope="host", value=said).scope == Scope.of_host(host)
