"""Each command against a real proxy: what it says to people, what to programs, and what has come of it."""

from __future__ import annotations

import json
import re
import threading
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.fleet.processes import Origin, Proxy, ask
from tests.support.process import eventually
from txstalecache import __version__
from txstalecache.cli import flights, status
from txstalecache.cli.purge import _outcome


def url(path: str) -> str:
    return f"http://localhost{path}"


def test_status_tells_people_and_programs(command: Command, proxy: Proxy) -> None:
    ask(proxy.port, "/status")
    ask(proxy.port, "/status")
    said = command.said("status")
    assert f"version       {__version__}, up " in said
    assert f"process {proxy.process.pid} on " in said
    assert "healthy" in said
    told = json.loads(command.said("status", "--json"))
    assert told["version"] == __version__
    assert told["origin_saved"] >= 1
    # Before the subcommand as well as after it.
    assert json.loads(command.said("--json", "status"))["process"] == told["process"]


def test_status_says_of_whom_it_tells_and_how_they_are() -> None:
    told = {
        "covers": "workers",
        "process": {"host": "here", "pid": 7, "worker": None},
        "store": {"describe": "memory", "degraded": True},
        "memory": {"bytes": 1536, "limit": 64 << 20, "entries": 3},
        "flights": 2,
        "waiting": 5,
        "latency": {"p50": 0.001, "p90": 0.25, "p99": None},
        "rates": {"requests_per_second": 4.0, "by_verdict": {"miss": 1.0, "fresh": 3.0}},
        "upstreams": [
            {"name": "www", "servers": [{"address": "a:80", "healthy": False, "open": 1, "waiting": 2}]},
            {"name": "api", "servers": [{"address": "b:80", "healthy": True, "open": 3, "waiting": 0}]},
        ],
    }
    facts = dict(status.facts(told))
    assert facts["tells of"] == "the workers, asked of process 7 on here"
    assert dict(status.facts({**told, "covers": "process"}))["tells of"] == "process 7 on here"
    of_one = {**told, "process": {"host": "here", "pid": 7, "worker": 2}}
    assert dict(status.facts(of_one))["tells of"] == "the workers, asked of process 7 on here, worker 2"
    assert facts["requests"] == "4.0 per second"
    assert facts["latency"] == "p50 1 ms, p90 250 ms, p99 –"
    assert facts["flights"] == "2, with 5 waiting"
    assert facts["memory"] == "1.5 KiB of 64.0 MiB, entries: 3"
    assert facts["store"] == "memory (degraded)"
    assert status.verdicts(told) == [("fresh", "3.0"), ("miss", "1.0")]
    assert status.upstreams(told) == [("www", "a:80", "down", "1", "2"), ("api", "b:80", "healthy", "3", "0")]


def test_flights_are_listed_the_oldest_first_with_all_who_want_them() -> None:
    young = {
        "age": 0.25,
        "waiters": 1,
        "readers": 2,
        "bytes": 10,
        "state": "body",
        "refresh": True,
        "url": "http://h/y",
    }
    old = {"age": 2.0, "waiters": 0, "readers": None, "bytes": None, "state": "pending", "refresh": False, "key": "k"}
    assert flights.rows({"flights": [young, old]}) == [
        ("2.0 s", "0", "–", "pending", "clients", "k"),
        ("250 ms", "3", "10 B", "body", "refresh", "http://h/y"),
    ]


@pytest.fixture
def held(served: Origin) -> Iterator[threading.Event]:
    """Answers that stop after their first piece until the event is set."""
    go = threading.Event()

    def chunks() -> Iterator[bytes]:
        yield b"one"
        go.wait(60)
        yield b"two"

    served.chunks = chunks
    yield go
    go.set()
    served.chunks = None


def test_flights_tells_who_waits_for_what(command: Command, proxy: Proxy, held: threading.Event) -> None:
    asking = [threading.Thread(target=ask, args=(proxy.port, "/crowd")) for _ in range(3)]
    for thread in asking:
        thread.start()
    deadline = time.monotonic() + 20
    flights: list[dict[str, int]] = []
    while not flights or flights[0]["waiters"] + flights[0]["readers"] < 3:
        assert time.monotonic() < deadline
        flights = json.loads(command.said("flights", "--json"))["flights"]
    said = command.said("flights")
    assert said.splitlines()[0].split() == ["AGE", "CLIENTS", "BYTES", "STATE", "FOR", "URL"]
    assert said.splitlines()[1].split()[-1] == url("/crowd")
    assert said.splitlines()[1].split()[2] == "3"
    held.set()
    for thread in asking:
        thread.join(20)
    assert command.said("flights") == "nothing is being fetched\n"


def test_top_tells_which_keys_are_asked_for(command: Command, proxy: Proxy) -> None:
    ask(proxy.port, "/much")
    said = command.said("top", "--once", "--by", "misses")
    (row,) = [line.split() for line in said.splitlines() if line.endswith(url("/much"))]
    assert row[1] == "1"
    # Nobody sits at a terminal: once is enough.
    assert command.said("top", "--limit", "1", "--by", "misses").count("http://") == 1
    told = json.loads(command.said("top", "--once", "--json", "--by", "waiters"))
    assert set(told) == {"status", "flights", "top"}
    assert told["top"]["by"] == "waiters"


def test_explain_says_why_and_asks_nobody(command: Command, proxy: Proxy, served: Origin) -> None:
    hits = len(served.hits)
    said = command.said("explain", url("/why"))
    assert "verdict  miss" in said
    assert "RFC 9111" in said
    ask(proxy.port, "/why")
    assert "verdict  fresh" in command.said("explain", url("/why"))
    fields = ["-H", "Cache-Control: max-age=600", "-H", "cache-control: no-cache"]
    told = json.loads(command.said("explain", url("/why"), "--json", *fields))
    assert (told["verdict"], told["why"]) == ("validate", "reload")
    assert json.loads(command.said("explain", url("/why"), "-X", "DELETE", "--json"))["verdict"] == "pass"
    assert len(served.hits) == hits + 1


def test_get_shows_what_is_stored_and_gives_the_body_as_it_is(command: Command, proxy: Proxy) -> None:
    body = ask(proxy.port, "/stored")[2]
    said = command.said("get", url("/stored"))
    assert "status" in said
    assert re.search(r"^Surrogate-Key +blue all$", said, re.MULTILINE)
    assert re.search(r"^tags +all blue$", said, re.MULTILINE)
    assert re.search(r"^stored +\S+ \S+ UTC \([\d.]+ m?s ago\)$", said, re.MULTILINE)
    assert re.search(r"^stale until +\S+ \S+ UTC \(in [12] m \d\d s\)$", said, re.MULTILINE)
    assert command.said("get", url("/stored"), "--body") == body
    told = json.loads(command.said("get", url("/stored"), "--json"))
    assert told["variants"][0]["status"] == 200
    done = command("get", url("/stored"), "--variant", "2")
    assert (done.returncode, done.stderr) == (1, "txstalecache get: there is 1 variant\n")
    done = command("get", url("/never"))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "txstalecache get: nothing is stored for this URL\n"


@pytest.mark.parametrize(
    ("scope", "value"),
    [("url", url("/gone")), ("url", "/gone"), ("tag", "blue"), ("prefix", "/go"), ("host", "localhost"), ("all", None)],
)
def test_purge_takes_what_it_names(command: Command, proxy: Proxy, scope: str, value: str | None) -> None:
    ask(proxy.port, "/gone")
    order = ["purge", scope, *([] if value is None else [value])]
    counted = command.said(*order, "--dry-run")
    # There is no Redis that may have more.
    expected = "1 entry stored" if value == url("/gone") else r"\d+ entr(y|ies) stored"
    assert re.search(f": would be purged, {expected}$", counted.strip())
    assert "hit" in ask(proxy.port, "/gone")[1]["cache-status"]
    assert ": purged, " in command.said(*order)
    assert "fwd=uri-miss" in ask(proxy.port, "/gone")[1]["cache-status"]


def test_a_soft_purge_leaves_stale_and_a_refresh_fetches(command: Command, proxy: Proxy, served: Origin) -> None:
    ask(proxy.port, "/soft")
    told = json.loads(command.said("purge", "url", url("/soft"), "--soft", "--json"))
    assert told["purged"] is True
    assert "verdict  stale" in command.said("explain", url("/soft"))
    hits = served.hits.count("/soft")
    assert "being fetched anew" in command.said("purge", "url", url("/soft"), "--refresh")
    eventually(lambda: served.hits.count("/soft") > hits)
    # Several at once, in the order they are named.
    lines = command.said("purge", "tag", "red", "green").splitlines()
    assert [line.partition(":")[0] for line in lines] == ["tag red", "tag green"]


def test_one_variant_is_purged(command: Command, proxy: Proxy, served: Origin) -> None:
    served.fields["Vary"] = "Accept-Language"
    try:
        bodies = {one: ask(proxy.port, "/varies", Accept_Language=one)[2] for one in ("de", "fr")}
        ask(proxy.port, "/varies")
    finally:
        del served.fields["Vary"]
    said = command.said("get", url("/varies"))
    chosen = re.findall(r"^variant +\d, for accept-language: (.*)$", said, re.MULTILINE)
    assert sorted(chosen) == ["(absent)", "de", "fr"]
    done = command("get", url("/varies"), "--body")
    assert (done.returncode, done.stdout) == (1, "")
    assert "there are 3 variants: say which, --variant 1 to 3" in done.stderr
    assert command.said("get", url("/varies"), "--body", "--variant", str(1 + chosen.index("de"))) == bodies["de"]
    (second,) = json.loads(command.said("get", url("/varies"), "--json", "--variant", "2"))["variants"]
    assert second["selector"] == [["accept-language", None if chosen[1] == "(absent)" else chosen[1]]]
    command.said("purge", "variant", url("/varies"), "-H", "Accept-Language: de")
    assert "verdict  miss" in command.said("explain", url("/varies"), "-H", "Accept-Language: de")
    assert "verdict  fresh" in command.said("explain", url("/varies"), "-H", "Accept-Language: fr")


PURGED = {"purged": True, "everywhere": True, "refreshing": False, "count": 2, "whole": True}


@pytest.mark.parametrize(
    ("mode", "dry", "told", "said"),
    [
        ("hard", False, {}, "purged, 2 entries stored"),
        ("hard", False, {"count": 1}, "purged, 1 entry stored"),
        ("soft", False, {"whole": False}, "stale now, 2 entries in memory and any that only Redis has"),
        ("refresh", False, {"refreshing": True}, "stale now, being fetched anew, 2 entries stored"),
        ("hard", False, {"count": None, "everywhere": False}, "purged; here so far: told to Redis when it is back"),
        ("hard", True, {"count": 0, "everywhere": False}, "would be purged, 0 entries stored"),
        ("hard", True, {"count": None, "everywhere": False}, "would be purged; how much that is, is not known"),
    ],
)
def test_a_purge_says_what_has_become_of_how_much_and_how_far_that_holds(
    mode: str, dry: bool, told: dict[str, object], said: str
) -> None:
    assert _outcome({**PURGED, **told}, Namespace(mode=mode, dry_run=dry)) == said


def test_warm_sees_a_list_through(command: Command, served: Origin, tmp_path: Path) -> None:
    (tmp_path / "urls").write_text(f"# two pages\n{url('/w1')}\n\n{url('/w2')}\n")
    assert command.said("warm", "urls", "--rate", "1000", "--concurrency", "2") == "done: 2 of 2, 0 failed\n"
    assert {"/w1", "/w2"} <= set(served.hits)
    assert "fresh" in command.said("explain", url("/w1"))
    told = json.loads(command.said("warm", "-", "--json", stdin=url("/w3")))
    assert (told["state"], told["done"], told["total"]) == ("done", 1, 1)
    assert command.said("warm", "urls", "--detach").strip()


def test_warm_says_what_failed(command: Command, served: Origin) -> None:
    known, served.fields = served.fields, {"Cache-Control": "no-store"}
    try:
        done = command("warm", "-", stdin=f"{url('/lost')}\n")
    finally:
        served.fields = known
    assert done.returncode == 1
    assert done.stdout == "done: 0 of 1, 1 failed\n"
    assert done.stderr.startswith(f"txstalecache warm: {url('/lost')}: ")
