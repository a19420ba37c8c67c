"""What one process can be asked about itself: each answer is an object that JSON can hold.

The process that listens for the operator asks itself, or its workers over their pipes; ``admin.inquiry`` puts the
answers together. Nothing here changes anything, and nothing asks the origin.
Must not know: HTTP of the admin interface, tokens, other processes.
"""

from __future__ import annotations

import os
import socket
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from txstalecache.config.routes import Routes
from txstalecache.edge.explain import Explainer, shown, text
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.prepare import anonymous, key_of, prepared
from txstalecache.flight.flight import Flight
from txstalecache.flight.registry import Registry
from txstalecache.http.entry import Entry
from txstalecache.http.keys import Key
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.observe.tally import Tally
from txstalecache.origin.group import OriginGroup
from txstalecache.origin.http import HttpOrigin
from txstalecache.origin.interfaces import IOrigin
from txstalecache.store import StoreService
from txstalecache.store.interfaces import Purpose
from txstalecache.store.memory import Shelf
from txstalecache.store.purges import Purge, Purges
from txstalecache.store.stored import stored

if TYPE_CHECKING:
    from txstalecache.observe.metrics import Upstream

__all__ = ["Facts", "flight_told", "upstreams"]

#: Flights and known URLs that are told at most.
MOST_FLIGHTS = 1000
MOST_URLS = 10_000
#: Keys in memory that are gone through in one turn of the reactor.
A_TURN = 1000


class Facts:
    """The facts about one process. ``origins`` says which upstreams there are now."""

    def __init__(
        self,
        registry: Registry,
        tally: Tally,
        store: StoreService,
        routes: Routes,
        limits: EdgeLimits,
        origins: Callable[[], Mapping[str, IOrigin]],
        clock: IReactorTime,
        version: str,
        pseudonym: Pseudonym = OURS,
    ) -> None:
        self._registry = registry
        self._store = store
        self._routes = routes
        self._explainer = Explainer(routes, store, registry, limits, pseudonym)
        self._origins = origins
        self._clock = clock
        self._version = version
        self._began = clock.seconds()
        self._host = socket.gethostname()
        self.tally = tally

    def answers(self) -> Mapping[str, Callable[..., Any]]:
        """Every question by its name."""
        return {
            "status": self.status,
            "flights": self.flights,
            "top": self.top,
            "entry": self.entry,
            "explain": self.explain,
            "known": self.known,
            "metrics": self.metrics,
        }

    def tick(self) -> None:
        """Once a second: what rates and percentiles are made from."""
        self.tally.tick(self._clock.seconds())

    def identity(self) -> dict[str, Any]:
        """Who answers."""
        return {"host": self._host, "pid": os.getpid(), "worker": None}

    # -- how it does ---------------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """How things stand."""
        registry, store, tally = self._registry, self._store, self.tally
        totals, figures = tally.totals(), store.figures()
        return {
            "process": self.identity(),
            "version": self._version,
            "uptime": round(self._clock.seconds() - self._began, 3),
            "flights": len(registry.flights),
            "waiting": registry.waiting,
            "bytes_in_flight": registry.held,
            "store": {
                "describe": store.describe(),
                "degraded": store.degraded,
                "redis": figures.get("redis_available"),
                "breaker_open": figures.get("redis_breaker_open"),
                "tracking": figures.get("redis_tracking"),
                "figures": figures,
            },
            "memory": {
                "bytes": figures["memory_bytes"],
                "limit": figures["memory_limit_bytes"],
                "entries": figures["memory_keys"],
            },
            "upstreams": upstreams(self._origins()),
            "requests": dict(totals["verdicts"]),
            "origin_requests": registry.figures.fetches,
            "origin_saved": totals["saved"],
            "sent_bytes": tally.sent,
            "recent": tally.recent(self._clock.seconds()),
        }

    def metrics(self) -> dict[str, Any]:
        """Everything that is counted, for ``observe.metrics``."""
        registry, store, tally = self._registry, self._store, self.tally
        figures, latency = registry.figures, store.redis_latency
        states: dict[str, int] = {}
        for flight in registry.flights:
            states[flight.state] = states.get(flight.state, 0) + 1
        return {
            "process": self.identity(),
            "version": self._version,
            "uptime": self._clock.seconds() - self._began,
            "requests": tally.requests(),
            "sent": tally.sent,
            "cut": tally.cut,
            "alone": dict(tally.alone),
            "saved": tally.totals()["saved"],
            "durations": {verdict: _told(one) for verdict, one in tally.durations.items()},
            "waits": _told(tally.waits),
            "flights": states,
            "waiting": registry.waiting,
            "held": registry.held,
            "ended": [[*name, count] for name, count in figures.ended.items()],
            "back_offs": figures.back_offs,
            "fetches": figures.fetches,
            "answers": dict(figures.answers),
            "faults": dict(figures.faults),
            "origin_latency": _told(figures.latency),
            "store": store.figures(),
            "redis_latency": None if latency is None else _told(latency),
            "upstreams": upstreams(self._origins()),
        }

    def flights(self) -> dict[str, Any]:
        """The fetches in the air, the oldest first."""
        now = self._store.store.now()
        flights = sorted(self._registry.flights, key=lambda flight: flight.began)
        return {
            "process": self.identity(),
            "flights": [flight_told(flight, now) for flight in flights[:MOST_FLIGHTS]],
            "total": len(flights),
        }

    def top(self, by: str, limit: int) -> dict[str, Any]:
        """The keys asked for most. ``by`` is one of ``observe.top.RANKINGS``."""
        return {"process": self.identity(), "top": self.tally.top.top(by, limit)}

    # -- one URL -------------------------------------------------------------------------------------------------

    def entry(self, url: str, body: bool) -> Deferred[dict[str, Any]]:
        """What is stored for ``url``, as somebody asks who sends nothing about himself: each variant that memory holds,
        or Redis."""
        return Deferred.fromCoroutine(self._entry(url, body))

    async def _entry(self, url: str, body: bool) -> dict[str, Any]:
        head = anonymous(url.encode("ascii"))
        route = self._routes.pick(head)
        try:
            key = key_of(route, prepared(route, head))
        except Exception:
            return {"problem": "the route's own code failed on a request that says nothing but this URL"}
        found = await stored(self._store.store, key)
        now = self._store.store.now()
        return {
            "process": self.identity(),
            "key": shown(key),
            "digest": key.digest,
            "variants": [_variant(entry, until, where, now, body) for entry, until, where in found],
        }

    def explain(self, url: str, method: str, fields: list[list[str]]) -> Deferred[dict[str, Any]]:
        """The whole decision about a request, step by step. It asks the store, never the origin."""
        given = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
        explaining = self._explainer.explain(url.encode("ascii"), method.encode("ascii"), given)
        return Deferred.fromCoroutine(explaining).addCallback(lambda told: {"process": self.identity(), **told})

    # -- what is known of a scope --------------------------------------------------------------------------------

    def known(self, scope: str, urls: bool) -> Deferred[dict[str, Any]]:
        """How many answers in this process' memory a purge called ``scope`` (``Purge.name``) would cover, and
        whether there is a Redis where there may be more; with ``urls`` also which URLs they are for."""
        return Deferred.fromCoroutine(self._known(scope, urls))

    async def _known(self, scope: str, urls: bool) -> dict[str, Any]:
        now = self._store.store.now()
        purge = Purge.read(scope.encode("latin-1"), now)
        if purge is None:
            raise ValueError("no scope")
        purges = Purges()
        purges.add([purge])
        found: dict[str, None] = {}
        count = 0
        for number, shelf in enumerate(self._store.memory, 1):
            covered = _covered(purges, shelf, now)
            count += covered
            if covered and urls and len(found) < MOST_URLS:
                found[_url_of(shelf.key)] = None
            if number % A_TURN == 0:
                await deferLater(self._clock, 0)
        redis = "redis_available" in self._store.figures()
        return {"process": self.identity(), "count": count, "urls": list(found), "redis": redis}


def _covered(purges: Purges, shelf: Shelf, now: float) -> int:
    """How many of the answers on ``shelf`` the ``purges`` cover."""
    entries = [one.entry for one in shelf.variants.values() if one.entry is not None and one.until > now]
    return sum(1 for entry in entries if purges.apply(shelf.key, entry) is None)


def flight_told(flight: Flight, now: float) -> dict[str, Any]:
    """One flight."""
    key = flight.plan.key
    return {
        "key": shown(key),
        "digest": key.digest,
        "url": _url_of(key, flight.plan.fetch.scheme),
        "method": text(flight.plan.fetch.method),
        "age": round(max(0.0, now - flight.began), 3),
        "state": flight.state,
        "waiters": flight.waiting,
        "readers": len(flight.body.readers),
        "bytes": flight.body.length,
        "refresh": flight.purpose is Purpose.REFRESH,
        "shared": flight.plan.sharing.shared,
    }


def upstreams(origins: Mapping[str, IOrigin]) -> list[Upstream]:
    """Each upstream with its servers, as the configuration calls them."""
    return [{"name": name, "servers": _servers(name, origin)} for name, origin in origins.items()]


def _servers(name: str, origin: IOrigin) -> list[dict[str, Any]]:
    if isinstance(origin, OriginGroup):
        found: dict[str, dict[str, Any]] = {}
        for member in origin.members:
            address = _address(member.origin) or member.name
            # One that is named twice is one server, which is asked while one of its places is well.
            known = found.setdefault(
                address, {"open": 0, "idle": 0, "waiting": 0, "address": address, "healthy": False}
            )
            for what, count in _connections(member.origin).items():
                known[what] += count
            known["healthy"] = known["healthy"] or member.health.well
        return list(found.values())
    return [{**_connections(origin), "address": _address(origin) or name, "healthy": True}]


def _connections(origin: IOrigin) -> dict[str, int]:
    if not isinstance(origin, HttpOrigin):
        return {"open": 0, "idle": 0, "waiting": 0}
    return {"open": origin.connections, "idle": origin.idle_connections, "waiting": origin.waiting}


def _address(origin: IOrigin) -> str:
    if not isinstance(origin, HttpOrigin):
        return ""
    address = origin.address
    return f"unix:{address.path}" if address.scheme == "unix" else f"{address.host}:{address.port}"


def _url_of(key: Key, scheme: bytes = b"") -> str:
    scheme = scheme or (b"https" if key[:1] == (b"https",) else b"http")
    return text(b"%b://%b%b" % (scheme, key.host, key.target))


def _told(histogram: Any) -> dict[str, Any]:
    return {"counts": histogram.sparse(), "total": histogram.total}


def _variant(entry: Entry, until: float, where: str, now: float, body: bool) -> dict[str, Any]:
    freshness, age = entry.freshness, entry.age(now)
    fresh_until = now + freshness.lifetime - age

    def window(seconds: float) -> float:
        return round(fresh_until + seconds, 3)

    told: dict[str, Any] = {
        "selector": [[text(name), None if value is None else text(value)] for name, value in entry.selector],
        "status": entry.status,
        "fields": [[text(name), text(value)] for name, value in entry.fields],
        "times": {
            "now": round(now, 3),
            "requested": round(entry.request_time, 3),
            "stored": round(entry.response_time, 3),
            "age": round(age, 3),
            "fresh_until": round(fresh_until, 3),
            "stale_until": window(freshness.while_revalidate),
            "stale_if_error_until": window(freshness.if_error),
            "stale_if_unreachable_until": window(freshness.if_unreachable),
            "gone_at": round(until, 3),
        },
        "must_revalidate": freshness.must_revalidate,
        "no_cache": freshness.no_cache,
        "tags": sorted(text(tag) for tag in entry.tags),
        "size": entry.length,
        "where": where,
    }
    if body:
        told["body"] = b64encode(b"".join(entry.body)).decode("ascii")
    return told
