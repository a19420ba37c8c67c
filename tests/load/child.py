"""A child process that is talked to by lines, from a test under the reactor."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol

__all__ = ["Child"]

ROOT = Path(__file__).parents[2]


class Child(ProcessProtocol):
    """``python -m module *args``. The test that starts it ends it."""

    def __init__(self, module: str, *args: object) -> None:
        from twisted.internet import reactor

        self._received = b""
        self._lines: deque[str] = deque()
        self._wanting: deque[Deferred[str]] = deque()
        self.errors = b""
        self.ended: Deferred[None] = Deferred()
        self._over = False
        self.status: int | None = None
        """How it has ended: its exit status; a signal's number, negative."""
        reactor.spawnProcess(
            self,
            sys.executable,
            [sys.executable, "-m", module, *map(str, args)],
            env=os.environ,
            path=str(ROOT),
        )

    def outReceived(self, data: bytes) -> None:
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            if self._wanting:
                self._wanting.popleft().callback(line.decode())
            else:
                self._lines.append(line.decode())

    def errReceived(self, data: bytes) -> None:
        self.errors += data

    def processEnded(self, reason: Any) -> None:
        self._over = True
        ended = reason.value
        self.status = -ended.signal if ended.signal else ended.exitCode
        for wanting in self._wanting:
            wanting.errback(RuntimeError(f"the child has ended: {self.errors.decode()}"))
        self._wanting.clear()
        self.ended.callback(None)

    def line(self) -> Deferred[str]:
        """Its next line."""
        wanting: Deferred[str] = Deferred()
        if self._lines:
            wanting.callback(self._lines.popleft())
        elif self._over:
            wanting.errback(RuntimeError(f"the child has ended: {self.errors.decode()}"))
        else:
            self._wanting.append(wanting)
        return wanting

    def say(self, line: str = "") -> None:
        """One line to it."""
        assert self.transport is not None
        self.transport.write(line.encode() + b"\n")

    async def ask(self, line: str = "") -> Any:
        """What it answers to a line, read as JSON."""
        self.say(line)
        return json.loads(await self.line())

    def signal(self, name: str) -> None:
        """Send it ``SIG`` and ``name``."""
        assert self.transport is not None
        self.transport.signalProcess(name)

    def end(self) -> Deferred[None]:
        """Kill it: nothing it does matters any more."""
        if self.transport is not None and not self._over:
            try:
                self.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass
        return self.ended
