"""The decision about a request, step by step, without making it: what ``CacheResource`` would do, and by which rule.

It goes the same way with the same parts: validate, route, key, look up, choose the variant, judge. Nothing here
decides; each step says what a part said, and the rule comes from the one table of reasons. The origin is not asked, and
nothing is stored but what looking up in Redis brings into memory.
Must not know: HTTP of the admin interface.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from txstalecache.config.routes import Match, Route, Routes
from txstalecache.edge import part, planning
from txstalecache.edge.heads import BodyKind, ReceivedRequest, Rejected, examine
from txstalecache.edge.limits import EdgeLimits
from txstalecache.edge.prepare import key_of, meets, prepared
from txstalecache.edge.visit import NOBODY, Visit
from txstalecache.flight.plan import Plan
from txstalecache.flight.registry import Registry
from txstalecache.http import forward, policy, vary
from txstalecache.http.entry import Entry, Marker
from txstalecache.http.keys import Key, split_url
from txstalecache.http.messages import RequestHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.http.verdict import Fresh, Miss, Pass, Refuse, Stale, Validate, Verdict
from txstalecache.observe.reasons import reason
from txstalecache.store import StoreService
from txstalecache.store.interfaces import Found, IStore

__all__ = ["Explainer", "shown", "text"]


def text(data: bytes) -> str:
    """What came from outside, for JSON."""
    return data.decode("utf-8", "backslashreplace")


def shown(key: Key) -> str:
    """A key for people: where it is, without what else a template took from the request, which may be secret."""
    return text(key.host + key.target)


@dataclass(slots=True)
class Explained:
    """One explanation under way."""

    steps: list[dict[str, str]]
    route: str | None = None
    key: str | None = None
    digest: str | None = None
    verdict: str = "refuse"
    why: str = ""

    def step(self, name: str, outcome: str, rule: str = "", section: str = "") -> None:
        """One more step was taken."""
        self.steps.append({"step": name, "outcome": outcome, "rule": rule, "section": section})

    def judged(self, name: str, verdict: str, why: str, outcome: str) -> None:
        """The step that decides."""
        self.verdict, self.why = verdict, why
        said = reason(why)
        self.step(name, outcome, said.rule, said.section)

    def told(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "route": self.route,
            "key": self.key,
            "digest": self.digest,
            "steps": self.steps,
            "verdict": self.verdict,
            "why": self.why,
        }


class Explainer:
    """Explains what a resource with these parts would do."""

    def __init__(
        self, routes: Routes, backend: StoreService, registry: Registry, limits: EdgeLimits, pseudonym: Pseudonym = OURS
    ) -> None:
        self._pseudonym = pseudonym
        self._routes = routes
        self._backend = backend
        self._store: IStore = backend.store
        self._registry = registry
        self._limits = limits

    async def explain(self, url: bytes, method: bytes, fields: list[tuple[bytes, bytes]]) -> dict[str, Any]:
        """What would become of a request for ``url`` (``http://host/target``) with ``fields``. ValueError."""
        scheme, host, target = split_url(url)
        said = Explained([])
        request = self._validated(said, scheme, host, target, method, fields)
        if request is not None:
            await self._looked_up(said, request)
        return said.told()

    # -- the steps -----------------------------------------------------------------------------------------------

    def _validated(
        self,
        said: Explained,
        scheme: bytes,
        host: bytes,
        target: bytes,
        method: bytes,
        fields: list[tuple[bytes, bytes]],
    ) -> ReceivedRequest | None:
        lines = list(fields)
        if not any(name.lower() == b"host" for name, _ in lines):
            lines.insert(0, (b"Host", host))
        raw = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, target, b"".join(b"%b: %b\r\n" % line for line in lines))
        try:
            request = examine(raw, self._limits, scheme)
            if request is None or request.end != len(raw):
                raise Rejected(400, "malformed header field")
        except Rejected as rejected:
            said.judged("validate", "refuse", rejected.why, f"answered {rejected.status}: {rejected.why}")
            return None
        said.step("validate", "well-formed", "one well-formed request, or none", "RFC 9112 §11.2")
        head = request.head
        if forward.looped(head.fields, self._pseudonym):
            said.judged("loop", "refuse", "loop", "answered 508")
            return None
        if head.method == b"OPTIONS" and forward.ends_here(head):
            said.judged("options", "refuse", "options", "answered 200")
            return None
        return request

    async def _looked_up(self, said: Explained, request: ReceivedRequest) -> None:
        head = request.head
        route = self._routes.pick(head)
        said.route = route.name
        said.step("route", route.name, _conditions(route.match), "docs: configuration")
        bare = head
        head = prepared(route, head)
        if head is not bare:
            before, after = bare.fields, head.fields
            changed = sorted(name for name in before.names if before.get_all(name) != after.get_all(name))
            said.step(
                "prepare",
                "does not matter, or is reduced: " + ", ".join(map(text, changed)),
                "cookies and codings that the route says make no difference",
                "docs: configuration",
            )
        try:
            key = key_of(route, head)
        except Exception:
            said.judged("key", "pass", "hook", "the route's own code failed on this request")
            return
        said.key, said.digest = shown(key), key.digest
        said.step("key", _spelled(route, key), f"the template {route.template.text}", "RFC 9111 §2")
        if head.method in route.rules.methods:
            if head.method not in (b"GET", b"HEAD"):
                outcome = "not known here: as for a request without one"
                said.step("body", outcome, "what a body says is part of the key", "docs: configuration")
            elif request.kind is not BodyKind.NONE:
                said.judged("body", "pass", "body", _consequence(Pass("body")))
                return
            for name, conditions in (("bypass", route.bypass), ("refresh", route.refresh)):
                if meets(head, conditions):
                    why = reason(name)
                    outcome = f"its condition is met: counts from {len(route.trusted)} trusted networks, else not"
                    said.step(name, outcome, why.rule, why.section)
            if route.min_uses > 1:
                said.step("uses", f"stored from use {route.min_uses} on", "the route's min_uses", "docs: configuration")
        found: Found = await self._store.lookup(key, head)
        self._found(said, key, found)
        await self._judged(said, head, key, route, found)

    def _found(self, said: Explained, key: Key, found: Found) -> None:
        now = self._store.now()
        entry, place = found.entry, found.where or "memory"
        if found.vary:
            names = ", ".join(map(text, found.vary))
            outcome = "a stored answer is selected" if entry is not None else "no stored answer is selected"
            said.step("vary", f"{outcome} by {names}", "answers are chosen by what Vary names", "RFC 9111 §4.1")
        if entry is None:
            said.step("lookup", f"nothing usable in {place}", "a stored answer has the same key", "RFC 9111 §4")
        else:
            left = entry.freshness.lifetime - entry.age(now)
            state = f"fresh for {left:.1f} s more" if left > 0 else f"stale for {-left:.1f} s"
            said.step(
                "lookup",
                f"{entry.status} in {place}, {entry.length} bytes, age {entry.age(now):.1f} s, {state}",
                "an answer is fresh while its age is below its lifetime",
                "RFC 9111 §4.2",
            )
            said.step("windows", _windows(entry), "how long past its lifetime it may be sent", "RFC 9111 §4.2.4")
        purged = self._store.epoch(key)
        if purged > 0:
            outcome = f"last purged {max(0.0, now - purged):.1f} s ago: only what was fetched since is used"
            said.step("purges", outcome, "a purge beats what was fetched before", "docs: fleet")
        if found.marker is not None:
            self._marked(said, found.marker, now)
        last = self._registry.figures.lately.get(key.digest)
        if last is not None and (entry is None or entry.response_time < last.when):
            why = reason(last.why)
            outcome = f"{last.status}, {max(0.0, now - last.when):.1f} s ago, not stored: {last.why}"
            said.step("last answer", outcome, why.rule, why.section)

    def _marked(self, said: Explained, marker: Marker, now: float) -> None:
        why = reason(marker.why)
        outcome = f"{marker.kind.value} for {max(0.0, marker.until - now):.1f} s more, because of: {marker.why}"
        said.step("marker", outcome, why.rule, why.section)

    async def _judged(self, said: Explained, head: RequestHead, key: Key, route: Route, found: Found) -> None:
        now = self._store.now()
        verdict = policy.judge(head, found.entry, found.marker, route.rules, now, found.vary)
        visit = Visit(NOBODY, head, route, key, now, pseudonym=self._pseudonym)
        if part.may_answer(head, verdict):
            visit.part = part.only(route.rules, found.marker)
            there = await part.answering(self._store, key, head, route.rules)
            outcome = "the part that is asked for is stored" if there else "the part that is asked for is not stored"
            said.step("part", outcome, "a part may answer where the whole is not stored", "RFC 9111 §3.4")
            verdict = there or verdict
        name = type(verdict).__name__.lower()
        said.judged("judge", name, verdict.why, _consequence(verdict))
        if isinstance(verdict, Miss | Validate) and self._backend.protecting:
            stale = found.entry is not None and policy.stands_in(found.entry, head, None, now)
            outcome = "answered from the store, though stale" if stale else "answered 503"
            said.judged("protect", "stale" if stale else name, "protect", outcome)
        elif isinstance(verdict, Miss | Validate):
            entry = verdict.entry if isinstance(verdict, Validate) else None
            plan = planning.shared(visit, entry, names=found.vary)
            await self._joined(said, replace(plan, began_after=now if verdict.own else None), name)
        elif isinstance(verdict, Stale):
            await self._refreshed(said, planning.renewing(visit, verdict.entry, found.vary))

    async def _joined(self, said: Explained, plan: Plan, verdict: str) -> None:
        """Who waits for what, or why nobody does."""
        flight = self._registry.joinable(plan)

        def stands_in(status: int | None) -> bool:
            now, entry = self._store.now(), plan.entry
            return entry is not None and policy.stands_in(entry, plan.request, status, now)

        if self._registry.crowded(flight):
            stale = stands_in(None)
            outcome = "answered from the store, though stale" if stale else "answered 503"
            said.judged("flight", "stale" if stale else verdict, "overflow", outcome)
            return
        if flight is not None:
            outcome = f"would wait with {flight.waiting} others for a fetch in the air"
        elif plan.began_after is None and stands_in(503) and await self._rests(plan):
            said.judged("rest", "stale", "error", f"answered from the store: {_RESTS}")
            return
        else:
            outcome = "would lead a fetch of its own that others may join"
        said.step("flight", outcome, "one fetch for all who ask for the same", "RFC 9111 §4")

    async def _refreshed(self, said: Explained, plan: Plan) -> None:
        """Why a stale answer is not refreshed behind, where it is not."""
        outcome = ""
        if plan.entry is not None and vary.by_credentials(plan.entry.selector):
            outcome = "not refreshed: it was chosen by who asked"
        elif self._registry.joinable(plan) is not None:
            outcome = "not begun: a fetch is in the air"
        elif await self._rests(plan):
            outcome = f"not begun: {_RESTS}"
        if outcome:
            said.step("behind", outcome, "one refresh for each key, and not too often", "docs: flights")

    async def _rests(self, plan: Plan) -> bool:
        rests: bool = await self._registry.leases.resting(self._registry.lease_name(plan))
        return rests


#: Said of a key whose refresh has failed.
_RESTS = "a refresh has failed, and the origin is left alone for a while"

# -- in words ----------------------------------------------------------------------------------------------------


def _conditions(match: Match) -> str:
    said = []
    if match.hosts:
        said.append("host " + ", ".join(match.hosts))
    for name in ("path", "prefix", "glob"):
        value = getattr(match, name)
        if value is not None:
            said.append(f"{name} {value}")
    if match.regex is not None:
        said.append(f"regex {match.regex.pattern}")
    if match.methods:
        said.append("method " + ", ".join(sorted(map(text, match.methods))))
    return "the first route that matches: " + ("; ".join(said) or "any request")


def _spelled(route: Route, key: Key) -> str:
    """The whole key, but for what it has of header fields and cookies."""
    if route.template.fields or route.template.cookies or route.hooks is not None:
        return f"{shown(key)} and what the request says beside ({key.digest})"
    return " ".join(text(part) for part in key)


def _windows(entry: Entry) -> str:
    freshness = entry.freshness
    if freshness.no_cache:
        return "none: not to be sent without asking the origin"
    windows = (
        ("while it is refreshed", freshness.while_revalidate),
        ("when the origin fails", freshness.if_error),
        ("when it cannot be reached", freshness.if_unreachable),
    )
    return "; ".join(f"{name} {seconds:g} s" for name, seconds in windows if seconds) or "none"


def _consequence(verdict: Verdict) -> str:
    match verdict:
        case Fresh():
            return "answered from the store"
        case Stale():
            return "answered from the store at once, then refreshed behind"
        case Validate(conditions=conditions):
            asked = "asks the origin whether what is stored still holds" if conditions else "fetches it anew"
            return f"{asked}; others may join"
        case Miss():
            return "fetched from the origin; others may join"
        case Pass(store=store):
            return "goes to the origin alone" + ("; its answer may be stored" if store else "; nothing is stored")
        case Refuse(status):
            return f"answered {status} without asking anybody"
