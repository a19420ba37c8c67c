"""More clients than descriptors: the process lives, hits go on, whoever is too many is told so."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.async_test import async_test
from tests.support.client import connect
from tests.support.origin import Answer, ScriptedOrigin
from tests.support.process import PROXY, environment
from tests.support.proxy import settled, until

#: ``ulimit -n 100``, then the proxy.
FEW = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.mark.parametrize("connections", [None, 1000])
@async_test
async def test_more_clients_than_descriptors_cost_those_too_many_alone(
    connections: int | None, origin: ScriptedOrigin, tmp_path: Path
) -> None:
    origin.handler = lambda request: Answer(200, [("Cache-Control", "max-age=60")], b"for " + request.target)
    file = tmp_path / "proxy.toml"
    said = "" if connections is None else f"[limits]\nconnections = {connections}\n"
    file.write_text(f'[upstream.www]\nservers = "{origin.url}"\n{said}')
    options = [
        "--config",
        str(file),
        "--redis",
        "memory",
        "--listen",
        "tcp:0:interface=127.0.0.1",
        "--access-log=none",
    ]
    log = tmp_path / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", FEW, *PROXY["twistd"], *options],
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment(),
            cwd=tmp_path,
        )
    try:
        started = re.compile(r"starting on ([0-9]+)")
        await until(lambda: started.search(log.read_text()) is not None or process.poll() is not None, 20)
        found = started.search(log.read_text())
        assert found is not None, log.read_text()
        port = int(found[1])
        first = await connect(port)
        assert (await first.request("GET", "/hit")).body == b"for /hit"
        crowd = await settled(*[connect(port) for _ in range(150)])
        await until(lambda: sum(connection.ended for connection in crowd) >= 150 - 75, 10)
        told = [bytes(connection.received) for connection in crowd if connection.received]
        assert told and all(text.startswith(b"HTTP/1.1 503 ") and b"Retry-After: 1\r\n" in text for text in told)
        for number in range(5):
            assert (await first.request("GET", "/hit")).body == b"for /hit"
            assert (await first.request("GET", f"/miss{number}")).body == b"for /miss%d" % number
        await settled(*[connection.close() for connection in crowd if not connection.ended])
        again = await connect(port)
        assert (await again.request("GET", "/hit")).body == b"for /hit"
        await settled(first.close(), again.close())
        process.send_signal(signal.SIGTERM)
        await until(lambda: process.poll() is not None, 20)
        assert process.returncode == 0
        assert "Traceback" not in log.read_text()
        assert ("1000 connections are more than the descriptors" in log.read_text()) is (connections is not None)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
