from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.http.exchanges import request, response
from txstalecache.http.invalidation import invalidates
from txstalecache.http.messages import Fields, RequestHead, ResponseHead


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "M-SEARCH", "FOO", "get", "LOCK"])
@pytest.mark.parametrize("status", [200, 201, 204, 299, 302, 303, 304])
def test_success_of_a_method_not_known_to_be_safe_invalidates_its_target(method: str, status: int) -> None:
    assert invalidates(request(method=method, target="/a?b"), response(status=status)) == [b"/a?b"]


@pytest.mark.parametrize("status", [100, 400, 404, 409, 500, 503])
def test_an_error_invalidates_nothing(status: int) -> None:
    assert invalidates(request(method="POST"), response("Location: /b", status)) == []


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "REPORT", "SEARCH", "QUERY", "PRI"])
def test_a_safe_method_invalidates_nothing(method: str) -> None:
    assert invalidates(request(method=method), response("Location: /b")) == []


@pytest.mark.parametrize("name", ["Location", "Content-Location"])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("/b", [b"/a", b"/b"]),
        ("/b?c=d", [b"/a", b"/b?c=d"]),
        ("/b#frag", [b"/a", b"/b"]),
        ("/b?", [b"/a", b"/b?"]),
        ("/b?#frag", [b"/a", b"/b?"]),
        ("/b#frag?", [b"/a", b"/b"]),
        ("/b?c?", [b"/a", b"/b?c?"]),
        ("b", [b"/a", b"/b"]),
        ("?q", [b"/a", b"/a?q"]),
        ("http://example.com/b", [b"/a", b"/b"]),
        ("HTTP://EXAMPLE.COM/b", [b"/a", b"/b"]),
        ("http://example.com:80/b", [b"/a", b"/b"]),
        ("//example.com/b", [b"/a", b"/b"]),
        ("http://example.com", [b"/a", b"/"]),
        ("http://example.com:8080/b", [b"/a"]),
        ("https://example.com/b", [b"/a"]),
        ("http://other.com/b", [b"/a"]),
        ("http://example.com.evil.org/b", [b"/a"]),
        ("http://example.com:x/b", [b"/a"]),
        ("http://[::1/b", [b"/a"]),
        ("javascript:alert(1)", [b"/a"]),
        ("", [b"/a"]),
        ("/a", [b"/a"]),
        ("/../../b", [b"/a", b"/b"]),
        ("http://example.com/x/../b?c", [b"/a", b"/b?c"]),
        ("//example.com/./b", [b"/a", b"/b"]),
        ("http://example.com//x/../b", [b"/a", b"//b"]),
        ("http://example.com//b/.", [b"/a", b"//b/"]),
        ("/b\xe4", [b"/a", b"/b\xe4"]),
    ],
)
def test_other_targets_count_when_they_are_of_the_same_origin(name: str, value: str, expected: list[bytes]) -> None:
    assert invalidates(request(method="POST"), response(f"{name}: {value}", 201)) == expected


@pytest.mark.parametrize("authority", [b"example.com", b"example.com:443"])
def test_the_port_of_https_is_443(authority: bytes) -> None:
    for there in ("https://example.com/b", "https://example.com:443/b"):
        asked = RequestHead(b"POST", b"/a", Fields(), b"https", authority)
        assert invalidates(asked, response(f"Location: {there}", 201)) == [b"/a", b"/b"]


def test_location_and_content_location_both_count() -> None:
    assert invalidates(request(method="POST"), response("Content-Location: /c\nLocation: /b", 201)) == [
        b"/a",
        b"/b",
        b"/c",
    ]


@given(st.binary(max_size=60), st.binary(max_size=30), st.binary(max_size=30))
def test_no_bytes_raise(value: bytes, authority: bytes, target: bytes) -> None:
    head = RequestHead(b"POST", b"/" + target, Fields(), b"http", authority)
    found = invalidates(head, ResponseHead(200, Fields([(b"Location", value), (b"Content-Location", value)])))
    assert found[0] == b"/" + target
