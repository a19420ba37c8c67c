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
    ],
)
def test_what_cannot_be_meant_is_said(said: dict[str, object]) -> None:
    with pytest.raises(BadOrder):
        read(**said)
