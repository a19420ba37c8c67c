"""What one process says about itself, by hand: a clock of the test's own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from twisted.internet.task import Clock

from tests.flight.test_flight import Tower
from txstalecache.admin.facts import A_TURN, Facts
from txstalecache.config.routes import Routes
from txstalecache.edge.limits import EdgeLimits
from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields
from txstalecache.observe.tally import Tally
from txstalecache.store import Hardness, Scope, StoreService, open_store
from txstalecache.store.purges import Purge, Purges


def stored_for_a_minute(store: StoreService, scheme: bytes, target: bytes) -> None:
    """An answer that carries the tag ``t``."""
    now = store.store.now()
    entry = Entry(
        status=200,
        fields=Fields(),
        body=(),
        request_time=now,
        response_time=now,
        freshness=Freshness(initial_age=0.0, lifetime=60.0),
        tags=frozenset({b"t"}),
    )
    store.store.put(Key((scheme, b"h", target), b"h", target), entry, 60.0)


def tagged(tag: bytes) -> str:
    """What a purge of ``tag`` is called."""
    return Purge(Scope.of_tag(tag), Hardness.HARD, 0.0).name().decode()


def test_what_is_known_of_a_scope_is_counted_and_where_it_is_wanted_named_with_its_scheme() -> None:
    clock, registry = Clock(), Tower().registry
    store = open_store(clock, redis="memory")
    facts = Facts(registry, Tally(), store, Routes(), EdgeLimits(), dict, clock, "1")
    for scheme, target in ((b"https", b"/a"), (b"http", b"/b")):
        stored_for_a_minute(store, scheme, target)
    found: list[dict[str, Any]] = []
    for scope, urls in ((tagged(b"t"), True), (tagged(b"t"), False), (tagged(b"u"), True)):
        facts.known(scope, urls).addCallback(found.append)
    said = [(one["count"], sorted(one["urls"]), one["redis"]) for one in found]
    assert said == [(2, ["http://h/b", "https://h/a"], False), (2, [], False), (0, [], False)]


def test_a_full_memory_is_gone_through_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    store = open_store(clock, redis="memory")
    for number in range(2 * A_TURN + 5):
        stored_for_a_minute(store, b"http", b"/%d" % number)
    looked = [0]
    apply = Purges.apply

    def counted(purges: Purges, key: Key, entry: Entry) -> Entry | None:
        looked[-1] += 1
        return apply(purges, key, entry)

    call_later = clock.callLater

    def turn(delay: float, *call: Any) -> Any:
        looked.append(0)
        return call_later(delay, *call)

    monkeypatch.setattr(Purges, "apply", counted)
    monkeypatch.setattr(clock, "callLater", turn)
    registry: Any = None
    facts = Facts(registry, Tally(), store, Routes(), EdgeLimits(), dict, clock, "1")
    found: list[dict[str, Any]] = []
    facts.known(tagged(b"t"), False).addCallback(found.append)
    assert not found
    clock.advance(0)
    assert found[0]["count"] == 2 * A_TURN + 5
    assert looked == [A_TURN, A_TURN, 5]


def test_how_long_it_runs_and_what_is_in_the_air_is_told_the_oldest_first() -> None:
    tower = Tower()
    tower.clock.advance(100.0)
    store = open_store(tower.clock, redis="memory")
    facts = Facts(tower.registry, Tally(), store, Routes(), EdgeLimits(), dict, tower.clock, "1")
    targets = [b"/%d" % number for number in range(5)]
    for target in targets:
        tower.registry.join(replace(tower.plan(), key=Key((target,), b"h", target)))
        tower.clock.advance(2.0)
    status, metrics, flights = facts.status(), facts.metrics(), facts.flights()
    assert (status["uptime"], metrics["uptime"]) == (10.0, 10.0)
    assert (status["flights"], metrics["flights"], metrics["redis_latency"]) == (5, {"pending": 5}, None)
    assert [flight["url"] for flight in flights["flights"]] == [f"http://h{target.decode()}" for target in targets]
