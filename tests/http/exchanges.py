"""Heads and entries for the tests of the pure core, written the way they look on the wire."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from txstalecache.http.admission import admit, make_entry
from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.fields import format_date
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Rules
from txstalecache.http.verdict import Store

#: When answers in these tests arrive: a whole second, so that Date says it exactly.
NOW = 1_700_000_000.0
RULES = Rules()


def fields(text: str = "") -> Fields:
    """One field a line. ``@N`` as a value stands for the date N seconds from ``NOW``."""
    pairs = []
    for line in text.splitlines():
        if not line.strip():
            continue
        name, _, value = line.strip().partition(":")
        value = value.strip()
        if value.startswith("@"):
            value = format_date(NOW + float(value[1:])).decode()
        pairs.append((name.encode("latin-1"), value.encode("latin-1")))
    return Fields(pairs)


def request(text: str = "", method: str = "GET", target: str = "/a") -> RequestHead:
    return RequestHead(method.encode(), target.encode(), fields(text), b"http", b"example.com")


def response(text: str = "", status: int = 200) -> ResponseHead:
    return ResponseHead(status, fields(text))


def entry(
    text: str = "Cache-Control: max-age=60",
    *,
    asked: str = "",
    status: int = 200,
    rules: Rules = RULES,
    body: bytes = b"0123456789",
) -> Entry:
    """The entry made of an answer that took no time at all and came at ``NOW``."""
    head = response(text if "date:" in text.lower() else text + "\nDate: @0", status)
    admission = admit(request(asked), head, rules, (NOW, NOW))
    assert isinstance(admission, Store), admission
    return make_entry(request(asked), head, (body,), admission, (NOW, NOW))


def with_freshness(known: Entry, **changes: Any) -> Entry:
    """``known`` with another life."""
    return replace(known, freshness=replace(known.freshness, **changes))


def bare_entry(text: str = "", *, status: int = 200, body: bytes = b"0123456789", lifetime: float = 60.0) -> Entry:
    """An entry nobody admitted: for functions that look at its fields only."""
    return Entry(
        status=status,
        fields=fields(text),
        body=(body,),
        request_time=NOW,
        response_time=NOW,
        freshness=Freshness(initial_age=0.0, lifetime=lifetime),
    )
