"""Three processes over one real Redis, at random: who comes, asks, answers, leaves, purges, and what goes wrong.

Each run is made from its number, so that a failing one can be had again as far as timing lets it; more of them with
``--long``. In half of the runs nothing goes wrong: there one fetch is in the air for a key at most.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred

from tests.flight.test_flight import CACHEABLE, PRIVATE, Seat
from tests.store.conftest import MakeStore
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.held_origin import HeldOrigin, HeldResponse
from tests.support.redis import RedisServer
from txstalecache.flight.clocks import Clocks
from txstalecache.flight.landing import Attached, Landing, Settled
from txstalecache.flight.plan import Plan
from txstalecache.flight.registry import Registry
from txstalecache.http.entry import Entry
from txstalecache.http.forward import shared
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Fault, IOriginResponse, OriginRequest
from txstalecache.store.layout import Layout
from txstalecache.store.purges import Scope

SEED = 20261127
KEYS = [Key((b"k",)), Key((b"l",))]
STRANGER = b"h:5374:0"
PIECES = 4


class Fetch:
    """One, as the origin sees it."""

    response: HeldResponse | None = None
    sent = 0
    over = False

    def __init__(self, process: Process, number: int, key: Key, begun: int) -> None:
        self.process, self.number, self.key, self.begun = process, number, key, begun

    @property
    def body(self) -> bytes:
        return b"".join(self.piece(number) for number in range(PIECES))

    def piece(self, number: int) -> bytes:
        return b"%d.%d;" % (self.begun, number)

    @property
    def in_the_air(self) -> bool:
        gone = self.number in self.process.origin.cancelled or (self.response is not None and self.response.aborted)
        return not (self.over or gone)


class Origin(HeldOrigin):
    """Notes who asks for what, and when."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._world, self._process = world, process

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        key = next(key for key in KEYS if key.digest.encode() == request.affinity)
        self._world.asked(Fetch(self._process, len(self.requests), key, self._world.tick()))
        return super().fetch(request)


class Process:
    """What one process has."""

    def __init__(self, world: World, backend: Any) -> None:
        self.backend, self.store = backend, backend.store
        self.origin = Origin(world, self)
        self.registry = Registry(installed, self.origin, backend.store, backend.leases)
        backend.when_discarded.add(self.registry.discarded)
        self.purged = dict.fromkeys(KEYS, 0)
        """When it last said that nothing older is to be served."""

    @property
    def at_rest(self) -> bool:
        registry, backend = self.registry, self.backend
        busy = registry.flights or registry._groups or registry.waiting or registry.held or registry._timer
        waits = backend.leases._held or backend.changes._waiting or backend._relays.under_way
        return not (busy or waits or backend.store.under_way)

    @property
    def told(self) -> bool:
        """Whether all that it has purged is in Redis."""
        log = self.store.remote.purge_log
        return not (log.behind or log._telling)


class Client(Seat):
    """Somebody who waits, and what they may not be given."""

    left = False

    def __init__(self, world: World, process: Process, key: Key, plan: Plan) -> None:
        self.world, self.key, self.since = world, key, process.purged[key]
        self.process = process
        super().__init__(process.registry.join(plan)[0])

    def _landed(self, landing: Landing) -> None:
        super()._landed(landing)
        if isinstance(landing, Settled):
            self.data, self.ended = b"".join(landing.entry.body), "delivered"

    def leave(self) -> None:
        self.left = True
        super().leave()

    @property
    def served(self) -> bool:
        return self.left or (self.landing is not None and (not isinstance(self.landing, Attached) or bool(self.ended)))

    def check(self) -> None:
        """What it was given is of one fetch, for its key, of after the purges that it comes behind; and whole."""
        if not self.data:
            return
        fetch = self.world.fetches[int(self.data.partition(b".")[0])]
        assert fetch.body.startswith(self.data) and fetch.key == self.key
        assert fetch.begun > self.since
        assert self.ended != "delivered" or self.data == fetch.body
        assert self.ended != "cut" or not self.world.well


class World:
    """Three of them."""

    STEPS = 60

    def __init__(self, number: int, redis: RedisServer, backends: list[Any]) -> None:
        self.chance, self.redis = Random(SEED + number), redis
        self.well = number // 20 % 2 == 0
        """Whether nothing goes wrong."""
        self.fetches: dict[int, Fetch] = {}
        self.processes = [Process(self, backend) for backend in backends]
        self.clients: list[Client] = []
        self.now = self.purged = 0
        self.known = dict.fromkeys(KEYS, 0)
        """When all processes last knew that nothing older holds."""
        self.stored = dict.fromkeys(KEYS, 0)
        self.strange: bytes | None = None
        self.wrong: list[str] = []
        self.log: list[str] = []

    def tick(self) -> int:
        self.now += 1
        return self.now

    def asked(self, fetch: Fetch) -> None:
        if self.well:
            now = self.known[fetch.key]
            others = [one for one in self.fetches.values() if one.key == fetch.key and one.in_the_air]
            if any(one.begun > now for one in others) and not self.purging:
                self.wrong.append(f"two fetches at a time at {fetch.begun}")
            if self.stored[fetch.key] > now and not self.purging:
                self.wrong.append(f"what was stored is fetched anew at {fetch.begun}")
        self.log.append(
            f"{fetch.begun} P{self.processes.index(fetch.process)} fetches {fetch.key[0]!r} #{fetch.number}"
        )
        self.fetches[fetch.begun] = fetch

    purging = False

    # -- what happens ----------------------------------------------------------------------------------------------

    def plan(self, key: Key, entry: Entry | None = None) -> Plan:
        head = RequestHead(b"GET", b"/x", Fields(((b"Host", b"h"),)), b"http", b"h")
        fetch = RequestHead(b"GET", b"/x", shared(head, frozenset(), Fields()), b"http", b"h")
        return Plan(key=key, request=head, fetch=fetch, rules=Rules(), clocks=Clocks(wait_deadline=5.0), entry=entry)

    async def comes(self) -> None:
        process, key = self.chance.choice(self.processes), self.chance.choice(KEYS)
        self.clients.append(Client(self, process, key, self.plan(key)))

    async def leaves(self) -> None:
        if self.clients:
            client = self.chance.choice(self.clients)
            if not client.served:
                client.leave()

    async def answers(self) -> None:
        fetch = self._some(lambda fetch: fetch.response is None)
        if fetch is None:
            return
        if not self.well and self.chance.random() < 0.2:
            fetch.over = True
            fetch.process.origin.fail(fetch.number, self.chance.choice(list(Fault)))
            return
        said = [CACHEABLE] if self.well else [CACHEABLE, CACHEABLE, PRIVATE, [(b"Cache-Control", b"public, max-age=0")]]
        fetch.response = HeldResponse(ResponseHead(200, Fields(self.chance.choice(said))))
        fetch.process.origin._waiting[fetch.number].callback(fetch.response)

    async def sends(self) -> None:
        fetch = self._some(lambda fetch: fetch.response is not None)
        if fetch is not None:
            self._goes_on(fetch)

    def _goes_on(self, fetch: Fetch) -> None:
        assert fetch.response is not None
        fetch.response.send(fetch.piece(fetch.sent))
        fetch.sent += 1
        if fetch.sent == PIECES:
            fetch.over = True
            if fetch.begun > self.known[fetch.key]:
                self.stored[fetch.key] = self.tick()
            fetch.response.end()

    def _some(self, chosen: Callable[[Fetch], bool]) -> Fetch | None:
        found = [fetch for fetch in self.fetches.values() if fetch.in_the_air and chosen(fetch)]
        return self.chance.choice(found) if found else None

    async def purges(self) -> None:
        process, keys = self.chance.choice(self.processes), KEYS
        if self.well or self.chance.random() < 0.5:
            told = process.store.purge(Scope.everything())
            self.purged = self.tick()
        else:
            keys = [self.chance.choice(KEYS)]
            process.store.discard(keys[0])
            process.registry.invalidate(keys[0])
        for key in keys:
            process.purged[key] = self.tick()
        if self.well:
            self.purging = True
            assert await told
            for each in self.processes:
                await heard(each.backend, self.redis)
            # What others learn of it they ask Redis for.
            await until(lambda: not any(each.store.under_way for each in self.processes))
            for key in keys:
                self.known[key] = self.tick()
            self.purging = False

    async def pauses(self) -> None:
        await pause(self.chance.choice([0, 0, 0.002, 0.03]))

    # -- what goes wrong -------------------------------------------------------------------------------------------

    async def loses(self) -> None:
        names = [name for name in self.redis.command("KEYS", "*}:l*") if name != self.strange]
        if names:
            name = self.chance.choice(sorted(names))
            self.redis.command(*self.chance.choice([("DEL", name), ("PEXPIRE", name, 20)]))

    async def is_strange(self) -> None:
        """Somebody that is none of us holds a lease, or gives it back."""
        if self.strange is not None:
            self.redis.command("DEL", self.strange)
            self.strange = None
            return
        process, key = self.chance.choice(self.processes), self.chance.choice(KEYS)
        name = Layout("test:").lease(process.registry.lease_name(self.plan(key)))
        if self.redis.command("SET", name, STRANGER, "NX", "PX", 60_000) == b"OK":
            self.strange = name

    async def breaks(self) -> None:
        match self.chance.randrange(6):
            case 0:
                self.redis.command("CLIENT", "KILL", "TYPE", self.chance.choice(["normal", "pubsub"]))
            case 1:
                self.redis.command("CLIENT", "PAUSE", self.chance.choice([20, 300, 600]))
                await pause(0.01)
            case 2:
                self.redis.command("FLUSHALL")
                self.strange = None
            case 3:
                self.redis.command("SCRIPT", "FLUSH")
            case _:
                await self.loses()

    def nobodys(self) -> None:
        """The stranger's lease is still the stranger's."""
        if self.strange is not None:
            assert self.redis.command("GET", self.strange) == STRANGER

    async def run(self) -> None:
        happens = [self.comes] * 5 + [self.answers] * 3 + [self.sends] * 6 + [self.pauses] * 4 + [self.leaves]
        happens += [self.purges] if self.well else [self.purges, self.breaks, self.breaks, self.is_strange]
        for _ in range(self.STEPS):
            act = self.chance.choice(happens)
            self.log.append(act.__name__)
            await act()
            self.nobodys()

    async def settle(self) -> None:
        """Everything comes to its end."""
        if self.strange is not None:
            await self.is_strange()

        def over() -> bool:
            for fetch in list(self.fetches.values()):
                if fetch.in_the_air and fetch.response is None:
                    fetch.response = HeldResponse(ResponseHead(200, Fields(CACHEABLE)))
                    fetch.process.origin._waiting[fetch.number].callback(fetch.response)
                while fetch.in_the_air:
                    self._goes_on(fetch)
            return all(client.served for client in self.clients) and all(each.at_rest for each in self.processes)

        await until(over)

    async def afterwards(self) -> None:
        """Whoever comes now gets nothing that anybody has purged."""
        await until(lambda: all(each.backend.store.session for each in self.processes))
        await until(lambda: all(each.at_rest and each.told for each in self.processes))
        for each in self.processes:
            await heard(each.backend, self.redis)
        await until(lambda: all(each.at_rest for each in self.processes))
        for key in KEYS:
            for process in self.processes:
                process.purged[key] = max(process.purged[key], self.purged)
                self.clients.append(Client(self, process, key, self.plan(key)))
        await self.settle()


@async_test
async def test_whatever_becomes_of_redis_every_wait_ends_purges_hold_and_nothing_is_left(
    seeds: range, one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    for number in seeds[::20]:
        one_redis_server.command("FLUSHALL")
        world = World(number, one_redis_server, [await make_store(one_redis_server.url) for _ in range(3)])
        try:
            await world.run()
            await world.settle()
            assert not world.wrong
            await world.afterwards()
            assert not world.wrong
            for client in world.clients:
                client.check()
            if world.well:
                await until(lambda: not one_redis_server.command("KEYS", "*}:l*"))
            for process in world.processes:
                await process.backend.stopService()
        except BaseException as error:
            error.add_note("\n".join([f"seed {number}", *world.log]))
            raise
