from __future__ import annotations

import re
from dataclasses import replace
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import fields, request
from txstalecache.http import keys
from txstalecache.http.keys import DEFAULT_TEMPLATE, Key, KeyTemplate, KeyTemplateError, cookie_value, split_url
from txstalecache.http.messages import Fields, RequestHead

HEAD = RequestHead(
    b"GET",
    b"/p/a%20th?b=2&a=1&utm_x=3&a=0",
    fields("Host: WWW.Example.com:80\nUser-Agent: ua\nX-A: 1\nX-A: 2\nCookie: s=1; t = two\nCookie: u=3"),
    b"http",
    b"WWW.Example.com:80",
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$uri", [b"/p/a%20th"]),
        ("${path}", [b"/p/a%20th"]),
        ("$request_uri", [HEAD.target]),
        ("$args", [b"b=2&a=1&utm_x=3&a=0"]),
        ("$query_string", [b"b=2&a=1&utm_x=3&a=0"]),
        ("${query}", [b"b=2&a=1&utm_x=3&a=0"]),
        ("$is_args", [b"?"]),
        ("${query:sorted}", [b"a=1&a=0&b=2&utm_x=3"]),
        ("${query:only:b}", [b"b=2"]),
        ("${query:only:b,a}", [b"a=1&a=0&b=2"]),
        ("${query:only: b , a }", [b"a=1&a=0&b=2"]),
        ("${query:only:utm_*}", [b"utm_x=3"]),
        ("${query:without:utm_*}", [b"b=2&a=1&a=0"]),
        ("${query:without:utm_*,b}", [b"a=1&a=0"]),
        ("${query:sorted:without:utm_*}", [b"a=1&a=0&b=2"]),
        ("$host", [b"www.example.com"]),
        ("$scheme", [b"http"]),
        ("${method}", [b"GET"]),
        ("$request_method", [b"GET"]),
        ("$http_user_agent", [b"ua"]),
        ("${header:User-Agent}", [b"ua"]),
        ("${header:x-a}", [b"1, 2"]),
        ("$http_absent", [b""]),
        ("$http_authorization", [b""]),
        ("$cookie_absent", [b""]),
        ("$arg_a", [b"1"]),
        ("$arg_A", [b"1"]),
        ("$arg_none", [b""]),
        ("$http_user_agent|$uri", [b"ua", b"|", b"/p/a%20th"]),
        ("v1:${host}${path}", [b"v1:", b"www.example.com", b"/p/a%20th"]),
        ("$uri-x", [b"/p/a%20th", b"-x"]),
        ("é$uri", ["é".encode(), b"/p/a%20th"]),
        ("$body_digest", [b"dig"]),
        ("${body}$uri", [b"dig", b"/p/a%20th"]),
    ],
)
def test_a_template_says_what_a_key_is_made_of(text: str, expected: list[bytes]) -> None:
    assert list(KeyTemplate.parse(text).key(HEAD, b"dig")) == expected


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "names no part of the request"),
        ("literal", "names no part of the request"),
        ("$", "a $ without a name at character 1"),
        ("$uri$", "a $ without a name at character 5"),
        ("a$ b", "a $ without a name"),
        ("${uri", "a $ without a name"),
        ("${}", "${} is none of the parts"),
        ("$remote_addr", "${remote_addr} is none of the parts"),
        ("${nope}", "is none of the parts"),
        ("${nope:x}", "is none of the parts"),
        ("${header:}", "needs the name of a header"),
        ("${header:a b}", "needs the name of a header"),
        ("$http_", "needs the name of a header"),
        ("${cookie:}", "needs the name of a cookie"),
        ("$arg_", "needs the name of a arg"),
        ("${query:}", "after query comes"),
        ("${query:random}", "after query comes"),
        ("${query:random:a}", "after query comes"),
        ("${query:only}", "after query comes"),
        ("${query:only:}", "after query comes"),
        ("${query:only:a,,b}", "empty parameter name"),
        ("${query:only:a:b}", "after query comes"),
        ("${a\nb}", "is none of the parts"),
        ("${query:\n}", "after query comes"),
        ("${header:\n}", "needs the name of a header"),
    ],
)
def test_a_template_that_means_nothing_is_told_in_one_line(text: str, complaint: str) -> None:
    with pytest.raises(KeyTemplateError) as caught:
        KeyTemplate.parse(text)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fields_", "cookies", "body"),
    [
        ("$uri", set(), set(), False),
        ("$http_user_agent|$uri", {b"user-agent"}, set(), False),
        ("${header:Accept-Language}$uri", {b"accept-language"}, set(), False),
        ("$http_cookie$uri", {b"cookie"}, set(), False),
        ("$cookie_session$uri", set(), {b"session"}, False),
        ("$cookie_session_id$uri", set(), {b"session_id"}, False),
        ("${cookie:a}${cookie:b}$uri", set(), {b"a", b"b"}, False),
        ("$uri$body_digest", set(), set(), True),
    ],
)
def test_a_template_knows_what_it_keys_on(text: str, fields_: set[bytes], cookies: set[bytes], body: bool) -> None:
    template = KeyTemplate.parse(text)
    assert set(template.fields) == fields_
    assert set(template.cookies) == cookies
    assert template.needs_body is body


@pytest.mark.parametrize(
    ("text", "target", "expected"),
    [
        ("$is_args", "/p", b""),
        ("$is_args", "/p?", b""),
        ("$arg_foo", "/p?x&Foo=2&foo=3", b"2"),
        ("${arg:a b}", "/p?a+b=1", b"1"),
        ("${arg:a b}", "/p?%61%20b=1", b"1"),
        ("${query:sorted}", "/p?&b=2&&a=1&", b"a=1&b=2"),
    ],
)
def test_parameters_are_read_as_the_origin_will_read_them(text: str, target: str, expected: bytes) -> None:
    assert list(KeyTemplate.parse(text).key(request(target=target))) == [expected]


@pytest.mark.parametrize("how", ["only", "without", "sorted:without"])
def test_each_parameter_is_read_once_however_many_patterns_there_are(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def unquoted(name: bytes) -> bytes:
        read.append(name)
        return unquote_to_bytes(name)

    monkeypatch.setattr(keys, "unquote_to_bytes", unquoted)
    patterns = ",".join(f"n{number}_*" for number in range(50))
    template = KeyTemplate.parse(f"${{query:{how}:{patterns},*y*z}}")
    (said,) = template.key(request(target="/p?" + "&".join(["x", "n7_a=1", "ayaz=2"] * 500)))
    assert len(read) == 1500
    assert set(said.split(b"&")) == ({b"n7_a=1", b"ayaz=2"} if how == "only" else {b"x"})


@pytest.mark.parametrize("query", ["$args", "$query_string", "${query}"])
def test_a_path_and_its_query_are_the_target(query: str) -> None:
    assert KeyTemplate.parse(f"$uri{query}").has_target
    assert not KeyTemplate.parse("$uri").has_target and not KeyTemplate.parse(query).has_target


def test_a_cookie_without_a_value_is_none() -> None:
    assert cookie_value(fields("Cookie: s; t=1"), b"s") is None
    assert cookie_value(fields("Cookie: s; s = 2"), b"s") == b"2"


def test_what_a_body_says_and_is_said_to_be_is_in_the_key() -> None:
    asked = request("Content-Type: a/b\nContent-Language: de", "POST")
    template = KeyTemplate.parse("${method}")
    said = b"content-language: de\ncontent-type: a/b"
    assert list(template.key(asked, b"dig")) == [b"POST", b"POST", b"dig", said]
    assert list(template.key(asked)) == [b"POST", b"POST", b"", said]
    assert list(KeyTemplate.parse("$body_digest").key(request())) == [b""]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (b"http://h", (b"http", b"h", b"/")),
        (b"HTTPS://H:8443/P?q", (b"https", b"h:8443", b"/P?q")),
        (b"http://h?q", (b"http", b"h", b"/?q")),
    ],
)
def test_a_url_is_split_as_a_request_for_it_would_have_it(url: bytes, expected: tuple[bytes, bytes, bytes]) -> None:
    assert split_url(url) == expected


@pytest.mark.parametrize("url", [b"", b"/p", b"ftp://h/", b"http://", b"http://u@h/", b"http://h/#f", b"http://h/a b"])
def test_what_is_no_url_is_told(url: bytes) -> None:
    with pytest.raises(ValueError, match="expected a URL"):
        split_url(url)


def test_what_a_template_may_have_is_told_whole_and_each_of_it_works() -> None:
    with pytest.raises(KeyTemplateError) as caught:
        KeyTemplate.parse("$path|$nope")
    _, _, told = str(caught.value).partition("is none of the parts of a request: ")
    names = re.split(r"[,;] (?:or as nginx has it )?", told)
    assert {"path", "uri", "args", "query:sorted", "query:without:NAMES", "header:NAME", "http_NAME"} <= set(names)
    for name in names:
        KeyTemplate.parse(f"${{{name}}}")


@pytest.mark.parametrize(
    ("text", "host", "target"),
    [
        ("${scheme}${host}${request_uri}", True, True),
        ("$request_uri", False, True),
        ("$host$uri$is_args$args", True, True),
        ("$path$query_string", False, True),
        ("$host$uri", True, False),
        ("$uri$arg_a", False, False),
        ("${uri}${query:sorted}", False, False),
        ("$args", False, False),
    ],
)
def test_a_template_knows_whether_others_have_the_same_key(text: str, host: bool, target: bool) -> None:
    template = KeyTemplate.parse(text)
    assert (template.has_host, template.has_target) == (host, target)


@pytest.mark.parametrize(
    "text",
    [
        "$http_cookie",
        "$http_authorization",
        "$cookie_s",
        "${cookie:s}",
        "${header:Cookie}",
        "$http_x_api_key",
        "$http_x_session_token",
        "${header:X-JWT}",
    ],
)
def test_credentials_are_in_a_key_as_digests_only(text: str) -> None:
    template = KeyTemplate.parse(text)
    one, other = (
        request(
            f"Cookie: s={secret}\nAuthorization: {secret}\nX-API-Key: {secret}\n"
            f"X-Session-Token: {secret}\nX-JWT: {secret}"
        )
        for secret in ("topsecret", "other")
    )
    assert b"topsecret" not in b"".join(template.key(one))
    assert template.key(one) == template.key(one) != template.key(other)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("s=1", True),
        ("a=2; s=1", True),
        ("s=1; s=2", True),
        (" s = 1 ;", True),
        ("s=2", False),
        ("xs=1", False),
        ("s", False),
        ("", False),
    ],
)
def test_a_cookie_is_found_among_others(line: str, expected: bool) -> None:
    template = KeyTemplate.parse("$cookie_s")
    assert (template.key(request(f"Cookie: {line}")) == template.key(request("Cookie: s=1"))) is expected


@pytest.mark.parametrize(
    "target",
    ["/a?%61=2", "/a?a=1&%61=2", "/a?+a=2", "/a?a=2#", "/a?b=1"],
)
def test_a_parameter_cannot_slip_past_a_filter_by_being_written_another_way(target: str) -> None:
    only = KeyTemplate.parse("$uri${query:only:a, a}")
    plain = only.key(request(target="/a?a=1"))
    assert only.key(request(target=target)) != plain


def test_the_default_key_is_scheme_host_and_the_exact_target() -> None:
    assert DEFAULT_TEMPLATE.key(HEAD) == Key((b"http", b"www.example.com", HEAD.target))
    key = DEFAULT_TEMPLATE.key(HEAD)
    assert (key.host, key.target) == (b"www.example.com", HEAD.target)
    for other in ("/a", "/a?", "/a?b", "/A", "/a/", "/%61"):
        for more in ("/a", "/a?", "/a?b", "/A", "/a/", "/%61"):
            same = DEFAULT_TEMPLATE.key(request(target=other)) == DEFAULT_TEMPLATE.key(request(target=more))
            assert same is (other == more)


@pytest.mark.parametrize(
    ("scheme", "authority", "expected"),
    [
        (b"http", b"A.com:80", b"a.com"),
        (b"http", b"a.com:443", b"a.com:443"),
        (b"https", b"a.com:443", b"a.com"),
        (b"https", b"a.com:8443", b"a.com:8443"),
        (b"http", b"[::1]:80", b"[::1]"),
        (b"http", b"[::80]", b"[::80]"),
        (b"http", b"a.com:", b"a.com"),
        (b"https", b"[::1]:", b"[::1]"),
        (b"http", b"A.com.", b"a.com"),
        (b"http", b"a.com.:80", b"a.com"),
        (b"http", b"a.com.:8080", b"a.com:8080"),
        (b"http", b"", b""),
    ],
)
def test_a_host_loses_case_the_last_dot_and_the_port_that_goes_without_saying(
    scheme: bytes, authority: bytes, expected: bytes
) -> None:
    assert DEFAULT_TEMPLATE.key(RequestHead(b"GET", b"/", Fields(), scheme, authority)).host == expected


def test_head_has_the_key_of_get() -> None:
    template = KeyTemplate.parse("$request_method$uri")
    assert template.key(request(method="HEAD")) == template.key(request(method="GET"))


def test_another_method_and_its_body_are_always_in_the_key() -> None:
    template = KeyTemplate.parse("$uri")
    keys = {
        template.key(request()),
        template.key(request(method="POST"), b"1"),
        template.key(request(method="POST"), b"2"),
        template.key(request(method="PUT"), b"1"),
    }
    assert len(keys) == 4


def test_what_a_body_is_said_to_be_is_in_the_key_with_it() -> None:
    template = KeyTemplate.parse("$uri")
    said = [
        "",
        "Content-Type:",
        "Content-Type: text/plain",
        "Content-Type: application/json",
        "Content-Encoding: gzip",
        "Content-Language: gzip",
        "Content-Location: /other",
        "Content-Type: text/plain\nContent-Encoding: gzip",
    ]
    for body in (b"1", None):
        assert len({template.key(request(fields, "POST"), body) for fields in said}) == len(said)
    assert template.key(request("content-type: a/b", "POST")) == template.key(request("Content-Type:  a/b", "POST"))
    assert len({template.key(request(fields)) for fields in said}) == 1


def test_a_literal_cannot_be_forged_by_a_value() -> None:
    template = KeyTemplate.parse("$http_a|$http_b")
    one, other = template.key(request("A: x|\nB: y")), template.key(request("A: x\nB: |y"))
    assert one != other and one.digest != other.digest


@given(st.lists(st.binary(max_size=6), max_size=4), st.lists(st.binary(max_size=6), max_size=4))
def test_different_parts_have_different_digests(one: list[bytes], other: list[bytes]) -> None:
    assert (Key(tuple(one)).digest == Key(tuple(other)).digest) is (one == other)


@given(st.text(max_size=40))
def test_any_text_is_a_template_or_told_why_not(text: str) -> None:
    try:
        template = KeyTemplate.parse(text)
    except KeyTemplateError as error:
        assert "\n" not in str(error)
    else:
        template.key(HEAD)


@given(st.binary(max_size=60), st.binary(max_size=40))
def test_no_request_raises(query: bytes, cookie: bytes) -> None:
    template = KeyTemplate.parse("$arg_a$cookie_b${query:sorted:only:a*}${query:without:[,b}$http_cookie")
    template.key(RequestHead(b"GET", b"/?" + query, Fields([(b"Cookie", cookie)])))


READ = ("uri", "args", "host", "http_a", "http_b", "cookie_x", "arg_x", "request_uri", "query:sorted")
NAMES = [*(f"${{{name}}}" for name in READ), "a", "|"]


@st.composite
def asking(draw: st.DrawFn) -> RequestHead:
    """A request made of so few letters that its parts often look like one another's."""
    some = st.text("ax=&|", max_size=3).map(str.encode)
    target = b"/" + draw(some) + b"?" + draw(some)
    pairs = [(name, draw(some)) for name in (b"A", b"B", b"Cookie")]
    return RequestHead(draw(st.sampled_from([b"GET", b"POST"])), target, Fields(pairs), b"http", draw(some) or b"h")


@given(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5), asking(), asking(), st.binary(max_size=1))
def test_two_requests_have_one_key_only_where_each_part_of_it_is_the_same(
    names: list[str], one: RequestHead, other: RequestHead, body: bytes
) -> None:
    names.append("${uri}")

    def parts(head: RequestHead) -> list[object]:
        # One by one: nothing stands beside it that it could run into.
        alone = [KeyTemplate.parse(name).key(replace(head, method=b"GET")) for name in names if "$" in name]
        return [alone, head.method, body if head.method == b"POST" else None]

    template = KeyTemplate.parse("".join(names))
    keys = [template.key(head, body if head.method == b"POST" else None) for head in (one, other)]
    same = parts(one) == parts(other)
    assert (keys[0] == keys[1]) is same
    assert (keys[0].digest == keys[1].digest) is same


@given(st.text("ax:3|", min_size=1, max_size=12), st.integers(0, 12), st.integers(0, 12), st.sampled_from(READ[3:7]))
def test_what_one_part_ends_with_is_never_what_the_next_begins_with(text: str, i: int, j: int, first: str) -> None:
    template = KeyTemplate.parse(f"${{{first}}}${{http_c}}")

    def cut(at: int) -> RequestHead:
        front, back = text[:at].encode(), text[at:].encode()
        pairs = [(b"A", front), (b"B", front), (b"Cookie", b"x=" + front), (b"C", back)]
        return RequestHead(b"GET", b"/?x=" + front, Fields(pairs), b"http", b"h")

    keys = [template.key(cut(at)) for at in (i, j)]
    assert (keys[0].digest == keys[1].digest) is (text[:i] == text[:j])
