"""A user of Redis who may do no more than the documentation asks for: everything works, nothing is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import until
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


@async_test
async def test_one_who_may_not_ask_for_the_time_is_told_so(redis_server: RedisServer, make_store: MakeStore) -> None:
    rules = [rule for rule in documented("test:") if rule != "+time"]
    assert redis_server.command("ACL", "SETUSER", "app", "on", ">s3cret", *rules) == b"OK"
    backend = await make_store(redis_server.url.replace("unix://", "unix://app:s3cret@"), ready=False)
    await until(lambda: "time" in backend._client._why)
    assert backend.degraded
