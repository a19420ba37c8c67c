"""The metrics: what is counted, in Prometheus' format, with no label from a request."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from txstalecache.http.messages import Fields
from txstalecache.observe.accesslog import Record
from txstalecache.observe.metrics import exposition
from txstalecache.observe.reasons import REASONS
from txstalecache.observe.tally import EACH, ROLES, VERDICTS, Tally
from txstalecache.observe.top import TopKeys

HOSTILE = ["/<script>", 'x"} 1\nforged 1', "\x00\x1b[2J", "é\ud800", "x" * 10_000, "{why}"]


def record(**more: Any) -> Record:
    said: dict[str, Any] = {
        "time": 0.0,
        "client": "192.0.2.1",
        "method": b"GET",
        "target": b"/x",
        "version": b"HTTP/1.1",
        "fields": Fields([(b"Host", b"example.org")]),
        "status": 200,
        "sent": 10,
        "verdict": "fresh",
        "why": "hit",
        "role": "hit",
        "duration": 0.002,
        **more,
    }
    return Record(**said)


def told(tally: Tally, worker: int | None = None) -> dict[str, Any]:
    """As ``admin.facts`` tells it, with little beside the tally."""
    empty: dict[str, Any] = {"counts": {}, "total": 0.0}
    return {
        "process": {"host": "h", "pid": 1, "worker": worker},
        "version": "1",
        "uptime": 1.0,
        "requests": tally.requests(),
        "sent": tally.sent,
        "cut": tally.cut,
        "alone": dict(tally.alone),
        "saved": tally.totals()["saved"],
        "durations": {name: {"counts": one.sparse(), "total": one.total} for name, one in tally.durations.items()},
        "waits": {"counts": tally.waits.sparse(), "total": tally.waits.total},
        "flights": {"pending": 1},
        "waiting": 0,
        "held": 0,
        "ended": [["refresh", "shared", "done", 3], ["fetch", "solo", "failed", 1]],
        "back_offs": 2,
        "fetches": 4,
        "answers": {"2xx": 3, "304": 1},
        "faults": {"connect": 1},
        "origin_latency": empty,
        "store": {"memory_bytes": 5.0, "redis_available": 1.0},
        "redis_latency": None,
        "upstreams": [
            {"name": "app", "servers": [{"address": "10.0.0.1:80", "healthy": False, "open": 1, "waiting": 2}]}
        ],
    }


def samples(*processes: dict[str, Any]) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text = exposition(processes).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_each_request_is_counted_once_under_what_became_of_it() -> None:
    tally = Tally()
    for _ in range(3):
        tally(record())
    tally(record(verdict="miss", why="miss", role="waiter", wait=0.5))
    tally(record(verdict="pass", why="set-cookie", role="alone", collapsed=False, complete=False, status=0))
    tally(record(status=599, sent=0))
    tally(record(status=600, sent=0))
    found = samples(told(tally))

    def requests(verdict: str, why: str, role: str, status: str) -> float:
        labels = (("role", role), ("status", status), ("verdict", verdict), ("why", why))
        return found["txstalecache_requests_total", labels]

    assert requests("fresh", "hit", "hit", "2xx") == 3
    assert requests("miss", "miss", "waiter", "2xx") == 1
    assert requests("pass", "set-cookie", "alone", "none") == 1
    assert requests("fresh", "hit", "hit", "5xx") == requests("fresh", "hit", "hit", "other") == 1
    assert found["txstalecache_coalesced_waiters_total", ()] == 1
    assert found["txstalecache_not_collapsed_total", (("why", "set-cookie"),)] == 1
    assert found["txstalecache_origin_saved_total", ()] == 6
    assert found["txstalecache_answers_cut_total", ()] == 1
    assert found["txstalecache_sent_bytes_total", ()] == 50
    assert found["txstalecache_wait_seconds_count", ()] == 1
    assert found["txstalecache_wait_seconds_sum", ()] == 0.5
    assert found["txstalecache_refreshes_total", (("state", "done"),)] == 3
    assert found["txstalecache_upstream_healthy", (("server", "10.0.0.1:80"), ("upstream", "app"))] == 0
    fresh = ("verdict", "fresh")
    assert found["txstalecache_request_duration_seconds_count", (fresh,)] == 5
    assert found["txstalecache_request_duration_seconds_sum", (fresh,)] == pytest.approx(0.01)
    within = [
        found["txstalecache_request_duration_seconds_bucket", (("le", le), fresh)]
        for le in ("0.001953125", "0.00390625", "+Inf")
    ]
    assert within == [0, 5, 5]


def test_nothing_of_a_request_becomes_a_label() -> None:
    tally = Tally()
    for bad in HOSTILE:
        tally(
            record(
                verdict=bad,
                why=bad,
                role=bad,
                status=sum(map(ord, bad)),
                collapsed=False,
                target=bad.encode("utf-8", "surrogatepass"),
                fields=Fields([(b"Host", bad.encode("utf-8", "surrogatepass"))]),
            )
        )
        tally(record(why=bad, status=99))
    known = {*VERDICTS, *ROLES, *REASONS, "other", "none", "1xx", "2xx", "3xx", "4xx", "5xx"}
    for name, labels in samples(told(tally)):
        for label, value in labels:
            if label in ("verdict", "why", "role", "status") and name != "txstalecache_origin_answers_total":
                assert value in known, (name, label, value)


def test_a_flood_of_urls_takes_no_more_room() -> None:
    tally = Tally()
    for number in range(20_000):
        tally(record(target=b"/%d" % number, why=f"why {number}", verdict="miss", role="leader"))
    assert len(tally._cells) == 1
    assert len(exposition([told(tally)])) < 40_000
    assert len(tally.top.top("misses", 100_000)) == TopKeys.CAPACITY


def test_each_worker_has_its_number_and_one_process_none() -> None:
    one, two = Tally(), Tally()
    one(record())
    found = samples(told(one, 1), told(two, 2))
    assert found["txstalecache_origin_saved_total", (("worker", "1"),)] == 1
    assert found["txstalecache_origin_saved_total", (("worker", "2"),)] == 0
    assert found["txstalecache_processes", ()] == 2


def test_hits_of_the_lane_are_timed_now_and_then_and_counted_all() -> None:
    tally = Tally()
    cell = tally.cell("fresh", "hit", "hit", 200)
    looked_at = 0
    for number in range(100 * EACH):
        cell.count += 1
        if cell.count >= cell.due:
            looked_at += 1
            tally.sample(cell, b"http://a/%d" % (number % 3), 5, 0.001)
    assert 50 < looked_at < 200
    assert tally.requests() == [("fresh", "hit", "hit", "2xx", 100 * EACH)]
    assert 98 * EACH <= tally.durations["fresh"].count <= 100 * EACH
    ranked = tally.top.top("hits", 10)
    assert len(ranked) == 3
    assert sum(int(str(row["hits"])) for row in ranked) == tally.durations["fresh"].count


def test_what_was_timed_beside_the_lane_is_not_stood_for_by_a_hit_of_the_lane() -> None:
    tally = Tally()
    cell = tally.cell("fresh", "hit", "hit", 200)
    for _ in range(10 * EACH):
        tally(record())
        cell.count += 1
        if cell.count >= cell.due:
            tally.sample(cell, b"http://a/", 5, 0.001)
    ((*_, counted),) = tally.requests()
    assert counted == 20 * EACH
    assert counted - 2 * EACH <= tally.durations["fresh"].count <= counted
    timed = tally.top.top("hits", 2)
    assert sum(int(str(row["hits"])) for row in timed) == tally.durations["fresh"].count


def test_urls_are_ranked_by_host_as_it_is_meant_and_what_is_refused_is_not() -> None:
    tally = Tally()
    for host in (b"Example.ORG", b"example.org"):
        tally(record(fields=Fields([(b"Host", host)]), verdict="miss", role="waiter"))
    tally(record(verdict="miss", role="leader"))
    tally(record(verdict="refuse", why="loop", role="-"))
    (row,) = tally.top.top("waiters", 9)
    assert (row["url"], row["waiters"], row["misses"], row["bytes"]) == ("http://example.org/x", 2, 1, 30)
    assert [one["url"] for one in tally.top.top("misses", 9)] == ["http://example.org/x"]
    # What was long ago counts less.
    for now in (0.0, TopKeys.HALF_LIFE):
        tally.tick(now)
    assert tally.top.top("waiters", 9)[0]["waiters"] == 1


def test_rates_look_back_on_the_last_seconds_only() -> None:
    tally = Tally()
    for second in range(60):
        tally.tick(float(second))
        for _ in range(100 if second < 30 else 5):
            tally(record())
    recent = tally.recent(60.0)
    assert 9 <= recent["seconds"] <= 11
    assert recent["verdicts"]["fresh"] / recent["seconds"] == 5
    assert recent["saved"] / recent["seconds"] == 5
    assert sum(recent["durations"].values()) / recent["seconds"] == 5
