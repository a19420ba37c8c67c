from __future__ import annotations

from dataclasses import replace

import pytest

from tests.http.exchanges import fields, request
from txstalecache.http import forward
from txstalecache.http.messages import Fields
from txstalecache.http.pseudonym import Pseudonym
from txstalecache.http.section import Section

PLAIN = "Host: example.com\nAccept: */*\nUser-Agent: x"


@pytest.mark.parametrize(
    "secret",
    [
        "Cookie: a=1",
        "Cookie2: a",
        "Authorization: Basic x",
        "Proxy-Authorization: Basic x",
        "Range: bytes=0-1",
        "Expect: 100-continue",
        'If-Match: "a"',
        'If-None-Match: "a"',
        "If-Modified-Since: @0",
        "If-Unmodified-Since: @0",
        'If-Range: "a"',
        "X-Forwarded-Host: evil",
        "X-Host: evil",
        "X-Original-URL: /admin",
        "X-Rewrite-URL: /admin",
        "X-HTTP-Method-Override: DELETE",
        "X-HTTP-Method: DELETE",
        "X-Method-Override: DELETE",
        "x-forwarded-SCHEME: nothttps",
        "X-Forwarded-Server: evil",
        "X-Forwarded-Prefix: /x",
        "X-Original-Host: evil",
        "Connection: close",
        "Keep-Alive: 1",
        "TE: trailers",
        "Upgrade: h2c",
        "Transfer-Encoding: chunked",
        "Content-Length: 3",
        "Content-Type: text/plain",
    ],
)
def test_a_shared_fetch_does_not_say_who_asks_or_for_what_part(secret: str) -> None:
    sent = forward.shared(request(f"{PLAIN}\n{secret}"), frozenset())
    assert [name for name, _ in sent] == [b"Host", b"Accept", b"User-Agent", b"Via"]


@pytest.mark.parametrize("name", ["Cookie", "Authorization", "X-Forwarded-Host", "Range"])
def test_what_is_keyed_stays(name: str) -> None:
    sent = forward.shared(request(f"{name}: x"), frozenset({name.lower().encode()}))
    assert sent.get(name.lower().encode()) == b"x"


@pytest.mark.parametrize("name", ["Accept-Encoding", "Accept-Language", "Cache-Control", "User-Agent", "Origin", "Foo"])
def test_everything_else_travels(name: str) -> None:
    assert name.lower().encode() in forward.shared(request(f"{name}: x"), frozenset())


@pytest.mark.parametrize(
    ("wished", "shared"),
    [
        ("Max-Age=0,no-cache , x-y", b"Max-Age=0,no-cache , x-y"),
        ("no-store, no-transform, min-fresh=3", b"no-store, no-transform, min-fresh=3"),
        ("max-stale=60", None),
        ("max-age=5, MAX-STALE", b"max-age=5"),
        ("no-cache\nCache-Control: stale-if-error=60", b"no-cache"),
        ("stale-while-revalidate=5, only-if-cached", None),
        ('max-age=5, x="a, max-stale=60", y', b"max-age=5, y"),
        ('max-age=5, x="a, max-stale=60', b'max-age=5, x="a'),
    ],
)
def test_by_what_one_client_lets_caches_do_no_other_is_given_what_is_stale(wished: str, shared: bytes | None) -> None:
    asked = request(f"{PLAIN}\nCache-Control: {wished}")
    said = asked.fields.get(b"cache-control")
    assert forward.shared(asked, frozenset()).get(b"cache-control") == shared
    assert forward.shared(asked, frozenset({b"cache-control"})).get(b"cache-control") == said  # all have said it
    assert forward.alone(asked).get(b"cache-control") == said


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "X-Api-Key",
        "X_Forwarded_Host",
        "X-User-Id",
        "True-Client-IP",
        "Foo.Bar",
        "Foo_Bar",
        "X-Foo",
        "From",
        "Jwt",
        "Oidc-Foo",
    ],
)
def test_what_tells_who_asks_or_for_what_goes_for_one_client_only(name: str) -> None:
    asked = request(f"{name}: x")
    assert name.lower().encode() not in forward.shared(asked, frozenset())
    assert name.lower().encode() in forward.alone(asked)


@pytest.mark.parametrize(
    "name",
    b"""
    access-control-request-headers access-control-request-method access-control-request-private-network cache-control
    device-memory host sec-ch-ua-mobile sec-fetch-mode sec-fetch-site sec-fetch-user upgrade-insecure-requests
    user-agent via x-requested-with
    """.split(),
)
def test_standard_fields_that_are_for_everybody_to_say_travel(name: bytes) -> None:
    assert not forward.telling(name) and not forward.overrides(name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"x-forwarded-host", True),
        (b"x-original-url", True),
        (b"x-foo", True),
        (b"accept", False),
        (b"x-forwarded-for", False),
        (b"x-forwarded-proto", False),
        (b"cookie", False),
        (b"x-api-key", False),
        (b"range", False),
        (b"if-none-match", False),
    ],
)
def test_what_overrides_is_what_is_not_judged_by_itself(name: bytes, expected: bool) -> None:
    assert forward.overrides(name) is expected


@pytest.mark.parametrize(
    ("sent", "asked", "expected"),
    [
        ("", "Accept: x", True),
        ("", "Cookie: a", False),
        ("Cookie: a", "Cookie: a", True),
        ("", "X-Api-Key: a", False),
        ("X-Api-Key: a", "x-api-KEY: a", True),
        ("", 'If-None-Match: "a"\nRange: bytes=0-1\nExpect: 100-continue\nX-Forwarded-For: a\nTE: x', True),
        ("", "Forwarded: a\nX-Forwarded-Host: a\nX-Forwarded-Port: 1\nX-Forwarded-Proto: a\nX-Real-IP: a", True),
    ],
)
def test_a_fetch_says_all_but_what_is_for_the_cache_or_replaced(sent: str, asked: str, expected: bool) -> None:
    assert forward.says_all(request(sent), request(asked)) is expected


@pytest.mark.parametrize("name", ["Traceparent", "Tracestate"])
def test_where_in_a_trace_a_request_is_makes_no_difference(name: str) -> None:
    one, other = request(f"Accept: a\n{name}: 1"), request(f"accept: a\n{name}: 2")
    assert forward.said(one, frozenset()) == forward.said(other, frozenset())
    assert not forward.differ(one.fields, fields(f"Accept: a\n{name}: 3"))


@pytest.mark.parametrize("text", ["", "Accept: b", "Accept:\nFoo: a", "Accept: a\nFoo:"])
def test_whatever_else_a_request_says_makes_a_difference(text: str) -> None:
    assert forward.said(request("Accept: a"), frozenset()) != forward.said(request(text), frozenset())
    assert forward.differ(fields("Accept: a"), fields(text))


def test_what_looks_like_saying_who_asks_does_unless_all_who_share_said_it() -> None:
    said = fields("X-Api-Key: a\nAccept: b\nCookie: c")
    assert forward.identified(said, ())
    assert not forward.identified(said, (b"x-api-key",))
    assert not forward.identified(fields("Accept: b\nCookie: c"), ())


def test_host_is_sent_as_keys_have_it() -> None:
    assert forward.with_host(fields("HOST: H:80\nA: 1"), b"h") == Fields([(b"Host", b"h"), (b"A", b"1")])
    assert forward.with_host(fields("Host: H"), b"").get(b"host") == b"H"
    assert forward.with_host(fields("A: 1"), b"h") == fields("A: 1")


def test_an_origin_is_told_that_it_was_https_unless_that_is_keyed() -> None:
    asked = replace(request(), scheme=b"https")
    assert forward.shared(asked, frozenset()).get_all(b"x-forwarded-proto") == [b"https"]
    assert b"x-forwarded-proto" not in forward.shared(request(), frozenset())
    keyed = replace(request("X-Forwarded-Proto: x"), scheme=b"https")
    assert forward.shared(keyed, frozenset({b"x-forwarded-proto"})).get_all(b"x-forwarded-proto") == [b"x"]


def test_a_fetch_for_one_client_has_what_is_shown_for_what_is_hidden() -> None:
    sent = forward.alone(request("A: 1\nB: 2"), (b"a",), [(b"A", b"3")])
    assert [(name, value) for name, value in sent if name != b"Via"] == [(b"B", b"2"), (b"A", b"3")]


def test_a_shared_fetch_says_the_scheme_that_is_in_the_key() -> None:
    sent = forward.shared(request("X-Forwarded-Proto: https"), frozenset())
    assert sent.get_all(b"x-forwarded-proto") == [b"http"]


def test_our_own_conditions_are_added_and_the_clients_are_not() -> None:
    sent = forward.shared(request('If-None-Match: "client"'), frozenset(), fields('If-None-Match: "ours"'))
    assert sent.get_all(b"if-none-match") == [b'"ours"']


def test_what_is_sent_of_a_section_depends_on_the_method_and_our_conditions() -> None:
    asked = replace(request(), fields=Section(fields("Accept: x\nContent-Type: a/b")))
    accept, via, described = (b"Accept", b"x"), (b"Via", b"1.1 txstalecache"), (b"Content-Type", b"a/b")
    asking = (b"If-None-Match", b'"ours"')
    for _ in range(2):
        assert list(forward.shared(asked, frozenset())) == [accept, via]
        assert list(forward.shared(asked, frozenset(), Fields([asking]))) == [accept, asking, via]
        assert list(forward.shared(replace(asked, method=b"POST"), frozenset())) == [accept, described, via]


def test_what_describes_a_body_stays_where_there_is_none_if_answers_are_chosen_by_it() -> None:
    asked = request("Content-Type: a/b\nContent-Language: de")
    for head in (asked, replace(asked, method=b"HEAD")):
        assert [name for name, _ in forward.shared(head, frozenset({b"content-type"}))] == [b"Content-Type", b"Via"]


def test_a_post_keeps_what_describes_its_body() -> None:
    assert b"content-type" in forward.shared(request("Content-Type: a/b", "POST"), frozenset())


def test_a_fetch_for_one_client_says_all_it_said() -> None:
    text = 'Cookie: a\nAuthorization: b\nRange: bytes=0-1\nIf-None-Match: "a"\nX-Forwarded-Host: h\nConnection: x\nX: 1'
    sent = forward.alone(request(text))
    assert [name for name, _ in sent] == [
        b"Cookie", b"Authorization", b"Range", b"If-None-Match", b"X-Forwarded-Host", b"Via",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("said", "sent"),
    [
        ("Max-Forwards: 3", b"2"),
        ("max-forwards: 1", b"0"),
        ("Max-Forwards: 99999999999999999999", b"2147483647"),
        ("Max-Forwards: -1", b"-1"),
        ("Max-Forwards: x", b"x"),
        ("", None),
    ],
)
def test_options_may_have_one_recipient_less_from_here_on(said: str, sent: bytes | None) -> None:
    assert forward.alone(request(said, "OPTIONS")).get(b"max-forwards") == sent
    assert not forward.ends_here(request(said, "OPTIONS"))
    assert forward.alone(request(said, "POST")).get(b"max-forwards") == request(said).fields.get(b"max-forwards")


def test_options_ends_here_where_it_may_go_no_further_or_is_about_the_server() -> None:
    assert forward.ends_here(request("Max-Forwards: 0", "OPTIONS"))
    assert forward.ends_here(request("Max-Forwards: 00", "OPTIONS"))
    assert forward.ends_here(request("", "OPTIONS", "*"))
    assert not forward.ends_here(request("Max-Forwards: 0", "DELETE"))


def test_an_answer_loses_what_is_for_one_hop() -> None:
    sent = forward.response(fields("Connection: a\nA: 1\nB: 2\nSet-Cookie: c\nVia: 1.1 origin"))
    assert list(sent) == [(b"B", b"2"), (b"Set-Cookie", b"c"), (b"Via", b"1.1 origin")]


def test_an_answer_for_others_sets_no_cookie() -> None:
    assert list(forward.shared_response(fields("Set-Cookie: c\nSet-Cookie2: d\nB: 2"))) == [
        (b"Set-Cookie2", b"d"),
        (b"B", b"2"),
    ]


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("", False),
        ("Via: 1.1 other", False),
        ("Via: 1.1 txstalecache", True),
        ("Via: 1.1 TXStaleCache (comment)", True),
        ("Via: 1.0 a, 1.1 txstalecache, 2 b", True),
        ("Via: 1.1 txstalecache (a) (b)", True),
        ("Via: 1.1 a\nVia: HTTP/2 txstalecache", True),
        ("Via: txstalecache", False),
        ("Via: 1.1 txstalecache2", False),
        ("Via: 1.1 a (txstalecache)", False),
        ("Via: ,,", False),
    ],
)
def test_a_loop_is_seen_in_via(via: str, expected: bool) -> None:
    assert forward.looped(request(via).fields) is expected


def test_a_proxy_with_another_name_is_no_loop() -> None:
    through = forward.alone(request())
    assert forward.looped(through)
    edge = Pseudonym("Edge-2")
    assert not forward.looped(through, edge)
    for sent in (forward.alone(request(), pseudonym=edge), forward.shared(request(), frozenset(), pseudonym=edge)):
        assert sent.get(b"via") == b"1.1 Edge-2"
        assert forward.looped(sent, edge)
        assert forward.looped(sent, Pseudonym("edge-2"))
        assert not forward.looped(sent)
