"""Proxies in processes of their own, for tests under the reactor: see ``watched_process``."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.load.child import Child
from tests.support.proxy import later

__all__ = ["Watched", "excess", "watched"]


class Watched(Child):
    """One proxy. ``port`` and ``admin`` are where it listens, once ``ready``."""

    port = admin = 0

    def __init__(self, *options: str, ceilings: dict[str, int] | None = None) -> None:
        super().__init__("tests.safety.watched_process", json.dumps(ceilings or {}), *options)

    async def ready(self) -> Watched:
        """Wait until it listens and knows its store."""
        _, port, admin = (await self.line()).split()
        self.port, self.admin = int(port), int(admin)
        return self

    async def leave(self) -> int | None:
        """SIGTERM; the exit status."""
        self.signal("TERM")
        await self.ended
        return self.status

    async def idle(self, before: dict[str, Any], seconds: float = 20.0) -> dict[str, Any]:
        """Wait until it holds no more than it did ``before``; what it holds then. Fails the test if it never does."""
        for _ in range(int(seconds / 0.1)):
            now: dict[str, Any] = await self.ask()
            left = excess(before, now)
            if not left:
                return now
            await later(0.1)
        raise AssertionError(f"still held after {seconds} s: {left}, {now['air']}")


def excess(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What is held now and was not before."""
    calls = Counter(now["calls"]) - Counter(before["calls"])
    names = ("flights", "waiting", "held", "connections", "descriptors")
    counts = {name: now[name] - before[name] for name in names if now[name] > before[name]}
    return {**counts, "calls": dict(calls)} if calls else counts


@pytest.fixture
def watched() -> Iterator[Callable[..., Watched]]:
    """``await watched("--origin", url).ready()``: a Watched that is ended with the test."""
    started: list[Watched] = []

    def start(*options: str, ceilings: dict[str, int] | None = None) -> Watched:
        started.append(Watched(*options, ceilings=ceilings))
        return started[-1]

    yield start
    for one in started:
        pytest_twisted.blockon(one.end())
