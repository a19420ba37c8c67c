"""For a whole file of tests: each is run with the fast lane, and with every request an ordinary one."""

from __future__ import annotations

from functools import partial

import pytest

from tests.support import proxy
from txstalecache.edge.site import CacheSite

__all__ = ["either_lane"]


@pytest.fixture(autouse=True, params=[True, False], ids=["fast lane", "no fast lane"])
def either_lane(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """What ``make_proxy`` makes has a fast lane, or has none."""
    monkeypatch.setattr(proxy, "CacheSite", partial(CacheSite, fast_lane=request.param))
    return bool(request.param)
