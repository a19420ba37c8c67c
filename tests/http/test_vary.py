from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields, request
from txstalecache.http import vary
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.vary import MOST_NAMES, by_credentials, matches, names, selector


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ()),
        ("Vary:", ()),
        ("Vary: ,", ()),
        ("Vary: Foo", (b"foo",)),
        ("Vary: Foo, bar", (b"bar", b"foo")),
        ("Vary: b, a, B", (b"a", b"b")),
        ("Vary: a\nVary: b", (b"a", b"b")),
        ("Vary: *", None),
        ("Vary: *, *", None),
        ("Vary: *\nVary: *", None),
        ("Vary: , *", None),
        ("Vary:\nVary: *", None),
        ("Vary: *, Foo", None),
        ("Vary: Foo, *", None),
        ("Vary: Foo\nVary: *", None),
        ("Vary: foo bar", None),
        ("Vary: f\xfco", None),
        ('Vary: "a"', None),
    ],
)
def test_vary_names_fields_or_is_beyond_use(text: str, expected: tuple[bytes, ...] | None) -> None:
    assert names(fields(text)) == expected


def test_what_the_origin_sees_the_same_for_everybody_is_not_varied_by() -> None:
    said = fields("Vary: Accept, User-Agent, TE, Connection, Expect, traceparent, tracestate, If-None-Match")
    assert names(said) == (b"accept", b"user-agent")
    assert names(said, frozenset({b"user-agent"})) == (b"accept",)
    assert names(fields("Vary: *"), frozenset({b"*"})) is None


def test_varying_by_too_much_is_beyond_use() -> None:
    listed = [b"a%d" % number for number in range(MOST_NAMES + 1)]
    assert names(Fields([(b"Vary", b",".join(listed[:-1]))])) is not None
    assert names(Fields([(b"Vary", b",".join(listed))])) is None


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("foo", "Foo: 1", "Foo: 1", True),
        ("foo", "Foo: 1", "Foo: 2", False),
        ("foo", "Foo: 1", "", False),
        ("foo", "", "Foo: 1", False),
        ("foo", "", "", True),
        ("foo", "", "Foo:", False),
        ("foo", "Foo: 1, 2", "Foo:  1,2 ", True),
        ("foo", "Foo: 1,,2", "Foo: 1,2", False),
        ("foo", "Foo: 1,2,", "Foo: 1,2", False),
        ("referer", "Referer: http://h/?a,b,", "Referer: http://h/?a,b", False),
        ("user-agent", "User-Agent: x (a,b)", "User-Agent: x (a, b)", False),
        ("accept", "Accept: a, b", "Accept: a,,b ,", True),
        ("foo", "Foo: 1, 2", "Foo: 1\nFoo: 2", True),
        ("foo", "Foo: 1, 2", "Foo: 2, 1", False),
        ("foo", "Foo: a", "Foo: A", False),
        ("foo", 'Foo: "1, 2"', 'Foo: "1,2"', False),
        ("foo", "Foo: 1", "foo: 1\nBar: 3", True),
        ("accept-language", "Accept-Language: en, de", "Accept-Language: de, en", True),
        ("accept-language", "Accept-Language: en, DE", "Accept-Language: de,EN", True),
        ("accept-language", "Accept-Language: en;q=0.5, de", "Accept-Language: de, en; q=0.5", True),
        ("accept-language", "Accept-Language: en;q=0.5, de", "Accept-Language: de, en;q=0.6", False),
        ("accept-language", "Accept-Language: en;q=1", "Accept-Language: en", True),
        ("accept-language", "Accept-Language: en", "Accept-Language: en, de", False),
        ("accept-encoding", "Accept-Encoding: gzip, br", "Accept-Encoding: BR,gzip", True),
        ("accept-encoding", "Accept-Encoding: gzip, gzip", "Accept-Encoding: gzip", True),
        ("accept-encoding", "Accept-Encoding: gzip", "Accept-Encoding: br", False),
        ("accept-encoding", "Accept-Encoding: gzip", "", False),
        ("accept", "Accept: a, b", "Accept: b, a", False),
        ("cookie", "Cookie: a=1", "Cookie: a=1", True),
        ("cookie", "Cookie: a=1", "Cookie: a=2", False),
        ("cookie", "Cookie: a=1", "", False),
        ("authorization", "Authorization: Basic x", "Authorization: Basic x", True),
        ("authorization", "Authorization: Basic x", "Authorization: Basic y", False),
    ],
)
def test_a_variant_suits_whoever_says_the_same(name: str, one: str, other: str, same: bool) -> None:
    chosen = selector([name.encode()], request(one))
    assert matches(chosen, request(other)) is same
    assert (selector([name.encode()], request(other)) == chosen) is same


@pytest.mark.parametrize(
    "secret",
    [
        "Cookie: session=topsecret",
        "Authorization: Basic topsecret",
        "X-API-Key: topsecret",
        "X-Session-Token: topsecret",
        "X-JWT: topsecret",
        "X-Auth: topsecret",
        "X_User_Token: topsecret",
        "X-Amz-Security-Token: topsecret",
    ],
)
def test_a_selector_holds_no_secrets(secret: str) -> None:
    chosen = selector([secret.partition(":")[0].lower().encode()], request(secret))
    assert b"topsecret" not in b"".join(value or b"" for _, value in chosen)
    assert matches(chosen, request(secret))


def test_who_asks_is_seen_in_a_selector() -> None:
    assert by_credentials(selector([b"cookie"], request("Cookie: a=1")))
    assert by_credentials(selector([b"accept", b"authorization"], request("Authorization: Basic x")))
    assert not by_credentials(selector([b"authorization", b"cookie"], request("Accept: x")))


def test_a_digest_is_not_the_credential() -> None:
    chosen = selector([b"cookie"], request("Cookie: a=1"))
    digest = chosen[0][1]
    assert digest is not None
    assert not matches(chosen, request(f"Cookie: {digest.decode()}"))


def test_other_fields_are_not_credentials() -> None:
    assert not by_credentials(selector([b"accept-encoding", b"foo"], request("Foo: 1")))


@pytest.mark.parametrize(
    "name",
    b"""
    accept access-control-request-headers cache-control cdn-loop content-encoding content-language forwarded pragma
    prefer priority sec-ch-ua sec-ch-ua-full-version-list via want-content-digest want-repr-digest x-forwarded-for
    accept-charset accept-encoding accept-language
    """.split(),
)
def test_members_with_nothing_in_them_make_no_difference_in_a_list(name: bytes) -> None:
    said, other = (RequestHead(b"GET", b"/", Fields([(name, value)])) for value in (b"a, b", b"a,,b ,"))
    assert matches(selector([name], said), other)


@pytest.mark.parametrize("name", ["from", "host", "origin", "referer", "user-agent"])
def test_a_comma_in_a_text_is_a_character_like_any_other(name: str) -> None:
    assert not matches(selector([name.encode()], request(f"{name}: a, b")), request(f"{name}: a,b"))


@pytest.mark.parametrize("name", ["accept-charset", "accept-encoding", "accept-language"])
def test_the_members_of_a_set_have_no_order(name: str) -> None:
    assert matches(selector([name.encode()], request(f"{name}: a, b")), request(f"{name}: b, A"))


def test_a_selector_has_its_names_in_order_whatever_order_they_came_in() -> None:
    head = request("B: 2\nA: 1")
    assert selector([b"b", b"a", b"c"], head) == ((b"a", b"1"), (b"b", b"2"), (b"c", None))


def test_all_names_must_match() -> None:
    chosen = selector([b"bar", b"baz", b"foo"], request("Foo: 1\nBar: abc\nBaz: 789"))
    assert matches(chosen, request("Baz: 789\nBar: abc\nFoo: 1"))
    assert not matches(chosen, request("Foo: 1\nBar: abcde\nBaz: 789"))
    assert not matches(chosen, request("Foo: 1\nBar: abc"))


def test_a_response_that_varies_by_nothing_suits_everybody() -> None:
    assert matches((), request("Foo: 1"))


@given(st.binary(max_size=60), st.binary(max_size=60), st.sampled_from([b"foo", b"accept-language", b"cookie"]))
def test_no_bytes_raise_and_everybody_suits_themselves(vary: bytes, value: bytes, name: bytes) -> None:
    names(Fields([(b"Vary", vary)]))
    head = RequestHead(b"GET", b"/", Fields([(name, value)]))
    assert matches(selector([name], head), head)


@pytest.mark.parametrize("name", ["accept-language", "accept", "foo"])
def test_a_long_value_is_compared_as_it_is_and_taken_apart_for_no_variant(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks = request(f"{name}: " + ",".join(f"x{number}" for number in range(3000)))
    variants = [selector([name.encode()], request(f"{name}: y{number}")) for number in range(16)]
    monkeypatch.setattr(vary, "members", lambda value: pytest.fail(f"{len(value)} bytes are taken apart"))
    assert not any(matches(chosen, asks) for chosen in variants)
    assert matches(selector([name.encode()], asks), asks)
