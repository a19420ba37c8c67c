"""A real master, replica and three Sentinels: after the master is killed the new one is found."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import capturedLogs, formatEvent

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import pause, until
from tests.support.async_test import async_test
from tests.support.redis import redis_binaries
from tests.support.sentinel import Sentinels
from txstalecache.store.address import parse

pytestmark = pytest.mark.slow


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Sentinels]:
    binaries = redis_binaries()
    if not binaries:
        pytest.skip("no Redis server program at hand")
    with ExitStack() as stack:
        yield Sentinels(binaries[max(binaries)], tmp_path, stack)


@async_test
async def test_hits_are_back_after_the_master_was_killed(fleet: Sentinels, make_store: MakeStore) -> None:
    backend = await make_store(fleet.url, ready=False)
    await until(fleet.knows_the_replica, 20)
    await until(lambda: not backend.degraded and backend.store.session)
    stored = entry(backend.store.now(), lifetime=100)
    backend.store.put(key(), stored, 100)
    await backend.store.flush()
    await until(lambda: fleet.servers[1].command("DBSIZE"))
    fleet.servers[0].kill()
    await until(lambda: backend.degraded)
    assert (await backend.store.lookup(key(), get())).entry is None
    # 10 s are promised; a busy machine is given more.
    await until(lambda: not backend.degraded and backend.store.session, 20)
    assert (await backend.store.lookup(key(), get())).entry == stored
    backend.store.put(key("/b"), entry(backend.store.now()), 100)
    await backend.store.flush()
    assert backend.store.unwritten == 0


@async_test
async def test_servers_and_sentinels_with_passwords(tmp_path: Path, make_store: MakeStore) -> None:
    with ExitStack() as stack:
        fleet = Sentinels(redis_binaries()[max(redis_binaries())], tmp_path, stack, "s3cret")
        backend = await make_store(fleet.url, ready=False)
        await until(fleet.knows_the_replica, 20)
        await until(lambda: not backend.degraded and backend.store.session)
        refused = await make_store(fleet.url.partition("?")[0], ready=False)
        stored = entry(backend.store.now(), lifetime=100)
        backend.store.put(key(), stored, 100)
        await backend.store.flush()
        await until(lambda: fleet.servers[1].command("DBSIZE", auth=("s3cret",)))
        assert refused.degraded  # it is not told where the master is
        fleet.servers[0].kill()
        await until(lambda: backend.degraded)
        await until(lambda: not backend.degraded and backend.store.session, 20)
        assert (await backend.store.lookup(key(), get())).entry == stored
        await backend.stopService()
        await refused.stopService()


@async_test
async def test_sentinels_that_are_silent_or_do_not_know_are_passed_over(make_store: MakeStore) -> None:
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, Protocol

    class Says(Protocol):
        def dataReceived(self, data: bytes) -> None:
            assert self.transport is not None
            self.transport.write(self.factory.words)

    ports: list[Any] = []
    for words in (b"", b"*-1\r\n", b"-ERR no\r\n", b"*2\r\n$1\r\nx\r\n$1\r\ny\r\n", b"HTTP/1.1 400\r\n\r\n"):
        factory = Factory.forProtocol(Says)
        factory.words = words  # type: ignore[attr-defined]
        ports.append(reactor.listenTCP(0, factory, interface="127.0.0.1"))  # type: ignore[arg-type]
    hosts = ",".join(f"127.0.0.1:{port.getHost().port}" for port in ports)
    backend = await make_store(f"redis+sentinel://{hosts},127.0.0.1:1/main", ready=False)
    await until(lambda: backend._client._said is False)
    await pause(0.3)
    assert (await backend.store.lookup(key(), get())).entry is None
    await backend.stopService()
    for port in ports:
        await port.stopListening()
    assert parse("redis+sentinel://a/m").sentinels == (("a", 26379),)


@pytest.mark.parametrize("case", ["name", "password", "wrong", "redis", "nobody"])
@async_test
async def test_why_no_sentinel_knows_the_master_is_told(case: str, tmp_path: Path, make_store: MakeStore) -> None:
    with ExitStack() as stack, capturedLogs() as events:
        fleet = Sentinels(redis_binaries()[max(redis_binaries())], tmp_path, stack, "s3cret")
        await until(fleet.answer, 20)
        redis = int(fleet.servers[0].command("CONFIG", "GET", "port", auth=("s3cret",))[1])
        port = {"redis": redis, "nobody": 1}.get(case, fleet.sentinels[0])
        asked = {"name": "other?sentinel_password=s3cret-s", "wrong": "main?sentinel_password=hunter2"}.get(
            case, "main"
        )
        backend = await make_store(f"redis+sentinel://:s3cret@127.0.0.1:{port}/{asked}", ready=False)
        await until(lambda: backend._client._said is False)
        await backend.stopService()
        said = "\n".join(str(formatEvent(event)) for event in events)
    why = {
        "name": "knows no master of this name",
        "password": "says NOAUTH Authentication required.",
        "wrong": "says WRONGPASS invalid username-password pair or user is disabled.",
        "redis": "says NOAUTH Authentication required.",
        "nobody": "cannot be asked: Connection was refused by other side: 111: Connection refused.",
    }[case]
    assert f"no Sentinel knows where the master is, 127.0.0.1:{port} {why}" in said
    assert "s3cret" not in said and "hunter2" not in said
    assert "Starting factory" not in said
