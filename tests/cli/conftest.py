"""A proxy in front of an origin, and the command that asks it: one for a file's tests, which keep to their URLs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import TOKEN, Command
from tests.fleet.processes import Origin, Proxy


@pytest.fixture(scope="module")
def served() -> Iterator[Origin]:
    """What the proxy caches."""
    origin = Origin()
    origin.fields = {"Cache-Control": "max-age=60, stale-while-revalidate=60", "Surrogate-Key": "blue all"}
    yield origin
    origin.close()


@pytest.fixture(scope="module")
def proxy(served: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """With its admin interface on."""
    place = tmp_path_factory.mktemp("proxy")
    (place / "token").write_text(TOKEN + "\n")
    admin = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(place / "token"))
    one = Proxy(place, "--origin", served.url, "--redis", "memory", *admin)
    yield one
    assert one.end() == 0
    assert "Traceback" not in one.output


@pytest.fixture
def command(proxy: Proxy, tmp_path: Path) -> Command:
    """Asks that proxy."""
    return Command(tmp_path, f"http://127.0.0.1:{proxy.admin}")
