"""What several processes say, put together."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from twisted.internet.defer import Deferred, succeed

from txstalecache.admin.inquiry import Inquiry, Silent
from txstalecache.observe.histogram import Histogram
from txstalecache.store import Scope

ME = {"pid": 9, "worker": None}


def put_together(*answers: dict[str, Any]) -> Inquiry:
    """One of workers that give these answers."""
    return Inquiry(lambda what, **said: succeed(list(answers)), "workers", ME)


def result(asking: Coroutine[Any, Any, Any]) -> Any:
    found: list[Any] = []
    Deferred.fromCoroutine(asking).addBoth(found.append)
    return found[0]


def worker(number: int, **said: Any) -> dict[str, Any]:
    """What a worker answers."""
    return {**said, "process": {"pid": number, "worker": None}, "worker": number, "pid": number}


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
    store: dict[str, Any] = result(put_together(*answers).status())["store"]
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
    assert result(put_together(*answers).count(Scope.everything(), None)) == (3, whole)


def took(*seconds: float) -> dict[str, int]:
    one = Histogram()
    for each in seconds:
        one.add(each)
    return one.sparse()


def test_what_workers_did_is_added_up_and_one_that_is_silent_is_left_out() -> None:
    def serving(number: int, recent: dict[str, Any], **more: Any) -> dict[str, Any]:
        memory = {"bytes": number, "limit": 10, "entries": 1}
        counted = {"flights": number, "waiting": 2, "bytes_in_flight": 3, "origin_saved": 4, "sent_bytes": 5}
        return worker(number, **{**status(None, None, None), **counted, **more, "memory": memory, "recent": recent})

    one = serving(
        1,
        {
            "seconds": 9.0,
            "verdicts": {"fresh": 20, "stale": 10, "miss": 10},
            "saved": 30,
            "durations": took(*[0.001] * 40, *[0.02] * 15, *[0.5] * 5),
        },
        uptime=60.0,
        requests={"fresh": 7, "miss": 1},
        origin_requests=1,
    )
    two = serving(
        2,
        {"seconds": 10.0, "verdicts": {"fresh": 50, "pass": 10}, "saved": 50, "durations": took(*[0.001] * 40)},
        uptime=2.0,
        requests={"fresh": 3},
        origin_requests=5,
    )
    said = result(put_together(one, {"worker": 3, "pid": None, "problem": "being started again"}, two).status())
    who = [{"pid": number, "worker": number, "uptime": uptime} for number, uptime in ((1, 60.0), (2, 2.0))]
    assert (said["covers"], said["process"], said["processes"], said["uptime"]) == ("workers", ME, who, 60.0)
    assert said["version"] == "1"
    assert [said[name] for name in ("flights", "waiting", "bytes_in_flight")] == [3, 4, 6]
    assert [said[name] for name in ("origin_requests", "origin_saved", "sent_bytes")] == [6, 8, 10]
    assert said["requests"] == {"fresh": 10, "stale": 0, "validate": 0, "miss": 1, "pass": 0, "refuse": 0}
    assert said["memory"] == {"bytes": 3, "limit": 20, "entries": 2}
    assert (said["window"], said["hit_ratio"]) == (10.0, 0.8)
    assert (said["rates"]["requests_per_second"], said["rates"]["saved_per_second"]) == (10.0, 8.0)
    assert said["rates"]["by_verdict"]["fresh"] == 7.0
    p50, p90, p99 = (said["latency"][name] for name in ("p50", "p90", "p99"))
    assert 0.0009 < p50 < 0.0015 and 0.018 < p90 < 0.025 and 0.45 < p99 < 0.6


def test_of_one_process_alone_its_own_name_is_given_and_of_the_first_second_no_rate() -> None:
    recent: dict[str, Any] = {"seconds": 0.0, "verdicts": {}, "saved": 0, "durations": {}}
    said = result(put_together(worker(1, **{**status(None, None, None), "recent": recent})).status())
    assert said["process"] == {"pid": 1, "worker": 1}
    assert (said["rates"]["requests_per_second"], said["hit_ratio"], said["latency"]["p99"]) == (0.0, None, None)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([], "no process serves yet"),
        ([{"problem": "no answer within 1 s"}, {"problem": "being started again"}], "1 s; being started again"),
    ],
)
def test_where_nobody_answers_it_is_said_why(answers: list[dict[str, Any]], why: str) -> None:
    failure = result(put_together(*answers).status())
    assert failure.check(Silent)
    assert failure.getErrorMessage().endswith(why)


def test_connections_to_a_server_are_added_up_and_it_is_well_where_all_workers_find_it_so() -> None:
    def of(*servers: tuple[str, bool]) -> dict[str, Any]:
        named = [{"address": at, "healthy": well, "open": 1, "idle": 2, "waiting": 3} for at, well in servers]
        return {**status(None, None, None), "upstreams": [{"name": "www", "servers": named}]}

    one, two = of(("a:80", True), ("b:80", True)), of(("a:80", False), ("b:80", True))
    for answers in ((one, two), (two, one)):
        (upstream,) = result(put_together(*answers).status())["upstreams"]
        sums = {"open": 2, "idle": 4, "waiting": 6}
        assert upstream == {
            "name": "www",
            "servers": [{"address": "a:80", "healthy": False, **sums}, {"address": "b:80", "healthy": True, **sums}],
        }


def test_what_is_asked_for_most_is_ranked_by_what_all_workers_counted() -> None:
    def row(url: str, hits: int, error: int = 0) -> dict[str, Any]:
        return {"url": url, "hits": hits, "misses": 1, "bytes": 10, "waiters": 2, "error": error}

    one = worker(1, top=[row("http://h/a", 5), row("http://h/b", 4, 1), row("http://h/d", 1)])
    two = worker(2, top=[row("http://h/b", 4, 2), row("http://h/c", 5)])
    said = result(put_together(one, two).top("hits", 3))
    assert [(of["url"], of["hits"]) for of in said["top"]] == [("http://h/b", 8), ("http://h/a", 5), ("http://h/c", 5)]
    first = {"key": "h/b", "url": "http://h/b", "hits": 8, "misses": 2, "bytes": 20, "waiters": 4, "error": 3}
    assert said["top"][0] == first


def test_a_variant_that_several_have_is_told_once_with_where_it_is() -> None:
    def of(number: int, *places: tuple[str, str]) -> dict[str, Any]:
        variants = [
            {"selector": [["accept-language", language]], "times": {"requested": 1.0}, "where": where}
            for language, where in places
        ]
        return worker(number, key="h/x", digest="d", variants=variants)

    said = result(put_together(of(1, ("de", "memory"), ("fr", "redis")), of(2, ("de", "redis"))).entry("u", False))
    assert [(one["selector"][0][1], one["where"]) for one in said["variants"]] == [("de", "both"), ("fr", "redis")]
    assert (said["url"], said["key"], said["digest"], said["process"]) == ("u", "h/x", "d", ME)
    assert result(put_together(of(1), of(2)).entry("u", False)) is None


def test_an_explanation_is_of_the_worker_that_knows_most() -> None:
    def of(number: int, *steps: str) -> dict[str, Any]:
        return worker(number, route="r", key="k", digest="d", steps=list(steps), verdict=str(number), why="w")

    said = result(put_together(of(1, "a"), of(2, "a", "b"), of(3)).explain("u", "GET", []))
    assert (said["covers"], said["process"], said["verdict"]) == ("process", {"pid": 2, "worker": 2}, "2")


def test_flights_are_told_with_the_worker_that_leads_them_the_oldest_first() -> None:
    one = worker(1, flights=[{"age": 3.0}, {"age": 1.0}], total=1001)
    said = result(put_together(one, worker(2, flights=[{"age": 2.0}], total=1)).flights())
    assert [(flight["age"], flight["leader"]["worker"]) for flight in said["flights"]] == [(3.0, 1), (2.0, 2), (1.0, 1)]
    assert said["total"] == 1002


def test_urls_to_be_fetched_anew_are_those_that_any_worker_knows_each_once() -> None:
    one, two = (worker(number, count=1, urls=["http://h/a", f"http://h/{number}"], redis=True) for number in (1, 2))
    assert result(put_together(one, two).urls(Scope.everything())) == ["http://h/a", "http://h/1", "http://h/2"]


def test_of_one_url_all_that_is_stored_anywhere_is_counted() -> None:
    variants = [{"selector": [["a", name]], "times": {"requested": 1.0}, "where": "redis"} for name in "bc"]
    one, none = (worker(number, key="h/x", digest="d", variants=found) for number, found in ((1, variants), (2, [])))
    assert result(put_together(one, none).count(Scope.of_url(b"/x", b"h"), "http://h/x")) == (2, True)
    assert result(put_together(none).count(Scope.of_url(b"/x", b"h"), "http://h/x")) == (0, True)
