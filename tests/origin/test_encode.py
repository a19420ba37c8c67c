from __future__ import annotations

from typing import Any

import h11
import pytest
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from tests.support.sink import origin_request
from txstalecache.origin.encode import encode_head


@implementer(IBodyProducer)
class Body:
    def __init__(self, length: Any) -> None:
        self.length = length

    def startProducing(self, consumer: Any) -> Any: ...
    def stopProducing(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...


def test_method_target_and_fields_go_out_as_they_are_and_in_order() -> None:
    request = origin_request("GET", "/a?b=%20", [("X-b", "2"), ("host", "h"), ("x-B", "1"), ("Accept", "")])
    assert encode_head(request, b"other") == (
        b"GET /a?b=%20 HTTP/1.1\r\nX-b: 2\r\nhost: h\r\nx-B: 1\r\nAccept: \r\n\r\n"
    )


def test_host_comes_from_the_url_when_the_request_brings_none() -> None:
    assert encode_head(origin_request(), b"h:1") == b"GET / HTTP/1.1\r\nHost: h:1\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "body", "framing"),
    [
        ("POST", None, b"Content-Length: 0\r\n"),
        ("PUT", None, b"Content-Length: 0\r\n"),
        ("PATCH", None, b"Content-Length: 0\r\n"),
        ("GET", None, b""),
        ("DELETE", None, b""),
        ("POST", Body(0), b"Content-Length: 0\r\n"),
        ("POST", Body(5), b"Content-Length: 5\r\nConnection: close\r\n"),
        ("GET", Body(5), b"Content-Length: 5\r\nConnection: close\r\n"),
        ("POST", Body(UNKNOWN_LENGTH), b"Transfer-Encoding: chunked\r\nConnection: close\r\n"),
    ],
)
def test_framing_is_ours_whatever_the_fields_say(method: str, body: Any, framing: bytes) -> None:
    fields = [("Content-Length", "99"), ("Transfer-Encoding", "gzip"), ("Expect", "100-continue"), ("Connection", "x")]
    encoded = encode_head(origin_request(method, "/", fields, body), b"h")
    assert encoded == method.encode() + b" / HTTP/1.1\r\nHost: h\r\n" + framing + b"\r\n"


BAD: list[tuple[Any, Any, Any]] = [
    ("GET /x HTTP/1.1\r\nA:", "/", ()),
    ("", "/", ()),
    ("G T", "/", ()),
    (b"G\xe9T", "/", ()),
    ("GET", "", ()),
    ("GET", "x", ()),
    ("GET", "http://evil/", ()),
    ("GET", "/a b", ()),
    ("GET", "/a\r\nX: y", ()),
    ("GET", "/a\n", ()),
    ("GET", "/a\x00", ()),
    ("GET", b"/\xff", ()),
    ("GET", "/\x7f", ()),
    ("GET", "/a#b", ()),
    ("GET", "/ HTTP/1.1\r\n\r\nGET /b", ()),
    ("GET", "/", [("", "v")]),
    ("GET", "/", [("a b", "v")]),
    ("GET", "/", [("a:", "v")]),
    ("GET", "/", [("a\r\nb", "v")]),
    ("GET", "/", [(" a", "v")]),
    ("GET", "/", [("a", "v\r\nEvil: 1")]),
    ("GET", "/", [("a", "v\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n")]),
    ("GET", "/", [("a", "v\nEvil: 1")]),
    ("GET", "/", [("a", "v\rEvil: 1")]),
    ("GET", "/", [("a", "v\x00")]),
    ("GET", "/", [("a", "v\x0b")]),
    ("GET", "/", [("a", "v\x7f")]),
    ("GET", "/", [("a", "v\r\n continued")]),
    ("GET", "/", [("Host", "a"), ("host", "b")]),
    ("GET", "/", [("Host", "a\r\nX: y")]),
    ("GET", "/", [("Connection\r\nX", "y")]),
]


@pytest.mark.parametrize(("method", "target", "fields"), BAD)
def test_what_is_not_one_request_is_not_sent(method: Any, target: Any, fields: Any) -> None:
    with pytest.raises(ValueError):
        encode_head(origin_request(method, target, fields), b"h")


def test_h11_reads_what_we_write() -> None:
    request = origin_request("POST", "/x?y", [("Host", "h"), ("A", "1"), ("A", "\xff\t2")], Body(3))
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(encode_head(request, b"h") + b"abc")
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (b"POST", b"/x?y")
    assert event.headers.raw_items() == [
        (b"Host", b"h"),
        (b"A", b"1"),
        (b"A", b"\xff\t2"),
        (b"Content-Length", b"3"),
        (b"Connection", b"close"),
    ]
