"""Origins that misbehave on a real socket: each gives a fault or a visible cut, and the next request is unharmed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.origin.conftest import MakeHttpOrigin
from tests.support.async_test import async_test
from tests.support.origin import Answer, Chunk, Close, End, Gate, Hang, Head, Raw, Request, Reset, ScriptedOrigin, Sleep
from tests.support.sink import KeepingSink, fetch_from, origin_request
from txstalecache.origin.interfaces import Fault, Framing, OriginError

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_5 = [("Content-Length", "5")]
CHUNKED = [("Transfer-Encoding", "chunked")]
SECOND = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


def limits(fault: Fault) -> dict[str, Any]:
    """Short only where running into them is the point: nothing else here depends on how busy the machine is."""
    return {"first_byte": 0.15, "between_bytes": 0.15} if fault is Fault.TIMEOUT else {}


def drip(data: bytes, every: float = 0.02) -> Iterator[Any]:
    for position in range(len(data)):
        yield Raw(data[position : position + 1])
        yield Sleep(every)


def endless(piece: bytes, times: int) -> Iterator[Any]:
    for _ in range(times):
        yield Raw(piece)


NO_HEAD: dict[str, tuple[Any, Fault]] = {
    "closes at once": ([Close()], Fault.RESET),
    "resets at once": ([Reset()], Fault.RESET),
    "closes inside the status line": ([Raw(b"HTTP/1.1 2"), Close()], Fault.RESET),
    "closes inside the fields": ([Raw(OK + b"Content-Le"), Close()], Fault.RESET),
    "closes before the empty line": ([Raw(OK + b"Content-Length: 5\r\n"), Close()], Fault.RESET),
    "closes after a 103": ([Head(103), Close()], Fault.RESET),
    "never answers": ([Hang()], Fault.TIMEOUT),
    "stops inside the head": ([Raw(OK + b"A: b"), Hang()], Fault.TIMEOUT),
    "stops after a 103": ([Head(103), Hang()], Fault.TIMEOUT),
    "drips a head without end": (lambda _: drip(OK + b"A: " + b"b" * 200), Fault.TIMEOUT),
    "speaks something else": ([Raw(b"220 smtp ready\r\n"), Hang()], Fault.MALFORMED),
    "speaks tls": ([Raw(b"\x15\x03\x01\x00\x02\x02\x46"), Hang()], Fault.MALFORMED),
    "sends nul bytes": ([Raw(b"\x00" * 100), Hang()], Fault.MALFORMED),
    "sends a NUL in the head": ([Raw(OK + b"A: \x00\r\n\r\n"), Hang()], Fault.MALFORMED),
    "sends only line feeds": ([Raw(b"HTTP/1.1 200 OK\nContent-Length: 0\n\n"), Hang()], Fault.MALFORMED),
    "sends one bare line feed": ([Raw(OK + b"A: b\nContent-Length: 0\r\n\r\n")], Fault.MALFORMED),
    "sends a CR in the reason": ([Raw(b"HTTP/1.1 200 O\rK\r\n\r\n"), Hang()], Fault.MALFORMED),
    "negative status": ([Raw(b"HTTP/1.1 -200 OK\r\n\r\n"), Hang()], Fault.MALFORMED),
    "status 999": ([Head(999)], Fault.MALFORMED),
    "http/2": ([Raw(b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n")], Fault.MALFORMED),
    "http/2 preface": ([Raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00")], Fault.MALFORMED),
    "folds a field": ([Raw(OK + b"A: b\r\n c: d\r\nContent-Length: 0\r\n\r\n")], Fault.MALFORMED),
    "space before the colon": ([Raw(OK + b"Content-Length : 5\r\n\r\nhello")], Fault.MALFORMED),
    "two lengths": ([Head(200, [*LENGTH_5, ("Content-Length", "6")]), Raw(b"hello!")], Fault.MALFORMED),
    "one length twice": ([Head(200, LENGTH_5 * 2), Raw(b"hello")], Fault.MALFORMED),
    "a negative length": ([Head(200, [("Content-Length", "-5")]), Raw(b"hello")], Fault.MALFORMED),
    "length and chunked": ([Head(200, [*LENGTH_5, *CHUNKED]), Raw(b"0\r\n\r\n")], Fault.MALFORMED),
    "an unknown coding": ([Head(200, [("Transfer-Encoding", "gzip")]), Raw(b"x")], Fault.MALFORMED),
    "identity coding": ([Head(200, [("Transfer-Encoding", "identity")]), Raw(b"x")], Fault.MALFORMED),
    "chunked in 1.0": ([Head(200, CHUNKED, version="HTTP/1.0"), Raw(b"0\r\n\r\n")], Fault.MALFORMED),
    "switches protocols": ([Head(101, [("Upgrade", "x"), ("Connection", "upgrade")])], Fault.MALFORMED),
    "switches protocols without a word": ([Head(101), Raw(OK + b"Content-Length: 0\r\n\r\n")], Fault.MALFORMED),
    "endless fields": (lambda _: endless(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 100, 1000), Fault.MALFORMED),
    "an endless field": (lambda _: [Raw(OK + b"A: "), *endless(b"b" * 10000, 100)], Fault.MALFORMED),
    "too many fields": ([Raw(OK + b"A: b\r\n" * 201 + b"\r\n")], Fault.MALFORMED),
    "endless 1xx": (lambda _: endless(b"HTTP/1.1 103 Early\r\n\r\n", 1000), Fault.MALFORMED),
    "a 1xx that is malformed": ([Raw(b"HTTP/1.1 103 Early\r\nA : b\r\n\r\n" + OK + b"\r\n")], Fault.MALFORMED),
    "more than the length, at once": ([Raw(OK + b"Content-Length: 5\r\n\r\nhello" + SECOND)], Fault.MALFORMED),
    "a second response after an empty one": ([Raw(OK + b"Content-Length: 0\r\n\r\n" + SECOND)], Fault.MALFORMED),
    "a second response after a 304": ([Raw(b"HTTP/1.1 304 Not\r\n\r\n" + SECOND)], Fault.MALFORMED),
    "a body with 204": ([Raw(b"HTTP/1.1 204 No\r\n\r\nhello")], Fault.MALFORMED),
    "a second response after chunks": (
        [Raw(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + SECOND)],
        Fault.MALFORMED,
    ),
    "bad chunks at once": ([Raw(OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")], Fault.MALFORMED),
}


@pytest.mark.parametrize("name", NO_HEAD)
@async_test
async def test_no_answer_is_better_than_a_doubtful_one(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, name: str
) -> None:
    script, fault = NO_HEAD[name]
    origin.on("/bad", script).on("/good", Answer(200, (), b"good"))
    ours = http_origin(origin.url)
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "GET", "/bad", **limits(fault))
    assert caught.value.fault is fault
    assert origin.hits("/bad") == 1
    good = await fetch_from(ours, "GET", "/good")
    assert (good.status, good.body, good.framing) == (200, b"good", Framing.DELIMITED)
    assert origin.requests[-1].connection is not origin.requests[0].connection
    await ours.close()
    await origin.quiet()


CUT: dict[str, tuple[Any, bytes, Fault]] = {
    "closes before the length": ([Head(200, LENGTH_5), Chunk(b"abc"), Gate("g"), Close()], b"abc", Fault.TRUNCATED),
    "resets before the length": ([Head(200, LENGTH_5), Chunk(b"abc"), Gate("g"), Reset()], b"abc", Fault.TRUNCATED),
    "closes inside a chunk": (
        [Head(200, CHUNKED), Chunk(b"ab"), Raw(b"5\r\nc"), Gate("g"), Close()],
        b"abc",
        Fault.TRUNCATED,
    ),
    "closes between chunks": ([Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Close()], b"abc", Fault.TRUNCATED),
    "closes before the last line end": (
        [Head(200, CHUNKED), Chunk(b"abc"), Raw(b"0\r\n"), Gate("g"), Close()],
        b"abc",
        Fault.TRUNCATED,
    ),
    "resets between chunks": ([Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Reset()], b"abc", Fault.TRUNCATED),
    "resets a body without length": ([Head(200), Chunk(b"abc"), Gate("g"), Reset()], b"abc", Fault.TRUNCATED),
    "stops before the length": ([Head(200, LENGTH_5), Chunk(b"abc"), Gate("g"), Hang()], b"abc", Fault.TIMEOUT),
    "stops between chunks": ([Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Hang()], b"abc", Fault.TIMEOUT),
    "stops a body without length": ([Head(200), Chunk(b"abc"), Gate("g"), Hang()], b"abc", Fault.TIMEOUT),
    "a bad chunk": ([Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Raw(b"zz\r\n")], b"abc", Fault.MALFORMED),
    "a chunk too long": (
        [Head(200, CHUNKED), Chunk(b"ab"), Gate("g"), Raw(b"1\r\nccc\r\n")],
        b"ab",
        Fault.MALFORMED,
    ),
    "more than the length": (
        [Head(200, LENGTH_5), Chunk(b"abc"), Gate("g"), Raw(b"de" + SECOND)],
        b"abc",
        Fault.MALFORMED,
    ),
    "more than the last chunk": (
        [Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Raw(b"0\r\n\r\n" + SECOND)],
        b"abc",
        Fault.MALFORMED,
    ),
    "endless trailers": (
        [Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Raw(b"0\r\n" + b"A: b\r\n" * 50000)],
        b"abc",
        Fault.MALFORMED,
    ),
    "an endless chunk extension": (
        [Head(200, CHUNKED), Chunk(b"abc"), Gate("g"), Raw(b"5;" + b"a" * 300000)],
        b"abc",
        Fault.MALFORMED,
    ),
}


@pytest.mark.parametrize("name", CUT)
@async_test
async def test_a_body_that_is_not_whole_is_broken(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, name: str
) -> None:
    script, content, fault = CUT[name]
    origin.on("/bad", script).on("/good", Answer(200, (), b"good"))
    ours = http_origin(origin.url)
    response = await ours.fetch(origin_request("GET", "/bad", **limits(fault)))
    sink = KeepingSink()
    response.deliver(sink)
    await sink.received(len(content))
    origin.release("g")
    await sink.ended
    assert (sink.body, sink.framing) == (content, None)
    assert sink.error is not None and sink.error.fault is fault
    assert (await fetch_from(ours, "GET", "/good")).body == b"good"
    await ours.close()
    await origin.quiet()


@async_test
async def test_a_drip_that_never_pauses_long_ends_at_the_total(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    def script(_: Request) -> Iterator[Any]:
        yield Head(200, [("Content-Length", "100000")])
        yield from drip(b"x" * 100000, 0.01)

    origin.handler = script
    kept = await fetch_from(http_origin(origin.url), first_byte=5, between_bytes=5, total=0.3)
    assert kept.error is not None and kept.error.fault is Fault.TIMEOUT
    assert 0 < len(kept.body) < 1000
    await origin.quiet()


@async_test
async def test_a_response_nobody_asked_for_is_given_to_nobody(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    """Response-queue poisoning: the second response comes while the connection is idle."""
    origin.on("/first", [Head(200, [("Content-Length", "2")]), Chunk(b"ok"), Gate("late"), Raw(SECOND)])
    origin.on("/next", Answer(200, (), b"mine"))
    ours = http_origin(origin.url, idle=600)
    assert (await fetch_from(ours, "GET", "/first")).body == b"ok"
    assert ours.idle_connections == 1
    origin.release("late")
    await origin.quiet()  # cut by us as soon as it came
    assert ours.idle_connections == 0
    assert (await fetch_from(ours, "GET", "/next")).body == b"mine"


@async_test
async def test_a_response_that_lies_in_wait_is_seen_before_the_connection_is_used(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    """As above, but the reactor has not yet come round to reading it when the next request is made."""
    origin.on("/first", [Head(200, [("Content-Length", "2")]), Chunk(b"ok")])
    origin.on("/next", Answer(200, (), b"mine"))
    ours = http_origin(origin.url)
    assert (await fetch_from(ours, "GET", "/first")).body == b"ok"
    raw: Any = origin.connections[0].transport
    raw.socket.send(SECOND)  # in the kernel now, past both reactors
    kept = await fetch_from(ours, "GET", "/next")
    assert kept.body == b"mine"
    assert len(origin.connections) == 2


@async_test
async def test_a_body_with_head_is_dropped_and_its_connection_with_it(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on("/head", [Head(200, LENGTH_5), Raw(b"hello")]).on("/next", Answer(200, (), b"mine"))
    ours = http_origin(origin.url)
    kept = await fetch_from(ours, "HEAD", "/head")
    assert (kept.status, kept.length, kept.body) == (200, 0, b"")
    assert kept.head.fields.get(b"content-length") == b"5"
    assert (await fetch_from(ours, "GET", "/next")).body == b"mine"


@pytest.mark.parametrize(
    ("method", "wire"),
    [
        (  # PHP's own server, of a script that echoes after http_response_code(204)
            "POST",
            b"HTTP/1.1 204 No Content\r\nHost: x\r\nDate: Fri, 27 Nov 2026 12:47:46 GMT\r\nConnection: close\r\n"
            b"X-Powered-By: PHP/8.2.36\r\nContent-type: text/html; charset=UTF-8\r\n\r\nbody",
        ),
        (  # Werkzeug, of a WSGI application that does the same
            "GET",
            b"HTTP/1.1 204 No Content\r\nServer: Werkzeug/3.1.9 Python/3.11.7\r\nConnection: close\r\n"
            b"Content-Type: text/plain\r\n\r\noops",
        ),
        ("GET", b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        ("GET", b"HTTP/1.0 304 Not Modified\r\nContent-Type: text/html\r\n\r\n<h1>304</h1>"),
    ],
)
@async_test
async def test_a_body_where_there_is_none_is_dropped_where_no_other_answer_can_follow(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, method: str, wire: bytes
) -> None:
    origin.on("/bad", [Raw(wire), Hang()]).on("/next", Answer(200, (), b"mine"))
    ours = http_origin(origin.url)
    kept = await fetch_from(ours, method, "/bad")
    assert (kept.status, kept.body, kept.framing, kept.error) == (int(wire[9:12]), b"", Framing.DELIMITED, None)
    assert (await fetch_from(ours, "GET", "/next")).body == b"mine"
    assert origin.requests[-1].connection is not origin.requests[0].connection


@async_test
async def test_trailers_and_extensions_are_dropped(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = [Head(200, CHUNKED), Raw(b"3;a=b\r\nabc\r\n"), End([("X-Trailer", "t")])]
    kept = await fetch_from(http_origin(origin.url))
    assert (kept.body, kept.framing) == (b"abc", Framing.DELIMITED)
    assert kept.head.fields.pairs == ()


@async_test
async def test_an_origin_where_nobody_listens_is_502(http_origin: MakeHttpOrigin, origin: ScriptedOrigin) -> None:
    await origin.stop_listening()
    with pytest.raises(OriginError) as caught:
        await fetch_from(http_origin(origin.url))
    assert caught.value.fault is Fault.UNREACHABLE
    assert caught.value.status == 502


@async_test
async def test_a_host_that_does_not_exist_is_unreachable(http_origin: MakeHttpOrigin) -> None:
    with pytest.raises(OriginError) as caught:
        await fetch_from(http_origin("http://does-not-exist.invalid"), connect=10)
    assert caught.value.fault is Fault.UNREACHABLE


@async_test
async def test_a_socket_that_does_not_exist_is_unreachable(http_origin: MakeHttpOrigin, tmp_path: Any) -> None:
    with pytest.raises(OriginError) as caught:
        await fetch_from(http_origin(f"unix:{tmp_path}/none"))
    assert caught.value.fault is Fault.UNREACHABLE
