"""Proxies and an origin, ended after the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.processes import Origin, Proxy


@pytest.fixture
def threaded_origin() -> Iterator[Origin]:
    """An origin in threads, for proxies in processes."""
    origin = Origin()
    yield origin
    origin.close()


@pytest.fixture
def run_proxy(tmp_path: Path) -> Iterator[Callable[..., Proxy]]:
    """``run_proxy("--origin", url, …)``: a process that is killed after the test."""
    running: list[Proxy] = []

    def run(*arguments: str, **more: Any) -> Proxy:
        proxy = Proxy(tmp_path, *arguments, **more)
        running.append(proxy)
        return proxy

    yield run
    for proxy in running:
        proxy.close()
