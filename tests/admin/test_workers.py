"""With workers the answers cover all of them, and say so."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.admin.asking import TOKEN, Admin, Stream
from tests.fleet.processes import Origin, Proxy

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def fleet(site: Origin, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    place = tmp_path_factory.mktemp("workers")
    (place / "token").write_text(TOKEN + "\n")
    options = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", str(place / "token"), "--workers", "2")
    proxy = Proxy(place, "--origin", site.url, *options)
    admin = Admin(proxy)
    proxy.workers(2)
    admin.until("/v1/status", lambda said: len(said.get("processes", ())) == 2 and said["store"]["tracking"] == 1.0)
    yield admin
    assert proxy.end() == 0
    assert "Traceback" not in proxy.output, proxy.output


def test_what_the_workers_did_is_added_up(fleet: Admin) -> None:
    before = fleet.get("/v1/status")[1]
    for number in range(40):
        fleet.visit(f"/all/{number % 4}")
    after = fleet.get("/v1/status")[1]
    assert after["covers"] == "workers"
    assert {one["worker"] for one in after["processes"]} == {1, 2}
    assert {one["pid"] for one in after["processes"]} == set(fleet.proxy.workers(2))
    assert sum(after["requests"].values()) - sum(before["requests"].values()) == 40
    assert after["origin_requests"] - before["origin_requests"] == 4
    hits = {row["url"]: row["hits"] for row in fleet.get("/v1/top?by=hits&limit=256")[1]["top"]}
    misses = {row["url"]: row["misses"] for row in fleet.get("/v1/top?by=misses&limit=256")[1]["top"]}
    assert all(hits[f"http://localhost/all/{number}"] for number in range(4))
    assert all(misses[f"http://localhost/all/{number}"] == 1 for number in range(4))


def test_metrics_are_by_worker(fleet: Admin) -> None:
    fleet.visit("/metered")
    text = fleet.get("/metrics")[1]
    families = {family.name: family for family in text_string_to_metric_families(text)}
    counted = families["txstalecache_requests"].samples
    assert {sample.labels["worker"] for sample in families["txstalecache_uptime_seconds"].samples} == {"1", "2"}
    assert sum(sample.value for sample in counted) >= 1
    assert families["txstalecache_processes"].samples[0].value == 2


def test_flights_name_the_worker_that_leads_them(fleet: Admin, site: Origin) -> None:
    site.delay = 1.5
    clients = [threading.Thread(target=fleet.visit, args=("/led",)) for _ in range(8)]
    for client in clients:
        client.start()
    said = fleet.until("/v1/flights", lambda said: sum(one["waiters"] for one in said["flights"]) == 8)
    site.delay = 0.0
    for client in clients:
        client.join(10)
    assert {one["leader"]["worker"] for one in said["flights"]} <= {1, 2}
    assert {one["url"] for one in said["flights"]} == {"http://localhost/led"}
    assert site.hits.count("/led") == 1


def test_flights_of_all_workers_are_told_of_as_they_begin_and_end(fleet: Admin) -> None:
    pids, leaders = fleet.proxy.workers(2), set()
    with Stream(fleet) as stream:
        assert stream.next("status")["covers"] == "workers"
        for number in range(60):
            path = f"/flown/{number}"
            fleet.visit(path)
            for what in ("began", "ended"):
                told = stream.next("flight")
                assert (told["what"], told["url"]) == (what, f"http://localhost{path}")
                leaders.add((told["leader"]["worker"], told["leader"]["pid"]))
            if len(leaders) == 2:
                break
    assert leaders == set(enumerate(pids, 1))


def test_an_entry_and_an_explanation_say_whom_they_speak_for(fleet: Admin) -> None:
    fleet.visit("/spoken")
    said = fleet.until("/v1/entry?url=http://localhost/spoken", lambda said: said.get("variants"))
    assert said["covers"] == "workers"
    assert len(said["variants"]) == 1
    said = fleet.post("/v1/explain", {"url": "http://localhost/spoken"})[1]
    assert (said["covers"], said["verdict"]) == ("process", "fresh")
    assert said["process"]["worker"] in (1, 2)


def test_what_is_warmed_is_a_hit_in_every_worker(fleet: Admin, site: Origin) -> None:
    urls = [f"http://localhost/warmed/{number}" for number in range(5)]
    said = fleet.post("/v1/warm", {"urls": urls})[1]
    job = fleet.until(f"/v1/warm/{said['job']}", lambda said: said["state"] != "running")
    assert (job["done"], job["failed"]) == (5, 0)
    hits = len(site.hits)
    for _ in range(4):
        for number in range(5):
            fleet.visit(f"/warmed/{number}")
    assert len(site.hits) == hits


def test_while_a_worker_hangs_the_others_are_told_of(fleet: Admin) -> None:
    pid = fleet.get("/v1/status")[1]["processes"][0]["pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        status, said = fleet.get("/v1/status")
        assert status == 200
        assert len(said["processes"]) == 1
    finally:
        os.kill(pid, signal.SIGCONT)
    fleet.until("/v1/status", lambda said: len(said.get("processes", ())) == 2)
