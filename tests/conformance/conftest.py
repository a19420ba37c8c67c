"""One proxy in front of one scripted origin for each module of cases."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import pytest_twisted

from tests.conformance.transcript import Stage
from tests.support.origin import ScriptedOrigin
from tests.support.proxy import Proxy


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """Where the cases of a module are played."""
    origin = ScriptedOrigin(keep_raw=False)
    pytest_twisted.blockon(origin.start())
    proxy = Proxy(origin.url)
    pytest_twisted.blockon(proxy.start())
    yield Stage(proxy, origin)
    pytest_twisted.blockon(proxy.close())
    pytest_twisted.blockon(origin.close())
