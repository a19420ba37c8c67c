"""Whoever is told something may do anything at once, within the very call: ask for the same or for something else,
leave, stop and go on taking, have something purged or fetched anew, close everything, or fail.

Each run is made from its number, so that a failing one can be had again; more of them with ``--long``.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, cast

import pytest
from twisted.internet.defer import CancelledError, Deferred

from tests.conftest import LoggedFailures
from tests.flight.test_flight import CACHEABLE, PRIVATE, Seat, Tower
from tests.support.held_origin import HeldOrigin, HeldResponse
from txstalecache.flight.clocks import Clocks, Late
from txstalecache.flight.landing import ROUNDS, Alone, Attached, Landing, Regroup
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.waiters import Waiters
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, ResponseHead
from txstalecache.origin.interfaces import Fault, IOriginResponse, OriginRequest
from txstalecache.store.interfaces import ILease, Purpose
from txstalecache.store.lease import LocalLeases
from txstalecache.store.purges import Hardness, Scope

SEED = 20261127

KEYS = [Key((b"k",)), Key((b"l",))]
STATUSES = [200, 200, 200, 404, 503, 500, 304]
SAID: list[list[tuple[bytes, bytes]]] = [
    CACHEABLE,
    CACHEABLE,
    PRIVATE,
    [(b"Cache-Control", b"public, max-age=0")],
    [(b"Cache-Control", b"no-store")],
    [(b"Cache-Control", b"max-age=5, stale-if-error=60"), (b"ETag", b'"1"')],
    [*CACHEABLE, (b"Vary", b"Accept")],
]


class Unwell(Exception):
    """A fault of a client's own."""


class Leases(LocalLeases):
    """Some at once, some when the test says so; each is to be given back once."""

    def __init__(self, world: World) -> None:
        super().__init__(world.tower.clock)
        self._chance = world.chance
        self.out = 0
        self.asked: list[tuple[Deferred[Any], str, Purpose]] = []

    def grant(self, name: str, purpose: Purpose) -> ILease | None:
        return None if self._chance.random() < 0.3 else self._given(name, purpose)

    def _given(self, name: str, purpose: Purpose) -> ILease | None:
        lease: Any = super().grant(name, purpose)
        if lease is not None:
            self.out += 1
            release, back_off = lease.release, lease.back_off

            def back(give: Callable[[], None]) -> None:
                self.out -= not lease._over
                give()

            lease.release, lease.back_off = lambda: back(release), lambda: back(back_off)
            lease.disband = lease.release
        return cast("ILease | None", lease)

    def acquire(self, name: str, purpose: Purpose, tell: Any = None) -> Deferred[Any]:
        asked: Deferred[Any] = Deferred()
        self.asked.append((asked, name, purpose))
        return asked

    def answer(self, number: int) -> None:
        asked, name, purpose = self.asked.pop(number)
        if not asked.called:
            asked.callback(self._given(name, purpose))


class Origin(HeldOrigin):
    """Answers some at once."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world
        self.open: list[int] = []

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        number = len(self.requests)
        waiting = super().fetch(request)
        self.open.append(number)
        if self._world.chance.random() < 0.15:
            self._world.answers(number)
        return waiting


class Rogue(Seat):
    """Does something whenever it is told something, and reads what it is given; at last as one that goes on."""

    def __init__(self, world: World, waiting: Deferred[Landing], plan: Plan, rounds: int = 0) -> None:
        self.world, self.plan, self.rounds = world, plan, rounds
        self.left = False
        world.seats.append(self)
        super().__init__(waiting)
        waiting.addErrback(lambda failure: failure.trap(CancelledError, Unwell) and None)

    def _landed(self, landing: Landing) -> None:
        super()._landed(landing)  # who is given an answer begins to take it before anything else
        self.world.acts(self)
        if isinstance(landing, Regroup | Alone) and self.rounds < ROUNDS:
            self.world.goes_on(self, landing)

    def write(self, data: bytes) -> None:
        super().write(data)
        self.world.acts(self)

    def delivered(self) -> None:
        assert not self.ended
        super().delivered()
        self.world.acts(self)

    def cut(self) -> None:
        assert not self.ended
        super().cut()
        self.world.acts(self)

    def leave(self) -> None:
        if not self.left and not self.ended:
            self.left = True
            super().leave()

    @property
    def served(self) -> bool:
        """Whether it has left, or had what it waited for to the end."""
        return self.left or (self.landing is not None and (not isinstance(self.landing, Attached) or bool(self.ended)))


class World:
    """A tower full of them."""

    #: Things that are done by those who are told something.
    ACTS = 60

    def __init__(self, number: int) -> None:
        self.chance = Random(SEED + number)
        limits: dict[str, Any] = {"window": 8, "late_passes": 1}
        if self.chance.random() < 0.3:
            limits |= {"waiters_per_key": 3, "waiters": 5, "flights": 3}
        if self.chance.random() < 0.2:
            limits |= {"bytes_in_flight": 20}
        self.tower = Tower(**limits)
        self.origin = self.tower.registry.origin = self.tower.origin = Origin(self)
        self.leases = self.tower.registry.leases = Leases(self)
        self.seats: list[Rogue] = []
        self.responses: list[HeldResponse] = []
        self.left = self.ACTS
        self.at_once = self.chance.choice([1, 2, Waiters.AT_ONCE])
        """How many of those who wait are told in one turn."""
        self.may_close = self.chance.random() < 0.2
        self.calm = False
        """Whether nobody does anything any more."""
        if self.chance.random() < 0.2:
            self.tower.registry.watchers.append(lambda _: self.acts(None))

    # -- what those do who are told something --------------------------------------------------------------------

    def acts(self, seat: Rogue | None) -> None:
        """``seat`` is told something; None: who watches is."""
        if self.calm or self.left <= 0 or self.chance.random() < 0.5:
            return
        self.left -= 1
        self.chance.choice([self.joins] * 4 + [self.solo, self.refreshes, self.purges, self.leaves, self.turns])()
        if seat is None:
            if self.may_close and self.chance.random() < 0.1:
                self.tower.registry.close()
            return
        match self.chance.randrange(12):
            case 0:
                seat.leave()
            case 1 if seat.reader is not None:
                seat.reader.pauseProducing()
            case 2 if seat.reader is not None:
                seat.reader.resumeProducing()
            case 3 if self.may_close:
                self.tower.registry.close()
            case 4 if seat.landing is not None:
                raise Unwell
            case _:
                pass

    def plan(self, sharing: Sharing = Sharing.SHARED) -> Plan:
        chance, tower = self.chance, self.tower
        key = chance.choice([KEYS[0]] * 4 + [KEYS[1]])
        fields = [(b"Accept", chance.choice([b"a", b"b"]))] if chance.random() < 0.3 else []
        found = tower.store.peek(key, tower.plan(fields).request)
        entry = found.entry if found is not None and chance.random() < 0.7 else None
        more: dict[str, Any] = {"names": found.vary} if found is not None else {}
        if chance.random() < 0.1:
            more["began_after"] = tower.store.now()
        clocks = Clocks(wait_stale=0.5, leader_age=1.0, wait_deadline=3.0, late=chance.choice(list(Late)))
        method = b"HEAD" if chance.random() < 0.15 else b"GET"
        plan = tower.plan(fields, entry=entry, clocks=clocks, sharing=sharing, method=method, **more)
        object.__setattr__(plan, "key", key)
        return plan

    def joins(self) -> None:
        plan = self.plan()
        Rogue(self, self.tower.registry.join(plan)[0], plan)

    def solo(self) -> None:
        plan = self.plan(self.chance.choice([Sharing.SOLO, Sharing.PRIVATE]))
        Rogue(self, self.tower.registry.solo(plan), plan)

    def goes_on(self, seat: Rogue, landing: Alone | Regroup) -> None:
        plan = self.plan(Sharing.SHARED if isinstance(landing, Regroup) else landing.sharing)
        registry = self.tower.registry
        waiting = registry.join(plan)[0] if isinstance(landing, Regroup) else registry.solo(plan)
        Rogue(self, waiting, plan, seat.rounds + 1)

    def refreshes(self) -> None:
        self.tower.registry.refresh(self.plan())

    def purges(self) -> None:
        key = self.chance.choice(KEYS)
        match self.chance.randrange(3):
            case 0:
                self.tower.store.purge(Scope.everything(), self.chance.choice(list(Hardness)))
            case 1:
                self.tower.store.discard(key)
                self.tower.registry.invalidate(key)
            case _:
                self.tower.registry.discarded(key.digest)

    def leaves(self) -> None:
        if self.seats:
            self.chance.choice(self.seats).leave()

    def turns(self) -> None:
        """Somebody takes no more, or again."""
        reading = [seat.reader for seat in self.seats if seat.reader is not None]
        if reading:
            reader = self.chance.choice(reading)
            try:
                self.chance.choice([reader.pauseProducing, reader.resumeProducing])()
            except Unwell:
                reader.fail()  # as its transport would

    # -- what happens ----------------------------------------------------------------------------------------------

    def answers(self, number: int | None = None) -> None:
        chance, origin = self.chance, self.origin
        if number is None:
            if not origin.open:
                return
            number = chance.choice(origin.open)
        origin.open.remove(number)
        if number in origin.cancelled:
            return
        if chance.random() < 0.3:
            origin.fail(number, chance.choice(list(Fault)))
            return
        response = HeldResponse(ResponseHead(chance.choice(STATUSES), Fields(chance.choice(SAID))))
        self.responses.append(response)
        for _ in range(chance.randrange(3)):
            response.send(b"early")
        if chance.random() < 0.3:
            response.end()
        origin._waiting[number].callback(response)

    def sends(self) -> None:
        if self.responses:
            response = self.chance.choice(self.responses)
            what = self.chance.random()
            if response._ended:
                return
            if what < 0.6:
                response.send(b"x" * self.chance.choice([1, 6, 30]))
            elif what < 0.9 or response.sink is None:
                response.end()
            else:
                response._ended = True
                response.cut()

    def grants(self) -> None:
        if self.leases.asked:
            self.leases.answer(self.chance.randrange(len(self.leases.asked)))

    def waits(self) -> None:
        self.tower.clock.advance(self.chance.choice([0.01, 0.3, 1.2, 4.0]))

    def run(self) -> None:
        happens = [self.joins, self.joins, self.solo, self.answers, self.answers, self.sends, self.sends, self.sends]
        happens += [self.grants, self.grants, self.waits, self.leaves, self.turns, self.refreshes, self.purges]
        for _ in range(60):
            self.chance.choice(happens)()

    def settle(self) -> None:
        """Everything comes to its end, and nobody does anything but go on."""
        self.calm = True
        for _ in range(200):
            while self.leases.asked:
                self.leases.answer(0)
            while self.origin.open:
                self.answers()
            for response in self.responses:
                if not response._ended:
                    response.end()
            for seat in self.seats:
                if seat.reader is not None and not seat.ended and not seat.left:
                    seat.reader.resumeProducing()
            self.tower.clock.advance(0.5)
            if not (self.leases.asked or self.origin.open) and self.tower.at_rest():
                return


def test_whatever_those_do_who_are_told_something_every_wait_ends_and_nothing_is_left(
    seeds: range, logged_failures: LoggedFailures, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in seeds:
        world = World(number)
        with monkeypatch.context() as patched:
            patched.setattr(Waiters, "AT_ONCE", world.at_once)
            world.run()
            world.settle()
        registry = world.tower.registry
        assert all(seat.served for seat in world.seats), number
        assert world.tower.at_rest() and not registry._late, number
        assert world.leases.out == 0, number
    logged_failures.flush(Unwell)
