"""One request as a straight line: validate, route, look up, judge, answer.

::

    render → head → route, key → found → verdict
      Fresh     → answer from the entry
      Stale     → answer from the entry, finish; only then one refresh
      Validate  → join a flight that asks whether the entry holds
      Miss      → join the flight
      Pass      → to the origin, for this client alone
      Refuse    → a status and a reason

Must not know: how fetches are shared, where entries live, what RFC 9111 says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from ipaddress import IPv4Network, IPv6Network
from random import random
from typing import Any, Final, assert_never

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.iweb import IBodyProducer
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from txstalecache.config.routes import Networks, Route, Routes, within
from txstalecache.edge import outdated, part, planning, respond
from txstalecache.edge.asked import HeadReader
from txstalecache.edge.contained import contained
from txstalecache.edge.exchange import Exchange
from txstalecache.edge.fastlane import FastLane
from txstalecache.edge.forwarded import through, with_scheme
from txstalecache.edge.heads import Rejected
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.prepare import anonymous, key_of, meets, prepared
from txstalecache.edge.reply import refusal
from txstalecache.edge.twistedweb import TwistedExchange
from txstalecache.edge.uses import Uses
from txstalecache.edge.visit import NOBODY, Outcome, Visit
from txstalecache.edge.warming import Warmed, warm
from txstalecache.edge.whole import KeptBody, whole
from txstalecache.flight.landing import ROUNDS, Alone, Attached, Failed, Landing, Regroup, Settled
from txstalecache.flight.limits import Limits
from txstalecache.flight.plan import Plan, Sharing
from txstalecache.flight.readers import Readers
from txstalecache.flight.registry import Registry
from txstalecache.http import expect, forward, parts, policy, tags, vary
from txstalecache.http.entry import Entry, Marker
from txstalecache.http.freshness import early
from txstalecache.http.invalidation import invalidates, safe
from txstalecache.http.keys import Key
from txstalecache.http.messages import RequestHead, ResponseHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.http.verdict import Fresh, Miss, Pass, Refuse, Stale, Validate, Verdict
from txstalecache.observe.accesslog import Record
from txstalecache.observe.tally import Tally
from txstalecache.observe.trace import TraceContext, begun
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import IOrigin
from txstalecache.origin.local import LocalOrigin
from txstalecache.store import Hardness, Scope, StoreService, open_store
from txstalecache.store.interfaces import Found, IStore
from txstalecache.store.tiered import TieredStore

__all__ = ["CacheResource"]


#: The part that a request has in a flight, by whether it leads; None: there is none.
_ROLES: Final[Mapping[bool | None, str]] = {True: "leader", False: "waiter", None: "-"}


class CacheResource(Resource):
    """A caching proxy in front of ``origin``, as a leaf resource for any ``Site``.

    ``origin`` is an IOrigin, or a URL; ``store`` comes from ``open_store`` and is memory alone when left out. The
    caller owns what it passes in, starts the store, and closes both after the resource. ``log`` is called with one
    ``Record`` per request; ``tally`` counts them, and is its own when left out. ``reactor`` is Twisted's own when left
    out. ``name`` is what it calls itself in ``Via`` and ``Cache-Status``: two in a row need two, all of a fleet have
    one. TypeError for what is something else; ValueError for a URL that cannot be an origin's, for a name that is no
    token, and for a route to an upstream that is not among ``origins``.
    """

    isLeaf = True
    #: ``CacheSite`` is not to read bodies before.
    streams = True

    _hook_failures = Logger()

    def __init__(
        self,
        origin: IOrigin | str | bytes,
        store: StoreService | None = None,
        *,
        routes: Routes | None = None,
        origins: Mapping[str, IOrigin] | None = None,
        trusted_proxies: Networks = (),
        limits: Limits = Limits(),
        log: Callable[[Record], None] | None = None,
        tally: Tally | None = None,
        reactor: Any = None,
        name: str = OURS.name.decode("ascii"),
    ) -> None:
        super().__init__()
        if reactor is None:
            from twisted.internet import reactor
        routes = Routes() if routes is None else routes
        origins = {} if origins is None else origins
        expect.of_kind("name", name, str, "a text")
        expect.of_kind("store", store, StoreService | None, "what open_store gives")
        expect.of_kind("routes", routes, Routes, "Routes")
        expect.of_kind("limits", limits, Limits, "Limits")
        expect.several("trusted_proxies", trusted_proxies, IPv4Network | IPv6Network, "networks")
        expect.of_kind("log", log, Callable | None, "a function")
        expect.of_kind("origins", origins, Mapping, "origins by name")
        for upstream, other in origins.items():
            expect.providing(f"origins[{upstream!r}]", other, IOrigin, "an IOrigin")
        for route in routes.routes:
            if route.upstream is not None and route.upstream not in origins:
                raise ValueError(f"route {route.name}: no upstream {route.upstream} among origins")
        self.pseudonym = Pseudonym(name)
        """How it is called."""
        self._own_origin: IOrigin | None = None
        if isinstance(origin, str | bytes):
            url = origin if isinstance(origin, str) else origin.decode("latin-1")
            origin = self._own_origin = HttpOrigin(reactor, url)
        expect.providing("origin", origin, IOrigin, "a URL or an IOrigin")
        self.origins: Mapping[str, IOrigin] = origins
        """The upstreams that routes name; may be replaced at any time."""
        self._backend = backend = open_store(reactor, redis="memory") if store is None else store
        self._store: IStore = backend.store
        self._clock: IReactorTime = reactor
        self._routes = routes
        self._trusted_proxies = trusted_proxies
        self._uses = Uses()
        self._log = contained(None if log is None else through(trusted_proxies, log))
        self.tally = Tally() if tally is None else tally
        self.registry = Registry(reactor, origin, backend.store, backend.leases, limits)
        kept = self._store.memory.limit if isinstance(self._store, TieredStore) else 0
        self._readers = Readers(reactor, limits.bytes_being_read + kept, limits.min_rate)
        backend.when_discarded.add(self.registry.discarded)

    def render(self, request: Request) -> int:
        """Any method; the answer comes later."""
        self.stands(request.prepath or (), getattr(request, "site", None), request.isSecure())
        self.serve(TwistedExchange(request, self._clock))
        return NOT_DONE_YET

    def stands(self, place: Sequence[bytes], site: Site | None, secure: bool | None = None) -> None:
        """Have the resources in this process know where in a tree this one stands, and in which ``site``."""
        for origin in (self.registry.origin, *self.origins.values()):
            if isinstance(origin, LocalOrigin):
                origin.stands(place, site, secure)

    @property
    def renders(self) -> bool:
        """Whether ``serve`` is all that ``render`` does."""
        return type(self).render is CacheResource.render and "render" not in vars(self)

    def serve(self, exchange: Exchange) -> None:
        """Answer what ``exchange`` asks, now or later."""
        exchange.readers = self._readers
        exchange.run(self._serve(exchange))

    def close(self) -> Deferred[None]:
        """Land every flight; requests still waiting get 503. Fires when what the resource owns is closed."""
        self._backend.when_discarded.discard(self.registry.discarded)
        self.registry.close()
        return succeed(None) if self._own_origin is None else self._own_origin.close()

    def trusts(self, client: str | None) -> bool:
        """Whether the word of a connection from ``client`` about its own client counts."""
        return within(client, self._trusted_proxies)

    def fast_lane(self, limits: EdgeLimits, scheme: bytes, trusted: bool) -> FastLane | None:
        """What answers hits for connections under ``limits``, whose word counts where they are ``trusted``, before they
        become exchanges; None where the store has no memory of its own kind to read from, or somebody's own ``serve``
        or ``recorded`` would be passed by."""
        own = type(self)
        if own.serve is not CacheResource.serve or own.recorded is not CacheResource.recorded:
            return None
        if not isinstance(self._store, TieredStore):
            return None
        reader, log, tally = HeadReader(limits, scheme, trusted, self.pseudonym), self._log, self.tally
        return FastLane(self._store, self._routes, self._renew_behind_lane, self._clock, log, tally, reader)

    # -- the straight line ---------------------------------------------------------------------------------------

    async def _serve(self, exchange: Exchange) -> None:
        try:
            head = exchange.head()
        except Rejected as rejected:
            asked = RequestHead(exchange.method, exchange.target, exchange.fields, exchange.scheme)
            outcome = Outcome(why=rejected.why)
            exchange.done = lambda: self._record(exchange, outcome, asked)
            exchange.answer(refusal(rejected.status, rejected.why))
            return
        if exchange.place is None:
            head = with_scheme(head, self.trusts(exchange.client))
        route, key = exchange.place or (self._routes.pick(head), None)
        asked, head = head, prepared(route, head)
        if key is None or head is not asked:
            key = route.template.key(head)
        visit = self._visit(exchange, head, route, key)
        exchange.done = lambda: self._record(exchange, visit.outcome, asked)
        if forward.looped(head.fields, self.pseudonym):
            self._refuse(visit, 508, "loop")
            return
        if head.method == b"OPTIONS" and forward.ends_here(head):
            visit.outcome.why = "options"
            exchange.answer(respond.of_ourselves(visit))
            return
        body = exchange.body()
        left = None if body is None else await self._read(visit, body)
        if head.method not in route.rules.methods:
            await self._alone(visit, Pass("method"), left)
            return
        if left is not None:
            # What a body says is not in the key.
            await self._alone(visit, Pass("body"), left)
            return
        if not route.plain and await self._excepted(visit):
            return
        found = self._store.peek(visit.key, head)
        if found is None:
            found = await self._store.load(visit.key, head)
        await self._act(visit, found)

    def _visit(self, exchange: Exchange, head: RequestHead, route: Route, key: Key) -> Visit:
        origin = None if route.upstream is None else self.origins.get(route.upstream)
        return Visit(exchange, head, route, key, self._store.now(), origin, pseudonym=self.pseudonym)

    async def _read(self, visit: Visit, body: IBodyProducer) -> IBodyProducer | None:
        """Take ``body`` into the key, where the route caches such requests and it is not too long; else what to send of
        it."""
        route, head = visit.route, visit.head
        if head.method not in route.rules.methods or head.method in (b"GET", b"HEAD"):
            return body
        data = await whole(body, route.max_key_body)
        if not isinstance(data, bytes):
            return data
        visit.body = KeptBody(data)
        visit.key = route.template.key(head, blake2b(data, digest_size=20).digest())
        return None

    async def _excepted(self, visit: Visit) -> bool:
        """Do what the route says of this very request; whether it has been answered by that."""
        route, head = visit.route, visit.head
        if route.hooks is not None and route.hooks.key is not None:
            try:
                visit.key = visit.key.extended(b"hook", route.hooks.part(head))
            except Exception:
                self._hook_failures.failure("the key hook of {route} failed", route=route.name)
                await self._alone(visit, Pass("hook"))
                return True
        trusted = within(visit.exchange.client, route.trusted)
        if trusted and meets(head, route.bypass):
            await self._alone(visit, Pass("bypass"))
            return True
        if route.min_uses > 1:
            visit.stored = self._uses.count(visit.key) >= route.min_uses
        if trusted and meets(head, route.refresh):
            visit.outcome.verdict, visit.outcome.why = "miss", "refresh"
            found = await self._store.lookup(visit.key, head)
            await self._join(visit, planning.shared(visit, names=found.vary), forced=True)
            return True
        return False

    async def _act(self, visit: Visit, found: Found) -> None:
        now = self._store.now()
        verdict: Verdict = policy.judge(visit.head, found.entry, found.marker, visit.route.rules, now, found.vary)
        if part.may_answer(visit.head, verdict):
            verdict = await self._part(visit, found.marker) or verdict
        visit.outcome.verdict = type(verdict).__name__.lower()
        visit.outcome.why = verdict.why
        if self._backend.protecting and isinstance(verdict, Miss | Validate):
            self._protect(visit, found.entry, now)
            return
        match verdict:
            case Fresh(entry):
                beta = visit.route.refresh_ahead
                if beta and early(entry, now, beta, 1.0 - random()):
                    self._answer_and_renew(visit, entry, found.vary)
                else:
                    self._from_entry(visit, entry, "hit")
            case Stale(entry):
                self._answer_and_renew(visit, entry, found.vary)
            case Validate(entry, conditions=conditions):
                await self._join(visit, planning.shared(visit, entry, conditions, found.vary), forced=verdict.own)
            case Miss():
                await self._join(visit, planning.shared(visit, names=found.vary), forced=verdict.own)
            case Pass():
                await self._alone(visit, verdict)
            case Refuse(status, why, retry_after):
                self._refuse(visit, status, why, retry_after)
            case _:
                assert_never(verdict)

    async def _part(self, visit: Visit, marker: Marker | None) -> Fresh | None:
        """The part that is asked for, if it is here; else no more than that is fetched, where the whole is too long."""
        rules = visit.route.rules
        visit.part = part.only(rules, marker)
        return await part.answering(self._store, visit.key, visit.head, rules)

    async def _join(self, visit: Visit, plan: Plan, forced: bool) -> None:
        """Wait for a shared fetch, among those whom its answer suits."""
        if forced:
            plan = replace(plan, began_after=visit.arrived)
        entry, conditions, began_after = plan.entry, plan.conditions, plan.began_after
        # Ten thousand may wait: none of them holds more than it has to.
        plans = [plan]
        del plan
        for _ in range(ROUNDS):
            waiting, leads = self.registry.join(plans.pop())
            visit.head.fields.forget()
            visit.exchange.lighten()
            visit.outcome.role = _ROLES[leads]
            since = self._clock.seconds()
            landing = await waiting
            visit.outcome.wait += self._clock.seconds() - since
            if not isinstance(landing, Regroup):
                break
            visit.part = visit.part or landing.part
            again = planning.shared(visit, entry, conditions, landing.names)
            plans.append(replace(again, began_after=began_after, again=True, provoked=landing.provoked))
        else:
            landing = Alone("vary")
        if isinstance(landing, Attached | Settled) and landing.elsewhere:
            visit.outcome.role = "waiter"  # whoever leads here
        if isinstance(landing, Alone):
            await self._alone(visit, Pass(landing.why, store=True), collapsed=False, sharing=landing.sharing)
        else:
            self._landed(visit, landing)

    async def _alone(
        self,
        visit: Visit,
        verdict: Pass,
        body: IBodyProducer | None = None,
        collapsed: bool | None = None,
        sharing: Sharing = Sharing.SOLO,
    ) -> None:
        """Ask the origin for this client only, with all that it said."""
        visit.outcome.verdict, visit.outcome.why, visit.outcome.role = "pass", verdict.why, "alone"
        visit.outcome.collapsed = collapsed
        head, trusted = visit.head, self.trusts(visit.exchange.client)
        plan = planning.alone(visit, trusted, body, sharing if verdict.store else Sharing.PRIVATE, verdict.entry)
        if not safe(head):
            plan = replace(plan, heard=lambda answer: self._heard(visit, answer))
        self._landed(visit, await self.registry.solo(plan))

    # -- answers -------------------------------------------------------------------------------------------------

    def _from_entry(self, visit: Visit, entry: Entry, role: str) -> None:
        now = self._store.now()
        visit.outcome.role = role
        visit.outcome.age = entry.age(now)
        visit.exchange.answer(respond.from_entry(visit, entry, now))

    def _landed(self, visit: Visit, landing: Landing) -> None:
        match landing:
            case Attached():
                visit.exchange.answer(respond.from_flight(visit, landing, self._store.now()))
            case Settled(entry):
                visit.outcome.settled = landing
                if landing.stale:
                    visit.outcome.verdict, visit.outcome.why = "stale", landing.stale
                self._from_entry(visit, entry, visit.outcome.role if landing.asked else "hit")
            case Failed(status, why, retry_after):
                # Made first: it says why the request went forward, too.
                reply = respond.failure(visit, status, why, retry_after)
                visit.outcome.why = why
                visit.exchange.answer(reply)
            case Alone() | Regroup():
                raise AssertionError("a fetch for one client is not shared")
            case _:
                assert_never(landing)

    def _protect(self, visit: Visit, entry: Entry | None, now: float) -> None:
        """Without its Redis a fleet would send the origin all that it usually keeps away from it."""
        visit.outcome.why = "protect"
        if entry is not None and policy.stands_in(entry, visit.head, None, now):
            visit.outcome.verdict = "stale"
            self._from_entry(visit, entry, "hit")
        else:
            visit.exchange.answer(respond.failure(visit, 503, "protect", self.registry.limits.retry_after))

    def _refuse(self, visit: Visit, status: int, why: str, retry_after: int | None = None) -> None:
        visit.outcome.why = why
        visit.exchange.answer(respond.failure(visit, status, why, retry_after))

    # -- refreshes behind ----------------------------------------------------------------------------------------

    def _answer_and_renew(self, visit: Visit, entry: Entry, names: tuple[bytes, ...]) -> None:
        # What is logged of the request says whose child the refresh is.
        visit.outcome.trace = begun(visit.head.fields)
        self._from_entry(visit, entry, "hit")
        # Nothing below touches the request: the client is free.
        self._renew(visit, entry, names)

    def _renew_behind_lane(
        self,
        head: RequestHead,
        route: Route,
        key: Key,
        entry: Entry,
        names: tuple[bytes, ...],
        trace: TraceContext | None,
    ) -> None:
        """Renew ``entry`` behind a client of the lane, which has the head as it came."""
        visit = self._visit(NOBODY, prepared(route, head), route, key)
        visit.outcome.trace = trace
        self._renew(visit, entry, names)

    def _renew(self, visit: Visit, entry: Entry, names: tuple[bytes, ...]) -> None:
        """Fetch ``entry`` anew behind a client that has its answer; not what was chosen by who that is."""
        if not vary.by_credentials(entry.selector):
            self.registry.refresh(planning.renewing(visit, entry, names))

    # -- what is out of date -------------------------------------------------------------------------------------

    def _heard(self, visit: Visit, answer: ResponseHead) -> None:
        """What is not safe has been answered: RFC 9111 §4.4, before the client hears of it, or although it has left."""
        targets = invalidates(visit.head, answer)
        for target in targets:
            self._invalidate(visit, target)
        if targets:
            for tag in tags.invalidated(visit.head, answer.fields):
                self._store.purge(Scope.of_tag(tag), Hardness.HARD)

    def _invalidate(self, visit: Visit, target: bytes) -> None:
        head = visit.head
        asked = RequestHead(b"GET", target, head.fields, head.scheme, head.authority)
        routes = self._routes.storing(asked)
        for key in dict.fromkeys([route.template.key(asked) for route in routes]):
            self._store.discard(key)
            self._store.discard(parts.beside(key))
            self.registry.invalidate(key)
        # Other requests for the same target have other keys.
        covered = [scope for route in routes for scope in outdated.scopes(route, head.method, asked)]
        for scope in dict.fromkeys(covered):
            self._store.purge(scope, Hardness.HARD)

    # -- on behalf of an operator --------------------------------------------------------------------------------

    def purge(self, scope: Scope, hardness: Hardness = Hardness.HARD) -> Deferred[bool]:
        """Let nothing of ``scope`` be used whose fetch began before now: at once in this process, in all others that
        share its Redis once that has heard of it. Fires with whether it has; if not, it is told when it is back. Never
        fails; TypeError for what is no Scope or Hardness. A SOFT purge leaves stale what it covers."""
        expect.of_kind("scope", scope, Scope, "a Scope")
        expect.of_kind("hardness", hardness, Hardness, "a Hardness")
        return self._store.purge(scope, hardness)

    def refresh(self, url: bytes) -> Deferred[None]:
        """Purge ``url`` (``http://host/target``) softly, and fetch it anew behind everybody's back: as a client would
        that sends nothing about itself. Fires once the fetch is under way. ValueError when it is no such URL."""
        visit = self.visiting(url)
        self._store.purge(Scope.of_url(visit.head.target, visit.key.host), Hardness.SOFT)
        looked = self._store.lookup(visit.key, visit.head)
        return looked.addCallback(lambda found: self.registry.refresh(self.plan(visit, found)))

    def warm(self, url: bytes, most: int = 0) -> Deferred[Warmed]:
        """Have what ``url`` answers stored, as for a client that sends nothing about itself, together with all who ask
        for it meanwhile. Fires when all of it is here, with the first ``most`` bytes of its body. ValueError when it is
        no such URL. Cancelling it only lets go of the fetch."""
        return Deferred.fromCoroutine(warm(self, self._store, self.visiting(url), most))

    def visiting(self, url: bytes) -> Visit:
        """A visit of somebody who sends nothing about himself. TypeError, ValueError."""
        expect.of_kind("url", url, bytes, "bytes")
        head = anonymous(url)
        route = self._routes.pick(head)
        head = prepared(route, head)
        try:
            key = key_of(route, head)
        except Exception:
            self._hook_failures.failure("the key hook of {route} failed", route=route.name)
            key = route.template.key(head)
        return self._visit(NOBODY, head, route, key)

    def plan(self, visit: Visit, found: Found) -> Plan:
        """The shared fetch that ``visit`` needs, after what was ``found``."""
        if found.entry is not None:
            return planning.renewing(visit, found.entry, found.vary)
        # Whoever asks has not judged what was found.
        return replace(planning.shared(visit, names=found.vary), again=True)

    # -- the record ----------------------------------------------------------------------------------------------

    def recorded(self, record: Record) -> None:
        """A request was answered, here or (``CacheSite.refused``) at the door."""
        self.tally(record)
        if self._log is not None:
            self._log(record)

    def _record(self, exchange: Exchange, outcome: Outcome, asked: RequestHead) -> None:
        duration = self._clock.seconds() - exchange.began
        self.recorded(
            Record(
                time=self._store.now() - duration,
                client=exchange.client or "-",
                method=asked.method,
                target=asked.target,
                version=exchange.version,
                fields=asked.fields,
                status=exchange.status,
                sent=exchange.sent,
                complete=exchange.complete,
                verdict=outcome.verdict,
                why=outcome.why,
                role=outcome.role,
                age=outcome.age,
                wait=outcome.wait,
                duration=duration,
                scheme=asked.scheme,
                collapsed=outcome.collapsed,
                sent_on=outcome.trace,
            )
        )
