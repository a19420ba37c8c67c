"""The tutorial's commands, run in its order, do what it says."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.support.debian import program
from tests.support.process import environment

TEXT = (Path(__file__).parents[1] / "docs/tutorial.rst").read_text()

pytestmark = pytest.mark.slow


def commands() -> list[str]:
    """Every line after a prompt."""
    return re.findall(r"^   \$ (.+)$", TEXT, re.MULTILINE)


def settings() -> str:
    """The file it has the reader write."""
    (block,) = re.findall(r"^\.\. code-block:: toml\n\n((?:   .*\n|\n)+)", TEXT, re.MULTILINE)
    return textwrap.dedent(block)


class Reader:
    """Somebody who follows it, with ports of their own."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._environment = environment()
        self._running: list[subprocess.Popen[bytes]] = []
        program("curl", "curl")
        # The install from an index is not tried; what it would bring is here.
        (place / "cache").mkdir()
        (place / "cache/bin").symlink_to(Path(sys.executable).parent)
        self._ports: dict[str, str] = {}
        for port in ("8000", "8080", "8081"):
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self._ports[port] = str(free.getsockname()[1])

    def own(self, text: str) -> str:
        for port, other in self._ports.items():
            text = re.sub(rf"\b{port}\b", other, text)
        return text

    def does(self, command: str) -> str:
        """Type one line; what is shown."""
        name = re.match(r"export (\w+)=(.*)", command)
        if name is not None:
            self._environment[name[1]] = self.does(f"echo {name[2]}").strip()
            return ""
        if "http.server" in command or command.endswith(" &"):
            self._start(self.own(command).removesuffix(" &"))
            return ""
        done = subprocess.run(
            ["bash", "-c", self.own(command)],
            cwd=self._place,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
        said = done.stdout.decode()
        assert done.returncode == 0, f"{command}\n{said}"
        return said

    def _start(self, command: str) -> None:
        self._running.append(
            subprocess.Popen(["bash", "-c", f"exec {command}"], cwd=self._place, env=self._environment)
        )
        # A person takes longer to type the next line.
        ready = "http://127.0.0.1:8081/readyz" if "txstalecache run" in command else "http://127.0.0.1:8000/"
        deadline = time.monotonic() + 30
        while True:
            try:
                urlopen(self.own(ready), timeout=5).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)

    def stops_the_site(self) -> None:
        """Ctrl-C in the first terminal."""
        site = self._running.pop(0)
        site.send_signal(signal.SIGINT)
        site.wait(20)

    def close(self) -> None:
        for process in self._running:
            process.terminate()
        for process in self._running:
            process.wait(40)


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    one = Reader(tmp_path)
    yield one
    one.close()


def test_it_goes_as_it_says(reader: Reader, tmp_path: Path) -> None:
    lines = iter(commands())

    def types(expected: str) -> str:
        command = next(lines)
        assert expected in command
        return reader.does(command)

    types("mkdir site")
    types("http.server")
    assert next(lines) == "python3 -m venv cache"
    assert next(lines) == "cache/bin/pip install 'txstalecache[embedded]'"
    types("token_urlsafe")
    types("chmod 600 token")
    (tmp_path / "site.toml").write_text(reader.own(settings()))
    assert "ttl" in types("txstalecache check")
    types("txstalecache run")
    first, second = types("curl -i"), types("curl -i")
    assert "fwd=uri-miss" in first and "<h1>Hello</h1>" in first
    assert "txstalecache; hit" in second and "<h1>Hello</h1>" in second
    types("Hello again")
    types("sleep 6")
    stale = types("curl -i")
    assert "detail=swr" in stale and "<h1>Hello</h1>" in stale
    types("sleep 1")
    assert "<h1>Hello again</h1>" in types("curl -i")
    reader.stops_the_site()
    assert "<h1>Hello again</h1>" in reader.does("curl -i http://127.0.0.1:8080/")
    types("export TXSTALECACHE_ADMIN_TOKEN")
    reader.does("export TXSTALECACHE_ADMIN=http://127.0.0.1:8081")
    assert "hit ratio" in types("txstalecache status")
    assert re.search(r"^verdict +(fresh|stale)$", types("explain"), re.MULTILINE)
    assert re.search(r"^verdict +pass$", types("Cookie: session=1"), re.MULTILINE)
    assert "text/html" in types("txstalecache get")
    assert "purged" in types("purge url")
    assert "stale now" in types("purge all --soft")
    assert list(lines) == []
