from __future__ import annotations

import pytest

from txstalecache.origin.address import Address


@pytest.mark.parametrize(
    ("url", "expected", "authority"),
    [
        ("http://127.0.0.1:8000", Address("http", "127.0.0.1", 8000, ""), b"127.0.0.1:8000"),
        ("http://example.com", Address("http", "example.com", 80, ""), b"example.com"),
        ("http://example.com:80/", Address("http", "example.com", 80, ""), b"example.com"),
        ("HTTP://Example.COM:81", Address("http", "example.com", 81, ""), b"example.com:81"),
        ("https://example.com", Address("https", "example.com", 443, ""), b"example.com"),
        ("https://example.com:8443", Address("https", "example.com", 8443, ""), b"example.com:8443"),
        ("http://[::1]:8000", Address("http", "::1", 8000, ""), b"[::1]:8000"),
        ("http://my_app-1.internal:1", Address("http", "my_app-1.internal", 1, ""), b"my_app-1.internal:1"),
        ("unix:/run/app.sock", Address("unix", "", 0, "/run/app.sock"), b"localhost"),
        ("unix:///run/app.sock", Address("unix", "", 0, "/run/app.sock"), b"localhost"),
    ],
)
def test_a_url_says_where_the_server_is(url: str, expected: Address, authority: bytes) -> None:
    address = Address.parse(url)
    assert address == expected
    assert address.authority == authority
    assert Address.parse(str(address)) == address


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("", "http://127.0.0.1:8000"),
        ("localhost:8000", "http://"),
        ("127.0.0.1", "http://"),
        ("ftp://example.com", "http://"),
        ("http://", "host name"),
        ("http://:80", "host name"),
        ("http://exa mple", "white space"),
        ("http://example.com\n", "white space"),
        ("http://example.com\r\nX: y", "white space"),
        ("http://example.com:99999", "ort"),
        ("http://example.com:0", "port"),
        ("http://example.com:x", "ort"),
        ("http://example.com/base", "only scheme, host and port"),
        ("http://example.com?", "only scheme, host and port"),
        ("http://example.com/#", "only scheme, host and port"),
        ("http://user:pw@example.com", "password"),
        ("http://bücher.example", "ASCII"),
        ("http://a..b", "host name"),
        ("http://-a", "host name"),
        ("http://[::1", "IPv6"),
        ("http://[zz]", ""),
        ("unix:relative", "unix:/absolute"),
        ("unix:", "unix:/absolute"),
        ("unix://host/x", "unix:/absolute"),
        ("unix:/" + "x" * 200, "107"),
        ("http://unix:/run/app.sock", "unix:/absolute"),
    ],
)
def test_a_bad_url_is_refused_in_one_clear_line(url: str, hint: str) -> None:
    with pytest.raises(ValueError) as caught:
        Address.parse(url)
    text = str(caught.value)
    assert "\n" not in text and text.startswith("origin '")
    assert hint in text
