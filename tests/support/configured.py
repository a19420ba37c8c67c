"""A proxy as a file describes it, in the test's own process: the service that ``txstalecache run FILE`` starts.

::

    proxy = await configured(f'''
        [upstream.www]
        servers = "{origin.url}"
    ''')
    reply = await fetch(proxy.port, "GET", "/x")

It listens on a free port, writes no log, and keeps entries in memory where the text says nothing of ``[redis]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, succeed

from txstalecache.config.settings import Settings

__all__ = ["Configured", "configured"]


class Configured:
    """See the module. Not to be started twice."""

    def __init__(self, text: str, path: Path) -> None:
        from twisted.internet import reactor

        from txstalecache.service import ProxyService

        self.path = path
        self.write(text)
        given = {"listen": "tcp:0:interface=127.0.0.1", "access-log": "none"}
        if "[redis]" not in text:
            given["redis"] = "memory"
        self.service = ProxyService(reactor, Settings.parse(given, config=str(path)))

    def write(self, text: str) -> None:
        """What the file says from now on; ``service.reload`` reads it."""
        self.path.write_text(dedent(text))

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        listening: Any = self.service._port
        return int(listening.getHost().port)

    @property
    def flights(self) -> int:
        """How many are in the air."""
        return len(self.service._resource.registry.flights)

    def age(self, seconds: float) -> None:
        """As if so much time had passed for what is stored: the store's clock is ahead by it. No timer has moved, nor
        what Redis lets expire."""
        self.service._store.clock._offset += seconds

    def start(self) -> Deferred[None]:
        """Listen; fires when its store can be asked."""
        self.service.privilegedStartService()
        self.service.startService()
        ready: Deferred[None] = self.service._store.ready().addCallback(lambda _: None)
        return ready


@pytest.fixture
def configured(tmp_path: Path) -> Iterator[Callable[[str], Deferred[Configured]]]:
    """``proxy = await configured(text)``: listening, and stopped after the test."""
    running: list[Configured] = []

    def run(text: str) -> Deferred[Configured]:
        proxy = Configured(text, tmp_path / f"proxy{len(running)}.toml")
        running.append(proxy)
        return proxy.start().addCallback(lambda _: proxy)

    yield run
    for proxy in running:
        pytest_twisted.blockon(proxy.service.stopService() or succeed(None))
