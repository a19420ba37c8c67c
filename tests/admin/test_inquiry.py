"""What several processes say, put together."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from txstalecache.admin.inquiry import Inquiry
from txstalecache.store import Scope


def status(redis: float | None, breaker: float | None, tracking: float | None) -> dict[str, Any]:
    """What one process says of itself; of its store what is given."""
    store: dict[str, Any] = {"degraded": redis == 0, "redis": redis, "breaker_open": breaker, "tracking": tracking}
    store["figures"] = {} if redis is None else {"redis_available": redis, "redis_tracking": tracking, "memory_keys": 2}
    store["figures"]["purge_scopes"] = 3
    none = {"flights": 0, "waiting": 0, "bytes_in_flight": 0, "origin_requests": 0, "origin_saved": 0, "sent_bytes": 0}
    recent: dict[str, Any] = {"seconds": 1.0, "verdicts": {}, "saved": 0, "durations": {}}
    who: dict[str, Any] = {"process": {"pid": 1}, "version": "1", "uptime": 1.0}
    return {**who, **none, "store": store, "memory": {}, "upstreams": [], "requests": {}, "recent": recent}


def told(*answers: dict[str, Any]) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    inquiry = Inquiry(lambda what: succeed(list(answers)), "workers", {})
    Deferred.fromCoroutine(inquiry.status()).addCallback(found.append)
    store: dict[str, Any] = found[0]["store"]
    return store


def said(*answers: dict[str, Any]) -> dict[str, Any]:
    store = told(*answers)
    return {name: store[name] for name in ("degraded", "redis", "breaker_open", "tracking")}


def test_a_store_is_as_well_as_it_is_in_the_process_where_it_is_worst() -> None:
    well, ill = status(1.0, 0.0, 1.0), status(0.0, 1.0, 0.0)
    for answers in ((well, ill), (ill, well)):
        assert said(*answers) == {"degraded": True, "redis": 0.0, "breaker_open": 1.0, "tracking": 0.0}
    assert said(well, well) == {"degraded": False, "redis": 1.0, "breaker_open": 0.0, "tracking": 1.0}


def test_a_store_without_a_redis_says_nothing_of_one() -> None:
    alone = status(None, None, None)
    assert said(alone, alone) == {"degraded": False, "redis": None, "breaker_open": None, "tracking": None}


def test_what_is_so_in_each_process_is_not_added_up() -> None:
    well, ill = status(1.0, 0.0, 1.0), status(0.0, 1.0, 0.0)
    assert told(well, well)["figures"] == {
        "redis_available": 1.0,
        "redis_tracking": 1.0,
        "memory_keys": 4,
        "purge_scopes": 3,
    }
    assert told(well, ill)["figures"]["redis_available"] == 0.0
    assert told(status(None, None, None), status(None, None, None))["figures"] == {"purge_scopes": 3}


@pytest.mark.parametrize(("redis", "whole"), [(False, True), (True, False)])
def test_a_purge_says_whether_redis_may_have_more(redis: bool, whole: bool) -> None:
    answers: list[dict[str, Any]] = [
        {"process": {"pid": 1}, "count": number, "urls": [], "redis": redis} for number in (1, 3)
    ]
    inquiry = Inquiry(lambda what, **said: succeed(answers), "workers", {})
    found: list[tuple[int, bool]] = []
    Deferred.fromCoroutine(inquiry.count(Scope.everything(), None)).addCallback(found.append)
    assert found == [(3, whole)]
