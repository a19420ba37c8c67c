"""The fast lane says what the ordinary way says, byte for byte, whatever it is sent and however that is cut up; and
both say what a request of ``twisted.web`` would.

Three sites with the same origin, store and clock, one with the lane, one without, and one that goes through
``twisted.web``, are sent the same seeded random requests: plain, odd and hostile ones, split anywhere, pipelined, with
time going by and clients leaving. The origin answers, or answers late, in pieces, without a length, not at all, or not
to the end; the store has what it has at hand, or answers late. Whoever looks into a difference: the failure names the
seed, and ``Trio(seed).run()`` repeats it.
"""

from __future__ import annotations

import gc
import re
import sys
import tracemalloc
from dataclasses import replace
from random import Random
from typing import Any, ClassVar

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.web.static import Data
from zope.interface import implementer

from tests.safety.payloads import PAYLOADS
from tests.support.held_origin import HeldResponse
from tests.support.transport import Transport
from txstalecache.config.routes import Route, Routes
from txstalecache.edge import asked, fastlane, ready
from txstalecache.edge.asked import SHAPING, HeadReader, shape
from txstalecache.edge.fastlane import FastLane
from txstalecache.edge.heads import Rejected, examine
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.resource import CacheResource
from txstalecache.edge.site import CacheSite
from txstalecache.flight.body import Body
from txstalecache.http.fields import format_date
from txstalecache.http.keys import KeyTemplate
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Cookies, Rules
from txstalecache.observe.accesslog import Record, json_line
from txstalecache.origin.interfaces import Fault, IOrigin, IOriginResponse, OriginError, OriginRequest
from txstalecache.store import lease, open_store

#: Sequences of requests; about 35 requests each.
SHORT, LONG = 50, 650

NOW = 1_800_000_000.0
DATE = b"Fri, 15 Jan 2027 08:00:00 GMT"
MODIFIED = b"Thu, 14 Jan 2027 20:00:00 GMT"


@implementer(IOrigin)
class Origin:
    """Each path in its own manner."""

    PATHS: ClassVar[dict[bytes, tuple[int, list[tuple[bytes, bytes]], int]]] = {
        b"/fresh": (200, [(b"Cache-Control", b"max-age=60"), (b"ETag", b'"v1"')], 1024),
        b"/short": (200, [(b"Cache-Control", b"max-age=2, stale-while-revalidate=20"), (b"ETag", b'W/"w"')], 10),
        b"/half": (200, [(b"Cache-Control", b"max-age=3"), (b"Age", b"1"), (b"Cache-Status", b"other; hit")], 20),
        b"/vary": (200, [(b"Cache-Control", b"max-age=60"), (b"Vary", b"Accept-Encoding")], 30),
        b"/varies": (200, [(b"Cache-Control", b"max-age=9"), (b"Vary", b"Cookie, accept-language")], 30),
        b"/private": (200, [(b"Cache-Control", b"private, max-age=60")], 40),
        b"/none": (200, [(b"Cache-Control", b"no-store")], 40),
        b"/again": (200, [(b"Cache-Control", b"no-cache"), (b"ETag", b'"n"')], 40),
        b"/guess": (200, [(b"Last-Modified", MODIFIED)], 50),
        b"/public": (200, [(b"Cache-Control", b"public, max-age=30, immutable")], 50),
        b"/shared": (200, [(b"Cache-Control", b"s-maxage=5"), (b"Last-Modified", MODIFIED)], 60),
        b"/broken": (200, [(b"Cache-Control", b"max-age=2, stale-if-error=30, stale-while-revalidate=4")], 60),
        b"/moved": (301, [(b"Cache-Control", b"max-age=60"), (b"Location", b"/fresh")], 0),
        b"/gone": (404, [(b"Cache-Control", b"max-age=6")], 9),
        b"/empty": (204, [(b"Cache-Control", b"max-age=60")], 0),
        b"/compact": (200, [(b"Cache-Control", b"max-age=60")], Body.COMPACT),
        b"/large": (200, [(b"Cache-Control", b"max-age=60"), (b"ETag", b'"l"')], Body.COMPACT + 1),
        b"/cookie": (200, [(b"Cache-Control", b"max-age=60"), (b"Set-Cookie", b"a=b")], 70),
        b"/error": (503, [(b"Retry-After", b"7")], 5),
        b"/undated": (200, [(b"Cache-Control", b"max-age=4"), (b"Connection", b"x-hop"), (b"X-Hop", b"1")], 80),
        b"/slow": (200, [(b"Cache-Control", b"max-age=1"), (b"ETag", b'"s"')], 300),
        b"/slow-none": (200, [(b"Cache-Control", b"no-store")], 300),
        b"/streamed": (200, [(b"Cache-Control", b"max-age=2")], 3000),
        b"/streamed-none": (200, [(b"Cache-Control", b"private")], 3000),
        b"/long": (200, [(b"Cache-Control", b"max-age=5")], 3 * Body.COMPACT),
        b"/hinted": (200, [(b"Cache-Control", b"max-age=1")], 30),
        b"/cut": (200, [(b"Cache-Control", b"max-age=5")], 500),
        b"/short-of": (200, [(b"Cache-Control", b"no-store"), (b"Content-Length", b"700")], 500),
    }
    #: Answers without Content-Length; in pieces, a while apart; not to the end.
    UNMEASURED = frozenset({b"/streamed", b"/streamed-none", b"/cut"})
    PIECES = frozenset({b"/streamed", b"/streamed-none", b"/long", b"/cut", b"/slow-none"})

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.fetches: list[tuple[bytes, bytes, list[tuple[bytes, bytes]]]] = []
        """What was asked: method, target and fields, these in whatever order and case."""

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        head = request.head
        path = head.path
        fields = sorted((name.lower(), value) for name, value in head.fields)
        self.fetches.append((head.method, head.target, fields))
        if path == b"/hinted" and request.informational is not None:
            request.informational(ResponseHead(103, Fields([(b"Link", b"</style.css>; rel=preload")])))
        if path.startswith(b"/slow"):
            return deferLater(self.clock, 0.3, lambda: self._respond(head))
        if path == b"/dead":
            return fail(OriginError(Fault.UNREACHABLE))
        if path == b"/broken" and [one[:2] for one in self.fetches].count((head.method, head.target)) % 3:
            return fail(OriginError(Fault.RESET))
        return succeed(self._respond(head))

    def _respond(self, head: RequestHead) -> IOriginResponse:
        path = head.path
        status, fields, size = self.PATHS.get(path, (404, [], 12))
        date = [(b"Date", format_date(NOW + self.clock.seconds()))] if path != b"/undated" else []
        wanted = head.fields.get(b"if-none-match")
        if wanted is not None and (b"ETag", wanted) in fields:
            return self._given(ResponseHead(304, Fields([*date, *fields])), b"", 0)
        body = b"" if head.method == b"HEAD" or status == 204 else (b"%b " % head.target * size)[:size]
        known = path not in self.UNMEASURED and status != 204
        told = [(b"Content-Length", b"%d" % size)] if known and path != b"/short-of" else []
        answer = ResponseHead(status, Fields([*date, *told, *fields]))
        if path in self.PIECES and body:
            return self._in_pieces(answer, body, path)
        return self._given(answer, body, size if known and head.method == b"HEAD" else len(body))

    def _given(self, head: ResponseHead, body: bytes, length: int) -> IOriginResponse:
        response = HeldResponse(head, length)
        if body:
            response.send(body)
        response.end()
        return response

    def _in_pieces(self, head: ResponseHead, body: bytes, path: bytes) -> IOriginResponse:
        response = HeldResponse(head, None if path in self.UNMEASURED else len(body))
        third = len(body) // 3
        response.send(body[:third])
        later = self.clock.callLater
        later(0.2, response.send, body[third : 2 * third])
        if path == b"/cut":
            later(0.4, response.cut)
        else:
            later(0.4, response.send, body[2 * third :])
            later(0.4, response.end)
        return response

    def close(self) -> Deferred[None]:
        return succeed(None)


ROUTES = (
    Route(),
    Route(rules=Rules(cookies=Cookies.IGNORE), show_outcome=False),
    Route(rules=Rules(ttl=1.5, stale=2.25)),
    Route(rules=Rules(methods=frozenset({b"GET"}), statuses={404: 2.0})),
    Route(
        encodings=(b"br", b"gzip"), hide=(b"etag", b"via"), respond_with=((b"X-Frame-Options", b"DENY"), (b"Age", b"7"))
    ),
    Route(
        template=KeyTemplate.parse("${host}|${path}|${cookie:a}|${header:accept-language}"),
        rules=Rules(keyed_fields=frozenset({b"accept-language"})),
    ),
    Route(
        template=KeyTemplate.parse("${host}|${path}|${cookie:a}"),
        rules=Rules(cookies=Cookies.KEYED, keyed_fields=frozenset({b"cookie"}), ttl=1.5, stale=2.25),
        strip=(b"user-agent",),
        ask_with=((b"Accept-Language", b"en"),),
    ),
)


class Rendered(CacheResource):
    """One that insists on requests of ``twisted.web``."""

    def render(self, request: Any) -> int:
        return super().render(request)


class Side:
    """A site with its store, its origin, its clock and one client. ``far``: how long the store takes to answer."""

    def __init__(
        self,
        route: Route,
        fast_lane: bool,
        memory: int = 1_000_000,
        made: type[CacheResource] = CacheResource,
        far: float = 0.0,
    ) -> None:
        self.clock = Clock()
        self.origin = Origin(self.clock)
        self.log: list[Record] = []
        backend = self.backend = open_store(self.clock, redis="memory", memory=memory)
        backend.clock.measured(NOW, 0.0, 0.0)
        self.memory = backend.memory
        if far:
            self._remove(backend.store, far)
        self.resource = made(self.origin, backend, routes=Routes((route,)), log=self.log.append, reactor=self.clock)
        limits = EdgeLimits(connections=10)
        self.site = CacheSite(self.resource, self.clock, limits=limits, refused=self.log.append, fast_lane=fast_lane)
        self.said = b""
        self.channel: Any = None
        self.connect()

    def _remove(self, store: Any, far: float) -> None:
        """Let ``store`` answer as one does that asks Redis each time."""
        peek = store.peek
        store.peek = store.held = lambda *_: None
        store.load = store.lookup = lambda *asked: deferLater(self.clock, far, peek, *asked)

    def connect(self) -> None:
        """A client comes; one that was here leaves."""
        if self.channel is not None:
            self.channel.connectionLost(Failure(ConnectionDone()))
        self.wire = Transport(peerAddress=IPv4Address("TCP", "192.0.2.1", 1))
        self.channel = self.site.buildProtocol(None)
        self.channel.makeConnection(self.wire)

    @property
    def standing(self) -> bool:
        return not (self.wire.disconnecting or self.wire.disconnected or self.wire.half_closed)

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def close(self) -> None:
        self.resource.close()
        self.channel.connectionLost(Failure(ConnectionDone()))

    def heard(self) -> bytes:
        """All that was answered, until now."""
        # What is too long for one write is asked for as the wire takes it.
        for _ in range(100):
            producer: Any = self.wire.producer
            if producer is None:
                break
            before = len(self.wire.value())
            producer.resumeProducing()
            if len(self.wire.value()) == before:
                break
        self.said += self.wire.value()
        self.wire.clear()
        return re.sub(rb"\r\nDate: [^\r]*", b"\r\nDate: -", self.said)


def canonical(said: bytes) -> bytes:
    """``said`` with the field lines of each head in the order, and with the names, that ``twisted.web`` writes."""

    def head(match: re.Match[bytes]) -> bytes:
        lines = [line.partition(b":") for line in match[2].split(b"\r\n") if line]
        ordered = sorted(((name.lower(), value) for name, _, value in lines), key=lambda line: line[0])
        return match[1] + b"".join(b"%b:%b\r\n" % line for line in ordered) + b"\r\n"

    return re.sub(rb"(HTTP/1\.[01] \d\d\d [^\r\n]*\r\n)((?:[^\r\n]+\r\n)*)\r\n", head, said)


def undated(log: list[Record]) -> list[str]:
    """The lines of ``log`` without the host's time, which what is refused at the door is dated by."""
    return [json_line(replace(record, time=0.0) if record.verdict == "refuse" else record) for record in log]


@pytest.fixture(autouse=True)
def _all_back_off_alike(monkeypatch: Any) -> None:
    """Each site of a trio has leases of its own: after a failure they leave the origin alone for the same time."""
    monkeypatch.setattr(lease, "_jitter", lambda: 1.1)


class Trio:
    """The sides, and what all of them are sent."""

    FIELDS: ClassVar[dict[bytes, tuple[bytes, ...]]] = {
        b"User-Agent": (b"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101", b"", b"curl/8.0", b"a\xc3\xa9b"),
        b"Accept": (b"*/*", b"text/html,\tapplication/xml;q=0.9"),
        b"Accept-Encoding": (b"gzip", b"br, gzip", b"GZIP ,br", b"identity;q=0", b"g zip", b"gzip ; q=1"),
        b"Accept-Language": (b"en", b"de, en;q=0.5"),
        b"Cookie": (b"a=1", b"a=2; b=3", b""),
        b"Referer": (b"http://a/b", b"not a url"),
        b"If-None-Match": (b'"v1"', b'W/"v1", "w"', b"*", b"junk", b'"other"'),
        b"If-Modified-Since": (MODIFIED, DATE, b"yesterday"),
        b"If-Match": (b'"v1"',),
        b"If-Unmodified-Since": (DATE,),
        b"Range": (b"bytes=0-4", b"bytes=-3", b"bytes=5-", b"bytes=0-0,2-3", b"bytes=99999-", b"lines=1", b"bytes=4-1"),
        b"If-Range": (b'"v1"', MODIFIED),
        b"Cache-Control": (b"no-cache", b"max-age=0", b"max-age=1", b"min-fresh=50", b"max-stale", b"only-if-cached"),
        b"Pragma": (b"no-cache", b"x"),
        b"Authorization": (b"Basic eDp5",),
        b"Via": (b"1.1 somebody", b"1.1 txstalecache"),
        b"X-Forwarded-For": (b"192.0.2.7",),
        b"X_Under": (b"a",),
        b"Content_Length": (b"3",),
        b"Sec-Fetch-Mode": (b"navigate",),
        b"Connection": (b"close", b"keep-alive", b"te, close", b"Upgrade"),
        b"Upgrade": (b"h2c", b"websocket"),
        b"TE": (b"trailers",),
        b"Expect": (b"100-continue", b"magic"),
        b"Content-Length": (b"0", b"3", b"+3"),
        b"Transfer-Encoding": (b"chunked", b"identity"),
        b"X-Long": (b"l" * 5000, b"l" * 17000),
        b"Host": (b"a", b"b"),
    }
    #: Mostly what browsers send.
    USUAL = (
        b"User-Agent",
        b"Accept",
        b"Accept-Encoding",
        b"Accept-Language",
        b"Cookie",
        b"Referer",
        *(b"If-None-Match", b"If-Modified-Since", b"Range", b"Cache-Control", b"Sec-Fetch-Mode", b"Connection"),
    )

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(seed)
        route = self.random.choice(ROUTES)
        far = self.random.choice((0.0, 0.0, 0.05))
        self.sides = (
            Side(route, True, far=far),
            Side(route, False, far=far),
            Side(route, False, made=Rendered, far=far),
        )
        # Half of them have clients that behave: else most connections would not live to see a hit.
        self.calm = self.random.random() < 0.5
        self.paths = self.random.sample(list(Origin.PATHS), 3)
        self.last = b""
        self.requests = 0

    def head(self) -> bytes:
        pick = self.random
        method = pick.choices((b"GET", b"HEAD", b"POST", b"OPTIONS", b"get", b"DELETE"), (60, 12, 2, 1, 1, 1))[0]
        target = (
            pick.choices((*self.paths, b"/unknown", b"/dead"), (8, 4, 2, 1, 1))[0]
            + pick.choices((b"", b"?a=_"), (9, 1))[0]
        )
        target = pick.choices((target, b"http://a" + target, target + b"#x", target + b"\x80", b"*"), (60, 1, 1, 1, 1))[
            0
        ]
        if self.calm:
            method, target = pick.choice((b"GET", b"GET", b"HEAD")), pick.choice(self.paths)
        version = pick.choices((b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"http/1.1"), (60, 2, 1, 1))[0]
        host = pick.choices((b"a", b"A", b"a:80", b"a:8080", b"[::1]", b"a b", b""), (80, 4, 4, 4, 2, 1, 1))[0]
        odd = not self.calm and pick.random() < 0.2
        names = pick.sample(list(self.FIELDS) if odd else self.USUAL, pick.choice((0, 0, 1, 1, 2, 4)))
        if self.calm:
            version, host = b"HTTP/1.1", b"a"
        lines = [b"Host: " + host] if pick.random() > 0.01 else []
        for name in names:
            value = pick.choice(self.FIELDS[name])
            name = pick.choices((name, name.lower(), name.upper(), name + b" "), (30, 6, 4, 1 if odd else 0))[0]
            before, after = pick.choices(
                ((b" ", b""), (b"", b""), (b" \t", b" \t "), (b"\r\n ", b"")), (40, 3, 3, odd)
            )[0]
            lines.append(name + b":" + before + value + after)
        if pick.random() < 0.01:
            lines += [b"X-%d: y" % number for number in range(120)]
        pick.shuffle(lines)
        rarely = not self.calm
        end = pick.choices((b"\r\n", b"\n"), (80, rarely))[0]
        start = pick.choices((b"", b"\r\n", b"\n", b" ", b"\r\n\r\n"), (80, 2, rarely, rarely, rarely))[0]
        gap = pick.choices((b" ", b"  ", b"\t"), (100, rarely, rarely))[0]
        return start + end.join([method + gap + target + b" " + version, *lines, b"", b""])

    def sent(self) -> bytes:
        """What is sent at one time: a request, several of them, or what is known to be hostile."""
        pick = self.random
        if not self.calm and pick.random() < 0.06:
            self.requests += 1
            return pick.choice(PAYLOADS).raw
        number = pick.choices((1, 2, 3), (10, 1, 1))[0]
        self.requests += number
        if number == 1 and pick.random() < 0.15:
            self.last = self.last or self.head()
            return self.last
        self.last = self.head()
        return self.last + b"".join(self.head() for _ in range(number - 1))

    def pieces(self, data: bytes) -> list[bytes]:
        pick = self.random
        if pick.random() < (0.95 if self.calm else 0.6):
            return [data]
        cuts = sorted(pick.randrange(len(data) + 1) for _ in range(pick.choice((1, 1, 2, 5))))
        return [data[start:stop] for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < stop]

    def step(self) -> None:
        pick = self.random
        for piece in self.pieces(self.sent()):
            for side in self.sides:
                if side.standing:
                    side.send(piece)
            self.compare(piece)
            if pick.random() < 0.02:
                self.pass_time()
        if pick.random() < 0.4:
            self.pass_time()
        if not self.sides[0].standing or pick.random() < 0.05:
            for side in self.sides:
                side.connect()

    def pass_time(self) -> None:
        seconds = self.random.choice((0.01, 0.01, 0.1, 0.25, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.3, 6.0, 16.0))
        for side in self.sides:
            side.clock.advance(seconds)
        self.compare(b"(%g seconds)" % seconds)

    def compare(self, after: bytes) -> None:
        lane, ordinary, rendered = self.sides
        said = ordinary.heard()
        assert lane.heard() == said, (self.seed, after)
        assert canonical(rendered.heard()) == canonical(said), (self.seed, after)
        for other in (ordinary, rendered):
            assert lane.standing == other.standing, (self.seed, after)
            assert undated(lane.log) == undated(other.log), (self.seed, after)
            assert lane.origin.fetches == other.origin.fetches, (self.seed, after)
        for side in self.sides:
            side.said = b""
            side.log.clear()

    def run(self) -> int:
        """Requests sent."""
        for _ in range(self.random.choice((10, 30, 50))):
            self.step()
        for side in self.sides:
            side.close()
        self.compare(b"(the end)")
        return self.requests


@pytest.mark.parametrize(
    ("sequences", "requests"), [(SHORT, 1_400), pytest.param(LONG, 20_000, marks=pytest.mark.slow, id="20,000")]
)
@pytest.mark.timeout(600)
def test_the_lane_and_the_ordinary_way_say_the_same(sequences: int, requests: int, monkeypatch: Any) -> None:
    served = asked_for = 0
    serve = FastLane.serve

    def counting(self: FastLane, channel: Any, asked: Any) -> bool:
        nonlocal served
        took = serve(self, channel, asked)
        served += took
        return took

    monkeypatch.setattr(FastLane, "serve", counting)
    # With it a refresh that failed is tried again up to that much later: the one thing that differs.
    monkeypatch.setattr(FastLane, "AGAIN", 0.0)
    monkeypatch.setattr("txstalecache.store.lease.random.uniform", lambda low, high: high)
    for seed in range(sequences):
        asked_for += Trio(seed).run()
    assert asked_for > requests
    # The comparison is worth something only if the lane answers a good part.
    assert served > asked_for / 20


# -- what the comparison rests on ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_heads_read_fast_mean_what_they_mean(seed: int) -> None:
    """``asked`` reads nothing that ``heads`` refuses, and nothing otherwise than it does."""
    pair, limits = Trio(seed), EdgeLimits()
    reader = HeadReader(limits, b"http")
    for data in [pair.head() for _ in range(50)] + [payload.raw for payload in PAYLOADS if seed == 0]:
        read = reader.read(data)
        if read is None:
            continue
        received = examine(data, limits)
        assert received is not None and received.end == len(data)
        assert read == received.head
        assert received.persistent and not received.expects and received.length == 0


def test_a_head_that_would_be_refused_is_not_read() -> None:
    for payload in PAYLOADS:
        if HeadReader(EdgeLimits(), b"http").read(payload.raw) is not None:
            try:
                assert examine(payload.raw, EdgeLimits()) is not None
            except Rejected:
                pytest.fail(payload.name)


class Spy(Fields):
    """Remembers which fields it was asked for."""

    asked: set[object]

    def get(self, name: bytes) -> bytes | None:
        self.asked.add(name)
        return super().get(name)

    def get_all(self, name: bytes) -> list[bytes]:
        self.asked.add(name)
        return super().get_all(name)

    def __contains__(self, name: object) -> bool:
        self.asked.add(name)
        return super().__contains__(name)


def test_an_answer_looks_at_no_field_that_its_shape_leaves_out(monkeypatch: Any) -> None:
    asked_for: set[object] = set()

    def spied(head: Any, shape: Any) -> Any:
        spy = Spy(head.fields)
        spy.asked = asked_for
        return replace(head, fields=spy)

    monkeypatch.setattr(ready, "shaped", spied)
    for seed in range(20):
        Trio(seed).run()
    assert {b"cookie", b"range", b"if-none-match"} <= asked_for <= set(SHAPING)


def test_who_asks_is_not_in_a_shape() -> None:
    reader = HeadReader(EdgeLimits(), b"http")
    head = reader.read(b"GET / HTTP/1.1\r\nHost: a\r\nCookie: secret\r\nAuthorization: secret\r\n\r\n")
    assert head is not None
    assert b"secret" not in b"".join(value or b"" for value in shape(head))
    assert [value for _, value in asked.shaped(head, shape(head)).fields] == [b"-", b"-"]


@pytest.mark.parametrize("made", [CacheResource, Rendered])
def test_a_client_of_http_1_0_hears_nothing_before_its_answer_and_the_end_by_the_close(made: Any) -> None:
    """RFC 9110 §15.2, RFC 9112 §6.3."""
    for target in (b"/hinted", b"/streamed-none"):
        side = Side(Route(), False, made=made)
        side.send(b"GET %b HTTP/1.0\r\nHost: a\r\n\r\n" % target)
        for _ in range(5):
            side.clock.advance(0.1)
        head, _, body = side.heard().partition(b"\r\n\r\n")
        assert b" 200 " in head.partition(b"\r\n")[0] and b"transfer-encoding" not in head.lower()
        assert len(body) == Origin.PATHS[target][2]
        assert side.wire.disconnecting and not side.wire.disconnected
        side.close()


def test_a_stale_hit_is_written_before_its_refresh_begins() -> None:
    side = Side(Route(), True)
    request = b"GET /short HTTP/1.1\r\nHost: a\r\n\r\n"
    side.send(request)
    side.heard()
    side.clock.advance(5.1)
    before: list[int] = []
    fetch = side.origin.fetch

    def watched(asked_for: OriginRequest) -> Any:
        before.append(len(side.wire.value()))
        return fetch(asked_for)

    side.origin.fetch = watched  # type: ignore[method-assign, assignment]
    side.send(request)
    assert before and before[0] == len(side.wire.value()) > 0
    assert side.log[-1].verdict == "stale" and side.log[-1].role == "hit"
    # What the refresh has brought counts at once, for the same bytes in the same instant too.
    side.send(request)
    assert side.log[-1].verdict == "fresh"
    side.close()


def test_a_resource_of_somebody_s_own_is_not_passed_by() -> None:
    backend = open_store(Clock(), redis="memory")
    own = Rendered(Origin(Clock()), backend, reactor=Clock())
    assert CacheSite(own, Clock()).lane(b"http") is None and CacheSite(own, Clock()).served is None
    plain = CacheResource(Origin(Clock()), backend, reactor=Clock())
    assert CacheSite(plain, Clock()).lane(b"http") is not None
    assert CacheSite(plain, Clock(), fast_lane=False).lane(b"http") is None


class Guarded(CacheSite):
    """Chooses who answers."""

    def getResourceFor(self, request: Any) -> Any:
        return super().getResourceFor(request)


class Serving(CacheResource):
    def serve(self, exchange: Any) -> None:
        super().serve(exchange)


class Recording(CacheResource):
    def recorded(self, record: Record) -> None:
        super().recorded(record)


def test_whatever_somebody_has_put_in_the_way_of_a_request_is_not_passed_by() -> None:
    backend = open_store(Clock(), redis="memory")
    plain = CacheResource(Origin(Clock()), backend, reactor=Clock())
    assert Guarded(plain, Clock()).served is None and Guarded(plain, Clock()).lane(b"http") is None
    for made in (Serving, Recording):
        own = CacheSite(made(Origin(Clock()), backend, reactor=Clock()), Clock())
        assert own.served is not None and own.lane(b"http") is None
    plain.render = lambda request: 1  # type: ignore[method-assign]
    assert CacheSite(plain, Clock()).served is None


def test_another_resource_of_the_site_answers_from_then_on() -> None:
    side = Side(Route(), True)
    request = b"GET /fresh HTTP/1.1\r\nHost: a\r\n\r\n"
    side.send(request)
    side.send(request)
    assert side.log[-1].role == "hit"
    closed = Data(b"closed today", "text/plain")
    closed.isLeaf = True
    side.site.resource = closed
    side.send(request)
    assert side.heard().endswith(b"closed today")
    side.connect()
    side.send(request)
    assert side.heard().count(b"closed today") == 2
    side.site.resource = side.resource
    side.send(request)
    assert b"closed today" not in side.heard()[-20:] and side.log[-1].role == "hit"
    side.close()


def test_an_answer_made_under_one_route_is_not_anothers(monkeypatch: pytest.MonkeyPatch) -> None:
    # A route that is gone may leave its place in memory to another one.
    monkeypatch.setattr(fastlane, "id", lambda _: 1, raising=False)
    side = Side(Route(hide=(b"etag",)), True)
    other = CacheResource(side.origin, side.backend, routes=Routes((Route(hide=(b"vary",)),)), reactor=side.clock)
    request = b"GET /fresh HTTP/1.1\r\nHost: a\r\n\r\n"
    for _ in range(2):
        side.send(request)
    assert b"\r\nETag:" not in side.heard()
    side.site.resource = other
    for _ in range(2):
        side.send(request)
    assert side.heard().count(b"\r\nETag:") == 2
    other.close()
    side.close()


@pytest.mark.parametrize(
    ("said", "plain"),
    [(b"keep-alive", True), (b"Keep-Alive", True), (b"close", False), (b"keep-alive, te", False), (b"", False)],
)
def test_a_connection_that_is_to_be_kept_as_any_other_is_plain(said: bytes, plain: bool) -> None:
    reader = HeadReader(EdgeLimits(), b"http")
    data = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: %b\r\n" % said
    assert (reader.read(data + b"\r\n") is not None) is plain
    assert reader.read(data + b"Connection: keep-alive\r\n\r\n") is None


@pytest.mark.parametrize(
    ("route", "secure", "vary", "said"),
    [
        (Route(encodings=(b"br", b"gzip")), False, b"Accept-Encoding", b"Accept-Encoding: gzip, deflate, br\r\n"),
        (Route(rules=Rules(cookies=Cookies.IGNORE)), False, b"Cookie", b"Cookie: a=1\r\n"),
        (Route(), True, b"X-Forwarded-Proto", b""),
    ],
)
@pytest.mark.parametrize("fast_lane", [True, False])
def test_what_supersedes_an_answer_is_sent_to_those_whose_request_is_sent_on_otherwise_than_it_came(
    route: Route, secure: bool, vary: bytes, said: bytes, fast_lane: bool
) -> None:
    """RFC 9111 §4.1: of several that fit the most recent; what fits is looked for with what the origin was asked."""
    side = Side(route, fast_lane)
    side.channel._scheme = b"https" if secure else b"http"
    versions = [(b"old", []), (b"new", [(b"Vary", vary)])]

    def fetch(_: OriginRequest) -> Any:
        body, fields = versions.pop(0)
        told = [(b"Date", DATE), (b"Cache-Control", b"public, max-age=60"), (b"Content-Length", b"3"), *fields]
        return succeed(side.origin._given(ResponseHead(200, Fields(told)), body, 3))

    side.origin.fetch = fetch  # type: ignore[method-assign, assignment]
    request = b"GET / HTTP/1.1\r\nHost: a\r\n" + said
    side.send(request + b"\r\n")
    side.send(request + b"Cache-Control: no-cache\r\n\r\n")
    for _ in range(2):
        side.send(request + b"\r\n")
        assert side.log[-1].verdict == "fresh"
    bodies = re.findall(rb"\r\n\r\n(...)", side.heard())
    assert bodies == [b"old", b"new", b"new", b"new"]
    side.close()


@pytest.mark.parametrize("fast_lane", [True, False])
def test_what_is_asked_for_most_is_one_address_however_its_host_is_written(fast_lane: bool) -> None:
    side = Side(Route(), fast_lane)
    for host in (b"shop", b"shop", b"Shop"):
        side.send(b"GET /fresh HTTP/1.1\r\nHost: %b\r\n\r\n" % host)
    top = side.resource.tally.top
    assert [one["url"] for one in top.top("misses", 9)] == ["http://shop/fresh"]
    assert [one["url"] for one in top.top("hits", 9)] == ["http://shop/fresh"]
    side.close()


def test_a_retired_connection_ends_with_its_next_answer() -> None:
    side = Side(Route(), True)
    request = b"GET /fresh HTTP/1.1\r\nHost: a\r\n\r\n"
    side.send(request)
    side.heard()
    side.site.drain()
    side.send(request)
    assert b"\r\nConnection: close\r\n" in side.wire.value()
    assert not side.standing
    side.close()


def test_what_the_lane_has_answered_with_is_not_kept_by_it() -> None:
    side = Side(Route(), True)
    line = b" /fresh HTTP/1.1\r\nHost: a\r\n"
    side.send(b"GET" + line + b"\r\n")
    side.heard()
    for _ in range(2):
        side.send(b"HEAD" + line + b"\r\n")
        side.send(b"GET" + line + b"Range: bytes=0-0\r\n\r\n")
        side.send(b"GET" + line + b"If-None-Match: *\r\n\r\n")
    side.heard()
    assert [record.role for record in side.log[1:]] == ["hit"] * 6
    (shelf,) = side.memory
    piece = shelf.variants[()].entry.body[0]  # type: ignore[union-attr]
    held, key = sys.getrefcount(piece), shelf.key
    del shelf
    side.memory.drop(key)
    assert sys.getrefcount(piece) == held - 1, "what is evicted is gone"
    side.close()


FEW, MANY = b"User-Agent: %d" + b"x" * 200, b"\r\n".join([b"X-%d: y" % number for number in range(90)]) + b"\r\nX: %d"


@pytest.mark.parametrize(
    ("path", "fields", "times", "memory", "most"),
    [
        (b"/fresh", FEW, 700, 500_000, 550_000),
        (b"/fresh?%d", FEW, 700, 500_000, 550_000),
        (b"/fresh", MANY, 200, 16_000_000, 500_000),
        (b"/none", FEW, 700, 16_000_000, 500_000),
        (b"/none", MANY, 200, 16_000_000, 500_000),
    ],
)
def test_what_the_lane_holds_is_bounded_and_counted(
    path: bytes, fields: bytes, times: int, memory: int, most: int
) -> None:
    """Many heads, many entries, or many misses: the tier and the lane together stay within what ``--memory`` says, and
    a tenth. Heads by themselves, long ones too, stay within a 32nd of it."""
    side = Side(Route(), True, memory=memory)
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        for number in range(times):
            target = path % (number % 250) if b"%" in path else path
            head = b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (target, fields % number)
            side.send(head)
            side.send(head)
            side.wire.clear()
            side.log.clear()
            side.origin.fetches.clear()
        gc.collect()
        held = tracemalloc.get_traced_memory()[0] - base
    finally:
        tracemalloc.stop()
    side.close()
    assert held < most
