"""The answers of all processes that serve, put together: what the operator is told.

Must not know: HTTP, how a process is asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred

from txstalecache.observe.histogram import Histogram
from txstalecache.observe.metrics import exposition
from txstalecache.observe.tally import VERDICTS
from txstalecache.observe.top import RANKINGS
from txstalecache.store.purges import Hardness, Purge, Scope

__all__ = ["Ask", "Inquiry", "Silent"]

#: Asks each process (``ask("top", by="hits", limit=20)``, see ``admin.facts``); fires with an answer from each, which
#: has a ``problem`` instead where there is none. Never fails.
Ask = Callable[..., Deferred[list[dict[str, Any]]]]


class Silent(Exception):
    """No process gave an answer: why, in one line."""


class Inquiry:
    """Asks with ``ask``. ``covers`` says for whom the answers speak: ``process`` or ``workers``."""

    def __init__(self, ask: Ask, covers: str, me: dict[str, Any]) -> None:
        self._ask = ask
        self._covers = covers
        self._me = me

    async def _asked(self, what: str, **said: object) -> list[dict[str, Any]]:
        """The answers, those of workers with their number in ``process``; Silent when there is none."""
        told = await self._ask(what, **said)
        answers = []
        for one in told:
            if "problem" in one:
                continue
            if "worker" in one:
                one = {**one, "process": {**one["process"], "worker": one["worker"]}}
            answers.append(one)
        if not answers:
            raise Silent("; ".join(str(one["problem"]) for one in told if "problem" in one) or "no process serves yet")
        return answers

    def _said(self, answers: Sequence[dict[str, Any]], **what: object) -> dict[str, Any]:
        """``what``, with who is spoken for."""
        process = answers[0]["process"] if len(answers) == 1 else self._me
        return {"covers": self._covers, "process": process, **what}

    # -- how things stand ----------------------------------------------------------------------------------------

    async def status(self) -> dict[str, Any]:
        """``GET /v1/status``."""
        answers = await self._asked("status")

        def total(name: str) -> Any:
            return sum(one[name] for one in answers)

        recent = [one["recent"] for one in answers]
        seconds = max(one["seconds"] for one in recent)
        verdicts: Counter[str] = Counter()
        requests: Counter[str] = Counter()
        durations = Histogram()
        for one in answers:
            verdicts.update(one["recent"]["verdicts"])
            requests.update(one["requests"])
            durations.merge(one["recent"]["durations"])
        asked = sum(verdicts.values())
        hits = verdicts["fresh"] + verdicts["stale"]

        def rate(count: float) -> float:
            return round(count / seconds, 3) if seconds else 0.0

        first = answers[0]
        return self._said(
            answers,
            version=first["version"],
            uptime=max(one["uptime"] for one in answers),
            processes=[{**one["process"], "uptime": one["uptime"]} for one in answers],
            flights=total("flights"),
            waiting=total("waiting"),
            bytes_in_flight=total("bytes_in_flight"),
            store=_store([one["store"] for one in answers]),
            upstreams=_upstreams([one["upstreams"] for one in answers]),
            requests={verdict: requests[verdict] for verdict in VERDICTS},
            origin_requests=total("origin_requests"),
            origin_saved=total("origin_saved"),
            sent_bytes=total("sent_bytes"),
            window=round(seconds, 3),
            rates={
                "requests_per_second": rate(asked),
                "saved_per_second": rate(sum(one["saved"] for one in recent)),
                "by_verdict": {verdict: rate(verdicts[verdict]) for verdict in VERDICTS},
            },
            hit_ratio=round(hits / asked, 4) if asked else None,
            latency={name: durations.percentile(part) for name, part in (("p50", 0.5), ("p90", 0.9), ("p99", 0.99))},
            memory=_added([one["memory"] for one in answers]),
        )

    async def watch(self) -> None:
        """Have flights told of as they take off and end, for a while (``admin.flown``)."""
        await self._ask("watch")

    async def metrics(self) -> bytes:
        """``GET /metrics``."""
        return exposition(await self._asked("metrics"))

    async def flights(self) -> dict[str, Any]:
        """``GET /v1/flights``."""
        answers = await self._asked("flights")
        found = [{**flight, "leader": one["process"]} for one in answers for flight in one["flights"]]
        found.sort(key=lambda flight: -flight["age"])
        return self._said(answers, flights=found, total=sum(one["total"] for one in answers))

    async def top(self, by: str, limit: int) -> dict[str, Any]:
        """``GET /v1/top``."""
        answers = await self._asked("top", by=by, limit=limit)
        rows: dict[str, dict[str, Any]] = {}
        for one in answers:
            for row in one["top"]:
                known = rows.get(row["url"])
                if known is None:
                    rows[row["url"]] = {"key": row["url"].partition("://")[2], **row}
                else:
                    for name in (*RANKINGS, "error"):
                        known[name] += row[name]
        ranked = sorted(rows.values(), key=lambda row: (-row[by], row["url"]))[:limit]
        return self._said(answers, by=by, top=ranked)

    # -- one URL -------------------------------------------------------------------------------------------------

    async def entry(self, url: str, body: bool) -> dict[str, Any] | None:
        """``GET /v1/entry``; None when nothing is stored for ``url``."""
        answers = await self._asked("entry", url=url, body=body)
        found: dict[str, dict[str, Any]] = {}
        for one in answers:
            for variant in one["variants"]:
                name = repr((variant["selector"], variant["times"]["requested"]))
                known = found.get(name)
                if known is None:
                    found[name] = variant
                elif known["where"] != variant["where"]:
                    known["where"] = "both"
        if not found:
            return None
        named = {name: answers[0][name] for name in ("key", "digest")}
        return self._said(answers, url=url, **named, variants=list(found.values()))

    async def explain(self, url: str, method: str, fields: list[list[str]]) -> dict[str, Any]:
        """``POST /v1/explain``: one process' word, as each has its own memory; of the one with most to say."""
        answers = await self._asked("explain", url=url, method=method, fields=fields)
        best = max(answers, key=lambda one: len(one["steps"]))
        told = {name: best[name] for name in ("route", "key", "digest", "steps", "verdict", "why")}
        return {**self._said([best], url=url, method=method), "covers": "process", **told}

    # -- what is known of a scope --------------------------------------------------------------------------------

    async def count(self, scope: Scope, url: str | None) -> tuple[int, bool]:
        """How many stored answers ``scope`` covers: all there are for one ``url``, else those in memory, of the process
        that has most of them there. And whether that is all: nothing else may be in Redis."""
        if url is not None:
            found = await self.entry(url, False)
            return (0 if found is None else len(found["variants"])), True
        known = await self._known(scope, False)
        return max(int(one["count"]) for one in known), not any(one["redis"] for one in known)

    async def urls(self, scope: Scope) -> list[str]:
        """The URLs in memory that ``scope`` covers."""
        found: dict[str, None] = {}
        for one in await self._known(scope, True):
            found.update(dict.fromkeys(one["urls"]))
        return list(found)

    async def _known(self, scope: Scope, urls: bool) -> list[dict[str, Any]]:
        name = Purge(scope, Hardness.HARD, 0.0).name().decode("latin-1")
        return await self._asked("known", scope=name, urls=urls)


def _added(figures: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Numbers of several processes, added up."""
    found: Counter[str] = Counter()
    for one in figures:
        found.update(one)
    return dict(found)


def _store(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The store of several processes as one: as well as it is where it is worst."""

    def worst(name: str, of: Callable[[list[Any]], Any]) -> Any:
        values = [one[name] for one in told]
        return None if None in values else of(values)

    return {
        **told[0],
        "degraded": worst("degraded", any),
        "redis": worst("redis", min),
        "breaker_open": worst("breaker_open", max),
        "tracking": worst("tracking", min),
        "figures": _figures([one["figures"] for one in told]),
    }


#: Figures of a store that are not parts of a sum: what is so, or known, in each process.
_EACH: Final[Mapping[str, Callable[..., float]]] = {
    "redis_available": min,
    "redis_breaker_open": max,
    "redis_tracking": min,
    "purge_scopes": max,
}


def _figures(told: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The figures of several stores as those of one."""
    found = _added(told)
    for name in _EACH.keys() & found.keys():
        found[name] = _EACH[name](one[name] for one in told if name in one)
    return found


def _upstreams(told: Sequence[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The upstreams of several processes as one: connections added up, and a server is well where all find it so."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for upstreams in told:
        for upstream in upstreams:
            servers = found.setdefault(upstream["name"], {})
            for server in upstream["servers"]:
                known = servers.setdefault(server["address"], {**server, "open": 0, "idle": 0, "waiting": 0})
                for name in ("open", "idle", "waiting"):
                    known[name] += server[name]
                known["healthy"] = known["healthy"] and server["healthy"]
    return [{"name": name, "servers": list(servers.values())} for name, servers in found.items()]
