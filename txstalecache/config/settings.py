"""What the command line asks for, checked as a whole: everything in here is usable as it stands.

Each option is read as the setting of ``config.schema`` that says the same in a file.
Must not know: option parsers, the reactor, how any of it is built.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from txstalecache.config.readers import Network
from txstalecache.config.routes import Route, Routes
from txstalecache.config.schema import PROXY, REDIS, ROUTE, UPSTREAM, Item, read_table
from txstalecache.config.toml import ConfigError, Configuration, UpstreamPlan, make_route
from txstalecache.http.keys import KeyTemplate
from txstalecache.http.rules import Rules

__all__ = ["DEFAULTS", "Settings", "SettingsError"]

_ITEMS = {(table.title, item.name): item for table in (PROXY, REDIS, ROUTE, UPSTREAM) for item in table.items}

#: Which setting of a file each option is.
SAME: Mapping[str, Item] = {
    "listen": _ITEMS["proxy", "listen"],
    "origin": _ITEMS["upstream.NAME", "servers"],
    "redis": _ITEMS["redis", "url"],
    "prefix": _ITEMS["redis", "prefix"],
    "ttl": _ITEMS["route", "ttl"],
    "stale": _ITEMS["route", "stale"],
    "stale-if-error": _ITEMS["route", "stale_if_error"],
    "key": _ITEMS["route", "key"],
    "methods": _ITEMS["route", "methods"],
    "max-object": _ITEMS["route", "max_object"],
    "max-upload": _ITEMS["proxy", "max_upload"],
    "hosts": _ITEMS["proxy", "hosts"],
    "wait-deadline": _ITEMS["route", "wait_deadline"],
    "memory": _ITEMS["proxy", "memory"],
    "access-log": _ITEMS["proxy", "access_log"],
    "access-log-format": _ITEMS["proxy", "access_log_format"],
}

#: Options that a file says for each route or upstream.
_OF_ROUTES = [name for name, item in SAME.items() if item in ROUTE.items or item in UPSTREAM.items]


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
    origin: str | None
    """``http://host[:port]``, ``https://host[:port]`` or ``unix:/path``, the first one; None with ``demo``."""
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
    wait_deadline: float
    memory: int
    access_log: str | None
    """A file, ``-`` for standard output, None for no log."""
    access_log_format: str
    demo: bool
    upstreams: tuple[UpstreamPlan, ...] = ()
    """The first is where routes go that name none; none with ``demo``."""
    trusted_proxies: tuple[Network, ...] = ()
    config: str | None = None
    """The file that says the rest."""
    of_file: tuple[Route, ...] = ()

    @classmethod
    def parse(cls, given: Mapping[str, str | None], *, demo: bool = False, config: str | None = None) -> Settings:
        """Settings from texts, named as the options are; what is not given has its default. Several origins are
        separated by white space. ``config`` is a file; of the options, those for the process override it.

        Raises SettingsError with every problem at once.
        """
        problems: list[str] = []
        texts = {**DEFAULTS, **{name: text for name, text in given.items() if text is not None}}
        values: dict[str, Any] = {}
        for name, item in SAME.items():
            text: object = texts[name]
            values[name] = None
            if text is not None:
                try:
                    values[name] = item.read(str(text).split(" ") if name == "origin" else text)
                except ValueError as error:
                    problems.append(f"--{name}: {error}")
        servers = values.pop("origin")
        settings = cls(
            origin=servers[0][0] if servers else None,
            demo=demo,
            upstreams=() if not servers else (_upstream(servers),),
            **{name.replace("-", "_"): value for name, value in values.items()},
        )
        if config is not None:
            if demo:
                problems.append("--demo: brings its own origin; leave out --config")
            problems += [
                f"--{name}: belongs into the file that --config names"
                for name in _OF_ROUTES
                if texts[name] != DEFAULTS[name]
            ]
            return settings._with_file(config, texts, problems)
        if demo and texts["origin"] is not None:
            problems.append("--demo: brings its own origin; leave out --origin")
        if not demo and texts["origin"] is None:
            problems.append("--origin: required, the URL to cache (like http://127.0.0.1:8000); or try --demo")
        if settings.redis == "memory" and settings.memory == 0 and not problems:
            problems.append("--memory: with --redis memory there is no other place: expected more than 0")
        if problems:
            raise SettingsError(problems)
        return settings

    def _with_file(self, path: str, texts: Mapping[str, str | None], problems: list[str]) -> Settings:
        try:
            file = Configuration.load(path)
        except ConfigError as error:
            raise SettingsError(problems + [f"{path}: {problem}" for problem in error.problems]) from None
        if problems:
            raise SettingsError(problems)
        said = {**file.proxy, "redis": file.redis["url"], "prefix": file.redis["prefix"]}
        said["trusted_proxies"] = said["trusted_proxies"] or ()
        process = ("listen", "redis", "prefix", "memory", "max-upload", "hosts", "access-log", "access-log-format")
        for option in process:
            if texts[option] != DEFAULTS[option]:
                del said[option.replace("-", "_")]
        return replace(
            self,
            **said,
            origin=file.upstreams[0].servers[0][0],
            upstreams=file.upstreams,
            config=path,
            of_file=file.routes,
        )

    def reread(self) -> Settings:
        """As the file says now; what the process itself was told stays. SettingsError when the file makes no sense."""
        assert self.config is not None
        file = Settings.parse({}, config=self.config)
        return replace(self, upstreams=file.upstreams, of_file=file.of_file, origin=file.origin)

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

    def rules(self) -> Rules:
        """The caching rules they amount to."""
        return self.route().rules

    def routes(self) -> Routes:
        """The file's, or one route for everything."""
        return Routes(self.of_file or [self.route()])


def _upstream(servers: Sequence[tuple[str, int]]) -> UpstreamPlan:
    values = read_table(UPSTREAM, {"servers": [url for url, _ in servers]}, "upstream", [])
    return UpstreamPlan("origin", tuple(servers), values["policy"], MappingProxyType(values))
