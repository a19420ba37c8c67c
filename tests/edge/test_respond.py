"""What the ordinary way makes of an answer that streams."""

from __future__ import annotations

from typing import Any

import pytest

from txstalecache.config.routes import Route
from txstalecache.edge import respond
from txstalecache.edge.reply import Reply
from txstalecache.edge.visit import NOBODY, Outcome, Visit
from txstalecache.flight.body import Body
from txstalecache.flight.landing import Attached
from txstalecache.http.fields import format_date
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead, ResponseHead

NOW = 1_800_000_000.0
OLD = format_date(NOW - 100)


def answered(asked: Any, said: Any) -> Reply:
    """What a leader who sends the fields ``asked`` gets of a page whose origin ``said`` these."""
    head = RequestHead(b"GET", b"/x", Fields(((b"Host", b"h"), *asked)), b"http", b"h")
    visit = Visit(NOBODY, head, Route(), Key((b"k",)), NOW, outcome=Outcome("miss", "miss", "leader"))
    landing = Attached(ResponseHead(200, Fields(said)), Body.of((b"0123456789",)), 10, False, "private")
    return respond.from_flight(visit, landing, NOW)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([(b"If-Modified-Since", format_date(NOW))], [(b"Cache-Control", b"private")]),
        ([(b"Range", b"bytes=2-3"), (b"If-Range", OLD)], [(b"Last-Modified", OLD)]),
    ],
)
def test_conditions_are_about_what_the_origin_said_and_not_about_our_own_date(asked: Any, said: Any) -> None:
    reply = answered(asked, said)
    assert reply.status == 200
    assert reply.fields.get_all(b"date") == [format_date(NOW)]


def test_the_origins_own_date_is_left_alone() -> None:
    assert answered((), [(b"Date", OLD)]).fields.get_all(b"date") == [OLD]
