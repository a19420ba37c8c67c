from __future__ import annotations

import pytest

from tests.http.exchanges import fields, request
from txstalecache.http import forward
from txstalecache.http.pseudonym import Pseudonym

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


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Api-Key", "X_Forwarded_Host", "X-User-Id", "True-Client-IP"])
def test_what_tells_who_asks_or_for_what_goes_for_one_client_only(name: str) -> None:
    asked = request(f"{name}: x")
    assert name.lower().encode() not in forward.shared(asked, frozenset())
    assert name.lower().encode() in forward.alone(asked)


def test_a_shared_fetch_says_the_scheme_that_is_in_the_key() -> None:
    sent = forward.shared(request("X-Forwarded-Proto: https"), frozenset())
    assert sent.get_all(b"x-forwarded-proto") == [b"http"]


def test_our_own_conditions_are_added_and_the_clients_are_not() -> None:
    sent = forward.shared(request('If-None-Match: "client"'), frozenset(), fields('If-None-Match: "ours"'))
    assert sent.get_all(b"if-none-match") == [b'"ours"']


def test_what_describes_a_body_stays_where_there_is_none_if_answers_are_chosen_by_it() -> None:
    asked = request("Content-Type: a/b\nContent-Language: de")
    assert [name for name, _ in forward.shared(asked, frozenset({b"content-type"}))] == [
        b"Content-Type",
        b"Via",
    ]


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
    assert b"set-cookie" not in forward.shared_response(fields("Set-Cookie: c\nSet-Cookie2: d\nB: 2"))


@pytest.mark.parametrize(
    ("via", "expected"),
    [
        ("", False),
        ("Via: 1.1 other", False),
        ("Via: 1.1 txstalecache", True),
        ("Via: 1.1 TXStaleCache (comment)", True),
        ("Via: 1.0 a, 1.1 txstalecache, 2 b", True),
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
        assert forward.looped(sent, Pseudonym("edge-2"))
        assert not forward.looped(sent)
