"""What an operator says, read as a purge, as a list to be warmed, or as a question."""

from __future__ import annotations

import json
from typing import Any

import pytest

from txstalecache.admin.orders import LONGEST, BadOrder, Mode, Order, Question, WarmOrder, reading
from txstalecache.store.purges import Hardness, Scope


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
        {"scope": "variant", "value": "/a", "fields": {"a": "b" * (LONGEST + 1)}},
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
        {"scope": "everything"},
        {"scope": "everything", "value": "/a"},
        {"scope": "url"},
        {"scope": "url", "value": 5},
        {"scope": "url", "value": ""},
        {"scope": "url", "value": "/" + "a" * LONGEST},
        {"scope": "url", "value": "/a b"},
        {"scope": "url", "value": "/a\x7f"},
        {"scope": "url", "value": "/ü"},
        {"scope": "url", "value": "/a", "mode": "refresh"},
        {"scope": "url", "value": "/a", "mode": "medium"},
        {"scope": "url", "value": "/a", "mode": []},
        {"scope": "url", "value": "/a", "dry": 1},
        {"scope": "url", "value": "/a", "hard": True},
        {"scope": "tag", "value": "a b"},
        {"scope": "all", "value": "x"},
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


@pytest.mark.parametrize(
    ("said", "scope"),
    [
        ({"scope": "all"}, Scope.everything()),
        ({"scope": "tag", "value": "grün"}, Scope.of_tag("grün".encode())),
        ({"scope": "url", "value": "/" + "a" * (LONGEST - 1)}, Scope.of_url(b"/" + b"a" * (LONGEST - 1), b"")),
        ({"scope": "url", "value": "https://h:443/a"}, Scope.of_url(b"/a", b"h")),
        ({"scope": "prefix", "value": "/a"}, Scope.of_prefix(b"/a", b"")),
        ({"scope": "host", "value": "h"}, Scope.of_host(b"h")),
        ({"scope": "variant", "value": "/a", "fields": {"A": "b"}}, Scope.of_variant(b"/a", {b"a": b"b"}, b"")),
    ],
)
def test_a_purge_is_hard_and_done_where_nothing_else_is_said(said: dict[str, object], scope: Scope) -> None:
    order = read(**said)
    assert (order.scope, order.mode.hardness, order.dry) == (scope, Hardness.HARD, False)
    dry = read(**said, mode="soft", dry=True)
    assert (dry.scope, dry.mode.hardness, dry.dry) == (scope, Hardness.SOFT, True)


def test_to_refresh_is_to_purge_softly_and_to_know_the_url() -> None:
    order = read(scope="url", value="http://h/a?b", mode="refresh")
    assert (order.mode.hardness, order.url) == (Hardness.SOFT, b"http://h/a?b")
    assert read(scope="tag", value="a", mode="refresh").url is None
    assert read(scope="url", value="/a").url is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'"all"', b"[" * 100_000])
def test_what_is_no_object_is_no_order(body: bytes) -> None:
    for kind in (Order, WarmOrder, Question):
        with pytest.raises(BadOrder, match=r"expected (a )?JSON"):
            kind.read(body)


def test_what_is_not_utf_8_is_not_read() -> None:
    assert reading("ü".encode()) == "ü".encode()
    with pytest.raises(BadOrder, match="expected UTF-8"):
        reading("ü".encode("latin-1"))


URL = "http://h/a"


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ({"urls": [URL]}, True),
        ({"urls": [URL] * 10_000}, True),
        ({"urls": [URL] * 10_001}, False),
        ({"urls": []}, False),
        ({"urls": URL}, False),
        ({"urls": ["/a"]}, False),
        ({"urls": [5]}, False),
        ({"urls": ["http://h/ü"]}, False),
        ({"urls": ["http://h/" + "a" * (LONGEST - 9)]}, True),
        ({"urls": ["http://h/" + "a" * (LONGEST - 8)]}, False),
        ({"urls": [URL], "sitemap": URL}, False),
        ({"sitemap": URL}, True),
        ({"sitemap": ""}, False),
        ({"sitemap": URL, "rate": 0.01}, True),
        ({"sitemap": URL, "rate": 0.009}, False),
        ({"sitemap": URL, "rate": 1000}, True),
        ({"sitemap": URL, "rate": 1000.1}, False),
        ({"sitemap": URL, "rate": True}, False),
        ({"sitemap": URL, "rate": "5"}, False),
        ({"sitemap": URL, "concurrency": 1}, True),
        ({"sitemap": URL, "concurrency": 64}, True),
        ({"sitemap": URL, "concurrency": 65}, False),
        ({"sitemap": URL, "concurrency": 0}, False),
        ({"sitemap": URL, "concurrency": True}, False),
        ({"sitemap": URL, "concurrency": 1.0}, False),
    ],
)
def test_a_list_to_be_warmed_is_bounded(said: dict[str, Any], good: bool) -> None:
    body = json.dumps(said).encode()
    if good:
        order = WarmOrder.read(body)
        found = [list(order.urls), order.sitemap, order.rate, order.concurrency]
        assert found == [said.get("urls", []), said.get("sitemap"), said.get("rate", 20), said.get("concurrency", 4)]
    else:
        with pytest.raises(BadOrder):
            WarmOrder.read(body)


@pytest.mark.parametrize(
    ("said", "good"),
    [
        ({}, True),
        ({"method": "X" * 32}, True),
        ({"method": "X" * 33}, False),
        ({"method": ""}, False),
        ({"method": 1}, False),
        ({"fields": {f"a{n}": "b" for n in range(100)}}, True),
        ({"fields": {f"a{n}": "b" for n in range(101)}}, False),
        ({"fields": {"a": "b" * LONGEST}}, True),
        ({"fields": {"a": "b" * (LONGEST + 1)}}, False),
        ({"fields": {"a": 1}}, False),
        ({"fields": {"": "b"}}, False),
        ({"fields": []}, False),
    ],
)
def test_a_question_is_bounded(said: dict[str, Any], good: bool) -> None:
    body = json.dumps({"url": URL, **said}).encode()
    if good:
        question = Question.read(body)
        fields = [list(pair) for pair in said.get("fields", {}).items()]
        assert (question.url, question.method, question.fields) == (URL, said.get("method", "GET"), fields)
    else:
        with pytest.raises(BadOrder):
            Question.read(body)
