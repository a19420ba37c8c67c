"""Any IAgent as an origin."""

from __future__ import annotations

from typing import Any

import pytest
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.web.client import Agent
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface.verify import verifyObject

from tests.origin.memory import Outcome
from tests.support.async_test import async_test
from tests.support.origin import Answer, Chunk, Close, Gate, Hang, Head, Raw, ScriptedOrigin
from tests.support.sink import KeepingSink, fetch_from, origin_request
from txstalecache.origin.agent import AgentOrigin
from txstalecache.origin.interfaces import Fault, Framing, IOrigin, IOriginResponse, OriginError


class Site(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def render(self, request: Any) -> Any:
        self.seen.append((request.method, request.uri, dict(request.requestHeaders.getAllRawHeaders())))
        request.setHeader(b"x-a", b"1")
        if request.uri == b"/later":
            self.request = request
            return NOT_DONE_YET
        return b"" if request.method == b"HEAD" else b"hello"


def in_memory() -> tuple[Site, RequestTraversalAgent, AgentOrigin]:
    site = Site()
    agent = RequestTraversalAgent(site)
    return site, agent, AgentOrigin(agent, "http://example.com")


def test_a_fetch_in_memory_is_done_when_it_returns() -> None:
    site, _, origin = in_memory()
    verifyObject(IOrigin, origin)
    outcome = Outcome(origin.fetch(origin_request("GET", "/x?", [("Host", "h"), ("A", "1"), ("A", "2")])))
    response = outcome.response
    assert response is not None
    verifyObject(IOriginResponse, response)
    sink = outcome.deliver()
    assert (response.head.status, response.length, sink.body, sink.framing) == (200, 5, b"hello", Framing.DELIMITED)
    assert response.head.fields.get(b"x-a") == b"1"
    assert response.head.fields.get(b"content-length") == b"5"
    method, _, fields = site.seen[0]
    assert (method, fields[b"Host"], fields[b"A"]) == (b"GET", [b"h"], [b"1", b"2"])


def test_a_body_that_comes_later_comes_as_it_is_flushed() -> None:
    site, agent, origin = in_memory()
    outcome = Outcome(origin.fetch(origin_request("GET", "/later")))
    assert outcome.pending
    site.request.write(b"one")
    agent.flush()
    sink = outcome.deliver()
    assert sink.body == b"one" and not sink.ended.called
    site.request.write(b"two")
    site.request.finish()
    agent.flush()
    assert (sink.body, sink.framing) == (b"onetwo", Framing.DELIMITED)


def test_a_request_that_would_be_two_is_not_sent() -> None:
    site, _, origin = in_memory()
    assert Outcome(origin.fetch(origin_request("GET", "/", [("A", "b\r\nC: d")]))).fault is Fault.MALFORMED
    assert site.seen == []


def test_a_bad_base_is_refused() -> None:
    for url in ("unix:/x", "example.com", "http://a/b"):
        with pytest.raises(ValueError):
            AgentOrigin(RequestTraversalAgent(Resource()), url)


class FakeResponse:
    length = 0

    def __init__(self, code: int, fields: dict[bytes, list[bytes]]) -> None:
        self.code = code
        self.headers = Headers()
        for name, values in fields.items():
            self.headers._rawHeaders[name] = values  # as the parser sets them: unchecked
        self.delivered = False

    def deliverBody(self, protocol: Any) -> None:
        self.delivered = True


class FakeAgent:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def request(self, *_: Any) -> Any:
        result: Deferred[Any] = Deferred()
        if self.answer is not None:
            result.callback(self.answer)
        return result


@pytest.mark.parametrize(
    ("code", "fields"),
    [
        (-200, {}),
        (101, {}),
        (999, {}),
        (200, {b"a": [b"b\x00"]}),
        (200, {b"a": [b"b\rc"]}),
        (200, {b"a b": [b"c"]}),
        (200, {b"a": [b"b"] * 201}),
        (200, {b"a": [b"b" * 70000]}),
    ],
)
def test_what_an_agent_lets_through_is_checked(code: int, fields: dict[bytes, list[bytes]]) -> None:
    response = FakeResponse(code, fields)
    agent: Any = FakeAgent(response)
    assert Outcome(AgentOrigin(agent, "http://x").fetch(origin_request())).fault is Fault.MALFORMED
    assert response.delivered  # or its connection would be held for ever


def test_with_a_clock_the_wait_for_the_head_ends() -> None:
    clock = Clock()
    agent: Any = FakeAgent(None)
    outcome = Outcome(AgentOrigin(agent, "http://x", clock=clock).fetch(origin_request()))
    clock.advance(17.9)
    assert outcome.pending
    clock.advance(0.2)
    assert outcome.fault is Fault.TIMEOUT
    assert not clock.getDelayedCalls()


@async_test
async def test_over_real_sockets_each_end_and_each_fault_is_told(origin: ScriptedOrigin) -> None:
    from twisted.internet import reactor

    origin.on("/length", Answer(200, (), b"abc")).on("/close", Answer(200, (), b"abc", "close"))
    origin.on("/cut", [Head(200, [("Content-Length", "9")]), Chunk(b"abc"), Gate("cut"), Close()])
    origin.on("/stop", [Head(200, [("Content-Length", "9")]), Chunk(b"abc"), Hang()]).on("/hang", [Hang()])
    origin.on("/reset", [Close()]).on("/rubbish", [Raw(b"HTTP/1.1 rubbish\r\n\r\n"), Hang()])
    ours = AgentOrigin(Agent(reactor), origin.url, clock=reactor)
    assert (await fetch_from(ours, "GET", "/length")).framing is Framing.DELIMITED
    assert (await fetch_from(ours, "GET", "/close")).framing is Framing.CLOSE
    origin.release("cut")
    cut = await fetch_from(ours, "GET", "/cut")
    assert cut.error is not None and cut.error.fault is Fault.TRUNCATED
    stopped = await fetch_from(ours, "GET", "/stop", between_bytes=0.1)
    assert stopped.body == b"abc" and stopped.error is not None and stopped.error.fault is Fault.TIMEOUT
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "GET", "/hang", connect=0.05, first_byte=0.05)
    assert caught.value.fault is Fault.TIMEOUT
    for path, fault in [("/reset", Fault.RESET), ("/rubbish", Fault.MALFORMED)]:
        with pytest.raises(OriginError) as caught:
            await fetch_from(ours, "GET", path)
        assert caught.value.fault is fault
    fetching = ours.fetch(origin_request("GET", "/hang"))
    await origin.arrived(2, "/hang")
    fetching.cancel()
    with pytest.raises(CancelledError):
        await fetching
    await origin.quiet()
    await origin.stop_listening()
    with pytest.raises(OriginError) as caught:
        await fetch_from(ours, "GET", "/length")
    assert caught.value.fault is Fault.UNREACHABLE


@async_test
async def test_pause_and_abort_reach_the_connection(origin: ScriptedOrigin) -> None:
    from twisted.internet import reactor

    origin.handler = Answer(200, (), b"x" * 20_000_000)
    ours = AgentOrigin(Agent(reactor), origin.url)
    response = await ours.fetch(origin_request())
    sink = KeepingSink(keep=False)
    sink.on_write = lambda _: response.pause()
    response.deliver(sink)
    for _ in range(50):
        turned: Deferred[None] = Deferred()
        reactor.callLater(0, turned.callback, None)
        await turned
    assert sink.length < 1_000_000
    sink.on_write = None
    response.resume()
    await sink.ended
    assert sink.length == 20_000_000
    (await ours.fetch(origin_request())).abort()
    await origin.quiet()
