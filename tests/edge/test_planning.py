"""What is asked of the origin, for all or for one: what each says, and what it keeps to itself."""

from __future__ import annotations

from typing import Any

import pytest

from txstalecache.config.routes import Route
from txstalecache.edge import planning
from txstalecache.edge.visit import Visit
from txstalecache.edge.whole import KeptBody
from txstalecache.flight.plan import Sharing
from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Rules

PLAIN = Route()
TRACE = b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TOLD = (
    (b"Host", b"a"),
    (b"Cookie", b"sid=1"),
    (b"Authorization", b"Basic eDp5"),
    (b"Accept-Language", b"de"),
    (b"Range", b"bytes=0-4"),
    (b"traceparent", TRACE),
)
ENTRY = Entry(
    status=200,
    fields=Fields([(b"ETag", b'"1"')]),
    body=(b"hello",),
    request_time=0.0,
    response_time=0.0,
    freshness=Freshness(initial_age=0.0, lifetime=5.0, if_error=0.0, if_unreachable=0.0, keep=60.0),
)


class Asker:
    """As much of an exchange as planning looks at."""

    client = "192.0.2.1"

    def inform(self, head: object) -> None: ...


def visit(method: bytes = b"GET", route: Route = PLAIN, **more: Any) -> Visit:
    asker: Any = Asker()
    head = RequestHead(method, b"/x", Fields(TOLD), b"http", b"a")
    made = Visit(asker, head, route, Key((b"k",)), 0.0)
    for name, value in more.items():
        setattr(made, name, value)
    return made


def names(fields: Fields) -> set[bytes]:
    return set(fields.names)


def test_a_shared_fetch_says_nothing_about_who_asks_and_asks_for_the_whole() -> None:
    plan = planning.shared(visit())
    assert plan.sharing is Sharing.SHARED
    assert names(plan.fetch.fields).isdisjoint({b"cookie", b"authorization", b"range", b"x-forwarded-for"})
    assert plan.request.fields.get(b"cookie") == b"sid=1", "what the client said is there for who has to know"


def test_it_says_what_the_key_and_the_answers_go_by() -> None:
    route = Route(rules=Rules(keyed_fields=frozenset({b"authorization"})))
    plan = planning.shared(visit(route=route), names=(b"cookie",))
    assert {b"authorization", b"cookie"} <= names(plan.fetch.fields)
    assert plan.names == (b"cookie",)


def test_it_asks_for_a_part_where_only_that_is_wanted_and_nothing_is_to_be_validated() -> None:
    asked = planning.shared(visit(part=True))
    assert asked.part and asked.fetch.fields.get(b"range") == b"bytes=0-4"
    validating = planning.shared(visit(part=True), ENTRY, Fields([(b"If-None-Match", b'"1"')]))
    assert not validating.part and b"range" not in validating.fetch.fields


def test_a_body_goes_with_it_and_conditions_do_not() -> None:
    body = KeptBody(b"query")
    plan = planning.shared(visit(b"POST", body=body), ENTRY, Fields([(b"If-None-Match", b'"1"')]))
    assert plan.body is body and not plan.conditions and b"if-none-match" not in plan.fetch.fields


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
def test_a_renewal_asks_whether_the_entry_holds_and_for_all_of_it(method: bytes) -> None:
    plan = planning.renewing(visit(method), ENTRY, ())
    assert (plan.request.method, plan.fetch.method) == (b"GET", b"GET")
    assert plan.fetch.fields.get(b"if-none-match") == b'"1"' and plan.entry is ENTRY


WISHES = b"only-if-cached, max-stale"


@pytest.mark.parametrize(
    ("route", "known", "sent"),
    [
        (PLAIN, (), None),
        (PLAIN, (b"cache-control",), WISHES),
        (Route(rules=Rules(keyed_fields=frozenset({b"cache-control"}))), (), WISHES),
        (Route(ask_with=((b"Cache-Control", b"max-age=9"),)), (), b"max-age=9"),
    ],
)
def test_a_renewal_does_not_wish_what_its_client_wished_for_itself(
    route: Route, known: tuple[bytes, ...], sent: bytes | None
) -> None:
    head = RequestHead(b"GET", b"/x", Fields([(b"Host", b"a"), (b"Cache-Control", WISHES)]), b"http", b"a")
    assert planning.renewing(visit(route=route, head=head), ENTRY, known).fetch.fields.get(b"cache-control") == sent


def test_a_fetch_for_one_says_all_that_it_said_and_where_it_is() -> None:
    plan = planning.alone(visit(), False, None, Sharing.SOLO)
    assert {b"cookie", b"authorization", b"range"} <= names(plan.fetch.fields)
    assert plan.fetch.fields.get(b"x-forwarded-for") == b"192.0.2.1"
    assert plan.sharing is Sharing.SOLO
    kept = planning.alone(visit(), False, None, Sharing.SOLO, ENTRY)
    assert kept.entry is ENTRY and not kept.conditions


def test_what_it_sends_goes_before_what_is_in_the_key() -> None:
    sent, kept = KeptBody(b"sent"), KeptBody(b"kept")
    assert planning.alone(visit(body=kept), False, sent, Sharing.PRIVATE).body is sent
    assert planning.alone(visit(body=kept), False, None, Sharing.PRIVATE).body is kept


def test_a_route_takes_away_and_adds_and_says_who_is_asked() -> None:
    upstream: Any = object()
    route = Route(strip=(b"accept-language",), ask_with=((b"X-Asked", b"yes"),))
    for plan in (
        planning.shared(visit(route=route, origin=upstream)),
        planning.alone(visit(route=route, origin=upstream), False, None, Sharing.SOLO),
    ):
        assert b"accept-language" not in plan.fetch.fields and plan.fetch.fields.get(b"x-asked") == b"yes"
        assert plan.origin is upstream


def test_where_in_its_trace_it_is_is_noted() -> None:
    asked = visit()
    plan = planning.shared(asked)
    assert asked.outcome.trace is not None and asked.outcome.trace.caller == b"b7ad6b7169203331"
    assert plan.fetch.fields.get(b"traceparent") == asked.outcome.trace.header != TRACE
