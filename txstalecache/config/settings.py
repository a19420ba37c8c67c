"""What the command line asks for, checked as a whole: everything in here is usable as it stands.

Each option is read as the setting of ``config.schema`` that says the same in a file.
Must not know: option parsers, the reactor, how any of it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from txstalecache.config.certificates import unusable
from txstalecache.config.fleet import Fleet
from txstalecache.config.readers import Network
from txstalecache.config.routes import Route, Routes
from txstalecache.config.schema import (
    ADMIN,
    LIMITS,
    OF_CLIENTS,
    OF_FLIGHTS,
    PROXY,
    REDIS,
    ROUTE,
    UPSTREAM,
    Item,
    read_table,
)
from txstalecache.config.toml import ConfigError, Configuration, Look, UpstreamPlan, make_route
from txstalecache.flight.limits import Limits
from txstalecache.http.keys import KeyTemplate

__all__ = ["DEFAULTS", "Settings", "SettingsError"]

#: Where a file says what each option says.
PLACES: Mapping[str, str] = {
    "listen": "proxy.listen",
    "origin": "upstream.NAME.servers",
    "redis": "redis.url",
    "prefix": "redis.prefix",
    "ttl": "route.ttl",
    "stale": "route.stale",
    "stale-if-error": "route.stale_if_error",
    "key": "route.key",
    "methods": "route.methods",
    "max-object": "route.max_object",
    "max-upload": "proxy.max_upload",
    "hosts": "proxy.hosts",
    "name": "proxy.name",
    "wait-deadline": "route.wait_deadline",
    "memory": "proxy.memory",
    "access-log": "proxy.access_log",
    "access-log-format": "proxy.access_log_format",
    "workers": "proxy.workers",
    "redis-down": "redis.when_down",
    "admin": "admin.listen",
    "admin-token-file": "admin.token_file",
    "admin-hosts": "admin.hosts",
}

_TABLES = (PROXY, REDIS, ADMIN, ROUTE, UPSTREAM)
_ITEMS = {f"{table.title}.{item.name}": item for table in _TABLES for item in table.items}
#: Which setting of a file each option is.
SAME: Mapping[str, Item] = {name: _ITEMS[place] for name, place in PLACES.items()}

#: Options that a file says for each route or upstream.
_OF_ROUTES = [name for name, place in PLACES.items() if place.startswith(("route.", "upstream."))]
#: Those that may be given beside a file, and come first.
_OF_PROCESS = [name for name in PLACES if name not in _OF_ROUTES]
_IN_FLEET = ("workers", "redis-down", "admin", "admin-token-file", "admin-hosts")

_UNSAID = read_table(LIMITS, {}, "limits", [])


def _written(name: str, item: Item) -> str | None:
    if item.default is None:
        return None
    # The command line takes bare seconds, as it says.
    return "15" if name == "wait-deadline" else str(item.default)


#: What is in force when nothing is said, as it would be written.
DEFAULTS: Mapping[str, str | None] = {name: _written(name, item) for name, item in SAME.items()}


class SettingsError(ValueError):
    """Some settings make no sense. ``problems`` has one line for each, naming it."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Durations in seconds, sizes in bytes. None: the origin decides."""

    listen: str
    """A Twisted server endpoint description."""
    redis: str
    """``embedded``, ``memory`` or a URL. May hold a password: not for logs."""
    prefix: str
    ttl: float | None
    stale: float | None
    stale_if_error: float | None
    key: KeyTemplate
    methods: frozenset[bytes]
    max_object: int
    max_upload: int
    """The largest body of a request; beyond: 413."""
    hosts: frozenset[bytes] | None
    """The names in Host that are served (``edge.limits``); None: all."""
    name: str
    """What it calls itself in ``Via`` and ``Cache-Status``."""
    wait_deadline: float
    memory: int
    access_log: str | None
    """A file, ``-`` for standard output, None for no log."""
    access_log_format: str
    demo: bool
    fleet: Fleet
    upstreams: tuple[UpstreamPlan, ...] = ()
    """The first is where routes go that name none; none with ``demo``."""
    trusted_proxies: tuple[Network, ...] = ()
    of_clients: Mapping[str, Any] = field(default_factory=lambda: _limits(OF_CLIENTS, _UNSAID))
    """What one client may cost: fields of ``edge.limits.EdgeLimits``, without those above."""
    of_flights: Limits = Limits()
    config: str | None = None
    """The file that says the rest."""
    text: str = ""
    """What the file says."""
    of_file: tuple[Route, ...] = ()
    held: Mapping[str, Any] = field(default_factory=dict)
    """What the file said at the start that holds until a restart, by its place; without what options said beside it."""
    waiting: tuple[str, ...] = ()
    """The places of those that the file says otherwise by now."""

    @classmethod
    def parse(
        cls,
        given: Mapping[str, str | None],
        *,
        demo: bool = False,
        config: str | None = None,
        text: str | None = None,
        started: str | None = None,
    ) -> Settings:
        """Settings from texts, named as the options are; what is not given has its default. Several origins are
        separated by white space. ``config`` is a file; of the options, those for the process override it. ``text`` is
        what the file says, where nothing is to be read any more: neither the file nor the token; ``started`` what it
        said at the start, for what holds until a restart.

        Raises SettingsError with every problem at once.
        """
        problems: list[str] = []
        told = {name: text for name, text in given.items() if text is not None}
        values = _read({**DEFAULTS, **told}, problems)
        servers = values.pop("origin")
        file: Configuration | None = None
        if config is not None:
            if demo:
                problems.append("--demo: brings its own origin; leave out --config")
            problems += [f"--{name}: belongs into the file that --config names" for name in _OF_ROUTES if name in told]
            file = _configuration(config, text, problems, started, unusable)
            values.update((name, file.setting(PLACES[name])) for name in _OF_PROCESS if name not in told)
        elif demo and servers:
            problems.append("--demo: brings its own origin; leave out --origin")
        elif not demo and "origin" not in told:
            problems.append("--origin: required, the URL to cache (like http://127.0.0.1:8000); or try --demo")
        if problems:
            raise SettingsError(problems)

        def called(name: str) -> str:
            return f"--{name}" if file is None or name in told else PLACES[name]

        fleet = Fleet.of(values, called, problems, demo=demo)
        if text is None and not problems:
            fleet = fleet.admitting(values, called, problems)
        if problems:
            raise SettingsError([one if one.startswith("--") else f"{config}: {one}" for one in problems])
        settings = cls(
            demo=demo,
            upstreams=() if not servers else (_upstream(servers),),
            fleet=fleet,
            **{name.replace("-", "_"): value for name, value in values.items() if name not in _IN_FLEET},
        )
        if file is None:
            return settings
        over = {PLACES.get(name) for name in told}
        held = {place: value for place, value in _of_process(file).items() if place not in over}
        return settings._with_file(str(config), file, held)

    def _with_file(self, path: str, file: Configuration, held: Mapping[str, Any]) -> Settings:
        return replace(
            self,
            trusted_proxies=file.said["proxy"]["trusted_proxies"] or (),
            of_clients=_limits(OF_CLIENTS, file.said["limits"]),
            of_flights=Limits(**_limits(OF_FLIGHTS, file.said["limits"])),
            upstreams=file.upstreams,
            config=path,
            text=file.text,
            of_file=file.routes,
            held=held,
        )

    def reread(self, text: str | None = None) -> Settings:
        """As the file says now, or ``text`` in its place; what the process itself was told stays, be it by the file or
        beside it. SettingsError when that makes no sense."""
        assert self.config is not None
        now = _configuration(self.config, text)
        said = _of_process(now)
        waiting = tuple(place for place, value in self.held.items() if said[place] != value)
        return replace(self, upstreams=now.upstreams, of_file=now.routes, text=now.text, waiting=waiting)

    @property
    def origin(self) -> str | None:
        """The URL of the first server there is; None with ``demo``."""
        return self.upstreams[0].servers[0][0] if self.upstreams else None

    def route(self) -> Route:
        """The one route that the options amount to."""
        said = read_table(ROUTE, {}, "route", [])
        said.update(
            name="default",
            ttl=self.ttl,
            stale=self.stale,
            stale_if_error=self.stale_if_error,
            key=self.key,
            methods=self.methods,
            max_object=self.max_object,
            wait_deadline=self.wait_deadline,
        )
        return make_route(said)

    def routes(self) -> Routes:
        """The file's, or one route for everything."""
        return Routes(self.of_file or [self.route()])


def _read(texts: Mapping[str, str | None], problems: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, item in SAME.items():
        text = texts[name]
        values[name] = None
        if text is not None:
            try:
                values[name] = item.read(text.split(" ") if name == "origin" else text)
            except ValueError as error:
                problems.append(f"--{name}: {error}")
    return values


def _configuration(
    path: str,
    text: str | None,
    problems: Sequence[str] = (),
    started: str | None = None,
    look: Look | None = None,
) -> Configuration:
    """What the file at ``path`` says, or ``text`` in its place, and of the process ``started``. SettingsError: what is
    wrong, behind ``problems``, and what ``look`` finds."""
    try:
        return Configuration.load(path, look) if text is None else Configuration.parse(text, path, started, look)
    except ConfigError as error:
        raise SettingsError([*problems, *(f"{path}: {problem}" for problem in error.problems)]) from None


def _of_process(file: Configuration) -> dict[str, Any]:
    """What ``file`` says of the process, by its place."""
    return {f"{table}.{name}": value for table, said in file.said.items() for name, value in said.items()}


def _limits(items: Sequence[Item], said: Mapping[str, Any]) -> dict[str, Any]:
    return {item.name: said[item.name] for item in items}


def _upstream(servers: Sequence[tuple[str, int]]) -> UpstreamPlan:
    values = read_table(UPSTREAM, {"servers": [url for url, _ in servers]}, "upstream", [])
    return UpstreamPlan("origin", tuple(servers), values["policy"], MappingProxyType(values))
