"""What the admin interface says about a proxy that serves, and what it does to it: over sockets, with a real Redis."""

from __future__ import annotations

import threading
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.admin.asking import Admin, Stream
from tests.fleet.processes import Origin
from txstalecache.observe.tally import EACH


@contextmanager
def slow(site: Origin, seconds: float) -> Iterator[None]:
    """While this lasts, the site takes its time."""
    site.delay = seconds
    try:
        yield
    finally:
        site.delay = 0.0


@contextmanager
def fields(site: Origin, **more: str) -> Iterator[None]:
    """While this lasts, the site's answers say something else."""
    before = site.fields
    site.fields = {**before, **{name.replace("_", "-"): value for name, value in more.items()}}
    try:
        yield
    finally:
        site.fields = before


def test_the_status_counts_what_was_answered(admin: Admin) -> None:
    before = admin.get("/v1/status")[1]
    admin.visit("/counted")
    for _ in range(10):
        admin.visit("/counted")
    after = admin.get("/v1/status")[1]
    assert after["covers"] == "process"
    assert after["process"]["pid"] == admin.proxy.process.pid
    assert after["requests"]["miss"] - before["requests"]["miss"] == 1
    assert after["requests"]["fresh"] - before["requests"]["fresh"] == 10
    assert after["origin_saved"] - before["origin_saved"] == 10
    assert after["origin_requests"] - before["origin_requests"] == 1
    assert after["store"]["redis"] == 1.0
    assert after["memory"]["bytes"] > 0
    assert [one["healthy"] for one in after["upstreams"][0]["servers"]] == [True]
    seen = admin.until("/v1/status", lambda said: said["hit_ratio"])
    assert 0 < seen["hit_ratio"] < 1
    assert 0 < seen["latency"]["p50"] <= seen["latency"]["p99"]
    assert seen["rates"]["requests_per_second"] > 0


def test_a_flight_in_the_air_shows_who_waits(admin: Admin, site: Origin) -> None:
    with slow(site, 1.0):
        clients = [threading.Thread(target=admin.visit, args=("/slow",)) for _ in range(5)]
        for client in clients:
            client.start()
        said = admin.until("/v1/flights", lambda said: said["flights"] and said["flights"][0]["waiters"] == 5)
        for client in clients:
            client.join(10)
    (flight,) = said["flights"]
    assert flight["url"] == "http://localhost/slow"
    assert (flight["state"], flight["refresh"], flight["shared"]) == ("pending", False, True)
    assert flight["leader"]["pid"] == admin.proxy.process.pid
    assert 0 <= flight["age"] < 5
    admin.until("/v1/flights", lambda said: not said["flights"])


def test_an_entry_is_shown_with_each_variant_and_where_it_is(admin: Admin, site: Origin) -> None:
    with fields(site, Vary="Accept-Language"):
        admin.visit("/varied", Accept_Language="de")
        admin.visit("/varied", Accept_Language="fr")
        # In memory again once Redis has told of the writes.
        admin.visit("/varied", Accept_Language="de")

    def both(said: Any) -> bool:
        return (
            "variants" in said and len(said["variants"]) == 2 and all(v["where"] != "memory" for v in said["variants"])
        )

    said = admin.until("/v1/entry?url=http://localhost/varied&body=true", both)
    assert {tuple(map(tuple, variant["selector"])) for variant in said["variants"]} == {
        (("accept-language", "de"),),
        (("accept-language", "fr"),),
    }
    for variant in said["variants"]:
        assert (variant["status"], variant["tags"]) == (200, ["all", "blue"])
        assert b64decode(variant["body"]).strip().isdigit()
        assert variant["size"] == len(b64decode(variant["body"]))
        times = variant["times"]
        # Its Date has whole seconds.
        assert 58.9 <= times["fresh_until"] - times["stored"] <= 60.1
        assert times["stale_until"] - times["fresh_until"] == 60
    assert admin.get("/v1/entry?url=http://localhost/never")[0] == 404


def steps(said: Any) -> dict[str, Any]:
    return {step["step"]: step for step in said["steps"]}


def test_a_decision_is_explained_without_asking_the_origin(admin: Admin, site: Origin) -> None:
    admin.visit("/why")
    hits = list(site.hits)
    url = "http://localhost/why"
    cases: list[tuple[dict[str, str], str, str, str]] = [
        ({}, "fresh", "hit", "RFC 9111 §4.2"),
        ({"Cache-Control": "no-cache"}, "validate", "reload", "RFC 9111 §5.2.1.4"),
        ({"Cache-Control": "no-store"}, "pass", "no-store", "RFC 9111 §5.2"),
        ({"Authorization": "Bearer x"}, "pass", "authorization", "RFC 9111 §3.5"),
        ({"If-Match": '"x"'}, "pass", "precondition", "RFC 9111 §4.3.2"),
        ({"Via": "1.1 txstalecache"}, "refuse", "loop", "RFC 9110 §7.6.3"),
        (
            {"Content-Length": "1", "Transfer-Encoding": "chunked"},
            "refuse",
            "both Content-Length and Transfer-Encoding",
            "",
        ),
    ]
    for given, verdict, why, section in cases:
        status, said = admin.post("/v1/explain", {"url": url, "fields": given})
        assert (status, said["verdict"], said["why"]) == (200, verdict, why), said
        decided = next(step for step in reversed(said["steps"]) if step["step"] != "flight")
        assert section in decided["section"]
        assert decided["rule"]
    said = admin.post("/v1/explain", {"url": "http://localhost/never"})[1]
    assert (said["verdict"], said["why"]) == ("miss", "miss")
    assert "would lead" in steps(said)["flight"]["outcome"]
    assert admin.post("/v1/explain", {"url": url, "method": "DELETE"})[1]["why"] == "method"
    assert steps(admin.post("/v1/explain", {"url": url})[1]).keys() >= {"validate", "route", "key", "lookup", "windows"}
    assert site.hits == hits


def test_why_an_answer_was_not_shared_is_explained(admin: Admin, site: Origin) -> None:
    with fields(site, Set_Cookie="a=b"), slow(site, 0.3):
        clients = [threading.Thread(target=admin.visit, args=("/mine",)) for _ in range(2)]
        for client in clients:
            client.start()
        for client in clients:
            client.join(10)
    said = admin.post("/v1/explain", {"url": "http://localhost/mine"})[1]
    assert (said["verdict"], said["why"]) == ("pass", "hit-for-miss")
    assert "set-cookie" in steps(said)["marker"]["outcome"]
    assert "sets a cookie" in steps(said)["marker"]["rule"]
    assert 'txstalecache_not_collapsed_total{why="set-cookie"}' in admin.get("/metrics")[1]


def test_why_an_answer_was_not_stored_is_explained(admin: Admin, site: Origin) -> None:
    cases = [
        ("no-store", "no-store", "RFC 9111 §5.2"),
        ("max-age=0", "ttl-0", "RFC 9111 §4"),
        ("private", "private", "RFC 9111 §5.2.2.7"),
    ]
    for number, (control, why, section) in enumerate(cases):
        with fields(site, Cache_Control=control):
            admin.visit(f"/unstored/{number}")
        told = steps(admin.post("/v1/explain", {"url": f"http://localhost/unstored/{number}"})[1])["last answer"]
        assert told["outcome"].endswith(f"not stored: {why}")
        assert told["section"] == section
    with fields(site, Cache_Control="max-age=60"):
        admin.visit("/stored")
    assert "last answer" not in steps(admin.post("/v1/explain", {"url": "http://localhost/stored"})[1])


def test_the_top_lists_what_is_asked_for_most(admin: Admin) -> None:
    # So that one of them is looked at, whenever the last one was.
    for _ in range(2 * EACH + 1):
        admin.visit("/popular")
    said = admin.get("/v1/top?by=hits&limit=3")[1]
    assert len(said["top"]) <= 3
    urls = [row["url"] for row in admin.get("/v1/top?by=hits&limit=256")[1]["top"]]
    assert "http://localhost/popular" in urls
    misses = {row["url"]: row for row in admin.get("/v1/top?by=misses&limit=256")[1]["top"]}
    assert misses["http://localhost/popular"]["misses"] == 1


def test_a_dry_purge_counts_and_a_real_one_purges(admin: Admin, site: Origin) -> None:
    url = "http://localhost/purged"
    with fields(site, Surrogate_Key="dry"):
        old = admin.visit("/purged")
    orders: list[dict[str, str]] = [
        {"scope": "url", "value": url},
        {"scope": "tag", "value": "dry"},
        {"scope": "prefix", "value": "http://localhost/purg"},
    ]
    for order in orders:
        admin.until("/v1/entry?url=" + url, lambda said: "variants" in said)
        assert admin.visit("/purged") == old
        status, said = admin.post("/v1/purge", {**order, "dry": True})
        assert (status, said["purged"], said["count"]) == (200, False, 1), order
        assert admin.visit("/purged") == old
        status, said = admin.post("/v1/purge", order)
        assert (status, said["purged"], said["count"]) == (200, True, 1)
        with fields(site, Surrogate_Key="dry"):
            new = admin.visit("/purged")
        assert new != old
        old = new
    assert admin.post("/v1/purge", {"scope": "tag", "value": "nobody", "dry": True})[1]["count"] == 0


def test_a_refresh_by_tag_fetches_what_is_known_anew(admin: Admin, site: Origin) -> None:
    with fields(site, Surrogate_Key="fruit"):
        old = {path: admin.visit(path) for path in ("/apple", "/pear")}
        assert {path: admin.visit(path) for path in old} == old
        status, said = admin.post("/v1/purge", {"scope": "tag", "value": "fruit", "mode": "refresh"})
        assert (status, said["refreshing"]) == (200, True)
        job = admin.until(f"/v1/warm/{said['job']}", lambda said: said["state"] != "running")
    assert (job["state"], job["done"], job["failed"], job["total"]) == ("done", 2, 0, 2)
    hits = list(site.hits)
    assert all(admin.visit(path) != body for path, body in old.items())
    assert site.hits == hits


def test_a_list_is_warmed_and_what_cannot_be_is_named(admin: Admin, site: Origin) -> None:
    urls = [f"http://localhost/warm/{number}" for number in range(12)]
    status, said = admin.post("/v1/warm", {"urls": urls, "rate": 500, "concurrency": 3})
    assert status == 202
    job = admin.until(f"/v1/warm/{said['job']}", lambda said: said["state"] != "running")
    assert (job["state"], job["done"], job["failed"], job["total"], job["errors"]) == ("done", 12, 0, 12, [])
    hits = len(site.hits)
    assert len({admin.visit(f"/warm/{number}") for number in range(12)}) == 12
    assert len(site.hits) == hits
    with fields(site, Cache_Control="no-store"):
        said = admin.post("/v1/warm", {"urls": ["http://localhost/cold"]})[1]
        job = admin.until(f"/v1/warm/{said['job']}", lambda said: said["state"] != "running")
    assert (job["state"], job["done"], job["failed"]) == ("done", 0, 1)
    assert "not stored: no-store" in job["errors"][0]["problem"]
    assert said["job"] in [one["job"] for one in admin.get("/v1/warm")[1]["jobs"]]


def test_a_warm_request_shares_the_fetch_of_a_client(admin: Admin, site: Origin) -> None:
    with slow(site, 0.5):
        client = threading.Thread(target=admin.visit, args=("/together",))
        client.start()
        admin.until("/v1/flights", lambda said: said["flights"])
        said = admin.post("/v1/warm", {"urls": ["http://localhost/together"]})[1]
        job = admin.until(f"/v1/warm/{said['job']}", lambda said: said["state"] != "running")
        client.join(10)
    assert (job["done"], site.hits.count("/together")) == (1, 1)


def test_a_job_that_is_cancelled_asks_for_no_more(admin: Admin, site: Origin) -> None:
    urls = [f"http://localhost/many/{number}" for number in range(100)]
    said = admin.post("/v1/warm", {"urls": urls, "rate": 5, "concurrency": 1})[1]
    admin.until(f"/v1/warm/{said['job']}", lambda said: said["done"] >= 1)
    status, job = admin.send("DELETE", f"/v1/warm/{said['job']}", None)
    assert (status, job["state"]) == (200, "cancelled")
    assert job["done"] < 100
    assert admin.get("/v1/warm/999999")[0] == 404


def test_what_happens_is_told_as_it_happens(admin: Admin, site: Origin) -> None:
    with Stream(admin) as stream:
        assert stream.next("status")["process"]["pid"] == admin.proxy.process.pid
        admin.visit("/told")
        began = stream.next("flight")
        assert (began["what"], began["url"]) == ("began", "http://localhost/told")
        assert began["leader"]["pid"] == admin.proxy.process.pid
        ended = stream.next("flight")
        assert (ended["what"], ended["url"], ended["state"]) == ("ended", "http://localhost/told", "done")
        assert stream.next("status")["requests"]["miss"] > 0


def test_health_and_readiness_need_no_token(admin: Admin) -> None:
    assert admin.get("/healthz", Authorization="") == (200, {"healthy": True})
    assert admin.get("/readyz", Authorization="") == (200, {"ready": True})
