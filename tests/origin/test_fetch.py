"""What a fetch promises when the origin behaves."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.internet.endpoints import UNIXServerEndpoint
from zope.interface.verify import verifyObject

from tests.origin.conftest import MakeHttpOrigin
from tests.support.async_test import async_test
from tests.support.origin import Answer, Chunk, Gate, Hang, Head, Raw, Request, ScriptedOrigin
from tests.support.sink import KeepingSink, fetch_from, origin_request
from txstalecache.http.messages import ResponseHead
from txstalecache.origin.interfaces import Fault, Framing, IOrigin, IOriginResponse, OriginError

CHUNKED = [("Transfer-Encoding", "chunked")]


def later() -> Deferred[None]:
    """One turn of the reactor."""
    from twisted.internet import reactor

    turned: Deferred[None] = Deferred()
    reactor.callLater(0, turned.callback, None)
    return turned


@async_test
async def test_interfaces_are_provided(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = Answer()
    ours = http_origin(origin.url)
    verifyObject(IOrigin, ours)
    response = await ours.fetch(origin_request())
    verifyObject(IOriginResponse, response)
    response.abort()


@async_test
async def test_status_fields_and_body_come_as_they_were_sent(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    sent = [("x-B", "1"), ("Set-Cookie", "a"), ("X-b", "2"), ("set-cookie", "b, c"), ("Content-Encoding", "gzip")]
    origin.handler = Answer(418, sent, b"\x00\xff")
    kept = await fetch_from(http_origin(origin.url), "GET", "/x?", [("Host", "a.example"), ("Accept", "*/*")])
    assert (kept.status, kept.length, kept.body, kept.framing) == (418, 2, b"\x00\xff", Framing.DELIMITED)
    assert kept.head.fields.pairs == (
        *((name.encode(), value.encode()) for name, value in sent),
        (b"Content-Length", b"2"),
    )
    assert origin.requests[0].raw_head == b"GET /x? HTTP/1.1\r\nHost: a.example\r\nAccept: */*\r\n\r\n"


@pytest.mark.parametrize(
    ("method", "script", "length", "body", "framing", "reused"),
    [
        ("GET", Answer(200, (), b"abc"), 3, b"abc", Framing.DELIMITED, True),
        ("GET", Answer(200, (), b"abc", "chunked"), None, b"abc", Framing.DELIMITED, True),
        ("GET", Answer(200, (), b"abc", "close"), None, b"abc", Framing.CLOSE, False),
        ("GET", Answer(200, (), b"", "close"), None, b"", Framing.CLOSE, False),
        ("GET", Answer(200, [("Connection", "close")], b"abc"), 3, b"abc", Framing.DELIMITED, False),
        ("GET", [Raw(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx")], 1, b"x", Framing.DELIMITED, False),
        ("GET", Answer(200, (), b""), 0, b"", Framing.DELIMITED, True),
        ("GET", Answer(204), 0, b"", Framing.DELIMITED, True),
        ("GET", Answer(304, [("Content-Length", "9")]), 0, b"", Framing.DELIMITED, True),
        ("HEAD", Answer(200, (), b"abc"), 0, b"", Framing.DELIMITED, True),
        ("HEAD", Answer(200, (), b"abc", "chunked"), 0, b"", Framing.DELIMITED, True),
        ("OPTIONS", Answer(200, (), b"abc"), 3, b"abc", Framing.DELIMITED, True),
        ("GET", [Raw(b"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\nx")], 1, b"x", Framing.DELIMITED, True),
    ],
)  # fmt: skip
@async_test
async def test_every_framing_ends_where_it_should(
    origin: ScriptedOrigin,
    http_origin: MakeHttpOrigin,
    method: str,
    script: Any,
    length: int | None,
    body: bytes,
    framing: Framing,
    reused: bool,
) -> None:
    origin.handler = script
    ours = http_origin(origin.url)
    for _ in range(3):
        kept = await fetch_from(ours, method)
        assert (kept.length, kept.body, kept.framing, kept.error) == (length, body, framing, None)
    assert len(origin.connections) == (1 if reused else 3)


@async_test
async def test_a_response_split_anywhere_is_the_same(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    wire = b"HTTP/1.1 103 E\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"

    def script(request: Request) -> list[Any]:
        at = int(request.path[1:])
        return [Raw(wire[:at]), Gate(f"{at}"), Raw(wire[at:])]

    origin.handler = script
    ours = http_origin(origin.url)
    for at in range(1, len(wire)):
        fetching = Deferred.fromCoroutine(fetch_from(ours, "GET", f"/{at}"))
        await origin.at_gate(f"{at}")
        await later()
        origin.release(f"{at}")
        kept = await fetching
        assert (kept.status, kept.body, kept.framing, len(kept.informational)) == (200, b"abc", Framing.DELIMITED, 1)
    assert len(origin.connections) == 1


@async_test
async def test_an_informational_response_announces_no_body_and_sets_no_cookie(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    early = [("Link", "</a>"), ("Content-Length", "5"), ("Set-Cookie", "a=b"), ("Set-Cookie2", "a=b")]
    origin.handler = [Head(103, early), Head(200, [("Content-Length", "1"), ("Set-Cookie", "c=d")]), Chunk(b"x")]
    seen: list[ResponseHead] = []
    response = await http_origin(origin.url).fetch(origin_request(informational=seen.append))
    assert [head.fields.pairs for head in seen] == [((b"Link", b"</a>"),)]
    assert response.head.fields.get(b"set-cookie") == b"c=d"


@async_test
async def test_informational_responses_are_told_in_order_without_hop_by_hop_fields(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = [
        Head(100),
        Head(102, [("Connection", "x"), ("X", "1"), ("A", "b")]),
        Gate("early"),
        Head(103, [("Link", "</a>")]),
        Head(103, [("Link", "</b>")]),
        Head(200, [("Content-Length", "1")]),
        Chunk(b"x"),
    ]
    seen: list[ResponseHead] = []
    fetching = http_origin(origin.url).fetch(origin_request(informational=seen.append))
    await origin.at_gate("early")
    while not seen:
        await later()
    assert not fetching.called
    origin.release("early")
    response = await fetching
    assert [(head.status, head.fields.pairs) for head in seen] == [
        (102, ((b"A", b"b"),)),
        (103, ((b"Link", b"</a>"),)),
        (103, ((b"Link", b"</b>"),)),
    ]
    sink = KeepingSink()
    response.deliver(sink)
    await sink.ended
    assert sink.body == b"x"


@async_test
async def test_the_body_comes_as_it_arrives(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = [Head(200, CHUNKED), Chunk(b"a"), Gate("b"), Chunk(b"b")]
    response = await http_origin(origin.url).fetch(origin_request())
    sink = KeepingSink()
    response.deliver(sink)
    await sink.received(1)
    assert sink.body == b"a" and not sink.ended.called
    origin.release("b")
    await sink.ended
    assert sink.body == b"ab"


SIZE = 64 * 1024 * 1024
PIECE = b"x" * (1 << 20)


def unread(origin: ScriptedOrigin) -> int:
    """Bytes the origin has written and not got rid of: what back-pressure looks like from there."""
    transport: Any = origin.connections[-1].transport
    return int(len(transport.dataBuffer) - transport.offset + transport._tempDataLen)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@async_test
async def test_what_is_not_taken_is_not_read(origin: ScriptedOrigin, http_origin: MakeHttpOrigin, framing: str) -> None:
    origin.handler = Answer(200, (), PIECE * 32, framing)
    response = await http_origin(origin.url).fetch(origin_request())
    for _ in range(50):
        await later()
    assert unread(origin) > 16 << 20  # not delivered: the rest waits in the origin, but for socket buffers
    sink = KeepingSink(keep=False)
    sink.on_write = lambda data: response.pause() if sink.length >= 1 << 20 else None
    response.deliver(sink)
    await sink.received(1 << 20)
    at_pause = sink.length
    for _ in range(50):
        await later()
    assert sink.length == at_pause
    assert unread(origin) > 16 << 20
    response.pause()
    sink.on_write = None
    response.resume()
    response.resume()
    await sink.ended
    assert sink.length == 32 << 20
    assert sink.framing is (Framing.CLOSE if framing == "close" else Framing.DELIMITED)


@async_test
async def test_pausing_inside_a_write_holds_back_even_what_was_read(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    """Pause after each write: each resume brings one more, nothing is lost, and the end waits for the last resume."""
    origin.handler = [Head(200, CHUNKED), *[Chunk(b"x" * 70000)] * 20]
    response = await http_origin(origin.url).fetch(origin_request())
    sink = KeepingSink(keep=False)
    writes: list[int] = []

    def pause(data: bytes) -> None:
        response.pause()
        writes.append(len(data))

    sink.on_write = pause
    response.deliver(sink)
    while not sink.ended.called:
        before = len(writes)
        await later()
        assert len(writes) - before <= 1
        response.resume()
    assert sink.length == 1_400_000


@async_test
async def test_a_whole_small_response_is_here_before_it_is_delivered(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = Answer(200, (), b"abc")
    ours = http_origin(origin.url)
    response = await ours.fetch(origin_request())
    assert ours.idle_connections == 1  # free for others although nobody has taken the body
    await origin.stop_listening()
    origin.cut()
    await origin.quiet()
    sink = KeepingSink()
    response.deliver(sink)
    assert (sink.body, sink.framing) == (b"abc", Framing.DELIMITED)


@async_test
async def test_a_response_is_delivered_once(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = Answer(200, (), b"abc")
    response = await http_origin(origin.url).fetch(origin_request())
    response.deliver(KeepingSink())
    with pytest.raises(RuntimeError):
        response.deliver(KeepingSink())


@pytest.mark.parametrize("when", ["undelivered", "delivered", "paused", "inside a write"])
@async_test
async def test_abort_leaves_nothing_behind(origin: ScriptedOrigin, http_origin: MakeHttpOrigin, when: str) -> None:
    origin.handler = [Head(200, CHUNKED), Chunk(b"x" * 100000), Gate("never")]
    ours = http_origin(origin.url)
    response = await ours.fetch(origin_request())
    sink = KeepingSink()
    if when == "inside a write":
        sink.on_write = lambda _: response.abort()
    if when != "undelivered":
        response.deliver(sink)
        await sink.received(1)
    if when == "paused":
        response.pause()
    response.abort()
    response.abort()
    response.pause()
    response.resume()
    length = sink.length
    await origin.quiet()
    assert (sink.length, sink.ended.called) == (length, False)
    assert ours.connections == 0


@async_test
async def test_abort_of_a_response_that_has_come_whole_keeps_the_connection(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = Answer(503, (), b"sorry")
    ours = http_origin(origin.url)
    for _ in range(3):
        (await ours.fetch(origin_request())).abort()
    assert len(origin.connections) == 1


@async_test
async def test_cancelling_closes_the_connection(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.on("/head", [Hang()]).on("/part", [Raw(b"HTTP/1.1 200 OK\r\n"), Hang()])
    ours = http_origin(origin.url)
    for count, path in enumerate(["/head", "/part"], 1):
        fetching = ours.fetch(origin_request("GET", path))
        await origin.arrived(count)
        fetching.cancel()
        with pytest.raises(CancelledError):
            await fetching
        await origin.quiet()
    connecting = ours.fetch(origin_request())
    connecting.cancel()
    with pytest.raises(CancelledError):
        await connecting
    await later()
    await origin.quiet()
    assert ours.connections == 0
    assert origin.hits() == 2


@async_test
async def test_a_sink_that_raises_hurts_nobody_else(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, logged_failures: Any
) -> None:
    origin.handler = [Head(200, CHUNKED), Gate("go"), Chunk(b"x"), Gate("never")]
    origin.on("/next", Answer(200, (), b"next"))
    ours = http_origin(origin.url)
    response = await ours.fetch(origin_request())
    sink = KeepingSink()

    def fail(_: bytes) -> None:
        raise ZeroDivisionError

    sink.on_write = fail
    response.deliver(sink)
    origin.release("go")
    await sink.ended
    assert sink.error is not None
    assert (await fetch_from(ours, "GET", "/next")).body == b"next"
    assert len(logged_failures.flush(ZeroDivisionError)) == 1


@async_test
async def test_a_request_that_would_be_two_is_not_sent(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    ours = http_origin(origin.url)
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "GET", "/", [("A", "b\r\n\r\nGET /evil HTTP/1.1\r\nHost: x")])
    assert caught.value.fault is Fault.MALFORMED
    assert ours.connections == 0 and origin.hits() == 0


@async_test
async def test_an_origin_may_be_behind_a_unix_socket(http_origin: MakeHttpOrigin, tmp_path: Any) -> None:
    from twisted.internet import reactor

    served = ScriptedOrigin(Answer(200, (), b"unix"))
    await served.start(UNIXServerEndpoint(reactor, str(tmp_path / "s")))
    try:
        ours = http_origin(f"unix:{tmp_path}/s")
        for _ in range(2):
            assert (await fetch_from(ours)).body == b"unix"
        assert served.requests[0].field("host") == b"localhost"
        assert len(served.connections) == 1
        await ours.close()
    finally:
        await served.close()


@async_test
async def test_five_hundred_fetches_at_once_each_get_their_own(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = lambda request: Answer(
        200, (), request.target * 100, "chunked" if request.number % 2 else "length"
    )
    ours = http_origin(origin.url, max_connections=20, queue_wait=30)
    targets = [f"/{number}" for number in range(500)]
    got = await gatherResults([Deferred.fromCoroutine(fetch_from(ours, "GET", target)) for target in targets])
    assert [kept.body for kept in got] == [target.encode() * 100 for target in targets]
    assert len(origin.connections) == 20
    assert (ours.connections, ours.waiting) == (20, 0)


@async_test
async def test_close_closes_idle_connections_now_and_busy_ones_later(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on("/busy", [Head(200, CHUNKED), Gate("go"), Chunk(b"x")]).on("/", Answer(200, (), b"idle"))
    ours = http_origin(origin.url)
    busy = await ours.fetch(origin_request("GET", "/busy"))
    assert (await fetch_from(ours)).body == b"idle"
    await ours.close()
    assert ours.connections == 1
    await origin.when(lambda: not origin.connections[1].is_open)
    sink = KeepingSink()
    busy.deliver(sink)
    origin.release("go")
    await sink.ended
    assert sink.body == b"x"
    await origin.quiet()
