"""A user of Redis who may do no more than the documentation asks for: everything works, nothing is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.store.conftest import MakeStore, Said
from tests.store.samples import entry, get, key
from tests.store.waiting import until, until_it_is
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.store import Scope
from txstalecache.store.envelope import PIECE
from txstalecache.store.interfaces import Purpose
from txstalecache.store.relay import Told

DOCS = Path(__file__).parents[2] / "docs" / "fleet.rst"


def documented(prefix: str) -> list[str]:
    """The rules of the documentation, for ``prefix``."""
    (rules,) = re.findall(r"An ACL user needs ``(.*?)``", DOCS.read_text(), re.DOTALL)
    return [word.replace("<prefix>", prefix) for word in rules.split()]


@async_test
async def test_what_the_documentation_asks_for_is_enough(redis_server: RedisServer, make_store: MakeStore) -> None:
    assert redis_server.command("ACL", "SETUSER", "app", "on", ">s3cret", *documented("test:")) == b"OK"
    redis_server.command("CONFIG", "RESETSTAT")
    url = redis_server.url.replace("unix://", "unix://app:s3cret@")
    one, two = await make_store(url), await make_store(url)
    assert one.store.session and two.store.session
    assert one.clock._error < float("inf")  # TIME was told
    selector = ((b"accept-encoding", b"gzip"),)
    stored = [
        entry(one.store.now()),
        entry(one.store.now(), b"x" * (2 * PIECE)),
        entry(one.store.now(), selector=selector),
    ]
    for name, each in zip(("/a", "/b", "/c"), stored, strict=True):
        one.store.put(key(name), each, 60)
        one.store.mark(key(name), Marker(MarkerKind.COOKIE, one.store.now() + 60, "cookie"))
    await one.store.flush()
    for name, each in zip(("/a", "/b", "/c"), stored, strict=True):
        found = (await two.store.lookup(key(name), get(accept_encoding="gzip"))).entry
        assert found is not None and b"".join(found.body) == b"".join(each.body)
    one.store.unmark(key())
    one.store.discard(key("/b"))
    await one.store.flush()
    two.memory.clear()
    assert (await two.store.lookup(key("/b"), get())).entry is None

    sends: list[Any] = []
    lease = await one.leases.acquire(key().digest, Purpose.FETCH, sends.append)
    assert await two.leases.acquire(key().digest, Purpose.FETCH) is None
    token, _ = await two.leases.holder(key().digest)
    await until(lambda: sends)
    told = Told(ResponseHead(200, Fields()), (), one.store.now(), one.store.now(), True)
    transmission = sends[0](key(), told)
    transmission.write(b"some")
    transmission.delivered()
    await until(lambda: one._client.waiting == 0)
    lease.back_off()
    assert await one.store.purge(Scope.of_url(b"/a")) is True
    redis_server.command("DEL", one._layout.purges)
    await until(lambda: redis_server.command("EXISTS", one._layout.purges))
    await until(lambda: two.store.epoch(key()) == one.store.epoch(key()))
    reception = await two.leases.receive(key(), token)
    assert reception is None  # its head has gone; its body has not
    assert redis_server.command("XLEN", one._layout.name(key().digest, f"s:{token}")) == 2
    assert await two.leases.resting(key().digest) is True

    for backend in (one, two):
        assert (backend.store.unwritten, backend.figures()["redis_errors_total"]) == (0, 0)
    stats = redis_server.command("INFO", "commandstats").decode()
    refused = {line.split(":")[0] for line in stats.splitlines() if re.search(r"rejected_calls=[1-9]", line)}
    assert refused <= {"cmdstat_info"}  # by which it would be said that there is no maxmemory


NEEDED = ["evalsha", "script", "time", "set", "unlink", "hgetall", "hset", "xadd", "xrange", "zrangebyscore", "pttl"]


@async_test
async def test_who_may_not_do_all_of_it_is_told_so_once_and_goes_on_alone(
    redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    rules = documented("test:")
    backends = []
    for name in NEEDED:
        assert redis_server.command("ACL", "SETUSER", name, "on", ">s3cret", *rules, f"-{name}") == b"OK"
        url = redis_server.url.replace("unix://", f"unix://{name}:s3cret@")
        backends.append(await make_store(url, ready=False))
    await until(lambda: len(said.lines) >= len(NEEDED))
    for name, backend in zip(NEEDED, backends, strict=True):
        assert any("not available" in line and name in line.lower() for line in said.lines), name
        assert backend.degraded and backend.store.lookup(key(), get()).called
        assert await backend.leases.acquire(key().digest, Purpose.FETCH) is not None
        redis_server.command("ACL", "SETUSER", name, f"+{name}")
    await until(lambda: not any(backend.degraded for backend in backends))
    assert said.count("is not available") == said.count("is back") == len(NEEDED)


@async_test
async def test_a_right_that_is_taken_away_later_is_missed_once(
    one_redis_server: RedisServer, make_store: MakeStore, said: Said
) -> None:
    assert one_redis_server.command("ACL", "SETUSER", "app", "on", ">s3cret", *documented("test:")) == b"OK"
    backend = await make_store(one_redis_server.url.replace("unix://", "unix://app:s3cret@"))
    one_redis_server.command("ACL", "SETUSER", "app", "-hgetall")
    asked = 0

    async def tried_again() -> bool:
        nonlocal asked
        asked += 1
        await backend.store.lookup(key(f"/{asked}"), get())
        return bool(backend._client.errors > 6)  # five of them open the breaker

    await until_it_is(tried_again)
    assert backend.degraded
    assert (said.count("is not available"), said.count("is back")) == (1, 0)


@async_test
async def test_what_may_not_be_read_is_not_taken_for_damaged(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    assert one_redis_server.command("ACL", "SETUSER", "app", "on", ">s3cret", *documented("test:")) == b"OK"
    one = await make_store(one_redis_server.url)
    two = await make_store(one_redis_server.url.replace("unix://", "unix://app:s3cret@"))
    one.store.put(key(), entry(one.store.now(), selector=((b"accept-encoding", b"gzip"),)), 15)
    await one.store.flush()
    one_redis_server.command("ACL", "SETUSER", "app", "-hgetall")
    assert (await two.store.lookup(key(), get(accept_encoding="gzip"))).entry is None
    assert two.figures()["redis_corrupt_total"] == 0
    one_redis_server.command("ACL", "SETUSER", "app", "+hgetall")
    await until(lambda: not two.degraded)
    assert (await two.store.lookup(key(), get(accept_encoding="gzip"))).entry is not None
