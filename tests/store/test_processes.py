"""Two real processes and a real Redis."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.store.conftest import MakeStore
from tests.store.samples import key
from tests.support.async_test import async_test
from tests.support.redis import RedisServer
from txstalecache.store.interfaces import Purpose

pytestmark = pytest.mark.slow


@async_test
async def test_a_killed_holder_is_not_waited_for_longer_than_its_lease(
    one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    from twisted.internet import reactor

    backend = await make_store(one_redis_server.url)
    holder = subprocess.Popen(
        [sys.executable, "-m", "tests.store.holder", one_redis_server.url, key().digest],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert await backend.leases.acquire(key().digest, Purpose.FETCH) is None
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.wait(10)
        if holder.stdout is not None:
            holder.stdout.close()
    killed = reactor.seconds()
    lease = None
    while lease is None:
        changed = backend.leases.changed(key())
        lease = await backend.leases.acquire(key().digest, Purpose.FETCH)
        if lease is None:
            await changed
        else:
            changed.addErrback(lambda failure: None)
            changed.cancel()
    # The lease is 5 s; the holder would have held it for 30.
    assert reactor.seconds() - killed < 15
    lease.release()
