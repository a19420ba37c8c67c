"""Every wait ends, at its own deadline, and waits cost hardly a timer."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.error import TimeoutError as ConnectTimeout

from tests.origin.memory import OK, MemoryOrigin, Outcome
from tests.origin.test_upload import Body
from txstalecache.origin.interfaces import Fault, Framing

LENGTH_4 = OK + b"Content-Length: 4\r\n\r\n"


def test_connecting_takes_three_seconds_at_most() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    memory.clock.advance(2.9)
    assert outcome.pending
    memory.clock.advance(0.2)
    assert outcome.fault is Fault.CONNECT_TIMEOUT
    assert (memory.origin.connections, memory.delayed_calls) == (0, 0)


@pytest.mark.parametrize(
    ("reason", "fault"),
    [(ConnectionRefusedError(), Fault.UNREACHABLE), (ConnectTimeout(), Fault.CONNECT_TIMEOUT)],
)
def test_a_failed_connection_is_told_at_once(reason: Exception, fault: Fault) -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    memory.refuse(reason)
    assert outcome.fault is fault
    assert (memory.origin.connections, memory.delayed_calls) == (0, 0)


def test_the_head_takes_fifteen_seconds_at_most_however_it_drips() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    memory.clock.advance(2)
    wire = memory.connect()
    for byte in OK[:14]:
        memory.clock.advance(1)
        wire.send(bytes([byte]))
    memory.clock.advance(0.9)
    assert outcome.pending
    memory.clock.advance(0.2)
    assert outcome.fault is Fault.TIMEOUT
    assert wire.aborted()
    memory.clock.advance(0)
    assert (memory.origin.connections, memory.delayed_calls) == (0, 0)


def test_a_1xx_starts_the_wait_for_the_head_again_but_not_the_total() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    for _ in range(5):
        memory.clock.advance(11.9)
        wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
        assert outcome.pending
    memory.clock.advance(0.6)
    assert outcome.fault is Fault.TIMEOUT  # 60 s in all


def test_between_bytes_every_byte_counts() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch(total=1000)
    wire = memory.connect()
    wire.send(LENGTH_4)
    sink = outcome.deliver()
    for byte in b"abc":
        memory.clock.advance(14.9)
        wire.send(bytes([byte]))
    assert not sink.ended.called
    memory.clock.advance(15.1)
    assert sink.body == b"abc" and sink.error is not None and sink.error.fault is Fault.TIMEOUT
    assert wire.aborted()


def test_while_paused_both_clocks_stand_still() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    wire.send(LENGTH_4 + b"a")
    sink = outcome.deliver()
    assert outcome.response is not None
    memory.clock.advance(10)
    outcome.response.pause()
    assert wire.producerState == "paused"
    memory.clock.pump([10] * 100)
    outcome.response.resume()
    assert wire.producerState == "producing"
    for byte in b"bc":
        memory.clock.advance(14.9)
        wire.send(bytes([byte]))
    memory.clock.advance(14.9)
    assert not sink.ended.called  # 54.7 s of the origin's time
    memory.clock.advance(5.4)
    assert sink.error is not None and sink.error.fault is Fault.TIMEOUT


def test_the_time_in_which_a_request_body_is_waited_for_is_its_senders() -> None:
    memory = MemoryOrigin()
    body = Body()
    outcome = memory.fetch("POST", "/", (), body)
    wire = memory.connect()
    for _ in range(20):
        memory.clock.advance(10)
        body.consumer.write(b"x")
        assert outcome.pending
    # The origin takes no more for a while, again and again: that is its own time.
    for _ in range(3):
        sending: Any = wire.producer
        sending.pauseProducing()
        memory.clock.advance(14.9)
        sending.resumeProducing()
        memory.clock.advance(10)
        assert outcome.pending
    body.done.callback(None)
    memory.clock.advance(14.9)
    assert outcome.pending  # 59.6 s of the origin's time
    wire.send(b"HTTP/1.1 102 Processing\r\n\r\n")
    memory.clock.advance(0.5)
    assert outcome.fault is Fault.TIMEOUT
    assert wire.aborted()


def test_a_response_that_nobody_takes_ends_at_the_total() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    wire.send(LENGTH_4 + b"a")
    assert wire.producerState == "paused"
    memory.clock.pump([5] * 11)
    assert not wire.aborted()
    memory.clock.advance(5)
    assert wire.aborted()
    sink = outcome.deliver()
    assert sink.body == b"a" and sink.error is not None and sink.error.fault is Fault.TIMEOUT
    memory.clock.advance(0)
    assert memory.delayed_calls == 0


def test_the_wait_in_the_queue_counts_towards_the_total() -> None:
    memory = MemoryOrigin(max_connections=1, queue_wait=50)
    memory.fetch()
    memory.connect()
    outcome = memory.fetch(total=10)
    memory.clock.advance(9.9)
    assert outcome.pending
    memory.clock.advance(0.2)
    assert outcome.fault is Fault.TIMEOUT


def test_each_waiter_has_its_own_time() -> None:
    memory = MemoryOrigin(max_connections=1)
    memory.fetch()
    memory.connect()
    first = memory.fetch()
    memory.clock.advance(3)
    second, third = memory.fetch(), memory.fetch(total=1)
    memory.clock.advance(1.1)
    assert (first.fault, second.fault, third.fault) == (None, None, Fault.TIMEOUT)
    memory.clock.advance(1)
    assert (first.fault, second.fault) == (Fault.OVERLOADED, None)
    memory.clock.advance(3)
    assert second.fault is Fault.OVERLOADED


def test_who_waits_has_its_own_time_though_one_before_comes_again_at_once() -> None:
    """A flight's second attempt, say: it waits longer than the one behind the first."""
    memory = MemoryOrigin(max_connections=1)
    memory.fetch()
    memory.connect()
    first, again = memory.fetch(), list[Outcome]()
    first.deferred.addCallback(lambda _: again.append(memory.fetch()))
    memory.clock.advance(3)
    second = memory.fetch()
    memory.clock.advance(2.1)
    assert (first.fault, second.pending, again[0].pending) == (Fault.OVERLOADED, True, True)
    memory.clock.advance(3)
    assert (second.fault, again[0].pending) == (Fault.OVERLOADED, True)
    memory.clock.advance(2)
    assert again[0].fault is Fault.OVERLOADED
    assert memory.delayed_calls == 1  # the connection's own


@pytest.mark.parametrize("deadline", ["first_byte", "total"])
def test_a_deadline_shorter_than_the_one_before_is_kept(deadline: str) -> None:
    """The connection's one timer is armed far ahead by then."""
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    wire.send(LENGTH_4 + b"abcd")
    assert outcome.deliver().framing is Framing.DELIMITED
    quick = memory.fetch("GET", "/", **{deadline: 0.5})
    memory.clock.advance(0.6)
    assert quick.fault is Fault.TIMEOUT


def test_a_thousand_fetches_on_a_connection_share_one_timer() -> None:
    memory = MemoryOrigin()
    armed: list[float] = []
    original = memory.clock.callLater

    def counting(delay: float, *arguments: object, **keywords: object) -> object:
        armed.append(delay)
        return original(delay, *arguments, **keywords)  # type: ignore[arg-type]

    memory.clock.callLater = counting  # type: ignore[method-assign, assignment]
    outcome = memory.fetch()
    wire = memory.connect()
    for _ in range(1000):
        wire.send(LENGTH_4 + b"abcd")
        assert outcome.deliver().body == b"abcd"
        memory.clock.advance(0.01)
        assert memory.delayed_calls == 1
        outcome = memory.fetch()
    assert len(memory.clock.tcpClients) == 1
    assert len(armed) < 10  # the one to connect, and one each few seconds


def test_a_connection_that_does_not_close_is_cut() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    wire.deaf = True
    wire.send(OK + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
    assert outcome.deliver().framing is Framing.DELIMITED
    assert wire.closing() and not wire.aborted()
    memory.clock.pump([1, 1, 0.1, 0])
    assert wire.aborted()
    assert (memory.origin.connections, memory.delayed_calls) == (0, 0)


def test_idle_connections_close_after_four_seconds_without_use() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    memory.clock.advance(3)
    wire.send(LENGTH_4 + b"abcd")
    outcome.deliver()
    memory.clock.advance(3.9)
    assert not wire.closing()
    memory.clock.advance(0.2)
    assert wire.closing()
    memory.clock.advance(0)
    assert (memory.origin.connections, memory.delayed_calls) == (0, 0)


def test_a_connection_that_is_always_busy_is_made_anew_each_minute() -> None:
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    for _ in range(60):
        memory.clock.advance(1)
        assert not wire.closing()
        wire.send(LENGTH_4 + b"abcd")
        outcome.deliver()
        outcome = memory.fetch()
    assert wire.closing()  # where its name leads by now is to be seen
    assert len(memory.clock.tcpClients) == 2


@pytest.mark.parametrize("stage", ["connecting", "waiting", "streaming", "queued"])
def test_cancel_and_abort_leave_no_timer(stage: str) -> None:
    memory = MemoryOrigin(max_connections=1)
    first = memory.fetch()
    if stage == "connecting":
        first.deferred.cancel()
    else:
        wire = memory.connect()
        if stage == "queued":
            second = memory.fetch()
            second.deferred.cancel()
        if stage == "streaming":
            wire.send(LENGTH_4)
            first.deliver()
            assert first.response is not None
            first.response.abort()
        else:
            first.deferred.cancel()
        assert wire.aborted()
    memory.clock.advance(0)
    assert (memory.origin.connections, memory.origin.waiting, memory.delayed_calls) == (0, 0, 0)


def test_a_connection_that_ends_its_body_while_paused_is_read_again_when_idle() -> None:
    """Bytes may still come after a pause (TLS has decrypted them): the end of the body, for one."""
    memory = MemoryOrigin()
    outcome = memory.fetch()
    wire = memory.connect()
    wire.send(LENGTH_4 + b"a")
    sink = outcome.deliver()
    assert outcome.response is not None
    outcome.response.pause()
    wire.send(b"bcd")
    assert sink.body == b"a"
    assert wire.producerState == "producing"
    wire.send(b"unasked")
    assert wire.aborted()
    outcome.response.resume()
    assert (sink.body, sink.framing) == (b"abcd", Framing.DELIMITED)
