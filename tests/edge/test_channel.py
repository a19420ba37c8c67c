"""What one client may cost: every wait bounded, every cap held, one answer for each request in its order."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from tests.support.transport import Transport
from txstalecache.edge.channel import CacheChannel, Phase
from txstalecache.edge.framing import Chunked
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.site import CacheSite
from txstalecache.edge.twistedweb import CacheRequest
from txstalecache.observe.accesslog import Record

GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


class Held(Resource):
    """Answers when the test says so."""

    isLeaf = True
    streams = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[CacheRequest] = []
        self.left: list[Failure] = []

    def render(self, request: Request) -> int:
        assert isinstance(request, CacheRequest)
        request.notifyFinish().addErrback(self.left.append)
        self.requests.append(request)
        return NOT_DONE_YET

    def answer(self, number: int, body: bytes = b"answer") -> None:
        request = self.requests[number]
        request.setHeader(b"Content-Length", b"%d" % len(body))
        request.write(body)
        request.finish()


class Eater:
    """Takes a body as an origin would."""

    def __init__(self) -> None:
        self.data = b""
        self.failure: Failure | None = None

    def write(self, data: bytes) -> None:
        self.data += data

    def registerProducer(self, producer: object, streaming: bool) -> None: ...

    def unregisterProducer(self) -> None: ...

    def eat(self, request: CacheRequest) -> None:
        assert request.upload is not None
        done: Deferred[None] = request.upload.startProducing(self)  # type: ignore[arg-type]
        done.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        self.failure = failure


class Client:
    """A channel of a site of its own, on a clock of its own."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.resource = Held()
        self.log: list[Record] = []
        self.site = CacheSite(
            self.resource, self.clock, limits=EdgeLimits(**{"connections": 10, **limits}), refused=self.log.append
        )
        self.connect()

    def connect(self) -> None:
        self.wire = Transport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1))
        self.channel: Any = self.site.buildProtocol(None)
        self.channel.makeConnection(self.wire)

    def send(self, data: bytes) -> None:
        """Some bytes arrive."""
        self.channel.dataReceived(data)

    @property
    def said(self) -> bytes:
        return bytes(self.wire.value())

    def over(self) -> bool:
        return self.wire.disconnecting or self.wire.disconnected or self.wire.half_closed

    def leave(self) -> None:
        from twisted.internet.error import ConnectionDone

        self.channel.connectionLost(Failure(ConnectionDone()))


def status(said: bytes) -> int:
    return int(said.split(b" ", 2)[1])


# -- deadlines ------------------------------------------------------------------------------------------------------


def test_a_head_that_drips_in_gets_408_after_ten_seconds() -> None:
    client = Client()
    for byte in GET[:9]:
        client.send(bytes([byte]))
        client.clock.advance(1)
        assert not client.over()
    client.clock.advance(1.1)
    assert status(client.said) == 408
    assert client.over()
    assert client.log[0].status == 408


def test_a_connection_without_a_request_is_closed_after_fifteen_seconds_without_a_word() -> None:
    client = Client()
    client.clock.advance(14.9)
    assert not client.over()
    client.clock.advance(0.2)
    assert client.over()
    assert client.said == b""


def test_an_answered_connection_may_idle_fifteen_seconds_more() -> None:
    client = Client()
    client.clock.advance(10)
    client.send(GET)
    client.clock.advance(10)
    client.resource.answer(0)
    client.clock.advance(14.9)
    assert not client.over()
    client.clock.advance(0.2)
    assert client.over()


def test_a_closed_connection_that_does_not_go_is_cut() -> None:
    client = Client()
    client.clock.advance(15)
    assert client.wire.disconnecting and not client.wire.disconnected
    client.clock.advance(15)
    assert client.wire.disconnected


def test_a_body_that_drips_in_gets_408_soon_after_thirty_seconds() -> None:
    client = Client()
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(30):
        client.send(b"x")
        client.clock.advance(1)
    assert not client.over()
    client.clock.advance(0.1)
    assert status(client.said) == 408
    assert client.resource.left


def test_a_body_that_comes_fast_enough_may_take_longer() -> None:
    client = Client(body=None)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    eater = Eater()
    eater.eat(client.resource.requests[0])
    for _ in range(100):
        client.send(b"x" * 2048)
        client.clock.advance(1)
    assert not client.over()
    assert len(eater.data) == 204800


def test_the_body_deadline_stands_still_while_the_origin_takes_nothing() -> None:
    client = Client(body=None)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n")
    for _ in range(5):
        client.send(b"x" * 65536)
    assert client.wire.producerState == "paused"
    client.clock.advance(1000)
    assert not client.over()
    eater = Eater()
    eater.eat(client.resource.requests[0])
    assert client.wire.producerState == "producing"
    assert len(eater.data) == 5 * 65536
    client.clock.advance(29)
    assert not client.over()
    client.clock.advance(1000)
    assert client.over()
    assert eater.failure is not None


def test_a_request_that_is_not_answered_within_sixty_seconds_gets_504() -> None:
    client = Client()
    client.send(GET)
    client.clock.advance(59.9)
    assert not client.said
    client.clock.advance(0.2)
    assert status(client.said) == 504
    assert client.resource.left and client.over()


def test_an_answer_in_progress_has_no_deadline_of_the_whole() -> None:
    client = Client()
    client.send(GET)
    client.resource.requests[0].write(b"x")
    client.clock.advance(1000)
    assert not client.over()


def test_a_client_that_takes_nothing_for_thirty_seconds_is_cut() -> None:
    client = Client()
    client.send(GET)
    client.resource.requests[0].write(b"x")
    client.channel.pauseProducing()
    client.clock.advance(29.9)
    assert not client.wire.disconnected
    client.channel.resumeProducing()
    client.clock.advance(100)
    assert not client.wire.disconnected
    client.channel.pauseProducing()
    client.clock.advance(30.1)
    assert client.wire.disconnected


def test_nothing_is_left_to_happen_when_a_connection_is_gone() -> None:
    client = Client()
    client.send(GET)
    client.channel.pauseProducing()
    client.leave()
    assert client.clock.getDelayedCalls() == []
    assert client.resource.left
    assert not client.site.channels


def test_what_a_client_still_sends_is_dropped_for_two_seconds_so_that_it_can_read_the_answer() -> None:
    client = Client()
    client.send(b"rubbish\r\n\r\n")
    assert status(client.said) == 400
    assert client.over()
    assert not bool(client.wire.disconnecting)
    client.send(GET)
    client.clock.advance(2.1)
    assert bool(client.wire.disconnecting)
    assert client.resource.requests == []


def test_what_is_dropped_is_bounded() -> None:
    client = Client()
    client.send(b"rubbish\r\n\r\n")
    for _ in range(5):
        assert not client.wire.disconnecting
        client.send(b"x" * 65536)
    assert client.wire.disconnecting


# -- bodies ---------------------------------------------------------------------------------------------------------


def test_a_length_beyond_the_cap_gets_413_and_no_100_and_no_resource() -> None:
    client = Client(body=10)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n")
    assert status(client.said) == 413
    assert client.resource.requests == [] and client.over()


def test_chunks_beyond_the_cap_get_413_and_the_resource_sees_the_client_leave() -> None:
    client = Client(body=10)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n")
    eater = Eater()
    eater.eat(client.resource.requests[0])
    client.send(b"6\r\n123456\r\n")
    assert status(client.said) == 413
    assert client.resource.left and client.over()
    assert eater.data == b"12345"
    assert eater.failure is not None


def test_the_cap_may_be_lifted() -> None:
    client = Client(body=None)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000000\r\n\r\n")
    assert len(client.resource.requests) == 1


def test_100_continue_is_said_when_the_body_is_wanted_and_not_before() -> None:
    client = Client()
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert client.said == b""
    eater = Eater()
    eater.eat(client.resource.requests[0])
    assert client.said == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"ab")
    assert eater.data == b"ab"
    assert client.said == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.resource.answer(0)
    client.send(GET)
    assert len(client.resource.requests) == 2


def test_a_client_of_http_1_0_is_told_no_100_continue() -> None:
    """RFC 9110 §10.1.1: it would not know what that is."""
    client = Client()
    client.send(b"POST /x HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    eater = Eater()
    eater.eat(client.resource.requests[0])
    assert client.said == b""
    client.send(b"ab")
    assert eater.data == b"ab" and client.said == b""
    client.resource.answer(0)
    assert status(client.said) == 200


def test_an_answer_instead_of_100_continue_ends_the_connection() -> None:
    client = Client()
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    client.resource.answer(0)
    assert status(client.said) == 200
    assert client.over()
    client.send(GET)
    assert len(client.resource.requests) == 1


def test_an_answer_before_the_end_of_the_body_is_followed_by_the_next_request() -> None:
    client = Client()
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst")
    client.resource.answer(0)
    client.send(b"again" + GET)
    assert [request.method for request in client.resource.requests] == [b"POST", b"GET"]
    assert client.said.endswith(b"\r\n\r\nanswer")


def test_an_answer_long_before_the_end_of_the_body_ends_the_connection() -> None:
    client = Client(body=None)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 10000000\r\n\r\nfirst")
    client.resource.answer(0)
    for _ in range(5):
        client.send(b"x" * 65536)
    assert client.over()


def test_an_answer_of_another_length_than_announced_cuts_the_connection() -> None:
    client = Client()
    client.send(GET)
    request = client.resource.requests[0]
    request.setHeader(b"Content-Length", b"10")
    request.write(b"short")
    request.finish()
    assert client.wire.disconnected


# -- order ----------------------------------------------------------------------------------------------------------


def test_requests_sent_ahead_are_processed_one_after_the_other() -> None:
    client = Client()
    client.send(GET + GET.replace(b"/x", b"/y") + GET.replace(b"/x", b"/z"))
    for number, uri in enumerate((b"/x", b"/y", b"/z")):
        assert [request.uri for request in client.resource.requests][number:] == [uri]
        client.resource.answer(number, uri)
    assert [part for part in client.said.split(b"\r\n") if part[:1] == b"/"] != []
    assert client.said.count(b"HTTP/1.1 200") == 3


def test_only_so_much_is_read_ahead() -> None:
    client = Client()
    client.send(GET)
    client.send(b"x" * 16383)
    assert client.wire.producerState == "producing"
    client.send(b"x")
    assert client.wire.producerState == "paused"


def test_a_client_that_takes_no_answers_is_asked_for_no_more_requests() -> None:
    client = Client()
    client.send(GET)
    client.channel.pauseProducing()
    client.resource.answer(0)
    assert client.wire.producerState == "paused"
    client.send(GET)
    assert len(client.resource.requests) == 1
    client.channel.resumeProducing()
    assert len(client.resource.requests) == 2


def test_a_request_that_comes_byte_by_byte_is_the_same_request() -> None:
    client = Client()
    raw = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;e=f\r\nabc\r\n0\r\nT: x\r\n\r\n"
    eater = Eater()
    for byte in raw + GET:
        client.send(bytes([byte]))
        if client.resource.requests and not eater.data:
            eater.eat(client.resource.requests[0]) if client.channel.phase is Phase.BODY and byte == 0x33 else None
    assert eater.data == b"abc"
    client.resource.answer(0)
    assert [request.method for request in client.resource.requests] == [b"POST", b"GET"]


# -- the site -------------------------------------------------------------------------------------------------------


def test_one_connection_too_many_gets_503() -> None:
    client = Client(connections=1)
    first = client.channel
    client.connect()
    assert status(client.said) == 503
    assert b"Retry-After: 1\r\n" in client.said
    assert client.over()
    first.connectionLost(Failure(ConnectionError()))
    client.connect()
    assert client.said == b"" and not client.over()


def test_the_cap_leaves_descriptors_for_everything_else() -> None:
    import resource as rlimits

    from txstalecache.edge.limits import connection_cap

    soft = rlimits.getrlimit(rlimits.RLIMIT_NOFILE)[0]
    assert 0 < connection_cap(EdgeLimits()) == soft - min(256, soft // 4)
    assert connection_cap(EdgeLimits(connections=3)) == 3
    # Who names more connections than there are descriptors has none kept else.
    assert connection_cap(EdgeLimits(connections=soft)) == connection_cap(EdgeLimits())


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("example.com", True),
        ("EXAMPLE.com:8080", True),
        ("example.com.", True),
        ("www.example.org", True),
        ("a.b.example.org", True),
        ("example.org", False),
        ("badexample.org", False),
        ("example.com.evil", False),
        ("evil", False),
        ("[::1]:80", True),
        ("[::2]", False),
    ],
)
def test_only_hosts_on_the_list_are_served(host: str, served: bool) -> None:
    client = Client(hosts=frozenset({b"example.com", b"*.example.org", b"[::1]"}))
    client.send(b"GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" % host.encode())
    assert len(client.resource.requests) == served
    if not served:
        assert status(client.said) == 421


def test_http_1_1_alone_is_offered_by_alpn() -> None:
    assert Client().site.acceptableProtocols() == [b"http/1.1"]


def test_an_exception_in_a_resource_is_a_500_without_a_traceback(logged_failures: Any) -> None:
    client = Client()

    def broken(request: Request) -> int:
        raise RuntimeError("a secret")

    client.resource.render = broken  # type: ignore[method-assign]
    client.send(GET)
    assert status(client.said) == 500
    assert b"secret" not in client.said and b"Traceback" not in client.said
    assert len(logged_failures.flush(RuntimeError)) == 1


def test_the_server_field_says_no_version() -> None:
    client = Client()
    client.send(GET)
    client.resource.answer(0)
    assert b"\r\nServer: txstalecache\r\n" in client.said
    assert b"Twisted" not in client.said


def test_a_draining_site_ends_each_connection_with_its_answer() -> None:
    client = Client()
    client.send(GET)
    drained: list[None] = []
    client.site.drain().addCallback(drained.append)
    assert not client.over()
    client.resource.answer(0)
    assert b"\r\nConnection: close\r\n" in client.said
    assert client.over() and not drained
    client.leave()
    assert drained


def drained_in_the_middle(client: Client) -> None:
    """The site drains when half of the first answer has left."""
    request = client.resource.requests[0]
    request.setHeader(b"Content-Length", b"6")
    request.write(b"ans")
    client.site.drain()
    request.write(b"wer")
    request.finish()


def test_an_answer_that_has_begun_before_a_site_drains_does_not_cost_the_next_request() -> None:
    client = Client()
    client.send(GET)
    drained_in_the_middle(client)
    # It could not say that it is the last: the client may ask again.
    assert b"Connection: close" not in client.said and not client.over()
    client.send(GET)
    client.resource.answer(1)
    assert b"Connection: close" in client.said and client.over()


def test_nor_does_one_that_comes_before_the_end_of_its_upload() -> None:
    client = Client()
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc")
    Eater().eat(client.resource.requests[0])
    drained_in_the_middle(client)
    assert b"Connection: close" not in client.said and not client.over()
    client.send(b"def" + GET)
    client.resource.answer(1)
    assert b"Connection: close" in client.said and client.over()


def test_it_closes_soon_where_no_request_follows_that_answer() -> None:
    client = Client(linger=2.0)
    client.send(GET)
    drained_in_the_middle(client)
    client.clock.advance(1.9)
    assert not client.over()
    client.clock.advance(0.2)
    assert client.over()


def test_a_draining_site_takes_the_request_that_was_on_its_way() -> None:
    client = Client()
    client.site.drain()
    client.clock.advance(1)
    client.send(GET)
    client.clock.advance(5)
    client.resource.answer(0)
    assert status(client.said) == 200 and b"\r\nConnection: close\r\n" in client.said
    assert client.over()


def test_a_draining_site_closes_a_connection_without_a_request_soon() -> None:
    client = Client()
    client.site.drain()
    assert not client.over()
    client.clock.advance(2.1)
    assert client.over()


# -- the fence around what Twisted does not promise -----------------------------------------------------------------


@implementer(IPushProducer)
class Producer:
    paused = 0

    def pauseProducing(self) -> None:
        self.paused += 1

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


def test_twisteds_channel_still_leaves_reading_to_us() -> None:
    """``CacheChannel`` sets ``_handlingRequest`` so that Twisted's channel never pauses or resumes the transport."""
    assert HTTPChannel()._handlingRequest is False
    client = Client()
    client.send(GET)
    producer = Producer()
    client.resource.requests[0].registerProducer(producer, True)
    HTTPChannel.pauseProducing(client.channel)
    assert producer.paused == 1
    assert client.wire.producerState == "producing"


def test_twisteds_parser_never_sees_a_byte() -> None:
    client = Client()

    def parsed(*_: Any) -> None:
        raise AssertionError("Twisted's parser was reached")

    for name in ("lineReceived", "rawDataReceived", "headerReceived", "allHeadersReceived", "allContentReceived"):
        assert hasattr(HTTPChannel, name), f"{name} has another name now"
        setattr(client.channel, name, parsed)
    client.send(b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab")
    client.resource.answer(0)
    client.send(GET)
    assert len(client.resource.requests) == 2


@pytest.mark.parametrize(
    "asked",
    [
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_what_is_asked_about_the_server_is_answered_without_a_version_and_logged(asked: bytes) -> None:
    client = Client()
    client.send(asked + GET)
    head, _, body = client.said.partition(b"\r\n\r\n")
    assert (status(head), body) == (200, b"")
    assert b"\r\nContent-Length: 0" in head
    assert b"\r\nAllow: GET" in head
    assert b"Twisted" not in head
    assert [(one.method, one.target, one.status, one.why) for one in client.log] == [
        (b"OPTIONS", b"*", 200, "options"),
    ]
    assert [one.method for one in client.resource.requests] == [b"GET"]


@pytest.mark.parametrize("asked", [b"OPTIONS http://a/ HTTP/1.1", b"OPTIONS http://a? HTTP/1.1", b"OPTIONS / HTTP/1.1"])
def test_options_of_a_path_or_a_query_is_about_that(asked: bytes) -> None:
    client = Client()
    client.send(asked + b"\r\nHost: a\r\n\r\n")
    assert [one.uri[:1] for one in client.resource.requests] == [b"/"]


def test_what_is_used_of_twisteds_request_is_still_there() -> None:
    client = Client()
    client.send(GET)
    request = client.resource.requests[0]
    assert request._disconnected is False
    assert request.sentLength == 0
    assert client.channel.requests == [request]


class Abrupt(Transport):
    """As TCP in Twisted: with its way out closed already, closing it is the end at once."""

    channel: Any = None

    def loseConnection(self) -> None:
        super().loseConnection()
        if self.half_closed:
            self.channel.connectionLost(Failure(ConnectionDone()))


def test_a_refused_connection_that_lingers_for_too_long_leaves_nothing_behind() -> None:
    client = Client(linger=2.0)
    client.wire.__class__ = Abrupt
    client.wire.channel = client.channel  # type: ignore[attr-defined]
    client.channel.dataReceived(b"nonsense\r\n\r\n")
    assert client.wire.half_closed
    client.clock.advance(2.0)
    assert client.wire.disconnecting
    assert client.clock.getDelayedCalls() == []


def test_what_one_client_sends_in_one_go_is_served_in_turns_and_not_read_further_meanwhile() -> None:
    client, turn = Client(), CacheChannel.A_TURN
    asks = b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"
    client.channel.dataReceived(asks * (2 * turn + 5))
    assert client.wire.value().count(b"HTTP/1.1 200") == turn
    assert client.wire.producerState == "paused"
    client.channel.dataReceived(asks)  # was on its way
    assert client.wire.value().count(b"HTTP/1.1 200") == turn
    client.clock.advance(0)
    assert client.wire.value().count(b"HTTP/1.1 200") == 2 * turn + 6
    assert client.wire.producerState == "producing"


CHUNKS = Chunked.AT_ONCE // 3
TINY = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * (2 * CHUNKS + 5)


class Nibbler(Eater):
    """Knows in which pieces it came."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[int] = []

    def write(self, data: bytes) -> None:
        super().write(data)
        self.pieces.append(len(data))


@pytest.mark.parametrize("ended", [b"", b"0\r\n\r\n" + GET])
def test_a_body_in_tiny_chunks_is_taken_in_turns_and_not_read_further_meanwhile(ended: bytes) -> None:
    client, eater = Client(), Nibbler()
    client.send(TINY + ended)
    eater.eat(client.resource.requests[0])
    assert eater.pieces == [CHUNKS]
    assert client.wire.producerState == "paused"
    client.send(b"" if ended else b"1\r\nx\r\n0\r\n\r\n" + GET)  # was on its way
    assert eater.pieces == [CHUNKS]
    client.clock.advance(0)
    assert eater.pieces == [CHUNKS, CHUNKS, 5 + (not ended)]
    assert client.wire.producerState == "producing"
    client.resource.answer(0)
    assert [request.method for request in client.resource.requests] == [b"POST", b"GET"]


def test_what_is_left_of_a_body_in_tiny_chunks_is_dropped_in_turns() -> None:
    client = Client()
    client.send(TINY + b"0\r\n\r\n" + GET)
    client.resource.answer(0)
    assert len(client.resource.requests) == 1 and client.wire.producerState == "paused"
    client.clock.advance(0)
    assert len(client.resource.requests) == 2 and client.wire.producerState == "producing"


@pytest.mark.parametrize("sent", [b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n" * (CacheChannel.A_TURN + 1), TINY])
def test_a_client_that_leaves_while_others_have_their_turn_leaves_nothing_behind(sent: bytes) -> None:
    client = Client()
    client.channel.dataReceived(sent)
    client.channel.connectionLost(Failure(ConnectionDone()))
    assert not client.clock.getDelayedCalls()
