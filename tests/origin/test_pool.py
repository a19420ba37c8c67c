"""Which connection a request goes out on, and who waits for one."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from zope.interface import implementer

from tests.origin.conftest import MakeHttpOrigin
from tests.origin.memory import Outcome
from tests.origin.test_upload import Whole
from tests.support.async_test import async_test
from tests.support.origin import Answer, Chunk, Close, Gate, Head, Raw, Request, Reset, ScriptedOrigin
from tests.support.sink import KeepingSink, fetch_from, origin_request
from txstalecache.origin.http import PooledOrigin
from txstalecache.origin.interfaces import Fault, OriginError
from txstalecache.origin.limits import PoolLimits


@async_test
async def test_the_connection_used_last_is_used_next(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.on("/held", [Gate("go"), Head(200, [("Content-Length", "0")])]).on("/", Answer())
    ours = http_origin(origin.url)
    held = [ours.fetch(origin_request("GET", "/held")) for _ in range(3)]
    await origin.arrived(3)
    origin.release("go")
    for fetching in held:
        await fetching
    assert ours.idle_connections == 3
    for _ in range(5):
        await fetch_from(ours)
    assert len({id(request.connection) for request in origin.requests[3:]}) == 1


@async_test
async def test_idle_connections_close_before_the_origin_does(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = Answer(200, (), b"x")
    ours = http_origin(origin.url, idle=0.1)
    await fetch_from(ours)
    await origin.quiet()
    assert ours.connections == 0
    await fetch_from(ours)
    assert len(origin.connections) == 2


@async_test
async def test_the_origins_keep_alive_is_undercut(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = Answer(200, [("Keep-Alive", "timeout=1")], b"x")
    ours = http_origin(origin.url, idle=60)
    await fetch_from(ours)
    await origin.quiet()  # after half a second, not sixty
    assert ours.connections == 0


@async_test
async def test_idle_zero_keeps_nothing(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = Answer(200, (), b"x")
    ours = http_origin(origin.url, idle=0)
    await fetch_from(ours)
    await fetch_from(ours)
    assert len(origin.connections) == 2
    await origin.quiet()


@async_test
async def test_a_closed_idle_connection_is_noticed(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = Answer(200, (), b"x")
    ours = http_origin(origin.url)
    await fetch_from(ours)
    origin.hang_up()
    await origin.quiet()
    assert (await fetch_from(ours)).body == b"x"


@async_test
async def test_a_connection_that_died_unnoticed_is_not_used(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    """Closed by the origin, and the reactor has not yet told us: a POST, that may not be repeated, still arrives."""
    origin.handler = Answer(200, (), b"x")
    ours = http_origin(origin.url)
    await fetch_from(ours)
    raw: Any = origin.connections[0].transport
    raw.socket.shutdown(1)
    assert (await fetch_from(ours, "POST")).body == b"x"
    assert (origin.hits(), len(origin.connections)) == (2, 2)


def dies_when_reused(end: Any) -> Any:
    """Answers the first request on each connection; the second one meets the end of it."""

    def script(request: Request) -> Any:
        return Answer(200, (), b"x") if len(request.connection.requests) == 1 else [end]

    return script


@pytest.mark.parametrize("end", [Close(), Reset()])
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
@async_test
async def test_a_request_lost_in_the_race_with_the_origins_close_goes_out_again(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, method: str, end: Any
) -> None:
    origin.handler = dies_when_reused(end)
    ours = http_origin(origin.url)
    await fetch_from(ours)
    kept = await fetch_from(ours, method)
    assert kept.status == 200
    assert (origin.hits(), len(origin.connections)) == (3, 2)


@pytest.mark.parametrize("method", ["POST", "PATCH", "PURGE"])
@async_test
async def test_what_may_not_be_repeated_is_not(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, method: str
) -> None:
    origin.handler = dies_when_reused(Close())
    ours = http_origin(origin.url)
    await fetch_from(ours)
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, method)
    assert caught.value.fault is Fault.RESET
    assert origin.hits() == 2


@async_test
async def test_a_body_is_sent_once(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = dies_when_reused(Close())
    ours = http_origin(origin.url)
    await fetch_from(ours)
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "PUT", "/", (), Whole(b"body"))
    assert caught.value.fault is Fault.RESET
    assert origin.hits() == 2


@async_test
async def test_a_fresh_connection_that_dies_is_a_fault_not_a_race(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = [Close()]
    with pytest.raises(OriginError) as caught:
        await fetch_from(http_origin(origin.url))
    assert caught.value.fault is Fault.RESET
    assert origin.hits() == 1


@async_test
async def test_the_second_try_is_the_last(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.on("/warm", Answer(200, (), b"x"))
    origin.handler = [Close()]
    ours = http_origin(origin.url)
    await fetch_from(ours, "GET", "/warm")
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "GET", "/dies")
    assert caught.value.fault is Fault.RESET
    assert origin.hits("/dies") == 2


@pytest.mark.parametrize("begun", [[Raw(b"H")], [Head(103)]])
@async_test
async def test_once_an_answer_has_begun_nothing_is_repeated(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin, begun: list[Any]
) -> None:
    origin.on("/warm", Answer(200, (), b"x")).on("/dies", [*begun, Close()])
    ours = http_origin(origin.url)
    await fetch_from(ours, "GET", "/warm")
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "GET", "/dies")
    assert caught.value.fault is Fault.RESET
    assert origin.hits("/dies") == 1


@async_test
async def test_beyond_the_cap_fetches_wait_their_turn(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = lambda request: [Gate(request.path), Head(200, [("Content-Length", "0")])]
    ours = http_origin(origin.url, max_connections=2)
    fetches = [ours.fetch(origin_request("GET", f"/{number}")) for number in range(4)]
    await origin.arrived(2)
    assert (ours.connections, ours.waiting) == (2, 2)
    first = {request.path for request in origin.requests}
    assert first == {"/0", "/1"}
    origin.release("/0")
    await origin.arrived(3)
    assert origin.requests[2].path == "/2"  # first come, first served
    for name in ("/1", "/2", "/3"):
        origin.release(name)
    for fetching in fetches:
        await fetching
    assert len(origin.connections) == 2


@async_test
async def test_a_connection_that_cannot_be_kept_makes_room_all_the_same(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.handler = Answer(200, (), b"x", "close")
    ours = http_origin(origin.url, max_connections=1)
    fetches = [fetch_from(ours) for _ in range(3)]
    got = await gatherResults([Deferred.fromCoroutine(fetching) for fetching in fetches])
    assert [kept.body for kept in got] == [b"x"] * 3
    assert len(origin.connections) == 3


@async_test
async def test_the_queue_is_bounded_in_number_and_time(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = [Gate("go"), Head(200, [("Content-Length", "0")])]
    ours = http_origin(origin.url, max_connections=1, queue=2, queue_wait=0.1)
    first = ours.fetch(origin_request())
    waiting = [ours.fetch(origin_request()) for _ in range(2)]
    refused = ours.fetch(origin_request())
    assert refused.called  # at once, not after the wait
    with pytest.raises(OriginError) as caught:
        await refused
    assert (caught.value.fault, caught.value.status) == (Fault.OVERLOADED, 503)
    for fetching in waiting:
        with pytest.raises(OriginError) as caught:
            await fetching
        assert caught.value.fault is Fault.OVERLOADED
    assert ours.waiting == 0
    origin.release("go")
    await first
    assert origin.hits() == 1


@async_test
async def test_a_cancelled_fetch_leaves_the_queue(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    origin.handler = [Gate("go"), Head(200, [("Content-Length", "0")])]
    ours = http_origin(origin.url, max_connections=1)
    first, second, third = (ours.fetch(origin_request("GET", f"/{number}")) for number in range(3))
    second.cancel()
    with pytest.raises(CancelledError):
        await second
    assert ours.waiting == 1
    origin.release("go")
    await first
    await third
    assert [request.path for request in origin.requests] == ["/0", "/2"]


@async_test
async def test_when_the_origin_is_down_the_queue_drains(origin: ScriptedOrigin, http_origin: MakeHttpOrigin) -> None:
    """Every one of a thousand waiters is told, without the stack growing with their number."""
    await origin.stop_listening()
    ours = http_origin(origin.url, max_connections=1, queue=1000, queue_wait=30)
    fetches = [ours.fetch(origin_request()) for _ in range(1000)]
    for fetching in fetches:
        with pytest.raises(OriginError) as caught:
            await fetching
        assert caught.value.fault is Fault.UNREACHABLE
    assert (ours.connections, ours.waiting) == (0, 0)


def test_connections_that_fail_at_once_do_not_pile_up_on_the_stack() -> None:
    attempts: list[Deferred[Any]] = []

    @implementer(IStreamClientEndpoint)
    class Endpoint:
        def connect(self, protocolFactory: Any) -> Deferred[Any]:
            attempts.append(Deferred() if not attempts else fail(ConnectionRefusedError()))
            return attempts[-1]

    clock = Clock()
    ours = PooledOrigin(clock, Endpoint(), b"x", PoolLimits(max_connections=1, queue=5000), secure=False)
    outcomes = [Outcome(ours.fetch(origin_request())) for _ in range(5001)]
    attempts[0].errback(ConnectionRefusedError())
    assert {outcome.fault for outcome in outcomes} == {Fault.UNREACHABLE}
    assert (ours.connections, ours.waiting, clock.getDelayedCalls()) == (0, 0, [])


@async_test
async def test_a_cut_connection_is_replaced_for_those_who_wait(
    origin: ScriptedOrigin, http_origin: MakeHttpOrigin
) -> None:
    origin.on("/first", [Head(200, [("Content-Length", "9")]), Chunk(b"x"), Gate("go"), Reset()])
    origin.on("/second", Answer(200, (), b"second"))
    ours = http_origin(origin.url, max_connections=1)
    response = await ours.fetch(origin_request("GET", "/first"))
    second = Deferred.fromCoroutine(fetch_from(ours, "GET", "/second"))
    sink = KeepingSink()
    response.deliver(sink)
    await sink.received(1)
    origin.release("go")
    assert (await second).body == b"second"
    assert sink.error is not None and sink.error.fault is Fault.TRUNCATED
