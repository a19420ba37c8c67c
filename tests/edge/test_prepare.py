"""A request as it is looked up, judged and sent on: its key, its variant and the origin see the same of it."""

from __future__ import annotations

import pytest

from txstalecache.config.routes import Route
from txstalecache.edge.forwarded import with_scheme
from txstalecache.edge.prepare import prepared
from txstalecache.http.keys import KeyTemplate
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Cookies, Rules
from txstalecache.http.section import Section

HOST = (b"Host", b"a.example")
Pair = tuple[bytes, bytes]


def head(*fields: Pair, method: bytes = b"GET", scheme: bytes = b"http", host: bytes = b"a.example") -> RequestHead:
    return RequestHead(method, b"/x", Fields(((b"Host", host), *fields)), scheme, host)


def lines(route: Route, asked: RequestHead) -> list[Pair]:
    return list(prepared(route, asked).fields)


def test_a_plain_request_is_as_it_came() -> None:
    asked = head((b"Accept", b"*/*"), (b"Cookie", b"a=1"))
    assert prepared(Route(), asked) is asked


def test_what_is_for_one_hop_is_in_no_key() -> None:
    route = Route(template=KeyTemplate.parse("${host}${header:x-tenant}"))
    asked = head((b"X-Tenant", b"victim"), (b"Connection", b"X-Tenant"), (b"TE", b"trailers"))
    assert lines(route, asked) == [HOST]
    assert route.template.key(prepared(route, asked)) == route.template.key(head())


def test_a_host_is_said_as_keys_have_it() -> None:
    assert lines(Route(), head(host=b"A.Example:80")) == [HOST]


def test_the_origin_is_told_the_scheme_that_is_in_the_key() -> None:
    said = (b"X-Forwarded-Proto", b"https")
    assert lines(Route(), head(scheme=b"https")) == [HOST, said]
    assert lines(Route(), head(said)) == [HOST, (b"X-Forwarded-Proto", b"http")]
    assert lines(Route(), head()) == [HOST]
    keyed = Route(template=KeyTemplate.parse("${host}${header:x-forwarded-proto}"))
    assert lines(keyed, head(said)) == [HOST, said], "what is in the key is sent as it is there"


def test_a_keyed_field_that_says_nothing_is_not_there() -> None:
    route = Route(template=KeyTemplate.parse("${host}${header:x-tenant}"))
    assert lines(route, head((b"X-Tenant", b""), (b"X-Other", b""))) == [HOST, (b"X-Other", b"")]


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ([b"lang=en; session=1"], b"lang=en"),
        ([b"lang=en; lang=evil"], b"lang=en"),
        ([b"session=1", b"lang=en"], b"lang=en"),
        ([b"lang; lang=en"], b"lang=en"),
        ([b"lang"], None),
        ([b"LANG=en"], None),
    ],
)
def test_of_a_cookie_that_is_keyed_the_crumb_in_the_key_is_sent_and_no_other(
    said: list[bytes], sent: bytes | None
) -> None:
    route = Route(template=KeyTemplate.parse("${host}${cookie:lang}"), rules=Rules(cookies=Cookies.KEYED))
    asked = head(*[(b"Cookie", line) for line in said])
    assert prepared(route, asked).fields.get(b"cookie") == sent
    assert route.template.key(prepared(route, asked)) == route.template.key(asked)


def test_cookies_and_codings_matter_to_methods_that_are_not_cached() -> None:
    route = Route(rules=Rules(cookies=Cookies.IGNORE), encodings=(b"gzip",))
    said = [(b"Cookie", b"a=1"), (b"Accept-Encoding", b"br, gzip")]
    assert lines(route, head(*said)) == [HOST, (b"Accept-Encoding", b"gzip")]
    assert lines(route, head(*said, method=b"POST")) == [HOST, *said]


def test_a_section_is_prepared_once_for_each_way_to_prepare_it() -> None:
    section = Section((HOST, (b"Cookie", b"a=1"), (b"Connection", b"keep-alive")))
    asked = RequestHead(b"GET", b"/x", section, b"http", b"a.example")
    ignored = Route(rules=Rules(cookies=Cookies.IGNORE))
    first = prepared(Route(), asked).fields
    assert prepared(Route(), asked).fields is first
    assert list(prepared(ignored, asked).fields) == [HOST] != list(first)


@pytest.mark.parametrize(
    ("said", "scheme"),
    [(b"https", b"https"), (b"HTTPS", b"https"), (b"http", b"http"), (b"wss", b"http"), (b"https, http", b"http")],
)
def test_the_scheme_is_what_a_trusted_proxy_says_it_was(said: bytes, scheme: bytes) -> None:
    asked = head((b"X-Forwarded-Proto", said))
    assert with_scheme(asked, trusted=True).scheme == scheme
    assert with_scheme(asked, trusted=False) is asked
    assert with_scheme(head(), trusted=True).scheme == b"http"
