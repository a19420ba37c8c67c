"""Three whole proxies over one real Redis, at random: who asks for what, what the origin says, and what goes wrong.

The other model (``tests.flight.test_fleet_at_random``) drives flights; here requests come in at the edge, and so what
is stale, validated, varied, invalidated or asked for in part is in it. Each world is made from its number, so that a
failing one can be had again as far as timing lets it; more of them with ``--long``. What may go wrong in a world hangs
on its number: nothing, Redis, the origin, or both; and in some the clocks of the wait are so short that they run out.

What is promised is said in the methods of ``Promises``, each named for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.store.conftest import MakeStore
from tests.store.conftest import make_store as make_store
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.held_origin import HeldOrigin, HeldResponse
from tests.support.redis import RedisServer
from txstalecache.config.routes import Route, Routes
from txstalecache.edge.exchange import Exchange, Pairs
from txstalecache.edge.resource import CacheResource
from txstalecache.flight.body import Reader
from txstalecache.flight.clocks import Clocks
from txstalecache.flight.flight import Flight
from txstalecache.flight.plan import Sharing
from txstalecache.http import policy
from txstalecache.http.fields import format_date
from txstalecache.http.messages import Fields, RequestHead, ResponseHead
from txstalecache.http.verdict import Stale
from txstalecache.origin.interfaces import Fault, IOriginResponse, OriginError, OriginRequest
from txstalecache.store import Hardness, Scope

SEED = 20261127
TARGETS = (b"/k", b"/l")
HOST = b"h"
LANGUAGES = (b"de", b"en")
PIECES = 4
#: Seconds by which the clocks of processes may differ at most: what begins in one so shortly before another purges it
#: may count as later.
CLOCKS = 0.01
LENGTH = PIECES * 9


# -- what the origin has -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """How the answers for one target are to be cached."""

    control: bytes
    stale: bool = False
    """Whether they are stale as they come: another cache has had them for longer than they live."""
    shared: bool = True
    """Whether they are for others than who asked."""
    stored: bool = True
    asked: bool = False
    """Whether the origin is asked about them each time."""


KINDS = {
    "fresh": Kind(b"max-age=60"),
    "swr": Kind(b"max-age=5, stale-while-revalidate=60", stale=True),
    "sie": Kind(b"max-age=5, stale-if-error=60", stale=True, asked=True),
    "validate": Kind(b"max-age=5", stale=True, asked=True),
    "no-cache": Kind(b"no-cache", asked=True),
    "brief": Kind(b"max-age=0", stored=False, asked=True),
    "private": Kind(b"private", shared=False, stored=False, asked=True),
}
OFTEN = ("fresh", "fresh", "swr", "swr", "swr", "sie", "validate", "no-cache", "brief", "private")


@dataclass
class Resource:
    """What there is under one target."""

    kind: Kind
    name: str
    varies: bool
    validators: tuple[bytes, ...]
    version: int = 1

    @property
    def stored(self) -> bool:
        return self.kind.stored and bool(self.validators or self.name != "no-cache")


class Fetch:
    """One, as the origin sees it."""

    response: HeldResponse | None = None
    answered = 0
    """When its head was sent."""
    status = 0
    version = 0
    withheld = False
    """Whether its answer is for who asked alone."""
    validates: Fetch | None = None
    """Whose body its 304 says still holds."""
    sent = 0
    over = False
    whole = False

    def __init__(self, world: World, process: Process, number: int, request: OriginRequest, flight: Flight) -> None:
        self.process, self.number, self.flight = process, number, flight
        self.begun = world.tick()
        head = request.head
        self.method, self.target = head.method, head.target
        self.language = head.fields.get(b"accept-language")
        self.own = head.fields.get(b"authorization")
        self.asked = head.fields.get(b"if-none-match"), head.fields.get(b"if-modified-since")
        self.resource = world.site[self.target]
        plan = flight.plan
        self.shared = plan.sharing is Sharing.SHARED and plan.began_after is None
        self.forced = plan.began_after is not None

    def __repr__(self) -> str:
        mode = "shared" if self.shared else "forced" if self.forced else str(self.flight.plan.sharing)
        who = f"P{self.process.number}#{self.number}"
        return f"{who} {self.method.decode()} {self.target.decode()} {self.language!r} {mode} {self.flight.purpose}"

    @property
    def group(self) -> tuple[object, ...]:
        """What it was asked for, as far as is known by then what answers vary by."""
        names = self.flight.plan.names
        return self.method, self.target, names, self.language if names else None

    @property
    def body(self) -> bytes:
        return b"".join(self.piece(number) for number in range(PIECES))

    def piece(self, number: int) -> bytes:
        return b"%07d%d;" % (self.begun, number)

    @property
    def tag(self) -> bytes:
        return b'"%d"' % self.begun

    @property
    def in_the_air(self) -> bool:
        gone = self.number in self.process.origin.cancelled or (self.response is not None and self.response.aborted)
        return not (self.over or gone)

    def holds(self, other: Fetch) -> bool:
        """Whether whoever ``other`` is for should have waited for this one."""
        if not (self.shared and self.group == other.group and self.in_the_air):
            return False
        if self.answered and self.resource.varies and self.language != other.language:
            return False
        world, target = self.process.world, self.target
        if world.redis_fails or not self.resource.stored:
            # What another process fetches may be unknown, or is not for sharing; of this one who comes later takes what
            # is fresh.
            # What was purged counts from when Redis has heard of it, which may be any time.
            unknown = world.said[target] and (world.redis_fails or self.begun < world.said[target])
            if unknown or self.process is not other.process:
                return False
            return not self.answered or (self.status == 200 and self.resource.name == "fresh")
        if self.begun < world.known[target]:
            return False
        return not self.answered or (self.status == 200 and self.resource.stored)


class Origin(HeldOrigin):
    """Notes who asks for what, and when."""

    def __init__(self, world: World, process: Process) -> None:
        super().__init__()
        self._world, self._process = world, process

    def fetch(self, request: OriginRequest) -> Deferred[IOriginResponse]:
        flights = self._process.resource.registry.flights
        flight = next(flight for flight in flights if flight.plan.fetch is request.head)
        self._world.asked(Fetch(self._world, self._process, len(self.requests), request, flight))
        return super().fetch(request)


# -- who asks ----------------------------------------------------------------------------------------------------------


class Process:
    """One proxy of the fleet."""

    def __init__(self, world: World, backend: Any, number: int) -> None:
        self.world, self.backend, self.store, self.number = world, backend, backend.store, number
        self.origin = Origin(world, self)
        route = Route(clocks=world.clocks)
        self.resource = CacheResource(self.origin, backend, routes=Routes([route]), reactor=installed)
        self.purged = dict.fromkeys(TARGETS, 0)
        """When it last knew that nothing older is to be served."""
        self.softened = dict.fromkeys(TARGETS, 0)
        """When it last knew that everything older is stale."""

    @property
    def at_rest(self) -> bool:
        registry, backend = self.resource.registry, self.backend
        busy = registry.flights or registry._groups or registry.waiting or registry.held or registry._timer
        waits = backend.leases._held or backend.changes._waiting or backend._relays.under_way
        return not (busy or waits or backend.store.under_way or registry._late)

    @property
    def told(self) -> bool:
        """Whether all that it has purged is in Redis."""
        log = self.store.remote.purge_log
        return not (log.behind or log._telling or self.store._discards.behind)


class Client(Exchange):
    """Somebody who asks, in memory."""

    version, scheme, client = b"HTTP/1.1", b"http", "192.0.2.1"
    left = False
    ended = ""
    data = b""
    said: Fields
    came_stale = False
    """Whether what there was when it came was stale, and to be sent at once."""

    def __init__(self, world: World, process: Process, method: bytes, target: bytes, fields: Pairs) -> None:
        super().__init__(installed)
        self.world, self.process, self.method, self.target = world, process, method, target
        self._head = RequestHead(method, target, Fields([(b"Host", HOST), *fields]), b"http", HOST)
        self.since, self.softened = process.purged[target], process.softened[target]
        self.came = world.tick()
        route = process.resource._routes.pick(self._head)
        found = process.store.peek(route.template.key(self._head), self._head)
        if found is not None:
            verdict = policy.judge(self._head, found.entry, found.marker, route.rules, process.store.now(), found.vary)
            self.came_stale = isinstance(verdict, Stale)
        process.resource.serve(self)
        self.at_once = bool(self.ended)

    def __repr__(self) -> str:
        fields = {name.decode(): value.decode() for name, value in self._head.fields.pairs[1:]}
        came = "left" if self.left else f"{self.ended or 'waits'} {self.status}"
        told = self.told.decode() if self.status else ""
        return (
            f"{self.came} P{self.process.number} {self.method.decode()} {self.target.decode()} {fields}: "
            f"{came} {self.data!r} {told}"
        )

    def asked(self, name: bytes) -> bytes | None:
        return self._head.fields.get(name)

    @property
    def fields(self) -> Fields:
        return self._head.fields

    def head(self) -> RequestHead:
        return self._head

    def body(self) -> None:
        return None

    def lighten(self) -> None: ...

    def inform(self, head: ResponseHead) -> None: ...

    @property
    def started(self) -> bool:
        return self.status > 0 and bool(self.data)

    def _begin(self, status: int, fields: Fields, more: Pairs) -> None:
        self.said = fields.extended(more)

    def _send(self, data: bytes) -> None:
        self.data += data

    def _flush(self) -> None: ...

    def _end(self) -> None:
        self.ended = "whole"

    def _abort(self) -> None:
        self.ended = "cut"
        self._left(Failure(ConnectionDone()))

    def _register(self, reader: Reader) -> None: ...

    def _unregister(self) -> None: ...

    def leave(self) -> None:
        self.left = True
        self._left(Failure(ConnectionDone()))

    @property
    def over(self) -> bool:
        return self.left or bool(self.ended)

    @property
    def told(self) -> bytes:
        """What happened (RFC 9211)."""
        return self.said.get(b"cache-status") or b""

    @property
    def fetch(self) -> Fetch | None:
        """Whose body it was given."""
        if not self.data or self.status not in (200, 206):
            return None
        number = self.said.get(b"x-fetch")
        return None if number is None else self.world.fetches[int(number)]

    @property
    def part(self) -> tuple[int, int]:
        """Where what it was given begins and ends in the whole."""
        if self.status == 200:
            return 0, LENGTH
        found = re.match(rb"bytes (\d+)-(\d+)/", self.said.get(b"content-range") or b"")
        assert found is not None, self
        return int(found[1]), int(found[2]) + 1


# -- what is promised --------------------------------------------------------------------------------------------------


class Promises:
    """What must hold of each ``client`` of ``world``, once all is over."""

    def __init__(self, world: World, client: Client) -> None:
        self.world, self.client = world, client

    def everybody_is_answered(self) -> bool:
        return self.client.over

    def a_body_is_of_one_fetch_and_whole(self) -> bool:
        client, fetch = self.client, self.client.fetch
        if fetch is None:
            return client.method == b"HEAD" or client.status not in (200, 206) or client.ended == "cut" or client.left
        start, stop = client.part
        body = fetch.body[start:stop]
        return body.startswith(client.data) and (client.ended != "whole" or client.data == body)

    def nobody_is_cut_off_but_by_the_origin(self) -> bool:
        return self.client.ended != "cut" or self.world.origin_fails or self.world.redis_fails

    def a_head_has_no_body(self) -> bool:
        return self.client.method != b"HEAD" or not self.client.data

    def nobody_gets_what_was_made_for_somebody_else(self) -> bool:
        client, fetch = self.client, self.client.fetch
        if fetch is None:
            return True
        fits = fetch.target == client.target
        if fetch.resource.varies:
            fits = fits and fetch.language == client.asked(b"accept-language")
        if fetch.own is not None or fetch.withheld:
            fits = fits and fetch.own == client.asked(b"authorization") and self._alone(fetch)
        return fits

    def _alone(self, fetch: Fetch) -> bool:
        return sum(client.fetch is fetch for client in self.world.clients) == 1

    def nobody_gets_what_was_purged_before_he_asked(self) -> bool:
        fetch = self.client.fetch
        return fetch is None or fetch.begun > self.client.since

    def what_was_purged_softly_is_fresh_only_once_validated(self) -> bool:
        client, fetch = self.client, self.client.fetch
        if fetch is None or b"hit; ttl=" not in client.told or b"ttl=-" in client.told:
            return True
        return any(one.begun > client.softened for one in [fetch, *self.world.validating(fetch)])

    def the_origin_is_asked_about_what_must_be_asked_about(self) -> bool:
        client, fetch = self.client, self.client.fetch
        if fetch is None or not fetch.resource.kind.asked or self.world.origin_fails or self.world.hasty:
            return True
        return any(one.answered > client.came for one in [fetch, *self.world.validating(fetch)])

    def a_request_for_what_is_new_gets_no_less(self) -> bool:
        client, fetch = self.client, self.client.fetch
        if fetch is None or client.asked(b"cache-control") != b"no-cache":
            return True
        return any(one.begun > client.came for one in [fetch, *self.world.validating(fetch)])

    def stale_is_sent_at_once(self) -> bool:
        return not self.client.came_stale or self.client.at_once

    def nobody_gets_an_error_for_the_sake_of_redis(self) -> bool:
        client, world = self.client, self.world
        return client.status < 500 or world.origin_fails or (world.hasty and client.status == 504)

    def nobody_gets_an_error_while_stale_will_do(self) -> bool:
        return not (self.client.came_stale and self.client.status >= 500)


PROMISES = [name for name in vars(Promises) if not name.startswith("_")]


# -- the world ---------------------------------------------------------------------------------------------------------


class World:
    """A fleet of three, its Redis, its origin, and its clients."""

    STEPS = 60

    def __init__(self, number: int, redis: RedisServer, backends: list[Any]) -> None:
        self.chance, self.redis = Random(SEED + number), redis
        self.redis_fails = number % 2 == 1
        self.origin_fails = number // 2 % 2 == 1
        self.hasty = number % 7 == 5
        """Whether the clocks of those who wait run out."""
        self.clocks = Clocks(wait_stale=0.02, leader_age=0.05, wait_deadline=0.2) if self.hasty else Clocks()
        self.site = {target: self._resource() for target in TARGETS}
        self.fetches: dict[int, Fetch] = {}
        self.clients: list[Client] = []
        self.now = 0
        self.known = dict.fromkeys(TARGETS, 0)
        """When all processes last knew that nothing older holds."""
        self.said = dict.fromkeys(TARGETS, 0)
        """When somebody last said so."""
        self.purging = False
        self.wrong: list[str] = []
        self.log: list[str] = [f"{target.decode()}: {self.site[target]}" for target in TARGETS]
        self.processes = [Process(self, backend, number) for number, backend in enumerate(backends)]

    def _resource(self) -> Resource:
        name = self.chance.choice(OFTEN)
        validators = self.chance.choice([(b"etag",), (b"etag",), (b"last-modified",), (b"etag", b"last-modified"), ()])
        if name == "brief":
            validators = ()
        return Resource(KINDS[name], name, self.chance.random() < 0.3, validators)

    def tick(self) -> int:
        self.now += 1
        return self.now

    def note(self, said: object) -> None:
        self.log.append(f"{self.now} {said}")

    # -- the origin ------------------------------------------------------------------------------------------------

    def asked(self, fetch: Fetch) -> None:
        self.note(f"fetch {fetch!r} {[value for value in fetch.asked if value]}")
        if fetch.shared and not self.purging:
            beside = [one for one in self.fetches.values() if one.holds(fetch)]
            # A second one is allowed where the first fails, or makes no progress.
            if len(beside) > (self.origin_fails or self.hasty):
                self.wrong.append(f"one fetch at a time: {fetch!r} beside {beside!r}")
        self.fetches[fetch.begun] = fetch

    def validating(self, fetch: Fetch) -> list[Fetch]:
        return [one for one in self.fetches.values() if one.validates is fetch]

    def _some(self, chosen: Callable[[Fetch], bool]) -> Fetch | None:
        found = [fetch for fetch in self.fetches.values() if fetch.in_the_air and chosen(fetch)]
        return self.chance.choice(found) if found else None

    def head(self, fetch: Fetch) -> ResponseHead:
        """What a well origin says."""
        resource = fetch.resource
        if fetch.method == b"POST":
            return ResponseHead(204, Fields())
        kind, fetch.version = resource.kind, resource.version
        said = [(b"Cache-Control", kind.control)]
        if kind.stale:
            said.append((b"Age", b"6"))
        if resource.varies:
            said.append((b"Vary", b"Accept-Language"))
        old = self._same(fetch)
        if old is not None:
            fetch.validates = old
        else:
            said.append((b"X-Fetch", b"%d" % fetch.begun))
        if b"etag" in resource.validators:
            said.append((b"ETag", fetch.tag if old is None else old.tag))
        if b"last-modified" in resource.validators:
            said.append((b"Last-Modified", self._modified(resource)))
        return ResponseHead(200 if old is None else 304, Fields(said))

    def _modified(self, resource: Resource) -> bytes:
        return format_date(1_700_000_000 + 60 * resource.version)

    def _same(self, fetch: Fetch) -> Fetch | None:
        """What it asks about, if that still holds."""
        tag, modified = fetch.asked
        if tag is not None:
            old = self.fetches[int(tag.strip(b'"'))]
            same = old.version == fetch.resource.version and (old.language == fetch.language or not old.resource.varies)
            return old if same else None
        if modified == self._modified(fetch.resource):
            entry = fetch.flight.plan.entry
            return None if entry is None else self.fetches[int(entry.fields.get(b"x-fetch") or b"")]
        return None

    def _answer(self, fetch: Fetch, head: ResponseHead) -> None:
        fetch.answered, fetch.status = self.tick(), head.status
        fetch.withheld = not fetch.resource.kind.shared and head.status == 200
        length = LENGTH if head.status == 200 and fetch.method == b"GET" else None
        fetch.response = HeldResponse(head, length)
        self.note(f"answers {fetch!r}: {head.status}")
        if head.status in (204, 304) or fetch.method == b"HEAD":
            fetch.over, fetch.whole = True, True
            fetch.response._ended = True
        fetch.process.origin._waiting[fetch.number].callback(fetch.response)
        if fetch.over and fetch.response.sink is not None and not fetch.response.aborted:
            fetch.response.end()

    async def answers(self) -> None:
        fetch = self._some(lambda fetch: fetch.response is None)
        if fetch is None:
            return
        if self.origin_fails and self.chance.random() < 0.35:
            self._fails(fetch)
            return
        post = fetch.method == b"POST"
        if post:
            await pause(CLOCKS)
            if not fetch.in_the_air:
                return
            fetch.resource.version += 1
            if not self.redis_fails:
                self.purging = True
        self._answer(fetch, self.head(fetch))
        if post:
            await self._invalidated(fetch)

    def _fails(self, fetch: Fetch) -> None:
        match self.chance.randrange(5):
            case 0 | 1:
                fetch.over = True
                fault = self.chance.choice([one for one in Fault if one not in (Fault.TRUNCATED, Fault.CANCELLED)])
                self.note(f"fails {fetch!r}: {fault}")
                fetch.process.origin.fail(fetch.number, fault)
            case 2 if fetch.method != b"POST":
                # About nothing that was asked about; or nothing was.
                said = [(b"ETag", b'"none"'), (b"Cache-Control", fetch.resource.kind.control)]
                self._answer(fetch, ResponseHead(304, Fields(said)))
            case _:
                status = self.chance.choice([500, 502, 503, 504])
                said = [(b"Cache-Control", b"max-age=1")] if self.chance.random() < 0.2 else []
                self._answer(fetch, ResponseHead(status, Fields(said)))

    async def sends(self) -> None:
        fetch = self._some(lambda fetch: fetch.response is not None)
        if fetch is None:
            return
        response = fetch.response
        if self.origin_fails and self.chance.random() < 0.08 and response is not None and response.sink is not None:
            self.note(f"cuts {fetch!r}")
            fetch.over = True
            sink, response.sink = response.sink, None
            sink.broken(OriginError(Fault.TRUNCATED))
            return
        self._goes_on(fetch)

    def _goes_on(self, fetch: Fetch) -> None:
        assert fetch.response is not None
        fetch.response.send(fetch.piece(fetch.sent) if fetch.status == 200 else b"error;")
        fetch.sent += 1
        if fetch.sent == PIECES and fetch.in_the_air:
            fetch.over = fetch.whole = True
            self.note(f"ends {fetch!r}")
            fetch.response.end()

    async def changes(self) -> None:
        self.site[self.chance.choice(TARGETS)].version += 1

    # -- who comes and goes ----------------------------------------------------------------------------------------

    def _fields(self, target: bytes) -> Pairs:
        chance, fields = self.chance, []
        if self.site[target].varies or chance.random() < 0.2:
            fields.append((b"Accept-Language", chance.choice(LANGUAGES)))
        if chance.random() < 0.06:
            fields.append((b"Authorization", b"Basic %d" % self.now))
        if chance.random() < 0.06:
            fields.append((b"Cache-Control", b"no-cache"))
        if chance.random() < 0.12:
            fields.append((b"Range", chance.choice([b"bytes=3-11", b"bytes=20-", b"bytes=-5"])))
        return fields

    async def comes(self) -> None:
        process, target = self.chance.choice(self.processes), self.chance.choice(TARGETS)
        method = b"HEAD" if self.chance.random() < 0.08 else b"GET"
        self._ask(process, method, target, self._fields(target))

    def _ask(self, process: Process, method: bytes, target: bytes, fields: Pairs) -> Client:
        client = Client(self, process, method, target, fields)
        self.clients.append(client)
        self.note(f"comes {client!r}")
        return client

    async def crowds(self) -> None:
        """Several at a time ask for the same, all over the fleet."""
        target = self.chance.choice(TARGETS)
        for process in self.processes:
            for _ in range(self.chance.choice([1, 1, 2])):
                self._ask(process, b"GET", target, self._fields(target))

    async def posts(self) -> None:
        self._ask(self.chance.choice(self.processes), b"POST", self.chance.choice(TARGETS), [])

    async def leaves(self) -> None:
        if self.clients:
            client = self.chance.choice(self.clients)
            if not client.over:
                self.note(f"leaves {client!r}")
                client.leave()

    async def pauses(self) -> None:
        await pause(self.chance.choice([0, 0, 0.002, 0.03]))

    # -- what is out of date ---------------------------------------------------------------------------------------

    async def purges(self) -> None:
        process, scope = self.chance.choice(self.processes), Scope.everything()
        targets: Sequence[bytes] = TARGETS
        if self.chance.random() < 0.5:
            targets = [self.chance.choice(TARGETS)]
            scope = Scope.of_url(targets[0], HOST)
        hardness = self.chance.choice([Hardness.HARD, Hardness.SOFT])
        await pause(CLOCKS)
        self.note(f"P{process.number} purges {scope} {hardness}")
        self.purging = not self.redis_fails
        told, now = process.resource.purge(scope, hardness), self.tick()
        self._outdated([process], targets, hardness, now)
        if self.redis_fails:
            return
        assert await told
        for each in self.processes:
            await heard(each.backend, self.redis)
        # What others learn of it they ask Redis for.
        await until(lambda: not any(each.store.under_way for each in self.processes))
        self._outdated(self.processes, targets, hardness, now)
        for target in targets:
            self.known[target] = self.tick()
        self.purging = False

    def _outdated(self, processes: list[Process], targets: Iterable[bytes], hardness: Hardness, now: int) -> None:
        """Whoever asks these ``processes`` from here on gets nothing of before ``now``."""
        for target in targets:
            self.said[target] = self.now
            for process in processes:
                (process.purged if hardness is Hardness.HARD else process.softened)[target] = now

    async def _invalidated(self, fetch: Fetch) -> None:
        """What is not safe was answered (RFC 9111 §4.4)."""
        process, target = fetch.process, fetch.target
        if fetch.status >= 400:
            return
        self._outdated([process], [target], Hardness.HARD, fetch.answered)
        if self.redis_fails:
            return
        await process.store.flush()
        for each in self.processes:
            await heard(each.backend, self.redis)
            await each.store.learn(Route().template.key(RequestHead(b"GET", target, Fields(), b"http", HOST)))
        await until(lambda: not any(each.store.under_way for each in self.processes))
        self._outdated(self.processes, [target], Hardness.HARD, fetch.answered)
        self.known[target] = self.tick()
        self.purging = False

    # -- what goes wrong -------------------------------------------------------------------------------------------

    async def breaks(self) -> None:
        what = self.chance.randrange(11)
        self.note(f"breaks {what}")
        match what:
            case 0 | 1:
                self.redis.command("CLIENT", "KILL", "TYPE", self.chance.choice(["normal", "pubsub"]))
            case 2:
                self.redis.command("CLIENT", "PAUSE", self.chance.choice([20, 300, 600]))
                await pause(0.01)
            case 3:
                self.redis.command("FLUSHALL")
            case 4:
                self.redis.command("SCRIPT", "FLUSH")
            case 5:
                self.redis.pause()
                await pause(self.chance.choice([0.02, 0.3]))
                self.redis.resume()
            case 6:
                self.redis.kill()
                await pause(self.chance.choice([0, 0.05]))
                self.redis.start()
            case 7 | 8:
                # Full, or with a replica missing: it says no to whatever is written.
                name, value = self.chance.choice([("maxmemory", "1"), ("min-replicas-to-write", "1")])
                self.redis.command("CONFIG", "SET", name, value)
                self._ask(self.chance.choice(self.processes), b"GET", self.chance.choice(TARGETS), [])
                await pause(self.chance.choice([0.005, 0.05]))
                self.redis.command("CONFIG", "SET", name, "0")
            case _:
                await self.loses()

    async def loses(self) -> None:
        names = self.redis.command("KEYS", "test:*")
        if names:
            name = self.chance.choice(sorted(names))
            self.note(f"loses {name!r}")
            self.redis.command(*self.chance.choice([("DEL", name), ("PEXPIRE", name, 20)]))

    # -- from the beginning to the end -----------------------------------------------------------------------------

    async def run(self) -> None:
        happens = [self.comes] * 6 + [self.crowds] + [self.answers] * 5 + [self.sends] * 9 + [self.pauses] * 4
        happens += [self.leaves, self.purges, self.changes, self.posts]
        happens += [self.breaks] * 2 if self.redis_fails else []
        for _ in range(self.STEPS):
            await self.chance.choice(happens)()

    async def settle(self) -> None:
        """Everything comes to its end."""

        def over() -> bool:
            for fetch in list(self.fetches.values()):
                if fetch.in_the_air and fetch.response is None:
                    self._answer(fetch, self.head(fetch))
                while fetch.in_the_air:
                    self._goes_on(fetch)
            return all(client.over for client in self.clients) and all(each.at_rest for each in self.processes)

        await until(over)

    async def quiet(self) -> None:
        """Redis answers, and everybody knows what there is to know."""
        await until(lambda: all(each.backend.store.session for each in self.processes))
        await until(lambda: all(each.at_rest and each.told for each in self.processes))
        for each in self.processes:
            await heard(each.backend, self.redis)
        await until(lambda: all(each.at_rest for each in self.processes))

    async def hits_come_back(self) -> None:
        """Once all may be kept, the origin is not asked again and again; and nobody gets what anybody has purged."""
        for resource in self.site.values():
            resource.kind, resource.name = KINDS["fresh"], "fresh"
        for target in TARGETS:
            for language in LANGUAGES:
                await self._hit(target, language)

    async def _hit(self, target: bytes, language: bytes) -> None:
        deadline = installed.seconds() + 20
        while True:
            before = len(self.fetches)
            for process in self.processes:
                self._ask(process, b"GET", target, [(b"Accept-Language", language)])
                await self.settle()
                await self.quiet()
            if len(self.fetches) == before:
                return
            assert installed.seconds() < deadline, f"no hits of {target!r} {language!r} come back"

    def nothing_is_left(self) -> None:
        """In Redis all has its time, but for the purges."""
        layout = self.processes[0].store.remote._layout
        for name in self.redis.command("KEYS", "*"):
            assert name == layout.purges or self.redis.command("PTTL", name) != -1, name
        if not self.redis_fails:
            leases = {name: self.redis.command("GET", name) for name in self.redis.command("KEYS", "*}:l*")}
            assert not [value for value in leases.values() if value is not None and value.startswith(b"h:")], leases

    def check(self) -> None:
        for client in self.clients:
            promises = Promises(self, client)
            self.wrong += [f"{name}: {client!r}" for name in PROMISES if not getattr(promises, name)()]
        assert not self.wrong, "\n".join(self.wrong)


async def live(number: int, redis: RedisServer, make_store: MakeStore) -> None:
    """One world, from its beginning to its end."""
    redis.command("FLUSHALL")
    world = World(number, redis, [await make_store(redis.url) for _ in range(3)])
    try:
        await world.run()
        world.note("settles")
        await world.settle()
        await world.quiet()
        world.check()
        world.nothing_is_left()
        await world.hits_come_back()
        world.check()
    except BaseException as error:
        error.add_note("\n".join([f"world {number}", *world.log, *map(repr, world.clients)]))
        raise
    finally:
        for process in world.processes:
            await process.resource.close()
            await process.backend.stopService()


@async_test
async def test_whatever_goes_wrong_the_promises_hold(
    seeds: range, one_redis_server: RedisServer, make_store: MakeStore
) -> None:
    for number in seeds[::20]:
        await live(number // 20, one_redis_server, make_store)
