"""What one client says and the key does not know reaches no other client."""

from __future__ import annotations

import re
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from tests.safety.lanes import either_lane
from tests.safety.telling_fields import TELLING_FIELDS
from tests.support.async_test import async_test
from tests.support.client import connect, fetch
from tests.support.origin import Answer, Chunk, Gate, Head, Request, ScriptedOrigin
from tests.support.proxy import later, settled, until
from txstalecache.flight.limits import Limits
from txstalecache.http.rules import Cookies, Rules

__all__ = ["either_lane"]

CACHEABLE = ("Cache-Control", "max-age=60")


def reflect(request: Request) -> Answer:
    """An application that believes what it is told, and says so to everybody for a minute."""
    said = b"\n".join(b"%s: %s" % pair for pair in request.fields)
    location = request.field("x-forwarded-host") or request.field("x_forwarded_host") or request.field("host") or b""
    return Answer(200, [CACHEABLE, ("Content-Location", location)], request.target + b"\n" + said)


def test_there_are_at_least_two_hundred_of_them() -> None:
    assert len({name.lower() for name in TELLING_FIELDS}) == len(TELLING_FIELDS) >= 200


@async_test
async def test_no_field_of_one_clients_is_reflected_into_a_shared_entry(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.handler = reflect
    proxy = await make_proxy(origin.url)
    connection = await connect(proxy.port)
    for number, name in enumerate(TELLING_FIELDS):
        path = f"/{number}"
        await connection.request("GET", path, [(name, "evil.example")], host="good.example")
        victim = await connection.request("GET", path, host="good.example")
        assert b"evil.example" not in victim.body, name
        assert not any(b"evil.example" in value for _, value in victim.fields), name
        assert origin.hits(path) == 1, name
    await connection.close()


@async_test
async def test_no_field_of_the_leaders_is_reflected_to_its_waiters(origin: ScriptedOrigin, make_proxy: Any) -> None:
    names = TELLING_FIELDS[::10]

    async def when_all_wait(request: Request) -> Answer:
        await origin._pass_gate("all")
        return reflect(request)

    origin.handler = lambda request: Deferred.fromCoroutine(when_all_wait(request))
    proxy = await make_proxy(origin.url)
    asked = []
    for number, name in enumerate(names):
        asked.append(fetch(proxy.port, "GET", f"/{number}", [(name, "evil.example")]))
    await origin.arrived(len(names))
    victims = [fetch(proxy.port, "GET", f"/{number}") for number in range(len(names))]
    await until(lambda: proxy.resource.registry.waiting == 2 * len(names))
    origin.release("all")
    for name, victim in zip(names, await settled(*victims), strict=True):
        assert victim.status == 200 and b"evil.example" not in victim.body, name
    await settled(*asked)
    assert len(origin.requests) == len(names)


@async_test
async def test_an_answer_that_varies_by_such_a_field_is_kept_apart(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(
        200, [CACHEABLE, ("Vary", "X-Tenant")], request.field("x-tenant") or b"nobody"
    )
    proxy = await make_proxy(origin.url)
    for _ in range(2):
        for tenant in (b"one", b"two"):
            reply = await fetch(proxy.port, "GET", "/", [("X-Tenant", tenant)])
            assert reply.body == tenant
        assert (await fetch(proxy.port, "GET", "/")).body == b"nobody"


@async_test
async def test_an_answer_for_one_key_holder_is_given_to_no_other(origin: ScriptedOrigin, make_proxy: Any) -> None:
    """No standard knows the field, and the origin says nothing about sharing: the fetch that is shared has no key."""

    def answer(request: Request) -> Answer:
        key = request.field("x-api-key")
        return Answer(200, [], b"for " + key) if key else Answer(401, [], b"who?")

    origin.handler = answer
    proxy = await make_proxy(origin.url)
    keys = [b"key-%d" % number for number in range(10)]
    replies = await settled(*[fetch(proxy.port, "GET", "/me", [("X-Api-Key", key)]) for key in keys])
    assert [reply.body for reply in replies] == [b"for " + key for key in keys]


@pytest.mark.parametrize(
    "name",
    ["Host", "Cookie", "Authorization", "Cache-Control", "X-Forwarded-For", "Content-Length", "Accept-Encoding", "Age"],
)
@async_test
async def test_a_client_cannot_have_a_field_dropped_by_calling_it_hop_by_hop(
    origin: ScriptedOrigin, make_proxy: Any, name: str
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "private")], b"%d" % len(request.body))
    proxy = await make_proxy(origin.url)
    value = {"Host": "a", "Content-Length": "2"}.get(name, "x")
    reply = await fetch(proxy.port, "POST", "/x", [(name, value), ("Connection", f"close, {name}")], b"ab")
    assert (reply.status, reply.body) == (200, b"2")
    (seen,) = origin.requests
    if name not in ("X-Forwarded-For", "Age"):
        assert seen.field(name) == value.encode()
    assert seen.field("connection") in (None, b"keep-alive", b"close")


@async_test
async def test_fields_of_the_clients_own_connection_end_here(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = Answer(200, [("Cache-Control", "no-store")])
    proxy = await make_proxy(origin.url)
    hop = [
        ("Connection", "X-Mine, Keep-Alive, Upgrade"),
        ("X-Mine", "1"),
        ("Keep-Alive", "timeout=1"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("TE", "trailers"),
        ("Trailer", "X-T"),
        ("Proxy-Connection", "close"),
        ("Proxy-Authorization", "Basic eDp5"),
    ]
    await fetch(proxy.port, "GET", "/x", hop)
    seen = {name.lower() for name, _ in origin.requests[0].fields}
    assert not seen & {name.lower().encode() for name, _ in hop if name != "Connection"}


@async_test
async def test_the_key_is_made_of_the_bytes_that_are_forwarded(origin: ScriptedOrigin, make_proxy: Any) -> None:
    """Two targets that an origin may tell apart are two entries; two ways to write one request are one."""
    origin.handler = lambda request: Answer(200, [CACHEABLE], request.target)
    proxy = await make_proxy(origin.url)
    targets = [
        "/a/../x",
        "/x",
        "/%78",
        "/x?",
        "/x?a",
        "/x?A",
        "//x",
        "/x/",
        "/x;a",
        "/x%2f",
        "/./x",
        "/X",
        "/x%00",
        "/x%2F",
    ]
    connection = await connect(proxy.port)
    for _ in range(2):
        for target in targets:
            assert (await connection.request("GET", target)).body == target.encode()
    assert [request.target.decode() for request in origin.requests] == targets
    assert (await connection.request("GET", "http://LOCALHOST/x", host="LocalHost")).body == b"/x"
    assert len(origin.requests) == len(targets)
    await connection.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("written", ["GOOD.example", "good.example:80", "Good.Example:80"])
@async_test
async def test_a_host_is_forwarded_as_the_key_has_it_however_it_is_written(
    origin: ScriptedOrigin, make_proxy: Any, written: str, method: str
) -> None:
    """Else an application that sends whoever writes it otherwise elsewhere would send everybody there."""
    origin.handler = reflect
    proxy = await make_proxy(origin.url, rules=Rules(methods=frozenset({b"GET", b"HEAD", b"POST"})))
    connection = await connect(proxy.port)
    first = await connection.request(method, "/x", host=written)
    victim = await connection.request(method, "/x", host="good.example")
    assert origin.hits() == 1
    assert first.body == victim.body
    assert victim.field("content-location") == b"good.example"
    await connection.request("DELETE", "/y", host=written)
    assert origin.requests[-1].field("host") == b"good.example"
    await connection.close()


@pytest.mark.parametrize(
    "suffix", ["/x.css", "/x.js", ";a.css", "%3b.css", "/x.png?v=1", "%2f.css", "%00.css", "?.css", "/.jpg"]
)
@async_test
async def test_an_extension_makes_nothing_cacheable(origin: ScriptedOrigin, make_proxy: Any, suffix: str) -> None:
    origin.handler = lambda request: Answer(200, [], b"for " + (request.field("cookie") or b"nobody"))
    proxy = await make_proxy(origin.url)
    victim = await fetch(proxy.port, "GET", f"/account{suffix}", [("Cookie", "id=victim")])
    assert victim.body == b"for id=victim"
    attacker = await fetch(proxy.port, "GET", f"/account{suffix}")
    assert attacker.body == b"for nobody"


@async_test
async def test_a_body_on_a_get_is_no_way_into_the_cache(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(200, [CACHEABLE], b"said " + request.body)
    proxy = await make_proxy(origin.url)
    assert (await fetch(proxy.port, "GET", "/x", body=b"evil")).body == b"said evil"
    assert (await fetch(proxy.port, "GET", "/x")).body == b"said "


@pytest.mark.parametrize("status", [400, 405, 413, 414, 431, 500, 501, 502, 503])
@async_test
async def test_an_error_that_one_client_provokes_is_not_kept_for_others(
    origin: ScriptedOrigin, make_proxy: Any, status: int
) -> None:
    def touchy(request: Request) -> Answer:
        provoked = request.field("x-strange") is not None
        return Answer(status, [], b"error") if provoked else Answer(200, [CACHEABLE], b"fine")

    origin.handler = touchy
    proxy = await make_proxy(origin.url, limits=Limits(error_marker=0.01))
    await fetch(proxy.port, "GET", "/x", [("X-Strange", "1")])
    await later(0.02)  # a failed burst is answered as a burst
    assert (await fetch(proxy.port, "GET", "/x")).body == b"fine"


@pytest.mark.parametrize("control", [[], [("Cache-Control", "no-store")]], ids=["nothing said", "no-store"])
@pytest.mark.parametrize("status", [400, 403, 413, 431, 500, 502, 503, 504])
@async_test
async def test_an_error_that_one_client_provokes_is_not_given_to_those_who_wait_with_it(
    origin: ScriptedOrigin, make_proxy: Any, status: int, control: Any
) -> None:
    """The origin takes offence at a field that everybody sends, and one sends strangely."""

    def touchy(request: Request) -> Any:
        strange = len(request.field("accept") or b"") > 1000
        head = Head(status if strange else 200, [("Content-Length", "4"), *(control if strange else [CACHEABLE])])
        return [Gate("all"), head, Chunk(b"oops" if strange else b"fine")]

    origin.handler = touchy
    proxy = await make_proxy(origin.url)
    leading = fetch(proxy.port, "GET", "/x", [("Accept", "a" * 8000)])
    await origin.arrived(1)
    victims = [fetch(proxy.port, "GET", "/x") for _ in range(20)]
    await until(lambda: proxy.resource.registry.waiting == 21)
    origin.release("all")
    assert (await leading).status == status
    assert {(reply.status, reply.body) for reply in await settled(*victims)} == {(200, b"fine")}
    assert origin.hits() == 2, "nor has each of them to ask for itself"
    assert (await fetch(proxy.port, "GET", "/x")).field("x-cache") == b"HIT"


@pytest.mark.parametrize("varies", [[], [("Vary", "X-Theme")]], ids=["", "answers vary by it"])
@async_test
async def test_an_error_that_some_provoke_together_is_told_to_those_who_say_the_same_and_to_nobody_else(
    origin: ScriptedOrigin, make_proxy: Any, varies: Any
) -> None:
    name = "X-Theme" if varies else "Accept"

    def touchy(request: Request) -> Any:
        strange = request.field(name.lower()) == b"strange"
        head = Head(500 if strange else 200, [("Content-Length", "4"), *([] if strange else [CACHEABLE]), *varies])
        return [*([Gate("all")] if strange else []), head, Chunk(b"oops" if strange else b"fine")]

    origin.handler = touchy
    proxy = await make_proxy(origin.url, limits=Limits(error_marker=30.0))
    if varies:
        await fetch(proxy.port, "GET", "/x", [(name, "known")])
    before = origin.hits()
    strangers = [fetch(proxy.port, "GET", "/x", [(name, "strange"), ("traceparent", trace(n))]) for n in (1, 2)]
    await until(lambda: proxy.resource.registry.waiting == 2)
    origin.release("all")
    assert {reply.status for reply in await settled(*strangers)} == {500}
    assert origin.hits() == before + 2
    again = await fetch(proxy.port, "GET", "/x", [(name, "strange"), ("traceparent", trace(3))])
    assert again.status == 500 and again.field("retry-after")
    assert origin.hits() == before + 2, "the marker answers"
    assert (await fetch(proxy.port, "GET", "/x", [(name, "usual")])).body == b"fine"


def trace(number: int) -> str:
    return f"00-{number:032x}-{number:016x}-01"


@pytest.mark.parametrize("fields", [[], [CACHEABLE]], ids=["for nobody else", "for a minute"])
@async_test
async def test_an_error_that_everybody_gets_costs_two_fetches_at_most(
    origin: ScriptedOrigin, make_proxy: Any, fields: Any
) -> None:
    origin.handler = [Gate("all"), Head(403, [("Content-Length", "5"), *fields]), Chunk(b"error")]
    proxy = await make_proxy(origin.url)
    crowd = [fetch(proxy.port, "GET", "/x") for _ in range(50)]
    await until(lambda: proxy.resource.registry.waiting == 50)
    origin.release("all")
    assert {(reply.status, reply.body) for reply in await settled(*crowd)} == {(403, b"error")}
    assert origin.hits() == (1 if fields else 2)


@async_test
async def test_a_forced_ttl_does_not_share_what_a_cookie_made(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(200, [], b"for " + (request.field("cookie") or b"nobody"))
    proxy = await make_proxy(origin.url, rules=Rules(ttl=60))
    assert (await fetch(proxy.port, "GET", "/x", [("Cookie", "id=victim")])).body == b"for id=victim"
    assert (await fetch(proxy.port, "GET", "/x")).body == b"for nobody"
    assert (await fetch(proxy.port, "GET", "/x", [("Cookie", "id=other")])).body == b"for id=other"


@async_test
async def test_a_loop_ends_at_its_first_turn(origin: ScriptedOrigin, make_proxy: Any) -> None:
    proxy = await make_proxy(origin.url)
    for via in ("1.1 txstalecache", "1.0 fred, 1.1 TXSTALECACHE (x)", "HTTP/1.1 txstalecache"):
        reply = await fetch(proxy.port, "GET", "/x", [("Via", via)])
        assert reply.status == 508
    assert not origin.requests


@async_test
async def test_a_proxy_in_front_of_itself_answers(origin: ScriptedOrigin, make_proxy: Any) -> None:
    front = await make_proxy(origin.url)
    behind = await make_proxy(f"http://127.0.0.1:{front.port}")
    reply = await fetch(behind.port, "GET", "/x")
    assert reply.status == 508
    assert not origin.requests


@async_test
async def test_two_proxies_in_a_row_have_two_names(origin: ScriptedOrigin, configured: Any) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], request.field("via") or b"")

    async def named(name: str, url: str) -> Any:
        return await configured(f'[proxy]\nname = "{name}"\n[upstream.www]\nservers = "{url}"\n')

    behind = await named("inner", origin.url)
    front = await named("edge-1", f"http://127.0.0.1:{behind.port}")
    for kept in (b"edge-1; fwd=uri-miss; fwd-status=200; stored", b"edge-1; hit; ttl="):
        reply = await fetch(front.port, "GET", "/x")
        assert (reply.status, reply.body) == (200, b"1.1 edge-1, 1.1 inner")
        assert reply.field("via") == b"1.1 inner, 1.1 edge-1"
        assert kept in (reply.field("cache-status") or b"")
    for method, path in (("POST", "/y"), ("GET", "/y"), ("GET", "/x")):
        assert (await fetch(front.port, method, path, [("Via", "1.1 Edge-1")])).status == 508
    assert (await fetch(front.port, "POST", "/y")).body == b"1.1 edge-1, 1.1 inner"


@async_test
async def test_what_clients_say_cannot_write_log_lines(origin: ScriptedOrigin, make_proxy: Any) -> None:
    from txstalecache.observe.accesslog import combined, json_line

    origin.handler = Answer(200, [("Cache-Control", "no-store")])
    proxy = await make_proxy(origin.url)
    forged = b'" 200 1 "-" "-"\t\\x0a\xe2\x80\xa8\x85 %0a127.0.0.1 - admin'
    connection = await connect(proxy.port)
    await connection.request("GET", '/"%0a%0dx"\\', [("User-Agent", forged), ("Referer", forged)], host="a")
    connection.send(b"GET /\x1b[2J\n127.0.0.1 - - HTTP/1.1\r\n\r\n")
    await connection.lost
    assert len(proxy.log) == 2
    for record in proxy.log:
        for form in (combined, json_line):
            line = form(record)
            text = line if isinstance(line, str) else line.decode("utf-8")
            assert len(text.rstrip("\n").splitlines()) == 1
            assert re.fullmatch(r"[\x20-\x7e]*", text.rstrip("\n"))


OVERRIDE = ("X-Original-URL", "/evil")


@pytest.mark.parametrize(
    ("before", "attack", "fields"),
    [
        ([], [("Authorization", "Basic eDp5")], [("Cache-Control", "public, max-age=60")]),
        ([], [("Authorization", "Basic eDp5"), ("Range", "bytes=0-3")], [("Cache-Control", "public, max-age=60")]),
        (
            [[]],
            [("Authorization", "Basic eDp5"), ("Cache-Control", "no-cache")],
            [("Cache-Control", "max-age=60, must-revalidate")],
        ),
        ([[("Accept", "mark")]], [], [CACHEABLE]),
        ([], [("Accept", "mark"), ("Accept-Language", "de")], [CACHEABLE, ("Vary", "Accept, Accept-Language")]),
    ],
    ids=["authorized", "a part", "over what is fresh", "hit for miss", "varies"],
)
@async_test
async def test_an_answer_to_more_than_others_would_have_said_is_not_kept_for_them(
    origin: ScriptedOrigin, make_proxy: Any, before: list[Any], attack: list[Any], fields: list[Any]
) -> None:
    def answer(request: Request) -> Answer:
        told = b"evil" if request.field("x-original-url") else b"good"
        if request.field("range"):
            return Answer(206, [*fields, ("Content-Range", "bytes 0-3/4"), ("ETag", '"1"')], told)
        cookie = [("Set-Cookie", "a=b")] if request.field("accept") == b"mark" and len(origin.requests) == 1 else []
        return Answer(200, [*fields, *cookie, ("ETag", '"1"')], told)

    origin.handler = answer
    proxy = await make_proxy(origin.url)
    for one in before:
        await fetch(proxy.port, "GET", "/x", one)
    await fetch(proxy.port, "GET", "/x", [*attack, OVERRIDE])
    for victim in ([], [("Range", "bytes=0-3")], [("Accept-Language", "de"), ("Accept", "mark")]):
        assert (await fetch(proxy.port, "GET", "/x", victim)).body == b"good", victim


@async_test
async def test_an_answer_for_one_client_who_said_no_more_than_others_would_is_kept(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    origin.handler = Answer(200, [("Cache-Control", "public, max-age=60")], b"for all")
    proxy = await make_proxy(origin.url)
    said = [("Authorization", "Basic eDp5"), ("X-Forwarded-For", "1.2.3.4"), ("If-None-Match", '"other"')]
    await fetch(proxy.port, "GET", "/x", said)
    assert (await fetch(proxy.port, "GET", "/x")).field("cache-status") == b"txstalecache; hit; ttl=60"


@async_test
async def test_what_the_route_itself_tells_the_origin_keeps_nothing_from_being_kept(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    answers = iter([("Cache-Control", "private")])
    origin.handler = lambda request: Answer(200, [next(answers, CACHEABLE)], b"for all")
    proxy = await make_proxy(origin.url, ask_with=((b"X-Origin-Verify", b"s3cret"),))
    for _ in range(4):
        await fetch(proxy.port, "GET", "/x")
    assert origin.hits() == 2


@async_test
async def test_a_field_that_all_clients_send_lets_a_page_be_shared_again(
    origin: ScriptedOrigin, make_proxy: Any
) -> None:
    answers = iter([("Cache-Control", "private")] * 2)
    origin.handler = lambda request: Answer(200, [next(answers, CACHEABLE)], b"for all")
    proxy = await make_proxy(origin.url)
    for _ in range(8):
        await fetch(proxy.port, "GET", "/x", [("X-Client", "1")])
    assert origin.hits() <= 4


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [("Cookie", "lang=en; session=alice", b"lang=en"), ("Accept-Encoding", "br, gzip", b"gzip")],
)
@async_test
async def test_a_refresh_says_no_more_about_who_met_the_stale_answer_than_a_fetch_would(
    origin: ScriptedOrigin, make_proxy: Any, name: str, value: str, sent: bytes
) -> None:
    origin.handler = Answer(200, [("Cache-Control", "max-age=1")])
    rules = Rules(cookies=Cookies.KEYED, keyed_fields=frozenset({b"cookie"}), stale=60.0)
    proxy = await make_proxy(origin.url, key="${host}${request_uri}${cookie:lang}", rules=rules, encodings=(b"gzip",))
    connection = await connect(proxy.port)
    for _ in range(2):
        await connection.request("GET", "/x", [(name, value)])
    assert origin.hits() == 1
    proxy.age(2.0)
    await connection.request("GET", "/x", [(name, value)])
    await origin.arrived(2)
    assert [request.field(name) for request in origin.requests] == [sent, sent]
    await connection.close()


@pytest.mark.parametrize("name", ["Accept_Language", "User.Agent", "Host_"])
@async_test
async def test_a_name_that_some_take_for_another_goes_for_one_client_only(
    origin: ScriptedOrigin, make_proxy: Any, name: str
) -> None:
    """CGI and its heirs make the same of ``Accept_Language`` and ``Accept-Language``, which answers may vary by."""
    origin.handler = reflect
    proxy = await make_proxy(origin.url)
    await fetch(proxy.port, "GET", "/x", [(name, "evil")])
    assert b"evil" not in (await fetch(proxy.port, "GET", "/x")).body
    assert origin.hits() == 1


# -- what the origin is told otherwise than the client said it -------------------------------------------------------


@pytest.mark.parametrize(
    ("varies", "said"),
    [
        ("User-Agent", ("User-Agent", "a")),
        ("Accept-Encoding", ("Accept-Encoding", "gzip")),
        ("X-Mine", ("X-Mine", "1")),
        ("TE", ("TE", "trailers")),
        ("Via", ("Via", "1.1 somebody")),
        ("Via", ("Accept", "*/*")),
        ("X-Forwarded-Proto", ("X-Forwarded-Proto", "https")),
        ("Traceparent", ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")),
        ("If-None-Match", ("If-None-Match", '"x"')),
        ("X-Debug", ("X-Debug", "1")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@async_test
async def test_it_is_asked_once_whatever_its_answers_vary_by(
    origin: ScriptedOrigin, make_proxy: Any, varies: str, said: tuple[str, str]
) -> None:
    origin.handler = Answer(200, [CACHEABLE, ("Vary", varies), ("ETag", '"1"')], b"page")
    proxy = await make_proxy(
        origin.url, strip=(b"user-agent",), ask_with=((b"Accept-Encoding", b"identity"),), bypass=((b"x-debug", None),)
    )
    fields = [said, ("Connection", "X-Mine, TE, close")]
    first = await fetch(proxy.port, "GET", "/x", fields, host="A.Example:80")
    again = await fetch(proxy.port, "GET", "/x", fields, host="a.example")
    assert (first.body, again.body, origin.hits()) == (b"page", b"page", 1)
    # And so it is when it has been validated.
    proxy.age(61)
    origin.handler = Answer(304, [CACHEABLE, ("Vary", varies), ("ETag", '"1"')])
    for _ in range(2):
        assert (await fetch(proxy.port, "GET", "/x", fields, host="a.example")).body == b"page"
    assert origin.hits() == 2
