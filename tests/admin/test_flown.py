"""Flights are told of while somebody asks for that, and cost nothing else."""

from __future__ import annotations

from typing import Any

from tests.flight.test_flight import CACHEABLE, Tower, finish
from txstalecache.admin.flown import Flown


class Facts:
    def identity(self) -> dict[str, Any]:
        return {"pid": 1}


def flown(tower: Tower) -> tuple[Flown, list[str]]:
    facts: Any = Facts()
    told: list[str] = []
    made = Flown(tower.registry, facts, tower.clock)
    made.tell = lambda said: told.append(f"{said['what']} {said['state']}")
    return made, told


def fly(tower: Tower) -> None:
    tower.join((b"Cookie", b"a=b"), rules=tower.plan().rules)
    finish(tower.origin.answer(len(tower.origin.requests) - 1, 200, [(b"Cache-Control", b"no-store")]))


def test_they_are_told_of_for_as_long_as_that_is_asked_for() -> None:
    tower = Tower()
    made, told = flown(tower)
    fly(tower)
    assert not told
    assert made.watch() == {"process": {"pid": 1}}
    made.watch()
    fly(tower)
    assert told == ["began pending", "ended done"]
    tower.clock.advance(Flown.LASTS)
    fly(tower)
    assert len(told) == 2
    assert not tower.registry.watchers
    made.watch()
    tower.join()
    finish(tower.origin.answer(len(tower.origin.requests) - 1, 200, CACHEABLE))
    assert len(told) == 4


def test_a_storm_of_them_is_cut_to_so_many_each_time_that_is_asked() -> None:
    tower = Tower()
    made, told = flown(tower)
    for times in (1, 2):
        made.watch()
        for _ in range(Flown.MOST):
            fly(tower)
        assert len(told) == times * Flown.MOST
