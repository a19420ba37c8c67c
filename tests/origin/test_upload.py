"""Request bodies on their way to the origin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.client import FileBodyProducer
from twisted.web.iweb import UNKNOWN_LENGTH, IBodyProducer
from zope.interface import implementer

from tests.origin.conftest import MakeHttpOrigin
from tests.origin.memory import OK, MemoryOrigin
from tests.support.async_test import async_test
from tests.support.origin import Answer, Chunk, Gate, Hang, Head, Reset, ScriptedOrigin, StopReading
from tests.support.sink import KeepingSink, fetch_from, origin_request
from txstalecache.origin.interfaces import Fault, Framing, OriginError


@implementer(IBodyProducer)
class Body:
    """Gives what the test tells it to give, and remembers what was done to it."""

    def __init__(self, length: Any = UNKNOWN_LENGTH) -> None:
        self.length = length
        self.consumer: Any = None
        self.done: Deferred[None] = Deferred()
        self.started: Deferred[None] = Deferred()
        self.paused = False
        self.stopped = 0
        self.on_resume: Callable[[], None] | None = None
        self.on_stop: Callable[[], None] | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        self.consumer = consumer
        self.started.callback(None)
        return self.done

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        if self.on_resume is not None:
            self.on_resume()

    def stopProducing(self) -> None:
        self.stopped += 1
        if self.on_stop is not None:
            self.on_stop()


@implementer(IBodyProducer)
class Whole:
    def __init__(self, data: bytes, length: Any = None) -> None:
        self._data = data
        self.length = len(data) if length is None else length

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._data)
        return succeed(None)

    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


@pytest.mark.parametrize("length", [None, UNKNOWN_LENGTH])
@pytest.mark.parametrize("data", [b"", b"hello", b"x" * 300_000])
@async_test
async def test_a_body_arrives_whole_and_nothing_comes_after_it_on_its_connection(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, data: bytes, length: Any
) -> None:
    origin.handler = lambda request: Answer(200, (), request.body)
    ours = http_origin(origin.url)
    for _ in range(2):
        kept = await fetch_from(ours, "POST", "/", (), Whole(data, length))
        assert (kept.body, kept.framing) == (data, Framing.DELIMITED)
    assert len(origin.connections) == (2 if data or length else 1)
    assert origin.requests[0].body == data
    assert (origin.requests[0].field("connection") == b"close") is bool(data or length)
    assert (origin.requests[0].field("transfer-encoding") is None) == (length is None)


@async_test
async def test_a_file_is_a_body(origin: ScriptedOrigin, http_origin: MakeHttpOrigin, tmp_path: Any) -> None:
    (tmp_path / "f").write_bytes(b"file" * 50_000)
    origin.handler = lambda request: Answer(200, (), b"%d" % request.body_length)
    with (tmp_path / "f").open("rb") as file:
        kept = await fetch_from(http_origin(origin.url), "PUT", "/", (), FileBodyProducer(file))
    assert kept.body == b"200000"


@async_test
async def test_what_the_origin_does_not_take_is_not_asked_for(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    piece, total = b"x" * 100_000, 400
    origin.keep_bodies = origin.keep_raw = False
    origin.on_head = lambda _: [StopReading(), Gate("read")]
    body = Body(len(piece) * total)
    fetching = http_origin(origin.url).fetch(origin_request("POST", "/", (), body))
    await body.started
    given = 0

    def give() -> None:
        nonlocal given
        while not body.paused and given < total:
            given += 1
            body.consumer.write(piece)
        if given == total and not body.done.called:
            body.done.callback(None)

    body.on_resume = give
    give()
    await origin.at_gate("read")
    for _ in range(100):
        await _turn()
    assert body.paused and given < total / 2  # socket buffers' worth
    before = given
    for _ in range(20):
        await _turn()
    assert given == before
    origin.release("read")
    connection = origin.connections[0]
    transport: Any = connection.transport
    transport.resumeProducing()
    await origin.when(lambda: True)
    while origin.requests[0].body_length < len(piece) * total:
        await _turn()
    connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    response = await fetching
    assert response.head.status == 200
    assert body.stopped == 0


@async_test
async def test_an_early_refusal_is_delivered_and_stops_the_body(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on_head = lambda request: Answer(413, (), b"too much") if request.path == "/up" else None
    origin.on("/next", Answer(200, (), b"next"))
    body = Body(1000)
    ours = http_origin(origin.url)
    kept = await fetch_from(ours, "POST", "/up", (), body)
    assert (kept.status, kept.body, kept.framing) == (413, b"too much", Framing.DELIMITED)
    assert body.stopped == 1
    body.consumer.write(b"late")  # goes nowhere
    assert (await fetch_from(ours, "GET", "/next")).body == b"next"
    assert origin.requests[1].connection is not origin.requests[0].connection
    assert origin.malformed == []


@pytest.mark.parametrize("head", [b"HTTP/1.1 413 No\r\nContent-Length: %d\r\n\r\n", OK + b"Content-Length: %d\r\n\r\n"])
@pytest.mark.parametrize("body", [b"", b"sorry"])
def test_who_leaves_as_his_body_is_stopped_is_told_nothing_more(head: bytes, body: bytes) -> None:
    """What is held back of a client's body may turn out to be none as soon as it is read on."""
    memory, sent = MemoryOrigin(), Body()
    outcome = memory.fetch("POST", "/", (), sent)
    sent.on_stop = outcome.deferred.cancel
    wire = memory.connect()
    sent.consumer.write(b"some")
    wire.send(head % len(body) + body)
    memory.clock.advance(0)
    assert outcome.response is None and outcome.other is not None and outcome.other.check(CancelledError)
    assert sent.stopped == 1 and wire.gone and not memory.origin.connections and not memory.delayed_calls


@async_test
async def test_a_refusal_that_is_still_coming_stops_the_body_too(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on_head = lambda _: [
        Head(413, [("Transfer-Encoding", "chunked")]),
        Chunk(b"too "),
        Gate("go"),
        Chunk(b"much"),
    ]
    body = Body(1000)
    response = await http_origin(origin.url).fetch(origin_request("POST", "/", (), body))
    assert (response.head.status, body.stopped) == (413, 1)
    sink = KeepingSink()
    response.deliver(sink)
    origin.release("go")
    await sink.ended
    assert (sink.body, sink.framing) == (b"too much", Framing.DELIMITED)


@async_test
async def test_a_success_before_the_end_does_not_stop_the_body(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    """An origin that answers while it reads: an echo, a transcoder."""
    origin.on_head = lambda _: [
        Head(200, [("Transfer-Encoding", "chunked")]),
        Chunk(b"begun "),
        Gate("all"),
        Chunk(b"done"),
    ]
    body = Body()
    response = await http_origin(origin.url).fetch(origin_request("POST", "/", (), body))
    sink = KeepingSink()
    response.deliver(sink)
    body.consumer.write(b"hello")
    body.done.callback(None)
    await origin.when(lambda: True)
    while origin.requests[0].body_length < 5:
        await _turn()
    origin.release("all")
    await sink.ended
    assert (sink.body, sink.framing, body.stopped) == (b"begun done", Framing.DELIMITED, 0)


@async_test
async def test_a_response_that_ends_before_the_body_costs_the_connection(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on_head = lambda _: Answer(200, (), b"enough")
    body = Body(1000)
    ours = http_origin(origin.url)
    kept = await fetch_from(ours, "POST", "/", (), body)
    assert (kept.body, kept.framing, body.stopped) == (b"enough", Framing.DELIMITED, 1)
    await origin.quiet()
    assert ours.connections == 0


@pytest.mark.parametrize("fault", ["too little", "too much", "fails", "raises"])
@async_test
async def test_a_body_that_is_not_what_it_said_is_never_completed(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, fault: str
) -> None:
    origin.handler = Answer(200)
    body = Body(5)
    if fault == "raises":
        body.startProducing = lambda _: 1 / 0  # type: ignore[method-assign, assignment, return-value]
        body.started.callback(None)
    fetching = http_origin(origin.url).fetch(origin_request("POST", "/", (), body))
    await body.started
    if fault == "too little":
        body.consumer.write(b"abc")
        body.done.callback(None)
    elif fault == "too much":
        body.consumer.write(b"abc")
        body.consumer.write(b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n")
    elif fault == "fails":
        body.consumer.write(b"abc")
        body.done.errback(ZeroDivisionError())
    with pytest.raises(OriginError) as caught:
        await fetching
    assert caught.value.fault is Fault.CANCELLED
    await origin.quiet()
    assert all(request.body_length < 5 for request in origin.requests)


@async_test
async def test_an_origin_that_takes_no_more_runs_into_the_deadline(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on_head = lambda _: [StopReading(), Hang()]
    ours = http_origin(origin.url)
    body = Body()
    fetching = ours.fetch(origin_request("POST", "/", (), body, between_bytes=0.1))
    await body.started
    body.on_resume = lambda: body.consumer.write(b"x" * 1_000_000)
    body.on_resume()
    with pytest.raises(OriginError) as caught:
        await fetching
    assert caught.value.fault is Fault.TIMEOUT
    assert body.stopped == 1
    # A body from memory is out of our hands at once: the wait for the head is the limit then.
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "POST", "/", (), Whole(b"x" * 40_000_000), first_byte=0.1)
    assert caught.value.fault is Fault.TIMEOUT
    while ours.connections:
        await _turn()


@async_test
async def test_a_slow_client_is_not_the_origins_fault(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = Answer(200, (), b"patient")
    body = Body(5)
    fetching = Deferred.fromCoroutine(
        fetch_from(http_origin(origin.url), "POST", "/", (), body, first_byte=0.1, between_bytes=0.1)
    )
    await body.started
    await _turn(0.3)
    body.consumer.write(b"hello")
    body.done.callback(None)
    assert (await fetching).body == b"patient"


@pytest.mark.parametrize("end", ["cancel", "reset"])
@async_test
async def test_when_the_fetch_is_over_the_body_is_stopped(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, end: str
) -> None:
    origin.on_head = lambda _: [Gate("go"), Reset()]
    body = Body(5)
    fetching = http_origin(origin.url).fetch(origin_request("POST", "/", (), body))
    await origin.at_gate("go")
    if end == "cancel":
        fetching.cancel()
        with pytest.raises(CancelledError):
            await fetching
    else:
        origin.release("go")
        with pytest.raises(OriginError) as caught:
            await fetching
        assert caught.value.fault is Fault.RESET
    assert body.stopped == 1
    await origin.quiet()


@implementer(IBodyProducer)
class Registering:
    """A body that names somebody else as the one to pause, pulled or pushed."""

    length = 300_000

    def __init__(self, streaming: bool) -> None:
        self.streaming = streaming
        self.left = 3
        self.done: Deferred[None] = Deferred()

    def startProducing(self, consumer: Any) -> Deferred[None]:
        self.consumer = consumer
        consumer.registerProducer(self, self.streaming)
        if self.streaming:
            while self.left:
                self.resumeProducing()
        return self.done

    def resumeProducing(self) -> None:
        if self.left:
            self.left -= 1
            self.consumer.write(b"x" * 100_000)
            if not self.left:
                self.consumer.unregisterProducer()
                self.done.callback(None)

    def pauseProducing(self) -> None: ...
    def stopProducing(self) -> None: ...


@pytest.mark.parametrize("streaming", [True, False])
@async_test
async def test_a_body_may_register_another_producer(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, streaming: bool
) -> None:
    origin.handler = lambda request: Answer(200, (), b"%d" % request.body_length)
    kept = await fetch_from(http_origin(origin.url), "POST", "/", (), Registering(streaming))
    assert kept.body == b"300000"


def _turn(seconds: float = 0) -> Deferred[None]:
    from twisted.internet import reactor

    turned: Deferred[None] = Deferred()
    reactor.callLater(seconds, turned.callback, None)
    return turned
