"""One proxy in front of one scripted origin for each module of cases; with ``--long`` once more through Redis alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import pytest_twisted

from tests.conformance.transcript import Stage
from tests.support.origin import ScriptedOrigin
from tests.support.proxy import Proxy
from txstalecache.config.routes import Match, Route
from txstalecache.http.rules import Ranges, Rules

#: Routes beside the default one, for cases that are played under them.
ROUTES = (
    Route(match=Match(prefix="/by-part/"), rules=Rules(ranges=Ranges.PART)),
    Route(match=Match(prefix="/long/"), rules=Rules(max_object=10)),
)
STORES: dict[str, dict[str, Any]] = {"memory": {}, "redis": {"redis": "embedded", "memory": 0}}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stage" in metafunc.fixturenames:
        stores = list(STORES) if metafunc.config.getoption("--long") else ["memory"]
        metafunc.parametrize("stage", stores, indirect=True, scope="module")


@pytest.fixture(scope="module")
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    """Where the cases of a module are played."""
    origin = ScriptedOrigin(keep_raw=False)
    pytest_twisted.blockon(origin.start())
    proxy = Proxy(origin.url, before=ROUTES, **STORES[request.param])
    pytest_twisted.blockon(proxy.start())
    yield Stage(proxy, origin)
    pytest_twisted.blockon(proxy.close())
    pytest_twisted.blockon(origin.close())
