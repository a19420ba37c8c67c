"""Raw requests that recipients have read in two ways, and what becomes of each here.

``expected`` is a status for a request that reaches no origin and ends its connection; ``OK`` for one that reaches the
origin exactly once, well-formed, and leaves the connection usable; ``CLOSES`` for one that does and closes it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CLOSES", "OK", "PAYLOADS", "Payload"]

OK = 200
CLOSES = 201

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


@dataclass(frozen=True)
class Payload:
    name: str
    raw: bytes
    expected: int


PAYLOADS: list[Payload] = []


def _add(name: str, raw: bytes, expected: int) -> None:
    PAYLOADS.append(Payload(name, raw, expected))


def _line(name: str, line: bytes, expected: int) -> None:
    _add(f"line: {name}", line + b"\r\nHost: a\r\n\r\n", expected)


def _target(name: str, target: bytes, expected: int) -> None:
    _line(f"target {name}", b"GET " + target + b" HTTP/1.1", expected)


def _fields(name: str, lines: bytes, expected: int, body: bytes = b"", method: bytes = b"POST") -> None:
    _add(name, method + b" /x HTTP/1.1\r\nHost: a\r\n" + lines + b"\r\n" + body, expected)


def _host(name: str, lines: bytes, expected: int, line: bytes = b"GET /x HTTP/1.1") -> None:
    _add(f"host: {name}", line + b"\r\n" + lines + b"\r\n", expected)


def _chunked(name: str, body: bytes, expected: int) -> None:
    _fields(f"chunk: {name}", b"Transfer-Encoding: chunked\r\n", expected, body)


# -- request line (RFC 9112 §3) --------------------------------------------------------------------------------------

_line("plain", b"GET /x HTTP/1.1", OK)
_line("post without body", b"POST /x HTTP/1.1", OK)
_line("options with a path", b"OPTIONS /x HTTP/1.1", OK)
_line("http 1.0", b"GET /x HTTP/1.0", CLOSES)
_line("http 0.9", b"GET /x", 400)
_line("no target", b"GET HTTP/1.1", 400)
_line("two spaces before target", b"GET  /x HTTP/1.1", 400)
_line("two spaces after target", b"GET /x  HTTP/1.1", 400)
_line("tab as separator", b"GET\t/x HTTP/1.1", 400)
_line("tab after target", b"GET /x\tHTTP/1.1", 400)
_line("vertical tab as separator", b"GET\x0b/x HTTP/1.1", 400)
_line("form feed as separator", b"GET /x\x0cHTTP/1.1", 400)
_line("space before method", b" GET /x HTTP/1.1", 400)
_line("space at the end", b"GET /x HTTP/1.1 ", 400)
_line("tab at the end", b"GET /x HTTP/1.1\t", 400)
_line("four parts", b"GET /x HTTP/1.1 HTTP/1.1", 400)
_line("space in target", b"GET /x /smuggled HTTP/1.1", 400)
_line("lower-case version", b"GET /x http/1.1", 400)
_line("http 1.2", b"GET /x HTTP/1.2", OK)
_add("line: http 1.9", b"POST /x HTTP/1.9\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", OK)
_line("http 2.0", b"GET /x HTTP/2.0", 505)
_line("http 3.0", b"GET /x HTTP/3.0", 505)
_line("http 0.9 spelled out", b"GET /x HTTP/0.9", 505)
_line("http 1.10", b"GET /x HTTP/1.10", 400)
_line("http 01.1", b"GET /x HTTP/01.1", 400)
_line("http 1,1", b"GET /x HTTP/1,1", 400)
_line("http 1", b"GET /x HTTP/1", 400)
_line("http without number", b"GET /x HTTP/", 400)
_line("icy", b"GET /x ICY/1.1", 400)
_line("version with sign", b"GET /x HTTP/+1.1", 400)
_line("lower-case method", b"get /x HTTP/1.1", 501)
_line("unknown method", b"BREW /x HTTP/1.1", 501)
_line("trace", b"TRACE /x HTTP/1.1", 405)
_line("connect", b"CONNECT a:80 HTTP/1.1", 405)
_line("connect with a path", b"CONNECT /x HTTP/1.1", 405)
_line("method with a comma", b"GET,POST /x HTTP/1.1", 400)
_line("method with a colon", b"GET: /x HTTP/1.1", 400)
_line("method with a nul", b"G\0ET /x HTTP/1.1", 400)
_line("method in quotes", b'"GET" /x HTTP/1.1', 400)
_line("method of 8-bit letters", b"G\xc9T /x HTTP/1.1", 400)
_line("empty method", b" /x HTTP/1.1", 400)
_line("endless method", b"G" * 200 + b" /x HTTP/1.1", 400)
_line("http/2 preface", b"PRI * HTTP/2.0", 505)
_add("line: bare LF after it", b"GET /x HTTP/1.1\nHost: a\r\n\r\n", 400)
_add("line: CR CR LF after it", b"GET /x HTTP/1.1\r\r\nHost: a\r\n\r\n", 400)
_add("line: bare CR after it", b"GET /x HTTP/1.1\rHost: a\r\n\r\n", 400)
_add("line: LF CR after it", b"GET /x HTTP/1.1\n\rHost: a\r\n\r\n", 400)
_add("line: all bare LF", b"GET /x HTTP/1.1\nHost: a\n\n", 400)
_add("line: one empty line before", b"\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", OK)
_add("line: two empty lines before", b"\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400)
_add("line: bare LF before", b"\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n", 400)
_add("line: only empty lines", b"\r\n\r\n\r\n\r\n", 400)
_add("line: a TLS hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 64, 400)
_add("line: rubbish", b"\xff\xfe\xfd\r\n\r\n", 400)
_add("line: never ends", b"GET /x HTT", 408)
_add("line: smtp", b"EHLO a\r\n\r\n", 400)

# -- target (RFC 9112 §3.2) ------------------------------------------------------------------------------------------

_target("of two slashes", b"//evil/x", OK)
_target("with dots", b"/a/../x", OK)
_target("with encoded dots", b"/a/%2e%2e/x", OK)
_target("with encoded nul", b"/x%00", OK)
_target("with encoded line end", b"/x%0d%0aX-Injected:%201", OK)
_target("with backslash", b"/\\x", OK)
_target("with braces and bars", b'/x?{"a"|b}', OK)
_target("with an empty query", b"/x?", OK)
_target("with two question marks", b"/x?a?b", OK)
_target("with invalid percent", b"/x%zz", OK)
_target("star", b"*", 400)
_target("without slash", b"x", 400)
_target("at sign", b"@evil/x", 400)
_target("colon at sign", b":@evil/x", 400)
_target("fragment", b"/x#y", 400)
_target("encoded fragment", b"/x%23y", OK)
_target("question mark only", b"?x", 400)
_target("nul", b"/x\0", 400)
_target("del", b"/x\x7f", 400)
_target("8-bit", b"/\xc3\xa9", 400)
_target("8-bit below 0xb0", b"/\x80\xa0", 400)
_target("tab", b"/x\ty", 400)
_target("bare CR", b"/x\ry", 400)
_target("too long", b"/" + b"x" * 8192, 414)
_target("just not too long", b"/" + b"x" * 8191, OK)
_target("endless", b"/" + b"x" * 20000, 414)
_target("absolute", b"http://a/x", OK)
_target("absolute in capitals", b"HTTP://A/x", OK)
_target("absolute without path", b"http://a", OK)
_target("absolute, only query", b"http://a?q", OK)
_target("absolute for another", b"http://evil/x", 400)
_target("absolute for a longer name", b"http://a.evil/x", 400)
_target("absolute with user", b"http://a@evil/x", 400)
_target("absolute with user and password", b"http://u:p@a/x", 400)
_target("absolute with another port", b"http://a:81/x", 400)
_target("absolute with default port", b"http://a:80/x", 400)
_target("absolute https", b"https://a/x", 400)
_target("absolute ftp", b"ftp://a/x", 400)
_target("absolute file", b"file:///etc/passwd", 400)
_target("absolute without authority", b"http:///x", 400)
_target("absolute with one slash", b"http:/a/x", 400)
_target("absolute with fragment", b"http://a/x#y", 400)
_target("absolute with backslash", b"http://a\\evil/x", 400)
_target("authority form", b"a:80", 400)
_target("javascript", b"javascript:x", 400)

# -- Host (RFC 9110 §7.2) --------------------------------------------------------------------------------------------

_host("none", b"", 400)
_host("none in 1.0", b"", CLOSES, b"GET /x HTTP/1.0")
_host("empty", b"Host: \r\n", 400)
_host("empty in 1.0", b"Host:\r\n", 400, b"GET /x HTTP/1.0")
_host("twice", b"Host: a\r\nHost: b\r\n", 400)
_host("twice the same", b"Host: a\r\nHost: a\r\n", 400)
_host("twice, other case", b"Host: a\r\nhOST: b\r\n", 400)
_host("twice in 1.0", b"Host: a\r\nHost: b\r\n", 400, b"GET /x HTTP/1.0")
_host("list", b"Host: a, b\r\n", 400)
_host("space inside", b"Host: a b\r\n", 400)
_host("tab inside", b"Host: a\tb\r\n", 400)
_host("white space around", b"Host: \t a \t\r\n", OK)
_host("space before colon", b"Host : a\r\n", 400)
_host("tab before colon", b"Host\t: a\r\n", 400)
_host("folded", b"Host:\r\n a\r\n", 400)
_host("folded before", b" Host: b\r\nHost: a\r\n", 400)
_host("user", b"Host: u@a\r\n", 400)
_host("path", b"Host: a/x\r\n", 400)
_host("query", b"Host: a?x\r\n", 400)
_host("fragment", b"Host: a#x\r\n", 400)
_host("backslash", b"Host: a\\b\r\n", 400)
_host("scheme", b"Host: http://a\r\n", 400)
_host("percent", b"Host: a%2eb\r\n", 400)
_host("sub-delims", b"Host: a';b\r\n", 400)
_host("quotes", b'Host: "a"\r\n', 400)
_host("angle brackets", b"Host: <a>\r\n", 400)
_host("8-bit", b"Host: \xc3\xa9\r\n", 400)
_host("nul", b"Host: a\0b\r\n", 400)
_host("port", b"Host: a:8080\r\n", OK)
_host("empty port", b"Host: a:\r\n", OK)
_host("port too large", b"Host: a:65536\r\n", 400)
_host("port of letters", b"Host: a:b\r\n", 400)
_host("port with sign", b"Host: a:+80\r\n", 400)
_host("two ports", b"Host: a:80:80\r\n", 400)
_host("port only", b"Host: :80\r\n", 400)
_host("dot only", b"Host: .\r\n", 400)
_host("leading dot", b"Host: .a\r\n", 400)
_host("two dots", b"Host: a..b\r\n", 400)
_host("none in 1.2", b"", 400, b"GET /x HTTP/1.2")
_host("trailing dot", b"Host: a.\r\n", OK)
_host("capitals", b"Host: A.Example\r\n", OK)
_host("ipv4", b"Host: 127.0.0.1:80\r\n", OK)
_host("ipv6", b"Host: [::1]:80\r\n", OK)
_host("ipv6 unclosed", b"Host: [::1\r\n", 400)
_host("ipv6 that is none", b"Host: [1:2]\r\n", 400)
_host("ipv6 with zone", b"Host: [fe80::1%25eth0]\r\n", 400)
_host("ipv6 without brackets", b"Host: ::1\r\n", 400)
_host("ipv6 with tail", b"Host: [::1]a\r\n", 400)
_host("endless", b"Host: " + b"a" * 300 + b"\r\n", 400)
_host("absolute form, no Host", b"", 400, b"GET http://a/x HTTP/1.1")
_host("absolute form, other Host", b"Host: b\r\n", 400, b"GET http://a/x HTTP/1.1")
_host("absolute form, two Hosts", b"Host: a\r\nHost: b\r\n", 400, b"GET http://a/x HTTP/1.1")

# -- field lines (RFC 9112 §5) ---------------------------------------------------------------------------------------

_fields("field: no colon", b"X-Field\r\n", 400)
_fields("field: empty name", b": x\r\n", 400)
_fields("field: space in name", b"X Field: x\r\n", 400)
_fields("field: space before colon", b"X-Field : x\r\n", 400)
_fields("field: nul in name", b"X\0: x\r\n", 400)
_fields("field: 8-bit name", b"X-\xc3: x\r\n", 400)
_fields("field: slash in name", b"X/Y: x\r\n", 400)
_fields("field: obs-fold with space", b"X-Field: a\r\n b\r\n", 400)
_fields("field: obs-fold with tab", b"X-Field: a\r\n\tb\r\n", 400)
_fields("field: nul in value", b"X-Field: a\0b\r\n", 400)
_fields("field: bare CR in value", b"X-Field: a\rb\r\n", 400)
_fields("field: bare LF in value", b"X-Field: a\nX-Other: b\r\n", 400)
_fields("field: bare LF hides a length", b"X-Field: a\nContent-Length: 0\r\n", 400)
_fields("field: CR CR LF", b"X-Field: a\r\r\n", 400)
_fields("field: escape in value", b"X-Field: \x1b[2J\r\n", 400)
_fields("field: del in value", b"X-Field: a\x7f\r\n", 400)
_fields("field: empty value", b"X-Field:\r\n", OK)
_fields("field: tab in value", b"X-Field: a\tb\r\n", OK)
_fields("field: 8-bit value", b"X-Field: \xe2\x82\xac\r\n", OK)
_fields("field: colons in value", b"X-Field: a: b\r\n", OK)
_fields("field: 100 lines", b"".join(b"X-%d: y\r\n" % n for n in range(99)), OK)
_fields("field: 101 lines", b"".join(b"X-%d: y\r\n" % n for n in range(100)), 431)
_fields("field: 16 KiB", b"X: " + b"y" * 17000 + b"\r\n", 431)
_fields("field: endless", b"X: " + b"y" * 60000, 431)
_fields("field: never ends", b"X-Field: a\r\n"[:-2], 408)
_fields("field: ends with bare LF", b"X-Field: a\r\n\n", 400)

# -- length (RFC 9112 §6.2, §6.3) ------------------------------------------------------------------------------------

_fields("length: right", b"Content-Length: 2\r\n", OK, b"ab")
_fields("length: of a GET", b"Content-Length: 2\r\n", OK, b"ab", b"GET")
_fields("length: CL.0", b"Content-Length: %d\r\n" % len(SMUGGLED), OK, SMUGGLED)
_fields("length: zeroes in front", b"Content-Length: 0002\r\n", OK, b"ab")
_fields("length: twice", b"Content-Length: 2\r\nContent-Length: 0\r\n", 400, SMUGGLED)
_fields("length: twice the same", b"Content-Length: 2\r\nContent-Length: 2\r\n", 400, b"ab")
_fields("length: list", b"Content-Length: 2, 2\r\n", 400, b"ab")
_fields("length: list of two", b"Content-Length: 0, 2\r\n", 400, b"ab")
_fields("length: plus sign", b"Content-Length: +2\r\n", 400, b"ab")
_fields("length: minus sign", b"Content-Length: -2\r\n", 400, b"ab")
_fields("length: hex", b"Content-Length: 0x2\r\n", 400, b"ab")
_fields("length: underscore", b"Content-Length: 1_0\r\n", 400, b"ab")
_fields("length: fraction", b"Content-Length: 2.0\r\n", 400, b"ab")
_fields("length: space inside", b"Content-Length: 1 0\r\n", 400, b"ab")
_fields("length: empty", b"Content-Length:\r\n", 400)
_fields("length: letters", b"Content-Length: two\r\n", 400, b"ab")
_fields("length: quoted", b'Content-Length: "2"\r\n', 400, b"ab")
_fields("length: 8-bit digits", b"Content-Length: \xb2\r\n", 400, b"ab")
_fields("length: comma after", b"Content-Length: 2,\r\n", 400, b"ab")
_fields("length: 64 bits and more", b"Content-Length: 18446744073709551618\r\n", 400, b"ab")
_fields("length: too large", b"Content-Length: 1048577\r\n", 413, b"ab")
_fields("length: too large, and asks first", b"Content-Length: 1048577\r\nExpect: 100-continue\r\n", 413)
_fields("length: space before colon", b"Content-Length : 2\r\n", 400, b"ab")
_fields("length: folded", b"Content-Length:\r\n 2\r\n", 400, b"ab")
_fields("length: its twin", b"Content_Length: 2\r\n", 400, b"ab")
_fields("length: body never comes", b"Content-Length: 2\r\n", 408, b"a")

# -- transfer coding (RFC 9112 §6.1) ---------------------------------------------------------------------------------

_END = b"0\r\n\r\n"
_TE = b"Transfer-Encoding: chunked\r\n"
_fields("coding: CL.TE", b"Content-Length: 5\r\n" + _TE, 400, _END + SMUGGLED)
_fields("coding: TE.CL", _TE + b"Content-Length: 4\r\n", 400, b"5c\r\n" + SMUGGLED + _END)
_fields("coding: TE.0", _TE + b"Content-Length: 0\r\n", 400, _END)
_fields("coding: twice", _TE + _TE, 400, _END)
_fields("coding: twice, second unknown", _TE + b"Transfer-Encoding: x\r\n", 400, _END + SMUGGLED)
_fields("coding: twice, first unknown", b"Transfer-Encoding: x\r\n" + _TE, 400, _END + SMUGGLED)
_fields("coding: identity", b"Transfer-Encoding: identity\r\n", 501, SMUGGLED)
_fields("coding: identity and length", b"Transfer-Encoding: identity\r\nContent-Length: 2\r\n", 400, b"ab")
_fields("coding: gzip, chunked", b"Transfer-Encoding: gzip, chunked\r\n", 501, _END)
_fields("coding: chunked, identity", b"Transfer-Encoding: chunked, identity\r\n", 501, _END)
_fields("coding: chunked, chunked", b"Transfer-Encoding: chunked, chunked\r\n", 501, _END)
_fields("coding: comma before", b"Transfer-Encoding: , chunked\r\n", 501, _END)
_fields("coding: comma after", b"Transfer-Encoding: chunked,\r\n", 501, _END)
_fields("coding: xchunked", b"Transfer-Encoding: xchunked\r\n", 501, _END)
_fields("coding: chunkedx", b"Transfer-Encoding: chunked-x\r\n", 501, _END)
_fields("coding: quoted", b'Transfer-Encoding: "chunked"\r\n', 501, _END)
_fields("coding: parameter", b"Transfer-Encoding: chunked;a=b\r\n", 501, _END)
_fields("coding: empty", b"Transfer-Encoding:\r\n", 501, _END)
_fields("coding: vertical tab", b"Transfer-Encoding: \x0bchunked\r\n", 400, _END)
_fields("coding: nul", b"Transfer-Encoding: chunked\0\r\n", 400, _END)
_fields("coding: 8-bit space", b"Transfer-Encoding: \xa0chunked\r\n", 501, _END)
_fields("coding: space before colon", b"Transfer-Encoding : chunked\r\n", 400, _END)
_fields("coding: folded", b"Transfer-Encoding:\r\n chunked\r\n", 400, _END)
_fields("coding: folded after", b"Transfer-Encoding: chunked\r\n , identity\r\n", 400, _END)
_fields("coding: bare LF", b"X: y\nTransfer-Encoding: chunked\r\n", 400, _END)
_fields("coding: bare CR", b"X: y\rTransfer-Encoding: chunked\r\n", 400, _END)
_fields("coding: its twin", b"Transfer_Encoding: chunked\r\n", 400, _END)
_fields("coding: twin beside length", b"Content-Length: 2\r\nTransfer_Encoding: chunked\r\n", 400, b"ab")
_fields("coding: capitals", b"TRANSFER-ENCODING: CHUNKED\r\n", OK, _END)
_fields("coding: white space around", b"Transfer-Encoding: \t chunked \t\r\n", OK, _END)
_fields("coding: named by Connection", _TE + b"Connection: Transfer-Encoding\r\n", OK, _END)
_fields("length: named by Connection", b"Content-Length: 2\r\nConnection: Content-Length\r\n", OK, b"ab")
_fields("coding: of a GET", _TE, OK, _END, b"GET")
_add("coding: in 1.0", b"POST /x HTTP/1.0\r\nHost: a\r\n" + _TE + b"\r\n" + _END, 400)
_add(
    "coding: in 1.0, kept alive",
    b"POST /x HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n" + _TE + b"\r\n" + _END,
    400,
)

# -- chunks (RFC 9112 §7.1) ------------------------------------------------------------------------------------------

_chunked("plain", b"2\r\nab\r\n" + _END, OK)
_chunked("two", b"2\r\nab\r\n1\r\nc\r\n" + _END, OK)
_chunked("capital hex", b"A\r\n0123456789\r\n" + _END, OK)
_chunked("zeroes in front", b"002\r\nab\r\n" + _END, OK)
_chunked("many zeroes in front", b"0" * 20 + b"2\r\nab\r\n" + _END, 400)
_chunked("many zeroes", b"000\r\n\r\n", OK)
_chunked("extension", b"2;a=b\r\nab\r\n" + _END, OK)
_chunked("extension without value", b"2;a\r\nab\r\n" + _END, OK)
_chunked("quoted extension", b'2;a="b;c"\r\nab\r\n' + _END, OK)
_chunked("extension of the last", b"2\r\nab\r\n0;a=b\r\n\r\n", OK)
_chunked("bare LF in extension", b"2;a\nab\r\n" + _END, 400)
_chunked("bare LF in quoted extension", b'2;a="\nb"\r\nab\r\n' + _END, 400)
_chunked("bare CR in extension", b"2;a\rb\r\nab\r\n" + _END, 400)
_chunked("nul in extension", b"2;a\0\r\nab\r\n" + _END, 400)
_chunked("endless extension", b"2;" + b"a" * 2000 + b"\r\nab\r\n" + _END, 400)
_chunked("many extensions", (b"1;" + b"a" * 500 + b"\r\nx\r\n") * 30 + _END, 400)
_chunked("space before size", b" 2\r\nab\r\n" + _END, 400)
_chunked("space after size", b"2 \r\nab\r\n" + _END, 400)
_chunked("tab after size", b"2\t\r\nab\r\n" + _END, 400)
_chunked("space before extension", b"2 ;a\r\nab\r\n" + _END, 400)
_chunked("0x", b"0x2\r\nab\r\n" + _END, 400)
_chunked("plus sign", b"+2\r\nab\r\n" + _END, 400)
_chunked("minus sign", b"-2\r\nab\r\n" + _END, 400)
_chunked("underscore", b"1_0\r\n0123456789abcdef\r\n" + _END, 400)
_chunked("size of letters", b"g\r\nab\r\n" + _END, 400)
_chunked("no size", b"\r\nab\r\n" + _END, 400)
_chunked("size of 64 bits", b"10000000000000002\r\nab\r\n" + _END, 400)
_chunked("size of 60 bits", b"fffffffffffffff\r\nab\r\n" + _END, 413)
_chunked("too large", b"100001\r\nab", 413)
_chunked("longer than its size", b"2\r\nabc\r\n" + _END, 400)
_chunked("shorter than its size", b"3\r\nab\r\n" + _END, 400)
_chunked("ends with LF", b"2\r\nab\n" + _END, 400)
_chunked("ends with CR", b"2\r\nab\r" + _END, 400)
_chunked("ends with two other bytes", b"2\r\nabXX" + _END, 400)
_chunked("size ends with LF", b"2\nab\r\n" + _END, 400)
_chunked("size ends with CR", b"2\rab\r\n" + _END, 400)
_chunked("last ends with LF", b"2\r\nab\r\n0\n\r\n", 400)
_chunked("last ends with two LF", b"0\n\n" + SMUGGLED, 400)
_chunked("trailer", b"2\r\nab\r\n0\r\nX-Trailer: 1\r\n\r\n", OK)
_chunked("trailer that frames", b"0\r\nContent-Length: 5\r\n\r\n", 400)
_chunked("trailer without colon", b"0\r\nX-Trailer\r\n\r\n", 400)
_chunked("trailer folded", b"0\r\nX: a\r\n b\r\n\r\n", 400)
_chunked("trailer with LF", b"0\r\nX: a\n\r\n", 400)
_chunked("endless trailers", b"0\r\n" + b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 400, 400)
_chunked("request as trailer", b"0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", 400)
_chunked("never ends", b"2\r\nab\r\n", 408)

# -- connection and expectation --------------------------------------------------------------------------------------

_fields("connection: close", b"Connection: close\r\n", CLOSES)
_fields("connection: list with close", b"Connection: x-y,close\r\n", CLOSES)
_fields("connection: close in capitals, second line", b"Connection: x-y\r\nConnection: CLOSE\r\n", CLOSES)
_fields("connection: Host", b"Connection: Host\r\n", OK)
_fields("connection: itself", b"Connection: Connection\r\n", OK)
_fields(
    "connection: upgrade to h2c",
    b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
    OK,
)
_fields("connection: upgrade to websocket", b"Connection: Upgrade\r\nUpgrade: websocket\r\n", OK)
_fields("expect: unknown", b"Expect: 200-ok\r\nContent-Length: 2\r\n", 417, b"ab")
_fields("expect: twice", b"Expect: 100-continue\r\nExpect: 100-continue\r\n", 417)
_fields("expect: without body", b"Expect: 100-continue\r\n", OK)
