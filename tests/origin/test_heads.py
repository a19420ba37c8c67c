from __future__ import annotations

import pytest

from txstalecache.http.section import Section
from txstalecache.origin.bodies import Body, body_of
from txstalecache.origin.heads import (
    MAX_FIELDS,
    MAX_HEAD,
    BodyKind,
    Malformed,
    ReceivedHead,
    check_partial_head,
    read_head,
)

OK = b"HTTP/1.1 200 OK\r\n"


def read(block: bytes, method: bytes = b"GET") -> ReceivedHead:
    return read_head(block, method)


def test_fields_are_kept_as_they_came() -> None:
    head = read(OK + b"b: 2\r\nA:1  \r\nB:\t \t3\t4 \r\nEmpty:\r\nObs: \xff\xe9\r\n\r\n").head
    assert head.status == 200
    assert head.fields.pairs == ((b"b", b"2"), (b"A", b"1"), (b"B", b"3\t4"), (b"Empty", b""), (b"Obs", b"\xff\xe9"))


def test_a_head_that_comes_again_and_again_is_read_twice() -> None:
    block = OK + b"Content-Length: 5\r\nConnection: keep-alive\r\nA: read twice\r\n\r\n"
    first, second, third = read(block), read(block), read(block)
    assert first == second == third
    assert not isinstance(first.head.fields, Section)
    assert isinstance(second.head.fields, Section) and third is second
    assert read(block.replace(b"5", b"6")).length == 6


def test_a_head_means_something_else_in_answer_to_head() -> None:
    block = OK + b"Content-Length: 5\r\nA: in answer to HEAD\r\n\r\n"
    for _ in range(3):
        assert (read(block).kind, read(block).length) == (BodyKind.COUNTED, 5)
        assert (read(block, b"HEAD").kind, read(block, b"HEAD").length) == (BodyKind.NONE, 0)


def test_what_is_malformed_stays_so() -> None:
    for _ in range(3):
        with pytest.raises(Malformed):
            read(OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n")


def test_only_end_to_end_fields_travel_on() -> None:
    head = read(
        OK + b"Connection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: x\r\nTE: y\r\n"
        b"Upgrade: h2c\r\nTrailer: z\r\nTransfer-Encoding: chunked\r\nETag: a\r\n\r\n"
    ).head
    assert head.fields.pairs == ((b"ETag", b"a"),)


@pytest.mark.parametrize(
    ("block", "method", "kind", "length", "persistent"),
    [
        (OK + b"Content-Length: 5\r\n\r\n", b"GET", BodyKind.COUNTED, 5, True),
        (OK + b"Content-Length: 0\r\n\r\n", b"GET", BodyKind.NONE, 0, True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"GET", BodyKind.CHUNKED, None, True),
        (OK + b"Transfer-Encoding: Chunked\r\n\r\n", b"GET", BodyKind.CHUNKED, None, True),
        (OK + b"\r\n", b"GET", BodyKind.UNTIL_CLOSE, None, False),
        (OK + b"Content-Length: 5\r\n\r\n", b"HEAD", BodyKind.NONE, 0, True),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"HEAD", BodyKind.NONE, 0, True),
        (OK + b"\r\n", b"HEAD", BodyKind.NONE, 0, True),
        (b"HTTP/1.1 204 No\r\n\r\n", b"GET", BodyKind.NONE, 0, True),
        (b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET", BodyKind.NONE, 0, False),
        (b"HTTP/1.1 304 No\r\nContent-Length: 7\r\n\r\n", b"GET", BodyKind.NONE, 0, True),
        (b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\n", b"GET", BodyKind.COUNTED, 5, True),
        (b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\n", b"GET", BodyKind.COUNTED, 5, True),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", b"GET", BodyKind.COUNTED, 5, False),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n", b"GET", BodyKind.COUNTED, 5, False),
        (OK + b"Connection: Close\r\nContent-Length: 5\r\n\r\n", b"GET", BodyKind.COUNTED, 5, False),
        (
            OK + b"Connection: x\r\nConnection: y,close\r\nContent-Length: 5\r\n\r\n",
            b"GET",
            BodyKind.COUNTED,
            5,
            False,
        ),
        (
            OK + b"Connection: Upgrade, Keep-Alive\r\nUpgrade: h2c\r\nContent-Length: 5\r\n\r\n",
            b"GET",
            BodyKind.COUNTED,
            5,
            True,
        ),
    ],
)
def test_the_head_says_how_the_body_ends(
    block: bytes, method: bytes, kind: BodyKind, length: int | None, persistent: bool
) -> None:
    received = read(block, method)
    assert (received.kind, received.length, received.persistent) == (kind, length, persistent)


def test_content_length_is_kept_where_it_means_something() -> None:
    assert read(OK + b"Content-Length: 5\r\n\r\n", b"HEAD").head.fields.get(b"content-length") == b"5"
    assert read(b"HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n").head.fields.get(b"content-length") == b"5"
    assert read(b"HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n").head.fields.get(b"content-length") is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"timeout=5", 5),
        (b"max=100, timeout=15", 15),
        (b"Timeout=2;x", 2),
        (b"xtimeout=5", None),
        (b"timeout=-1", None),
    ],
)
def test_the_keep_alive_promise_is_read(value: bytes, seconds: float | None) -> None:
    assert read(OK + b"Content-Length: 0\r\nKeep-Alive: " + value + b"\r\n\r\n").keep_alive == seconds


BAD_HEADS = {
    "not http": b"SSH-2.0-x\r\n\r\n",
    "http/2": b"HTTP/2.0 200 OK\r\n\r\n",
    "http/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "http/0.9": b"HTTP/0.9 200 OK\r\n\r\n",
    "http/11": b"HTTP/11 200 OK\r\n\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "leading space": b" HTTP/1.1 200 OK\r\n\r\n",
    "leading line end": b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    "icecast": b"ICY 200 OK\r\n\r\n",
    "status missing": b"HTTP/1.1 OK\r\n\r\n",
    "status negative": b"HTTP/1.1 -200 OK\r\n\r\n",
    "status two digits": b"HTTP/1.1 20 OK\r\n\r\n",
    "status four digits": b"HTTP/1.1 2000 OK\r\n\r\n",
    "status 000": b"HTTP/1.1 000 OK\r\n\r\n",
    "status 099": b"HTTP/1.1 099 OK\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\n\r\n",
    "status 999": b"HTTP/1.1 999 OK\r\n\r\n",
    "status arabic digits": "HTTP/1.1 ٢٠٠ OK\r\n\r\n".encode(),
    "status 101": b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "status 101 alone": b"HTTP/1.1 101 Switching\r\n\r\n",
    "two spaces": b"HTTP/1.1  200 OK\r\n\r\n",
    "tab": b"HTTP/1.1\t200 OK\r\n\r\n",
    "reason with cr": b"HTTP/1.1 200 O\rK\r\n\r\n",
    "reason with nul": b"HTTP/1.1 200 O\x00K\r\n\r\n",
    "reason with bare lf": b"HTTP/1.1 200 OK\nA: b\r\n\r\n",
    "obs-fold": OK + b"A: b\r\n c\r\n\r\n",
    "obs-fold first": OK + b" A: b\r\n\r\n",
    "space before colon": OK + b"A : b\r\n\r\n",
    "no colon": OK + b"A\r\n\r\n",
    "empty name": OK + b": b\r\n\r\n",
    "name with control": OK + b"A\x01: b\r\n\r\n",
    "name not ascii": OK + b"\xc4: b\r\n\r\n",
    "name with bracket": OK + b"A(: b\r\n\r\n",
    "value with nul": OK + b"A: b\x00c\r\n\r\n",
    "value with cr": OK + b"A: b\rc\r\n\r\n",
    "value with bare lf": OK + b"A: b\nC: d\r\n\r\n",
    "value with escape": OK + b"A: \x1b[0m\r\n\r\n",
    "value with del": OK + b"A: \x7f\r\n\r\n",
    "value ends in cr cr lf": OK + b"A: b\r\r\n\r\n",
    "two lengths": OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "the same length twice": OK + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "length list": OK + b"Content-Length: 5, 5\r\n\r\n",
    "length negative": OK + b"Content-Length: -5\r\n\r\n",
    "length signed": OK + b"Content-Length: +5\r\n\r\n",
    "length hex": OK + b"Content-Length: 0x5\r\n\r\n",
    "length empty": OK + b"Content-Length:\r\n\r\n",
    "length with underscore": OK + b"Content-Length: 1_0\r\n\r\n",
    "length huge": OK + b"Content-Length: 99999999999999999999\r\n\r\n",
    "length and chunked": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "coding gzip": OK + b"Transfer-Encoding: gzip\r\n\r\n",
    "coding gzip, chunked": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
    "coding chunked, chunked": OK + b"Transfer-Encoding: chunked, chunked\r\n\r\n",
    "coding chunked twice": OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "coding identity": OK + b"Transfer-Encoding: identity\r\n\r\n",
    "coding xchunked": OK + b"Transfer-Encoding: xchunked\r\n\r\n",
    "coding chunked;q=1": OK + b"Transfer-Encoding: chunked;q=1\r\n\r\n",
    "coding empty": OK + b"Transfer-Encoding:\r\n\r\n",
    "length and chunked to head": OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "too many fields": OK + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n",
}


@pytest.mark.parametrize("method", [b"GET", b"HEAD"])
@pytest.mark.parametrize("name", BAD_HEADS)
def test_a_head_that_could_be_misread_is_refused(name: str, method: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read(BAD_HEADS[name], method)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data",
    [
        b"S",
        b"HTTP/2",
        b"\r\n",
        b"HTTP/1.1 200 OK\n",
        b"HTTP/1.1 200 OK\r\nA: b\n",
        b"HTTP/1.1 200 O\rK",
        b"HTTP/1.1 200 \x00",
        b"HTTP/1.1 200 OK\r\nA: " + b"b" * MAX_HEAD,
    ],
)
def test_rubbish_is_known_before_the_deadline(data: bytes) -> None:
    with pytest.raises(Malformed):
        check_partial_head(data, 0)


def test_the_beginning_of_a_head_is_no_rubbish() -> None:
    whole = OK + b"A: b\r\nC: d\r\n\r"
    for length in range(1, len(whole) + 1):
        check_partial_head(bytearray(whole[:length]), max(length - 5, 0))


# -- bodies ------------------------------------------------------------------------------------------------------------


def body(head: bytes, method: bytes = b"GET") -> Body:
    return body_of(read_head(head, method), method)


CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

BAD_CHUNKS = {
    "size missing": b"\r\nhello\r\n0\r\n\r\n",
    "size not hex": b"g\r\nhello\r\n0\r\n\r\n",
    "size prefixed": b"0x5\r\nhello\r\n0\r\n\r\n",
    "size signed": b"+5\r\nhello\r\n0\r\n\r\n",
    "size negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "size huge": b"fffffffffffffffff\r\nhello\r\n",
    "size and space": b"5 \r\nhello\r\n0\r\n\r\n",
    "bare lf": b"5\nhello\n0\n\n",
    "bare lf after data": b"5\r\nhello\n0\r\n\r\n",
    "bare lf in extension": b"5;a=\nb\r\nhello\r\n0\r\n\r\n",
    "extension with nul": b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
    "longer than announced": b"5\r\nhello!\r\n0\r\n\r\n",
    "shorter than announced": b"5\r\nhell\r\n0\r\n\r\n",
    "trailer not a field": b"5\r\nhello\r\n0\r\nrubbish\r\n\r\n",
    "trailer with length": b"5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n",
    "second response": b"5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "rubbish after the end": b"5\r\nhello\r\n0\r\n\r\nx",
    "endless extension": b"5;" + b"a" * 40000,
    "endless trailers": b"0\r\n" + b"A: b\r\n" * 10000,
}


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunks_are_refused_however_they_arrive(name: str, step: int) -> None:
    reader, data = body(CHUNKED), BAD_CHUNKS[name]
    with pytest.raises(Malformed):
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step])
            if reader.over:  # the rest would meet an idle connection, which closes
                assert start + step < len(data)
                raise Malformed("unasked")


@pytest.mark.parametrize("step", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(
    ("wire", "content", "clean"),
    [
        (b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", b"hello world", True),
        (b"0\r\n\r\n", b"", True),
        (b"00A\r\n0123456789\r\n000\r\n\r\n", b"0123456789", True),
        (b"1\r\nx\r\n0\r\nA: b\r\n\r\n", b"x", False),
    ],
)
def test_chunks_are_taken_apart_however_they_arrive(wire: bytes, content: bytes, clean: bool, step: int) -> None:
    reader = body(CHUNKED)
    got = b""
    for start in range(0, len(wire), step):
        assert not reader.over
        got += reader.feed(wire[start : start + step])
    assert (got, reader.over, reader.clean) == (content, True, clean)


def test_a_line_end_too_many_costs_the_connection_and_no_more() -> None:
    chunked = body(CHUNKED)
    assert chunked.feed(b"1\r\nx\r\n0\r\n\r\n\r\n") == b"x"
    assert (chunked.over, chunked.clean) == (True, False)
    counted = body(OK + b"Content-Length: 1\r\n\r\n")
    assert counted.feed(b"x\r\n") == b"x"
    assert (counted.over, counted.clean) == (True, False)


def test_more_than_the_length_is_doubtful() -> None:
    with pytest.raises(Malformed):
        body(OK + b"Content-Length: 1\r\n\r\n").feed(b"xHTTP/1.1 200 OK\r\n")
    with pytest.raises(Malformed):
        body(b"HTTP/1.1 304 x\r\n\r\n").feed(b"x")


def test_a_body_with_head_is_thrown_away() -> None:
    reader = body(OK + b"Content-Length: 1\r\n\r\n", b"HEAD")
    assert (reader.over, reader.feed(b"x"), reader.clean) == (True, b"", False)


def test_only_the_proper_end_is_an_end() -> None:
    counted, chunked, closed = body(OK + b"Content-Length: 2\r\n\r\n"), body(CHUNKED), body(OK + b"\r\n")
    assert counted.feed(b"x") + chunked.feed(b"1\r\nx\r\n") + closed.feed(b"x") == b"xxx"
    assert (counted.ended(), chunked.ended(), closed.ended()) == (False, False, True)
    chunked.feed(b"0\r\n\r\n")
    assert chunked.ended() and counted.feed(b"y") == b"y" and counted.ended()
