"""A browser, and a proxy with its dashboard on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.dashboard.browser import Browser
from tests.dashboard.site import Site
from tests.fleet.processes import Origin


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Slow to start: one for all."""
    one = Browser()
    yield one
    one.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Proxy and origin."""
    origin = Origin()
    origin.fields = {"Cache-Control": "max-age=60, stale-while-revalidate=60", "Surrogate-Key": "blue"}
    one = Site(tmp_path, origin)
    yield one
    one.close()
    origin.close()
