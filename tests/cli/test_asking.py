"""What a command asks of the admin interface, and how it prints the answer: without either of them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from txstalecache.cli import explain, get, purge, top, warm
from txstalecache.cli.main import parser
from txstalecache.cli.page import Page

#: As much of every answer as is looked at.
ANSWER: dict[str, Any] = {
    "purged": True,
    "everywhere": True,
    "job": 7,
    "verdict": "miss",
    "variants": [{"selector": [], "body": ""}],
    "flights": [],
    "top": [],
}


def asked(
    ask: Callable[..., Awaitable[int]], *arguments: str
) -> tuple[list[tuple[str, str, str, dict[str, Any]]], str]:
    """What is asked, and what is printed."""
    seen: list[tuple[str, str, str, dict[str, Any]]] = []

    class Client:
        async def get(self, path: str, expected: str, **query: object) -> dict[str, Any]:
            seen.append(("GET", path, expected, query))
            return ANSWER

        async def post(self, path: str, expected: str, said: dict[str, Any]) -> dict[str, Any]:
            seen.append(("POST", path, expected, said))
            return ANSWER

    out = StringIO()
    asking = ask(parser().parse_args(arguments), Client(), Page(out)).__await__()
    with pytest.raises(StopIteration) as ended:
        next(asking)
    assert ended.value.value == 0
    return seen, out.getvalue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["all"], [{"mode": "hard", "dry": False}]),
        (["tag", "a", "b", "--soft"], [{"value": one, "mode": "soft", "dry": False} for one in "ab"]),
        (["url", "http://h/", "--dry-run"], [{"value": "http://h/", "mode": "hard", "dry": True}]),
        (
            ["variant", "/", "-H", "A: b", "-H", "a: c", "-H", "B:", "--refresh"],
            [{"value": "/", "fields": {"A": "b, c", "B": None}, "mode": "refresh", "dry": False}],
        ),
    ],
)
def test_a_purge_is_asked_for_as_it_was_said(arguments: list[str], said: list[dict[str, Any]]) -> None:
    seen, printed = asked(purge._ask, "purge", *arguments)
    assert seen == [("POST", "/v1/purge", "purged", {"scope": arguments[0], **one}) for one in said]
    assert len(printed.splitlines()) == len(said)
    _, printed = asked(purge._ask, "purge", *arguments, "--json")
    assert json.loads(printed) == (ANSWER if len(said) == 1 else [ANSWER] * len(said))


def test_a_question_is_asked_as_it_was_said() -> None:
    seen, _ = asked(explain._ask, "explain", "http://h/", "-X", "HEAD", "-H", "A : b:c ", "-H", "a:")
    assert seen == [
        ("POST", "/v1/explain", "verdict", {"url": "http://h/", "method": "HEAD", "fields": {"A": "b:c, "}})
    ]
    seen, _ = asked(explain._ask, "explain", "http://h/")
    assert seen[0][3] == {"url": "http://h/", "method": "GET", "fields": {}}


def test_what_is_to_be_warmed_and_how_fast_is_asked_for_as_it_was_said(tmp_path: Path) -> None:
    urls = tmp_path / "urls"
    urls.write_text("http://h/a\n")
    seen, printed = asked(warm._ask, "warm", str(urls), "--rate", "0.5", "--concurrency", "2", "--detach")
    assert seen == [("POST", "/v1/warm", "job", {"urls": ["http://h/a"], "rate": 0.5, "concurrency": 2})]
    assert printed == "7\n"
    seen, printed = asked(warm._ask, "warm", "http://h/sitemap.xml", "--detach", "--json")
    assert (seen[0][3], json.loads(printed)) == ({"sitemap": "http://h/sitemap.xml"}, {"job": "7"})


def test_bodies_and_rankings_are_asked_for_where_they_are_wanted() -> None:
    assert asked(get._ask, "get", "http://h/")[0] == [("GET", "/v1/entry", "variants", {"url": "http://h/"})]
    seen, _ = asked(get._ask, "get", "http://h/", "--body")
    assert seen == [("GET", "/v1/entry", "variants", {"url": "http://h/", "body": "true"})]
    seen, _ = asked(top._ask, "top", "--once", "--by", "bytes", "--limit", "3")
    assert seen == [
        ("GET", "/v1/status", "version", {}),
        ("GET", "/v1/flights", "flights", {}),
        ("GET", "/v1/top", "top", {"by": "bytes", "limit": 3}),
    ]
