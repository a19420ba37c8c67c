"""What ``[upstream.NAME]`` says is what happens: a proxy started from a file, real servers, real TLS."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from OpenSSL import SSL
from twisted.internet.endpoints import SSL4ServerEndpoint, UNIXServerEndpoint
from twisted.internet.ssl import DefaultOpenSSLContextFactory
from twisted.internet.task import Clock, deferLater
from twisted.logger import capturedLogs, formatEvent

from tests.support.async_test import async_test
from tests.support.client import fetch
from tests.support.configured import Configured
from tests.support.origin import Answer, Gate, Head, Request, Reset, ScriptedOrigin
from tests.support.proxy import settled, until
from tests.support.tls import Authority
from txstalecache.config.toml import Configuration
from txstalecache.observe.metrics import exposition
from txstalecache.upstreams import Upstream

Run = Callable[[str], Awaitable[Configured]]


def dead_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


# -- TLS -------------------------------------------------------------------------------------------------------------


class Secured(DefaultOpenSSLContextFactory):
    """A server's side of TLS: remembers the names it was asked for, and may ask for a certificate."""

    def __init__(self, pem: Path, key: Path, clients: Path | None) -> None:
        super().__init__(str(key), str(pem))
        self.names: list[bytes | None] = []
        context: Any = self.getContext()
        context.set_tlsext_servername_callback(lambda connection: self.names.append(connection.get_servername()))
        if clients is not None:
            context.load_verify_locations(str(clients))
            context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: bool(_[-1]))


async def secure(
    make_origin: Any, authority: Authority, *names: str, clients: Path | None = None
) -> tuple[ScriptedOrigin, Secured]:
    from twisted.internet import reactor

    origin: ScriptedOrigin = await make_origin(lambda request: Answer(200, [], b"secret"))
    await origin.stop_listening()
    side = Secured(*authority.issue(*names), clients)
    await origin.start(SSL4ServerEndpoint(reactor, 0, side, interface="127.0.0.1"))
    return origin, side


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def upstream(origin: ScriptedOrigin, more: str = "", host: str = "localhost") -> str:
    return f'[upstream.www]\nservers = "https://{host}:{origin.port}"\n{more}\n'


@async_test
async def test_who_the_named_authority_vouches_for_is_asked_by_its_name(
    make_origin: Any, authority: Authority, configured: Run
) -> None:
    origin, side = await secure(make_origin, authority, "localhost")
    proxy = await configured(upstream(origin, f'ca_file = "{authority.path}"'))
    assert (await fetch(proxy.port, "GET", "/x")).body == b"secret"
    assert side.names == [b"localhost"]


@async_test
async def test_whom_nobody_vouches_for_is_told_nothing(make_origin: Any, authority: Authority, configured: Run) -> None:
    origin, _ = await secure(make_origin, authority, "localhost")
    proxy = await configured(upstream(origin))
    assert (await fetch(proxy.port, "GET", "/x")).status == 502
    assert origin.hits() == 0


@async_test
async def test_a_certificate_for_another_name_will_not_do_but_for_the_name_that_is_to_be_verified(
    make_origin: Any, authority: Authority, configured: Run
) -> None:
    origin, side = await secure(make_origin, authority, "inner.example")
    trusting = f'ca_file = "{authority.path}"'
    proxy = await configured(upstream(origin, trusting))
    assert (await fetch(proxy.port, "GET", "/x")).status == 502
    assert origin.hits() == 0
    named = await configured(upstream(origin, f'{trusting}\nserver_name = "inner.example"', host="127.0.0.1"))
    assert (await fetch(named.port, "GET", "/x")).body == b"secret"
    assert side.names == [b"localhost", b"inner.example"]


@async_test
async def test_a_server_that_asks_for_a_certificate_is_shown_ours(
    make_origin: Any, authority: Authority, configured: Run
) -> None:
    origin, _ = await secure(make_origin, authority, "localhost", clients=authority.path)
    mine, _ = authority.issue("proxy.example")
    trusting = f'ca_file = "{authority.path}"'
    bare = await configured(upstream(origin, trusting))
    assert (await fetch(bare.port, "GET", "/x")).status == 502
    showing = await configured(upstream(origin, f'{trusting}\nclient_certificate = "{mine}"'))
    assert (await fetch(showing.port, "GET", "/x")).body == b"secret"


@async_test
async def test_health_is_asked_under_the_same_tls(make_origin: Any, authority: Authority, configured: Run) -> None:
    origin, side = await secure(make_origin, authority, "localhost", clients=authority.path)
    mine, _ = authority.issue("proxy.example")
    proxy = await configured(
        upstream(
            origin,
            f'ca_file = "{authority.path}"\nclient_certificate = "{mine}"\nhealth_path = "/up?a=%2F"\n'
            'health_interval = "20ms"',
        )
    )
    await origin.arrived(3, "/up")
    assert {request.target for request in origin.requests} == {b"/up?a=%2F"}
    assert origin.requests[0].field("host") == f"localhost:{origin.port}".encode()
    assert set(side.names) == {b"localhost"}
    assert proxy.service._origins["www"].members[0].health.well  # type: ignore[attr-defined]


@async_test
async def test_a_certificate_that_was_renewed_on_disk_is_shown_after_a_reload_of_the_same_file(
    make_origin: Any, authority: Authority, configured: Run, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    old, _ = Authority(tmp_path / "old").issue("proxy.example")
    origin, _ = await secure(make_origin, authority, "localhost", clients=authority.path)
    mine = tmp_path / "mine.pem"
    mine.write_bytes(old.read_bytes())
    proxy = await configured(upstream(origin, f'ca_file = "{authority.path}"\nclient_certificate = "{mine}"'))
    assert (await fetch(proxy.port, "GET", "/x")).status == 502
    mine.write_bytes(authority.issue("proxy.example")[0].read_bytes())
    assert await proxy.service.reload()
    assert (await fetch(proxy.port, "GET", "/x")).body == b"secret"
    connections = len(origin.connections)
    # What is half written changes nothing, nor does what cannot be read any more.
    mine.write_bytes(mine.read_bytes()[:100])
    assert not await proxy.service.reload()
    assert (await fetch(proxy.port, "GET", "/y")).body == b"secret"
    mine.unlink()
    with capturedLogs() as events:
        assert await proxy.service.reload()
    assert f"upstream www: {mine} is not read again: No such file or directory" in map(formatEvent, events)
    assert (await fetch(proxy.port, "GET", "/z")).body == b"secret"
    assert len(origin.connections) == connections


@async_test
async def test_another_authority_is_trusted_after_a_reload_of_the_same_file(
    make_origin: Any, authority: Authority, configured: Run, tmp_path: Path
) -> None:
    (tmp_path / "old").mkdir()
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(Authority(tmp_path / "old").path.read_bytes())
    origin, _ = await secure(make_origin, authority, "localhost")
    proxy = await configured(upstream(origin, f'ca_file = "{trusted}"'))
    assert (await fetch(proxy.port, "GET", "/x")).status == 502
    trusted.write_bytes(authority.path.read_bytes())
    assert await proxy.service.reload()
    assert (await fetch(proxy.port, "GET", "/x")).body == b"secret"


# -- where it is, how it is addressed ----------------------------------------------------------------------------------


@async_test
async def test_a_unix_socket_is_a_server(make_origin: Any, configured: Run, tmp_path: Path) -> None:
    from twisted.internet import reactor

    origin = await make_origin(lambda request: Answer(200, [], b"by socket"))
    await origin.stop_listening()
    await origin.start(UNIXServerEndpoint(reactor, str(tmp_path / "s")))
    proxy = await configured(f'[upstream.www]\nservers = "unix:{tmp_path}/s"\n')
    reply = await fetch(proxy.port, "GET", "/x", host="shop.example")
    assert reply.body == b"by socket"
    assert origin.requests[0].field("host") == b"shop.example"


@async_test
async def test_host_path_and_fields_are_as_upstream_and_route_say(origin: ScriptedOrigin, configured: Run) -> None:
    origin.handler = lambda request: Answer(200, [("X-Powered-By", "x"), ("X-Frame", "old")], request.target)
    proxy = await configured(
        f"""
        [upstream.passed]
        servers = "{origin.url}"
        [upstream.fixed]
        servers = "{origin.url}"
        host = "inner.example"
        strip_prefix = "/shop"
        add_prefix = "/v1"
        [defaults]
        hide = "X-Powered-By"
        respond_with = {{ X-Frame = "new" }}
        strip = ["X-In"]
        ask_with = {{ X-Out = "1" }}
        [[route]]
        match = {{ prefix = "/shop" }}
        upstream = "fixed"
        """
    )
    for target, body in (("/x", b"/x"), ("/shop/x?y", b"/v1/x?y"), ("/shopping", b"/v1/shopping"), ("/shop", b"/v1/")):
        reply = await fetch(proxy.port, "GET", target, [("X-In", "1")], host="shop.example")
        assert reply.body == body
        assert (reply.field("x-powered-by"), reply.field("x-frame")) == (None, b"new")
    assert [one.field("host") for one in origin.requests] == [b"shop.example", *[b"inner.example"] * 3]
    assert {(one.field("x-in"), one.field("x-out")) for one in origin.requests} == {(None, b"1")}


# -- how much, and what then -------------------------------------------------------------------------------------------


def test_what_is_said_of_connections_is_so_for_each_server() -> None:
    more = 'max_connections = 3\nqueue = 5\nqueue_wait = "7s"\nmin_rate = "9K"\n'
    (plan,) = Configuration.parse(f'[upstream.www]\nservers = ["http://a", "http://b"]\n{more}').upstreams
    group: Any = Upstream.open(Clock(), plan).origin
    for pool in (member.origin._pool for member in group.members):
        limits = (pool._max, pool._queue_limit, pool._queue_wait, pool._holdups._min_rate)
        assert limits == (3, 5, 7.0, 9 * 1024)


@async_test
async def test_beyond_its_connections_requests_wait_in_a_bounded_queue_and_then_get_503(
    origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])]
    proxy = await configured(
        f'[upstream.www]\nservers = "{origin.url}"\nmax_connections = 2\nqueue = 1\nqueue_wait = "30s"\n'
    )
    waiting = [fetch(proxy.port, "GET", f"/{number}") for number in range(3)]
    await origin.at_gate("go", 2)
    group: Any = proxy.service._origins["www"]
    await until(lambda: group.members[0].origin.waiting == 1)
    refused = await fetch(proxy.port, "GET", "/4")
    assert (refused.status, origin.hits()) == (503, 2)
    assert refused.field("retry-after") is not None
    origin.release("go")
    assert [reply.status for reply in await settled(*waiting)] == [200] * 3
    assert max(len(origin.connections), origin.open_connections) <= 2


@async_test
async def test_who_waits_too_long_for_a_connection_gets_503(origin: ScriptedOrigin, configured: Run) -> None:
    origin.handler = lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])]
    proxy = await configured(f'[upstream.www]\nservers = "{origin.url}"\nmax_connections = 1\nqueue_wait = "50ms"\n')
    first = fetch(proxy.port, "GET", "/1")
    await origin.at_gate("go")
    # 5 s is what holds where nothing is said.
    assert (await fetch(proxy.port, "GET", "/2", timeout=4)).status == 503
    origin.release("go")
    assert (await first).status == 200


# -- which of several ------------------------------------------------------------------------------------------------


@async_test
async def test_a_dead_server_costs_nobody_an_answer(origin: ScriptedOrigin, configured: Run) -> None:
    origin.handler = Answer(200, [], b"")
    proxy = await configured(
        f'[upstream.www]\nservers = ["http://127.0.0.1:{dead_port()}", "{origin.url}"]\nmax_fails = 2\n'
    )
    for number in range(8):
        assert (await fetch(proxy.port, "GET", f"/{number}")).status == 200
    group: Any = proxy.service._origins["www"]
    assert not group.members[0].health.well
    # Left alone by now: what may not be sent twice is answered as well.
    for _ in range(4):
        assert (await fetch(proxy.port, "POST", "/", body=b"x")).status == 200


@async_test
async def test_of_what_was_sent_only_the_idempotent_is_sent_to_another_server(
    make_origin: Any, origin: ScriptedOrigin, configured: Run
) -> None:
    origin.handler = Answer(200, [], b"")

    async def statuses(first: str) -> dict[str, list[int]]:
        proxy = await configured(f'[upstream.www]\nservers = ["{first}", "{origin.url}"]\nmax_fails = 1000\n')
        got = {}
        for method, body in (("GET", b""), ("DELETE", b""), ("POST", b"x"), ("PATCH", b"x")):
            got[method] = sorted([(await fetch(proxy.port, method, f"/{n}", body=body)).status for n in range(2)])
        return got

    breaks_off = await make_origin(lambda request: [Reset()])
    assert await statuses(breaks_off.url) == {
        "GET": [200, 200],
        "DELETE": [200, 200],
        "POST": [200, 502],
        "PATCH": [200, 502],
    }
    refuses = await statuses(f"http://127.0.0.1:{dead_port()}")
    assert all(got == [200, 200] for got in refuses.values())


@async_test
async def test_a_server_that_answers_5xx_again_and_again_is_left_alone_and_then_tried(
    make_origin: Any, configured: Run
) -> None:
    bad = await make_origin(lambda request: Answer(503, [], b"bad"))
    good = await make_origin(lambda request: Answer(200, [], b"good"))
    proxy = await configured(
        f'[upstream.www]\nservers = ["{bad.url}", "{good.url}"]\nmax_fails = 2\nfail_timeout = "300ms"\n'
    )
    for number in range(12):
        await fetch(proxy.port, "POST", f"/{number}", body=b"x")
    assert (bad.hits(), good.hits()) == (2, 10)
    bad.handler = Answer(200, [], b"")
    group: Any = proxy.service._origins["www"]
    await until(lambda: group.members[0].health.well)
    for number in range(4):
        await fetch(proxy.port, "POST", f"/again{number}", body=b"x")
    assert bad.hits() == 4


@async_test
async def test_the_only_server_is_told_as_unhealthy_while_it_fails_and_is_asked_all_the_same(
    origin: ScriptedOrigin, configured: Run
) -> None:
    from twisted.internet import reactor

    origin.handler = Answer(200, [], b"good")
    proxy = await configured(f'[upstream.www]\nservers = "{origin.url}"\nmax_fails = 2\nfail_timeout = "1ms"\n')

    async def post(number: int) -> int:
        return (await fetch(proxy.port, "POST", f"/{number}", body=b"x")).status

    async def healthy() -> bool:
        told = await proxy.service.ask("metrics")
        return bool(told[0]["upstreams"][0]["servers"][0]["healthy"])

    assert (await post(0), await healthy()) == (200, True)
    origin.handler = Answer(503, [], b"bad")
    assert (await post(1), await healthy()) == (503, True)
    # However long ago it failed: nothing else says that it is well again.
    assert (await post(2), await healthy()) == (503, False)
    await deferLater(reactor, 0.05)
    assert not await healthy()
    origin.handler = Answer(200, [], b"good")
    assert (await post(3), await healthy()) == (200, True)
    assert origin.hits() == 4


@async_test
async def test_health_checks_take_a_server_out_before_anybody_asks_it_and_bring_it_back(
    make_origin: Any, configured: Run
) -> None:
    state = {"status": 500}

    def bad_server(request: Request) -> Any:
        if request.path != "/up":
            return Answer(200, [], b"one")
        # A redirect and a cookie are an answer like others: neither is followed up. A body is not waited for.
        fields = [("Set-Cookie", "a=1"), ("Location", "/elsewhere"), ("Content-Length", "9")]
        return [Head(state["status"], fields), Gate("never")]

    one = await make_origin(bad_server)
    two = await make_origin(lambda request: Answer(200, [], b"two"))
    proxy = await configured(
        f'[upstream.www]\nservers = ["{one.url}", "{two.url}"]\nhealth_path = "/up"\nhealth_interval = "20ms"\n'
    )
    group: Any = proxy.service._origins["www"]
    await until(lambda: not group.members[0].health.well)
    for number in range(4):
        assert (await fetch(proxy.port, "GET", f"/{number}")).body == b"two"
    state["status"] = 302
    await until(lambda: group.members[0].health.well)
    for number in range(4):
        await fetch(proxy.port, "GET", f"/again{number}")
    assert len([request for request in one.requests if request.path != "/up"]) == 2
    assert one.hits("/elsewhere") == 0
    assert all(request.field("cookie") is None for request in one.requests)
    await until(lambda: one.open_connections <= 2)


@async_test
async def test_an_answer_to_a_health_check_that_does_not_end_is_not_read(make_origin: Any, configured: Run) -> None:
    flood = await make_origin(lambda request: Answer(200, [(f"X-{n}", "x" * 1000) for n in range(100)], b""))
    slow = await make_origin(lambda request: [Gate("never"), Head(200)])
    proxy = await configured(
        f'[upstream.www]\nservers = ["{flood.url}", "{slow.url}"]\nhealth_path = "/up"\nhealth_interval = "10ms"\n'
        'health_timeout = "50ms"\n'
    )
    group: Any = proxy.service._origins["www"]
    await until(lambda: not any(member.health.well for member in group.members))
    await until(lambda: flood.open_connections <= 1 and slow.open_connections <= 1)


@async_test
async def test_a_health_check_that_goes_well_is_nothing_to_log(make_origin: Any, configured: Run) -> None:
    origin = await make_origin(lambda request: Answer(200, [], b"well"))
    await configured(f'[upstream.www]\nservers = "{origin.url}"\nhealth_path = "/up"\nhealth_interval = "10ms"\n')
    await origin.arrived(1, "/up")
    with capturedLogs() as logged:
        await origin.arrived(4, "/up")
    assert logged == []


@async_test
async def test_the_log_says_why_a_server_is_not_well(make_origin: Any, configured: Run) -> None:
    checked = await make_origin(lambda request: Answer(403, [], b""))
    asked = await make_origin(lambda request: Answer(503, [], b""))
    with capturedLogs() as logged:
        proxy = await configured(
            f'[upstream.www]\nservers = ["{asked.url}", "http://127.0.0.1:{dead_port()}"]\nmax_fails = 1\n'
            "retry = false\n"
            f'[upstream.other]\nservers = "{checked.url}"\nhealth_path = "/up"\nhealth_interval = "10ms"\n'
        )
        for number in range(2):
            await fetch(proxy.port, "GET", f"/{number}")
        await until(lambda: not proxy.service._origins["other"].members[0].health.well)  # type: ignore[attr-defined]
    lines = [
        str(formatEvent(event)) for event in logged if event["log_namespace"] == "txstalecache.origin.health.Health"
    ]
    assert sorted(line.partition(" ")[2] for line in lines) == [
        "has failed 1 times and is left alone for 10 s at a time (connect: Connection was refused by other side: "
        "111: Connection refused.)",
        "has failed 1 times and is left alone for 10 s at a time (it answers 503)",
        "is not well (it answers 403)",
    ]


@async_test
async def test_a_hash_keeps_each_key_at_its_server_and_moves_the_share_of_a_lost_one_alone(
    make_origin: Any, configured: Run
) -> None:
    origins = {name: await make_origin(lambda request, name=name: Answer(200, [], name)) for name in "abc"}

    def text(names: str) -> str:
        servers = ", ".join(f'"{origins[name].url}"' for name in names)
        return f'[upstream.www]\nservers = [{servers}]\npolicy = "hash"\n[defaults]\nkey = "${{host}}${{path}}"\n'

    proxy = await configured(text("abc"))

    async def places() -> dict[int, bytes]:
        # What is not in the key makes no difference.
        return {n: (await fetch(proxy.port, "GET", f"/{n}?{n}", [("X-A", str(n))])).body for n in range(30)}

    before = await places()
    assert before == await places()
    assert set(before.values()) == {b"a", b"b", b"c"}
    proxy.write(text("ac"))
    assert await proxy.service.reload()
    after = await places()
    assert {n for n in before if before[n] != after[n]} == {n for n in before if before[n] == b"b"}


@async_test
async def test_weights_and_the_least_busy_decide_where_the_file_says_so(make_origin: Any, configured: Run) -> None:
    held = await make_origin(lambda request: [Gate("go"), Head(200, [("Content-Length", "0")])])
    free = await make_origin(lambda request: Answer(200, [], b""))
    proxy = await configured(
        f'[upstream.www]\nservers = ["{held.url}", "{free.url}"]\npolicy = "least-connections"\n'
        f'[upstream.heavy]\nservers = [{{ url = "{held.url}", weight = 3 }}, "{free.url}"]\n'
        '[[route]]\nmatch = { prefix = "/heavy" }\nupstream = "heavy"\n'
    )
    waiting = fetch(proxy.port, "GET", "/held")
    await held.at_gate("go")
    for number in range(5):
        await fetch(proxy.port, "GET", f"/{number}")
    assert (held.hits(), free.hits()) == (1, 5)
    held.release("go")
    await waiting
    for number in range(8):
        await fetch(proxy.port, "GET", f"/heavy/{number}")
    assert (held.hits() - 1, free.hits() - 5) == (6, 2)


@async_test
async def test_a_server_that_is_named_twice_is_counted_as_one(configured: Run, origin: ScriptedOrigin) -> None:
    origin.handler = Answer(200, [], b"x")
    proxy = await configured(f'[upstream.www]\nservers = ["{origin.url}", "{origin.url}"]\n')
    for number in range(4):
        assert (await fetch(proxy.port, "GET", f"/{number}")).status == 200
    told = await proxy.service.ask("metrics")
    (server,) = told[0]["upstreams"][0]["servers"]
    # Both of its places have a connection.
    assert (server["open"], server["idle"], server["healthy"]) == (2, 2, True)
    lines = [line.rpartition(b" ")[0] for line in exposition(told).splitlines() if not line.startswith(b"#")]
    assert len(lines) == len(set(lines))
