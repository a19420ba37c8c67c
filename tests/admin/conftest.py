"""One proxy in a process of its own, for what is asked from outside; and the token that opens it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.admin.asking import TOKEN, Admin
from tests.fleet.processes import Origin, Proxy


@pytest.fixture(scope="module")
def site() -> Iterator[Origin]:
    """What the proxy caches."""
    origin = Origin()
    origin.fields = {"Cache-Control": "max-age=60, stale-while-revalidate=60", "Surrogate-Key": "blue all"}
    yield origin
    origin.close()


@pytest.fixture(scope="module")
def admin(site: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """The admin interface of a proxy with a Redis of its own."""
    place = tmp_path_factory.mktemp("admin")
    (place / "token").write_text(TOKEN + "\n")
    options = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(place / "token"))
    proxy = Proxy(place, "--origin", site.url, "--redis", "embedded", *options)
    admin = Admin(proxy)
    admin.until("/v1/status", lambda said: said["store"]["tracking"] == 1.0)
    yield admin
    assert proxy.end() == 0
    assert "Traceback" not in proxy.output, proxy.output
