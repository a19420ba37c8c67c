"""A part of what is not stored costs the origin that part, once, whoever asks; socket to socket."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import Reply, fetch
from tests.support.origin import Answer, Chunk, Close, Gate, Head, Request, ScriptedOrigin
from tests.support.proxy import settled, until
from tests.support.redis import RedisServer
from txstalecache.http.rules import Ranges, Rules

FRESH = ("Cache-Control", "max-age=60")
MEDIA = bytes(range(256)) * 256
BY_PART = Rules(ranges=Ranges.PART)


def media(request: Request) -> Any:
    """An origin that knows ranges (those with both ends)."""
    wanted = request.field("range")
    if wanted is None:
        return Answer(200, [FRESH, ("ETag", '"1"')], MEDIA)
    first, last = map(int, wanted.removeprefix(b"bytes=").split(b"-"))
    numbers = ("Content-Range", f"bytes {first}-{last}/{len(MEDIA)}")
    return Answer(206, [FRESH, ("ETag", '"1"'), numbers], MEDIA[first : last + 1])


def part(proxy: Any, first: int, last: int, *fields: tuple[str, str]) -> Any:
    return fetch(proxy.port, "GET", "/film", [("Range", f"bytes={first}-{last}"), *fields])


def check(reply: Reply, first: int, last: int) -> None:
    assert (reply.status, reply.body) == (206, MEDIA[first : last + 1])
    assert reply.field("content-range") == b"bytes %d-%d/%d" % (first, last, len(MEDIA))


@async_test
async def test_a_crowd_that_asks_for_one_part_costs_one_fetch_of_it(origin: ScriptedOrigin, make_proxy: Any) -> None:
    def answer(request: Request) -> Any:
        head = [FRESH, ("Content-Range", f"bytes 100-199/{len(MEDIA)}"), ("Content-Length", "100")]
        return [Gate("go"), Head(206, head), Chunk(MEDIA[100:200])]

    origin.handler = answer
    proxy = await make_proxy(origin.url, rules=BY_PART)
    waiting = [part(proxy, 100, 199) for _ in range(50)]
    await until(lambda: proxy.resource.registry.waiting == 50)
    origin.release("go")
    for reply in await settled(*waiting):
        check(reply, 100, 199)
    assert [request.field("range") for request in origin.requests] == [b"bytes=100-199"]


@async_test
async def test_other_parts_are_fetched_beside_it_and_do_not_wait(origin: ScriptedOrigin, make_proxy: Any) -> None:
    def answer(request: Request) -> Any:
        if request.field("range") != b"bytes=0-9":
            return media(request)
        head = [FRESH, ("Content-Range", f"bytes 0-9/{len(MEDIA)}"), ("Content-Length", "10")]
        return [Gate("go"), Head(206, head), Chunk(MEDIA[:10])]

    origin.handler = answer
    proxy = await make_proxy(origin.url, rules=BY_PART)
    slow = part(proxy, 0, 9)
    await origin.at_gate("go")
    check(await part(proxy, 10, 19), 10, 19)
    whole = await fetch(proxy.port, "GET", "/film")
    assert (whole.status, whole.body) == (200, MEDIA)
    origin.release("go")
    check(await slow, 0, 9)


@async_test
async def test_whoever_has_read_it_all_in_parts_has_stored_the_whole(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = media
    proxy = await make_proxy(origin.url, rules=BY_PART)
    step = 8192
    for first in range(0, len(MEDIA), step):
        check(await part(proxy, first, first + step - 1), first, first + step - 1)
    asked = len(origin.requests)
    assert (await fetch(proxy.port, "GET", "/film")).body == MEDIA
    check(await part(proxy, 1000, 60000), 1000, 60000)
    assert len(origin.requests) == asked == len(MEDIA) // step


@pytest.mark.parametrize("body", [b"", b"x" * 50])
@async_test
async def test_a_part_that_breaks_off_is_not_kept(origin: ScriptedOrigin, make_proxy: Any, body: bytes) -> None:
    head = Head(206, [FRESH, ("Content-Range", f"bytes 0-99/{len(MEDIA)}"), ("Content-Length", "100")])
    origin.on("/film", lambda request: [head, Chunk(body), Close()] if request.number == 0 else media(request))
    proxy = await make_proxy(origin.url, rules=BY_PART)
    assert (await part(proxy, 0, 99)).truncated
    check(await part(proxy, 0, 99), 0, 99)
    assert len(origin.requests) == 2


@async_test
async def test_the_end_of_something_long_does_not_pull_its_beginning(origin: ScriptedOrigin, make_proxy: Any) -> None:
    length = 1 << 40
    last = length - 1

    def answer(request: Request) -> Any:
        if request.field("range") is None:
            return [Head(200, [FRESH, ("Content-Length", str(length))]), Chunk(bytes(1000)), Gate("never")]
        numbers = ("Content-Range", f"bytes {length - 5}-{last}/{length}")
        return Answer(206, [FRESH, numbers], b"12345")

    origin.handler = answer
    proxy = await make_proxy(origin.url)
    for _ in range(2):
        reply = await fetch(proxy.port, "GET", "/film", [("Range", "bytes=-5")])
        assert (reply.status, reply.body) == (206, b"12345")
        assert reply.field("content-range") == b"bytes %d-%d/%d" % (length - 5, last, length)
    assert [request.field("range") for request in origin.requests] == [None, b"bytes=-5"]
    await until(lambda: proxy.flights == 0)


@async_test
async def test_an_origin_without_ranges_still_answers_them(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = lambda request: Answer(200, [FRESH], MEDIA)
    proxy = await make_proxy(origin.url, rules=Rules(max_object=1000))
    for first in (5, 60000):
        check(await part(proxy, first, first + 9), first, first + 9)


@async_test
async def test_a_part_is_fetched_without_what_says_who_asks(origin: ScriptedOrigin, make_proxy: Any) -> None:
    origin.handler = media
    proxy = await make_proxy(origin.url, rules=BY_PART)
    check(await part(proxy, 0, 9, ("Cookie", "a=b"), ("X-Forwarded-Host", "evil")), 0, 9)
    (request,) = origin.requests
    assert request.field("cookie") is None
    assert request.field("x-forwarded-host") is None
    check(await part(proxy, 0, 9), 0, 9)
    assert len(origin.requests) == 1


@async_test
async def test_two_processes_share_parts_and_their_fetches(
    origin: ScriptedOrigin, make_proxy: Any, shared_redis: RedisServer
) -> None:
    def answer(request: Request) -> Any:
        head = [FRESH, ("ETag", '"1"'), ("Content-Range", f"bytes 100-199/{len(MEDIA)}"), ("Content-Length", "100")]
        return media(request) if request.number else [Gate("go"), Head(206, head), Chunk(MEDIA[100:200])]

    origin.handler = answer
    one = await make_proxy(origin.url, redis=shared_redis.url, rules=BY_PART)
    two = await make_proxy(origin.url, redis=shared_redis.url, rules=BY_PART)
    waiting = [part(one, 100, 199)]
    await origin.at_gate("go")
    waiting += [part(two, 100, 199) for _ in range(5)]
    await until(lambda: two.resource.registry.waiting == 5)
    origin.release("go")
    for reply in await settled(*waiting):
        check(reply, 100, 199)
    assert len(origin.requests) == 1
    await one.backend.store.flush()
    check(await part(two, 200, 299), 200, 299)
    await two.backend.store.flush()
    third = make_proxy(origin.url, redis=shared_redis.url, rules=BY_PART)
    check(await part(await third, 150, 250), 150, 250)
    assert len(origin.requests) == 2
