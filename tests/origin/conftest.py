from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import pytest_twisted

from txstalecache.origin.http import HttpOrigin

MakeHttpOrigin = Callable[..., HttpOrigin]


@pytest.fixture
def http_origin() -> Iterator[MakeHttpOrigin]:
    """``http_origin(url, **options)``: an HttpOrigin that is closed after the test and must then keep nothing."""
    from twisted.internet import reactor

    made: list[HttpOrigin] = []

    def make(url: str, **options: Any) -> HttpOrigin:
        origin = HttpOrigin(reactor, url, **options)
        made.append(origin)
        return origin

    yield make
    for origin in made:
        pytest_twisted.blockon(origin.close())
        assert origin.waiting == 0
        assert origin.idle_connections == 0
