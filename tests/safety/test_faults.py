"""The origin's faults, one by one, through the whole proxy: what the table of faults says must show."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from twisted.internet._resolver import HostResolution
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from tests.support.async_test import async_test
from tests.support.client import NoReply, connect, fetch, open_exchange
from tests.support.faultproxy import FaultProxy
from tests.support.origin import Answer, Chunk, Close, Gate, Head, Raw, Request, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache.flight.clocks import Clocks
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Deadlines

STALE = ("Cache-Control", "max-age=0, stale-while-revalidate=60, stale-if-error=60")
KEPT = ("Cache-Control", "max-age=60")
CHUNKED = ("Transfer-Encoding", "chunked")
SOON = Deadlines(connect=0.5, first_byte=0.5, between_bytes=0.5, total=3)
#: Longer than any test: what is answered before has not waited for the origin.
NEVER = Deadlines(connect=60, first_byte=60, between_bytes=60, total=60)
#: What "at once" is on a machine that has nothing else to do; looked at with ``--long`` only.
AT_ONCE = 0.05


@implementer(IHostnameResolver)
class Names:
    """The one name ``origin.test``, for as long as names are ``known``; else none, or no answer at all."""

    known: bool | None = True

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = HostResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        if self.known and hostName == "origin.test":
            resolutionReceiver.addressResolved(IPv4Address("TCP", "127.0.0.1", portNumber))
        if self.known is not None:
            resolutionReceiver.resolutionComplete()
        return resolution


@pytest.fixture
def names() -> Iterator[Names]:
    """What resolves names in this process."""
    from twisted.internet import reactor

    anything: Any = reactor
    ours = Names()
    before = anything.installNameResolver(ours)
    yield ours
    anything.installNameResolver(before)


async def refuse(wire: FaultProxy, names: Names) -> None:
    await wire.refuse()


async def reset(wire: FaultProxy, names: Names) -> None:
    wire.down.cut_at = 0
    wire.cut()


async def hang(wire: FaultProxy, names: Names) -> None:
    wire.hold()


async def garble(wire: FaultProxy, names: Names) -> None:
    wire.down.corrupt_at = 3
    wire.cut()


async def no_name(wire: FaultProxy, names: Names) -> None:
    names.known = False
    wire.cut()


async def no_name_server(wire: FaultProxy, names: Names) -> None:
    names.known = None
    wire.cut()


FAULTS = [(refuse, 502), (reset, 502), (hang, 504), (garble, 502), (no_name, 502), (no_name_server, 504)]
#: After these the refresh ends when its deadline does.
SILENT = (hang, no_name_server)


@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "no fast lane"])
@pytest.mark.parametrize("break_it", [fault for fault, _ in FAULTS], ids=lambda fault: fault.__name__)
@async_test
async def test_inside_the_stale_window_no_fault_of_the_origin_is_seen(
    fast_lane: bool,
    origin: ScriptedOrigin,
    make_proxy: Any,
    make_fault_proxy: Any,
    names: Names,
    break_it: Any,
    pytestconfig: pytest.Config,
) -> None:
    origin.handler = Answer(200, [STALE], b"kept")
    wire = await make_fault_proxy(origin.port)
    clocks = Clocks(wait_stale=60, leader_age=60, wait_deadline=60)
    proxy = await make_proxy(f"http://origin.test:{wire.port}", deadlines=NEVER, clocks=clocks)
    proxy.site._fast = fast_lane
    await fetch(proxy.port, "GET", "/x")
    await break_it(wire, names)
    hits = origin.hits()
    for _ in range(3):
        replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(20)])
        assert {(reply.status, reply.body) for reply in replies} == {(200, b"kept")}
        if break_it in SILENT:
            assert proxy.flights == 1, "the origin has not answered yet, and everybody has its answer"
        else:
            await until(lambda: not proxy.flights)
    if pytestconfig.getoption("--long"):
        for _ in range(100):
            assert (await fetch(proxy.port, "GET", "/x")).seconds < AT_ONCE
    assert origin.hits() - hits <= 2
    proxy.resource.registry.close()


@pytest.mark.parametrize(("break_it", "status"), FAULTS, ids=lambda one: getattr(one, "__name__", one))
@async_test
async def test_without_anything_stored_everybody_is_told_in_time(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any, names: Names, break_it: Any, status: int
) -> None:
    origin.handler = Answer(200, [STALE], b"never seen")
    wire = await make_fault_proxy(origin.port)
    proxy = await make_proxy(f"http://origin.test:{wire.port}", deadlines=SOON)
    await break_it(wire, names)
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(50)])
    assert {reply.status for reply in replies} == {status}
    assert max(reply.seconds for reply in replies) < 5
    assert not proxy.flights


#: An origin in a process of its own, so that it can be made to stand still: one connection after another, for ever.
ALONE = """
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=0, stale-while-revalidate=60")
        self.send_header("Content-Length", "4")
        self.end_headers()
        self.wfile.write(b"kept")
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_address[1], flush=True)
server.serve_forever()
"""


@async_test
async def test_an_origin_that_accepts_and_stands_still_and_one_that_goes_away_meanwhile(make_proxy: Any) -> None:
    with subprocess.Popen([sys.executable, "-c", ALONE], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = f"http://127.0.0.1:{int(process.stdout.readline())}"
            quick, patient = await make_proxy(url, deadlines=SOON), await make_proxy(url, deadlines=NEVER)
            for proxy in (quick, patient):
                assert (await fetch(proxy.port, "GET", "/x")).body == b"kept"
                await until(lambda proxy=proxy: not proxy.flights)  # type: ignore[misc]
            # The host still accepts connections for it.
            process.send_signal(signal.SIGSTOP)
            replies = await settled(*[fetch(patient.port, "GET", "/x") for _ in range(20)])
            assert {(reply.status, reply.body) for reply in replies} == {(200, b"kept")}
            assert patient.flights == 1
            cold = await settled(*[fetch(quick.port, "GET", "/cold") for _ in range(20)])
            assert {reply.status for reply in cold} == {504}
            waiting = [fetch(patient.port, "GET", "/cold") for _ in range(20)]
            await until(lambda: patient.resource.registry.waiting == 20)
            process.kill()
            assert {reply.status for reply in await settled(*waiting)} == {502}
            assert (await fetch(patient.port, "GET", "/x")).body == b"kept"
        finally:
            process.kill()


@async_test
async def test_an_origin_that_always_fails_is_asked_twice_for_fifty_clients(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.handler = Answer(503, [], b"down")
    proxy = await make_proxy(origin.url)
    replies = await settled(*[fetch(proxy.port, "GET", "/x") for _ in range(50)])
    assert {reply.status for reply in replies} == {503}
    assert origin.hits() <= 2


#: What a refresh may come to that is no answer, by path.
WAYS_TO_FAIL: dict[str, Any] = {
    "/500": Answer(500, [], b"down"),
    "/kept": Answer(500, [KEPT], b"down"),
    "/private": Answer(503, [("Cache-Control", "private")], b"down"),
    "/504": Answer(504, [], b"down"),
    "/rubbish": [Raw(b"down\r\n\r\n")],
    "/cut": [Head(200, [KEPT, ("Content-Length", "100")]), Chunk(b"down"), Close()],
}


@pytest.mark.slow
@pytest.mark.parametrize("fast_lane", [True, False], ids=["fast lane", "no fast lane"])
@async_test
async def test_an_origin_that_flaps_is_seen_by_nobody_and_left_alone_for_a_second_after_each_failure(
    fast_lane: bool, origin: ScriptedOrigin, make_proxy: Any
) -> None:
    """Up and down by turns of half a second, asked far more often; what it says when it is up is stale at once."""
    tried: dict[str, list[tuple[float, bool]]] = {path: [] for path in WAYS_TO_FAIL}
    began = time.monotonic()

    def flap(request: Request) -> Any:
        before, now = tried[request.path], time.monotonic()
        up = not before or int((now - began) / 0.5) % 2 == 1
        before.append((now, up))
        return Answer(200, [STALE], b"up") if up else WAYS_TO_FAIL[request.path]

    origin.handler = flap
    proxy = await make_proxy(origin.url)
    proxy.site._fast = fast_lane
    seen: Counter[tuple[int, bytes]] = Counter()
    connection = await connect(proxy.port)
    while time.monotonic() < began + 4.2:
        for path in tried:
            reply = await connection.request("GET", path)
            seen[reply.status, reply.body] += 1
        await later(0.01)
    await connection.close()
    assert set(seen) == {(200, b"up")}
    for path, tries in tried.items():
        failures = [number for number, (_, up) in enumerate(tries[:-1]) if not up]
        assert failures, f"{path} was never asked for while the origin was down"
        for number in failures:
            assert tries[number + 1][0] - tries[number][0] >= 0.99, path


@pytest.mark.slow
@async_test
async def test_a_body_cut_on_the_way_is_never_whole_and_never_kept(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any
) -> None:
    body = b"0123456789" * 1000
    for framing in ("length", "chunked"):
        origin.on(f"/{framing}", Answer(200, [("Cache-Control", "max-age=60")], body, framing))
    wire = await make_fault_proxy(origin.port)
    proxy = await make_proxy(f"http://127.0.0.1:{wire.port}", deadlines=SOON)
    for with_ in ("rst", "fin"):
        wire.down.cut_with = with_
        for framing in ("length", "chunked"):
            for at in (5000, 9000, 10_100):
                wire.down.cut_at = at
                wire.cut()
                try:
                    reply = await fetch(proxy.port, "GET", f"/{framing}")
                except NoReply:
                    continue
                assert reply.truncated or reply.status == 502 or reply.body == body
            wire.down.cut_at = None
            wire.cut()
            await later(1.2)  # the burst that failed is over
            whole = await fetch(proxy.port, "GET", f"/{framing}")
            assert (whole.status, whole.body, whole.truncated) == (200, body, False)


@async_test
async def test_bytes_too_many_reach_no_other_request(
    origin: ScriptedOrigin, make_proxy: Any, make_fault_proxy: Any
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "no-store")], request.target)
    wire = await make_fault_proxy(origin.port)
    wire.down.extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
    proxy = await make_proxy(f"http://127.0.0.1:{wire.port}")
    for number in range(20):
        reply = await fetch(proxy.port, "GET", f"/{number}")
        assert reply.status == 502 or reply.body == b"/%d" % number


@pytest.mark.parametrize("why", ["invalidated", "too large"])
@async_test
async def test_what_is_no_longer_to_be_stored_is_fetched_for_nobody(
    origin: ScriptedOrigin, make_proxy: Any, why: str
) -> None:
    """All clients have left; the fetch went on because its answer was to be stored."""
    begun = [Head(200, [KEPT, CHUNKED]), Chunk(b"x" * 1000), Gate("go")]
    origin.handler = lambda request: (
        Answer(204) if request.method == b"DELETE" else [*begun, *[Chunk(b"x" * 100_000)] * 30]
    )
    proxy = await make_proxy(origin.url, rules=Rules(max_object=2_000_000))
    exchange = open_exchange(proxy.port, "GET", "/x")
    exchange.done.addErrback(lambda failure: failure.trap(NoReply) and None)
    await exchange.received(1000)
    exchange.abort()
    await exchange.done
    assert proxy.flights == 1
    if why == "invalidated":
        await fetch(proxy.port, "DELETE", "/x")
    origin.release("go")
    await until(lambda: not proxy.flights)
    assert (await fetch(proxy.port, "HEAD", "/x")).status == 200
    assert origin.hits("/x") > 1
