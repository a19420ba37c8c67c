"""Which rules a request is served under.

Must not know: where the rules were written down, sockets, stores.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import translate
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address
from weakref import WeakMethod

from txstalecache.flight.clocks import Clocks
from txstalecache.flight.hooks import Hooks
from txstalecache.http import expect
from txstalecache.http.keys import DEFAULT_TEMPLATE, KeyTemplate
from txstalecache.http.messages import RequestHead, without_port
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Deadlines

__all__ = ["Condition", "Match", "Networks", "Route", "Routes", "within"]

#: A field that has to be there, and what it has to say (None: whatever).
Condition = tuple[bytes, bytes | None]

Networks = tuple[IPv4Network | IPv6Network, ...]


def within(peer: str | None, networks: Networks) -> bool:
    """Whether the address ``peer`` is in one of ``networks``; what is no address is in none."""
    if not networks or not peer:
        return False
    try:
        address = ip_address(peer)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return any(one in network for one in (address, mapped) if one is not None for network in networks)


def _path_of(head: RequestHead) -> str:
    # As it came: what an origin makes of %2F is the origin's.
    return head.path.decode("latin-1")


@dataclass(frozen=True)
class Match:
    """Which requests a route is for: those that meet every condition given. Without any, all."""

    hosts: tuple[str, ...] = ()
    """Names, lower case, without port; ``*.example.com`` means every name below."""
    path: str | None = None
    """This path and no other."""
    prefix: str | None = None
    """Paths that begin so."""
    glob: str | None = None
    """``*`` and ``?`` stand for any characters, ``/`` among them."""
    regex: re.Pattern[str] | None = None
    """Found anywhere in the path."""
    methods: frozenset[bytes] = frozenset()

    def __post_init__(self) -> None:
        expect.several("hosts", self.hosts, str, "names of hosts as texts")
        for name in ("path", "prefix", "glob"):
            expect.of_kind(name, getattr(self, name), str | None, "a text")
        expect.of_kind("regex", self.regex, re.Pattern | None, "a compiled regular expression")
        expect.several("methods", self.methods, bytes, "methods as bytes")

    @cached_property
    def _globbed(self) -> re.Pattern[str] | None:
        return None if self.glob is None else re.compile(translate(self.glob))

    @cached_property
    def _hosts(self) -> tuple[re.Pattern[str], ...]:
        # A bracket is that of an IPv6 address, not of a class of characters.
        return tuple(re.compile(translate(host.lower().replace("[", "[[]"))) for host in self.hosts)

    def fits(self, head: RequestHead) -> bool:
        """Whether ``head`` meets it."""
        if self.methods and head.method not in self.methods:
            return False
        if self.hosts:
            host = without_port(head.host).decode("latin-1")
            if not any(pattern.match(host) for pattern in self._hosts):
                return False
        return self.takes(_path_of(head))

    def takes(self, path: str) -> bool:
        """Whether ``path`` meets the conditions for it."""
        return (
            (self.path is None or path == self.path)
            and (self.prefix is None or path.startswith(self.prefix))
            and (self._globbed is None or self._globbed.match(path) is not None)
            and (self.regex is None or self.regex.search(path) is not None)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One set of rules. The defaults leave every decision to the origin. TypeError and ValueError for what cannot be
    meant."""

    name: str = "default"
    match: Match = Match()
    upstream: str | None = None
    """Where requests go; None: to the only one there is."""
    template: KeyTemplate = DEFAULT_TEMPLATE
    rules: Rules = Rules()
    clocks: Clocks = Clocks()
    deadlines: Deadlines = Deadlines()
    hooks: Hooks | None = None
    show_outcome: bool = True
    """Add the seed's ``X-Cache`` and ``X-Store`` beside ``Cache-Status``."""
    bypass: tuple[Condition, ...] = ()
    """A request from ``trusted`` that meets one of these is passed through, and nothing is stored."""
    refresh: tuple[Condition, ...] = ()
    """A request from ``trusted`` that meets one of these is fetched anew, and the answer stored."""
    trusted: Networks = ()
    """Whose bypass and refresh conditions count."""
    min_uses: int = 1
    """How often a key has to be asked for, in this process, before its answer is stored."""
    refresh_ahead: float = 0.0
    """XFetch's beta: how eagerly an entry is refreshed before its lifetime ends. 0: not at all."""
    encodings: tuple[bytes, ...] = ()
    """The content codings worth asking for; ``Accept-Encoding`` is reduced to them. (): it is left alone."""
    hide: tuple[bytes, ...] = ()
    """Fields (lower case) that clients do not see."""
    respond_with: tuple[tuple[bytes, bytes], ...] = ()
    """Fields that every answer gets."""
    strip: tuple[bytes, ...] = ()
    """Fields (lower case) of requests that the origin does not see."""
    ask_with: tuple[tuple[bytes, bytes], ...] = ()
    """Fields that every request to the origin gets."""
    max_key_body: int = 64 * 1024
    """A request of a cached method whose body has more bytes is passed through."""

    plain: bool = field(init=False, repr=False, compare=False)
    """Whether a hit depends on nothing but the head as it came and the entry: no condition, chance or hook.

    Preparing a head is no matter for its key: what was stored under a prepared one is found by such heads alone."""

    def __post_init__(self) -> None:
        self._check()
        plain = not (
            self.bypass
            or self.refresh
            or self.refresh_ahead
            or self.min_uses > 1
            or self.template.needs_body
            or (self.hooks is not None and self.hooks.key is not None)
        )
        object.__setattr__(self, "plain", plain)
        said = (*self.ask_with, *self.bypass, *self.refresh)
        fixed = frozenset((*self.strip, *(name.lower() for name, _ in said)))
        if fixed != self.rules.fixed_fields:
            object.__setattr__(self, "rules", replace(self.rules, fixed_fields=fixed))

    def _check(self) -> None:
        for name, kind, what in _KINDS:
            expect.of_kind(name, getattr(self, name), kind, what)
        expect.numbers(self, ("min_uses", "refresh_ahead", "max_key_body"))
        expect.several("encodings", self.encodings, bytes, "content codings as bytes")
        expect.several("trusted", self.trusted, IPv4Network | IPv6Network, "networks")
        for name in ("hide", "strip"):
            expect.field_names(name, getattr(self, name))
        for name in ("respond_with", "ask_with"):
            expect.pairs(name, getattr(self, name))
        for name in ("bypass", "refresh"):
            expect.pairs(name, getattr(self, name), bytes | None)


_KINDS = (
    ("match", Match, "a Match"),
    ("upstream", str | None, "a text"),
    ("template", KeyTemplate, "a KeyTemplate"),
    ("rules", Rules, "Rules"),
    ("clocks", Clocks, "Clocks"),
    ("deadlines", Deadlines, "Deadlines"),
    ("hooks", Hooks | None, "Hooks"),
)


class Routes:
    """The routes in their order; the first that matches is picked. Without any, one route of defaults."""

    def __init__(self, routes: Sequence[Route] = ()) -> None:
        self._watchers: list[WeakMethod[Callable[[], None]]] = []
        self.set(routes)

    def watch(self, changed: Callable[[], None]) -> None:
        """Call ``changed``, a method, when the routes are other ones, for as long as its object is there."""
        self._watchers = [watcher for watcher in self._watchers if watcher() is not None]
        self._watchers.append(WeakMethod(changed))

    def set(self, routes: Sequence[Route]) -> None:
        """From now on these; what is under way goes on under those it began with."""
        expect.several("routes", routes, Route, "several of Route")
        self.routes = tuple(routes) or (Route(),)
        self._only = self.routes[0] if self.routes[0].match == Match() else None
        self._methods = sorted(frozenset[bytes]().union(*[route.rules.methods for route in self.routes]))
        for watcher in self._watchers:
            changed = watcher()
            if changed is not None:
                changed()

    def pick(self, head: RequestHead) -> Route:
        """The route ``head`` is served under; one of defaults when none is for it."""
        if self._only is not None:
            return self._only
        for route in self.routes:
            if route.match.fits(head):
                return route
        return _LAST

    def storing(self, head: RequestHead) -> list[Route]:
        """The routes under which answers to requests like ``head`` may be stored, whatever their method."""
        if self._only is not None:
            return [self._only]
        picked = [self.pick(replace(head, method=method)) for method in self._methods]
        return list({id(route): route for route in picked}.values())


_LAST = Route()
