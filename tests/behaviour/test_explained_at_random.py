"""What ``explain`` says of a request is what becomes of it: requests, answers, rules and states at random, seeded."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from random import Random
from typing import Any

import pytest

from tests.support.async_test import async_test
from tests.support.client import Reply, fetch
from tests.support.origin import Answer, Request, ScriptedOrigin
from tests.support.proxy import Proxy, until
from txstalecache.edge.explain import Explainer
from txstalecache.edge.limits import EdgeLimits
from txstalecache.http.rules import Cookies, Ranges, Rules
from txstalecache.observe.accesslog import Record
from txstalecache.store import Hardness, Scope

#: What is told of one request: verdict, why, steps and the rest.
Said = dict[str, Any]

STATUSES = (*[200] * 12, 204, 206, 301, 302, 401, 403, 404, 410, 412, 416, 429, 500, 503)
CONTROLS = """
    max-age=60|max-age=60|max-age=5, stale-while-revalidate=30|max-age=5, stale-while-revalidate=30
    max-age=5, stale-if-error=30|no-cache|no-store|private|public|public, max-age=60|s-maxage=10|max-age=0
    max-age=10, must-revalidate|max-age=60, private="set-cookie"|no-cache="x"|must-understand, max-age=60, no-store
    immutable, max-age=60|max-age=0, stale-while-revalidate=30|max-age=junk|public, s-maxage=0
""".replace("\n", "|")
WISHES = """
    no-cache|no-store|max-age=0|max-age=3|max-stale|max-stale=5|min-fresh=3|only-if-cached|only-if-cached, max-stale
    stale-if-error=60|max-age=3, max-stale=2|no-cache, only-if-cached
""".replace("\n", "|")

#: Of each: how often it is said, and what it may be.
Chances = Sequence[tuple[str, float, Sequence[Any]]]

RULES: Chances = (
    ("ttl", 0.2, (0, 5, 60)),
    ("default_ttl", 0.2, (0, 5, 60)),
    ("max_ttl", 0.1, (0, 3, 20)),
    ("stale", 0.3, (0, 10, 60)),
    ("stale_if_error", 0.25, (0, 20)),
    ("grace", 0.2, (0, 5)),
    ("persist", 0.2, (True,)),
    ("keep", 0.2, (3, 30)),
    ("methods", 0.3, (frozenset({b"GET", b"HEAD", b"POST"}), frozenset({b"GET"}))),
    ("statuses", 0.3, ({404: 10, 500: 3}, {200: 4, 503: 2})),
    ("cookies", 0.3, (Cookies.IGNORE, Cookies.KEYED)),
    ("store_set_cookie", 0.3, (True,)),
    ("honour_cache_control", 0.2, (False,)),
    ("min_size", 0.1, (3, 20)),
    ("max_object", 0.1, (6,)),
    ("hit_for_miss", 0.3, (0, 5)),
    ("ranges", 0.25, (Ranges.PART,)),
)
ROUTE: Chances = (
    ("min_uses", 0.1, (2,)),
    ("encodings", 0.2, ((b"gzip",),)),
    ("bypass", 0.2, (((b"x-skip", None),),)),
    ("refresh", 0.2, (((b"x-fetch", b"TRUE"),),)),
    ("trusted", 0.5, ((ip_network("10.0.0.0/8"),),)),  # who asks here is not in it
    ("key", 0.3, ("$http_user_agent|$uri", "${request_uri}$cookie_a", "$uri$http_cookie", "$uri$http_authorization")),
)
ANSWERED: Chances = (
    ("Cache-Control", 0.8, CONTROLS.split("|")),
    ("CDN-Cache-Control", 0.1, ("max-age=20", "no-store", "junk=")),
    ("ETag", 0.7, ('"1"', '"1"', 'W/"2"')),
    ("Last-Modified", 0.2, ("Mon, 01 Jan 2024 00:00:00 GMT",)),
    ("Age", 0.1, ("3", "100", "x")),
    ("Vary", 0.3, ("Accept-Language", "Cookie", "*", "Accept-Encoding", "Authorization", "X-Api-Key")),
    ("Set-Cookie", 0.1, ("s=1",)),
)
ASKED: Chances = (
    ("Cache-Control", 0.4, WISHES.split("|")),
    ("Pragma", 0.05, ("no-cache",)),
    ("Accept-Language", 0.2, ("de", "en")),
    ("Cookie", 0.1, ("a=1", "a=2; b=3", "b=3")),
    ("Authorization", 0.08, ("Basic x", "Basic y")),
    ("X-Api-Key", 0.05, ("k1", "k2")),
    ("Range", 0.15, ("bytes=2-5", "bytes=0-1", "bytes=-3", "bytes=20-", "bytes=0-1,4-5", "junk")),
    ("If-Range", 0.1, ('"1"', '"9"')),
    ("If-None-Match", 0.15, ('"1"', "*", '"9"')),
    ("If-Match", 0.03, ('"1"',)),
    ("If-Modified-Since", 0.08, ("Mon, 01 Jan 2024 00:00:00 GMT",)),
    ("Accept-Encoding", 0.2, ("gzip", "gzip, br", "identity", "gzip;q=0")),
    ("X-Skip", 0.1, ("1",)),
    ("X-Fetch", 0.1, ("TRUE",)),
    ("Via", 0.03, ("1.1 txstalecache", "1.1 other")),
    ("Max-Forwards", 0.05, ("0", "3")),
    ("Host", 0.1, ("LOCALHOST", "localhost:80", "other", "a b")),
    ("X-Forwarded-Proto", 0.05, ("https",)),
    ("Connection", 0.05, ("close", "X-Api-Key", "Cookie")),
    ("Expect", 0.02, ("what",)),
    ("User-Agent", 0.1, ("one", "")),
    ("Content-Length", 0.1, ("3",)),
)


def some(random: Random, chances: Chances) -> list[tuple[str, Any]]:
    return [(name, random.choice(values)) for name, chance, values in chances if random.random() < chance]


def answering(random: Random) -> Any:
    """An origin that says something else each time."""

    def handler(request: Request) -> Answer:
        status, fields = random.choice(STATUSES), some(random, ANSWERED)
        fields = [(name, value.strip()) for name, value in fields]
        conditional = request.field("If-None-Match") or request.field("If-Modified-Since")
        if conditional and random.random() < 0.6:
            return Answer(304, fields)
        if status == 206 and request.field("Range"):
            return Answer(206, [*fields, ("Content-Range", "bytes 2-5/10")], b"2345")
        status = 200 if status == 206 else status
        return Answer(status, fields, b"" if status == 204 else b"0123456789")

    return handler


@dataclass
class Asked:
    """One request, what was told of it, and what became of it."""

    method: str
    target: str
    fields: list[tuple[str, str]]
    before: Said
    after: Said
    record: Record
    reply: Reply
    origin: list[Request]
    """What the origin was asked."""

    @property
    def status(self) -> str:
        return (self.reply.field("cache-status") or b"").decode()

    def said(self, step: str, when: Said | None = None) -> str:
        """How ``step`` came out, as it was told before."""
        steps = (self.before if when is None else when)["steps"]
        return next((str(one["outcome"]) for one in steps if one["step"] == step), "")

    def check(self) -> None:
        record, told, judged = self.record, self.before["verdict"], self.said("judge")
        told_as = (told, self.before["why"])
        if told in ("miss", "validate"):
            # What the origin then says may change it: it fails, or its answer is not for sharing.
            failed = record.why in ("error", "unreachable", "origin-error")
            assert (record.verdict, record.why) == told_as or failed or record.collapsed is False
        elif told != "pass" or record.verdict != "stale":  # what is stored stands in for an origin that fails
            assert (record.verdict, record.why) == told_as
        idle = told in ("fresh", "refuse") or self.said("behind") or self.said("rest")
        assert bool(self.origin) == (not idle)
        conditions = self.origin and {
            name.lower()
            for name, _ in self.origin[0].fields
            if name.lower() in (b"if-none-match", b"if-modified-since")
        }
        if told == "validate":
            assert bool(conditions) == ("still holds" in judged)
        elif told == "miss":
            assert not conditions
        found = re.search(r"age ([\d.]+) s", self.said("lookup"))
        if told in ("fresh", "stale") and found and not self.said("part"):
            assert record.age is not None
            assert abs(record.age - float(found[1])) < 1
        self._check_stored()

    def _check_stored(self) -> None:
        last = self.said("last answer", self.after)
        if "; stored" in self.status:
            assert "nothing is stored" not in self.said("judge")
            assert not last
        elif self.record.verdict in ("miss", "validate") and "fwd-status" in self.status and self.method != "HEAD":
            (why,) = re.findall(r"detail=\"?([^;\"]+)", self.status)
            assert last.endswith(f"not stored: {why}")


class Story:
    """What one seed leads to."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.origin: ScriptedOrigin
        self.proxy: Proxy
        self.explainer: Explainer

    async def begin(self, make_origin: Any, make_proxy: Any) -> None:
        self.origin = await make_origin(answering(self.random))
        rules = Rules(**dict(some(self.random, RULES)))
        self.proxy = await make_proxy(self.origin.url, rules=rules, **dict(some(self.random, ROUTE)))
        resource = self.proxy.resource
        self.explainer = Explainer(resource._routes, self.proxy.backend, resource.registry, EdgeLimits())

    async def happen(self) -> None:
        """Time passes, or something is purged, or neither."""
        random = self.random
        if random.random() < 0.25:
            self.proxy.age(random.choice([1.0, 3.0, 6.0, 15.0, 40.0, 100.0]))
        elif random.random() < 0.07:
            scopes = (Scope.everything(), Scope.of_url(b"/a", b"localhost"), Scope.of_host(b"localhost"))
            await self.proxy.resource.purge(random.choice(scopes), random.choice(list(Hardness)))

    async def ask(self) -> Asked:
        random, proxy = self.random, self.proxy
        method = random.choice([*["GET"] * 12, "HEAD", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PURGE"])
        target = random.choice(["/a", "/a", "/a", "/a?x=1", "/b", "/b/../a"])
        fields = [(name, value.strip()) for name, value in some(random, ASKED)]
        if method == "POST":
            fields = [(name, value) for name, value in fields if name != "Content-Length"]
        if not any(name == "Host" for name, _ in fields):
            fields.insert(0, ("Host", "localhost"))
        hits, lines = len(self.origin.requests), len(proxy.log)
        before = await self._explained(method, target, fields)
        body = b"abc" if ("Content-Length", "3") in fields else b""
        sent = [pair for pair in fields if pair != ("Content-Length", "3")]
        reply = await fetch(proxy.port, method, target, sent, body)
        await until(lambda: not proxy.flights and len(proxy.log) > lines)
        after = await self._explained(method, target, fields)
        asked = self.origin.requests[hits:]
        return Asked(method, target, fields, before, after, proxy.log[lines], reply, asked)

    async def _explained(self, method: str, target: str, fields: list[tuple[str, str]]) -> Said:
        given = [(name.encode(), value.encode()) for name, value in fields]
        return await self.explainer.explain(f"http://localhost{target}".encode(), method.encode(), given)


# The last ones are about what rests after a refresh that failed.
@pytest.mark.parametrize("seed", [*range(40), 107, 391, 763])
@async_test
async def test_what_is_explained_is_what_happens(make_origin: Any, make_proxy: Any, seed: int) -> None:
    story = Story(seed)
    await story.begin(make_origin, make_proxy)
    for _ in range(40):
        await story.happen()
        (await story.ask()).check()
