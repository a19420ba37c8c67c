"""The embedded Redis: started, watched, private, and gone when we are."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from twisted.logger import capturedLogs, formatEvent

from tests.store.conftest import MakeStore
from tests.store.samples import entry, get, key
from tests.store.waiting import until
from tests.support.async_test import async_test
from tests.support.process import eventually
from txstalecache.store import open_store
from txstalecache.store.redisserver import NoServer, find_server


def alive(pid: int) -> bool:
    """Whether there is such a process and it is more than what its parent has not yet looked at."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except OSError:
        return not Path("/proc/self").exists()  # no such file system: the signal says it all


@async_test
async def test_it_serves_is_private_and_leaves_nothing(make_store: MakeStore) -> None:
    backend = await make_store("embedded")
    assert not backend.degraded
    assert "embedded" in backend.describe()
    assert backend.url is not None
    socket = Path(backend.url.removeprefix("unix://"))
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    stored = entry(backend.store.now())
    backend.store.put(key(), stored, 15)
    await backend.store.flush()
    backend.memory.clear()
    assert (await backend.store.lookup(key(), get())).entry == stored
    other = await make_store(backend.url)  # as a worker would
    assert (await other.store.lookup(key(), get())).entry == stored
    pid = backend._server.pid
    assert alive(pid)
    await other.stopService()
    await backend.stopService()
    assert not alive(pid)
    assert not socket.parent.exists()


@async_test
async def test_it_is_started_again_when_it_dies(make_store: MakeStore) -> None:
    backend = await make_store("embedded")
    first = backend._server.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: backend.degraded)
    await until(lambda: not backend.degraded)
    assert backend._server.pid != first
    backend.store.put(key(), entry(backend.store.now()), 15)
    await backend.store.flush()
    assert backend.store.unwritten == 0


@contextmanager
def no_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """No server can be started meanwhile, as while another interpreter is being installed; gives whether that was
    tried twice."""
    with monkeypatch.context() as patch, capturedLogs() as events:
        patch.setattr(sys, "executable", "/nowhere/python")
        yield lambda: sum("could not be started" in formatEvent(event) for event in events) > 1


@async_test
async def test_it_is_tried_again_where_no_process_can_be_had(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first start, and in the place of one that died."""
    with no_process(monkeypatch) as refused:
        backend = await make_store("embedded", ready=False)
        await until(refused)
    await until(lambda: not backend.degraded)
    with no_process(monkeypatch) as refused:
        os.kill(backend._server.pid, signal.SIGKILL)
        await until(refused)
    await until(lambda: not backend.degraded)


@async_test
async def test_it_can_be_stopped_before_it_is_there(make_store: MakeStore) -> None:
    backend = await make_store("embedded", ready=False)
    pid = backend._server.pid
    await backend.stopService()
    assert not alive(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux kills children with their parent")
def test_it_does_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    script = """
import sys
from twisted.internet import reactor
from txstalecache.store import open_store
backend = open_store(reactor, redis="embedded")
backend.startService()
backend.ready().addCallback(lambda _: print(backend._server.pid, backend.url, flush=True))
reactor.callLater(30, reactor.stop)
reactor.run()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    try:
        pid, url = parent.stdout.readline().split()
    finally:
        parent.kill()
        parent.wait(10)
        parent.stdout.close()
    eventually(lambda: not alive(int(pid)))
    directory = Path(url.removeprefix("unix://")).parent
    for left in directory.iterdir():
        left.unlink()
    directory.rmdir()


@async_test
async def test_without_a_program_it_goes_on_in_memory_and_says_what_to_do(
    make_store: MakeStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("txstalecache.store.redisserver.find_spec", lambda name: None)
    with pytest.raises(NoServer, match="pip install"):
        find_server()
    backend = await make_store("embedded")
    assert "pip install" in backend.describe()
    backend.store.put(key(), entry(backend.store.now()), 15)
    found = backend.store.peek(key(), get())
    assert found is not None and found.entry is not None
    assert backend.degraded and not backend.protecting


def test_what_cannot_be_meant_is_one_clear_line() -> None:
    from twisted.internet import reactor

    for wrong in ({"redis": "http://x"}, {"prefix": "a b"}, {"memory": -1}, {"mode": "other"}):
        with pytest.raises(ValueError) as caught:
            open_store(reactor, **{"redis": "memory", **wrong})  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)


@async_test
async def test_protect_says_so_while_redis_is_away(make_store: MakeStore) -> None:
    backend = await make_store("unix:///nowhere/redis.sock", ready=False, mode="protect")
    assert backend.protecting
