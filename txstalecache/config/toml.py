"""A configuration file, checked as a whole: everything that comes out of here is usable as it stands.

Must not know: the reactor, how any of it is built.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from txstalecache.config.routes import Match, Route
from txstalecache.config.schema import (
    ADMIN,
    HOOKS,
    LIMITS,
    MATCH,
    PROXY,
    REDIS,
    ROUTE,
    UPSTREAM,
    Item,
    Policy,
    read_table,
    spelled,
    unknown,
)
from txstalecache.flight.clocks import Clocks
from txstalecache.flight.hooks import Hooks
from txstalecache.http.rules import Cookies, Rules
from txstalecache.origin.interfaces import Deadlines

__all__ = ["ConfigError", "Configuration", "Look", "UpstreamPlan", "make_route"]


class ConfigError(ValueError):
    """A file makes no sense. ``problems`` has one line for each, with its place."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = list(problems)


@dataclass(frozen=True, slots=True)
class UpstreamPlan:
    """One ``[upstream.NAME]``; the values as ``schema.UPSTREAM`` reads them."""

    name: str
    servers: tuple[tuple[str, int], ...]
    policy: Policy
    values: Mapping[str, Any]


#: What looks at upstreams for what a file does not show; one line for each problem, with its place.
Look = Callable[[Sequence[UpstreamPlan]], Sequence[str]]


#: The tables that there is one of.
_ONCE = (PROXY, REDIS, LIMITS, ADMIN)
_TABLES = (*(table.title for table in _ONCE), "upstream", "defaults", "route")


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file. Whether what it says of the process goes together is for ``Settings``: options may be beside it."""

    said: Mapping[str, Mapping[str, Any]]
    """The values of ``[proxy]``, ``[redis]``, ``[limits]`` and ``[admin]``."""
    upstreams: tuple[UpstreamPlan, ...]
    """At least one; the first is where routes without ``upstream`` go."""
    routes: tuple[Route, ...]
    """The last one is for whatever no other is for."""
    text: str
    _document: Mapping[str, Any]

    @classmethod
    def load(cls, path: str, look: Look | None = None) -> Configuration:
        """The file at ``path``. ConfigError with every problem at once, and what ``look`` finds."""
        try:
            text = Path(path).read_text("utf-8")
        except OSError as error:
            raise ConfigError([error.strerror or str(error)]) from None
        except UnicodeDecodeError:
            raise ConfigError(["expected UTF-8"]) from None
        return cls.parse(text, path, look=look)

    @classmethod
    def parse(
        cls, text: str, path: str | None = None, started: str | None = None, look: Look | None = None
    ) -> Configuration:
        """What ``text``, TOML, says; hooks may be in modules beside ``path``. Of the process ``started`` says it, where
        given: the text with which that was started. ConfigError with all problems at once, and what ``look`` finds."""
        document = _tables(text)
        if started is not None:
            process = [table.title for table in _ONCE]
            document = {name: said for name, said in document.items() if name not in process}
            document.update((name, said) for name, said in _tables(started).items() if name in process)
        problems: list[str] = []
        for name in document:
            if name not in _TABLES:
                problems.append(f"{spelled(name)}: {unknown(name, list(_TABLES))}")
        said = {table.title: read_table(table, document.get(table.title, {}), table.title, problems) for table in _ONCE}
        upstreams = _upstreams(document.get("upstream", {}), problems)
        if look is not None:
            problems += look(upstreams)
        with _modules_beside(path):
            routes = _routes(document, [upstream.name for upstream in upstreams], problems)
        if problems:
            raise ConfigError(problems)
        return cls(said, upstreams, routes, text, document)

    def setting(self, place: str) -> Any:
        """The value of ``TABLE.NAME``, in one of the tables in ``said``."""
        table, _, name = place.partition(".")
        return self.said[table][name]

    def effective(self) -> str:
        """Everything in force, as TOML, without passwords."""
        document = self._document
        lines: list[str] = []
        for table in _ONCE:
            lines += ["", f"[{table.title}]", *_lines(table.items, document.get(table.title, {}))]
        for upstream in self.upstreams:
            lines += ["", f"[upstream.{spelled(upstream.name)}]"]
            lines += _lines(UPSTREAM.items, document["upstream"][upstream.name])
        defaults = document.get("defaults", {})
        routes = [(f"# route[{number}]", said) for number, said in enumerate(document.get("route", []), 1)]
        if all(route.match != _ANY for route in self.routes[:-1]):
            routes.append(("# whatever no other route is for", {}))
        for heading, said in routes:
            merged = _inherited(defaults, said)
            lines += ["", heading, "[[route]]"]
            lines += _lines(ROUTE.items, merged)
            lines += [f"{name} = {_toml(merged[name])}" for name in ("match", "hooks") if name in merged]
        return "\n".join(lines[1:]) + "\n"


def _tables(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError([f"not TOML: {_unread(error, text)}"]) from None


def _unread(error: Exception, text: str) -> str:
    """Why ``text`` is no TOML, and where."""
    if isinstance(error, tomllib.TOMLDecodeError | RecursionError):
        return str(error)
    # Python's own limit, told without a place.
    found = re.search(r"[0-9][0-9_]{4300}", text)
    line = text.count("\n", 0, found.start()) + 1 if found else 1
    return f"an integer of more than 4300 digits (at line {line})"


def _lines(items: Sequence[Item], said: Mapping[str, Any]) -> list[str]:
    lines = []
    for item in items:
        value = said.get(item.name, item.default)
        lines.append(f"# {item.name}: {item.without}" if value is None else f"{item.name} = {_toml(value)}")
    return lines


#: Who is let in, in a URL: up to the last ``@`` before its path, as ``urlsplit`` has it; and a Sentinel's password.
_SECRET = re.compile(r"(?<=://)[^/?#]*(?=@)|(?<=sentinel_password=)[^&#]*")


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(_SECRET.sub("…", value), ensure_ascii=False)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{spelled(name)} = {_toml(one)}' for name, one in value.items())} }}"
    return str(value)


def _upstreams(said: object, problems: list[str]) -> tuple[UpstreamPlan, ...]:
    if not isinstance(said, Mapping) or not said:
        problems.append("upstream: expected at least one table [upstream.NAME] with servers")
        return ()
    found = []
    for name, table in said.items():
        place = f"upstream.{spelled(name)}"
        before = len(problems)
        values = read_table(UPSTREAM, table, place, problems)
        if values["servers"] is None:
            if len(problems) == before:
                problems.append(f'{place}.servers: required, like ["http://127.0.0.1:8000"]')
            values["servers"] = ()
        secure = [url.startswith("https:") for url, _ in values["servers"]]
        for name_of in ("ca_file", "server_name", "client_certificate"):
            if values[name_of] is not None and not all(secure):
                problems.append(f"{place}.{name_of}: needs servers with https://")
        found.append(UpstreamPlan(name, values["servers"], values["policy"], MappingProxyType(values)))
    return tuple(found)


def _inherited(defaults: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**defaults, **said}
    below, own = defaults.get("hooks"), said.get("hooks")
    if isinstance(below, Mapping) and isinstance(own, Mapping):
        merged["hooks"] = {**below, **own}
    return merged


def _routes(document: Mapping[str, Any], upstreams: list[str], problems: list[str]) -> tuple[Route, ...]:
    defaults, said = document.get("defaults", {}), document.get("route", [])
    if not isinstance(defaults, Mapping):
        problems.append("defaults: expected a table")
        defaults = {}
    if "match" in defaults:
        problems.append("defaults.match: belongs into each [[route]]; the defaults are for whatever no route is for")
    of_defaults: list[str] = []
    last = _route("default", defaults, "defaults", upstreams, of_defaults)
    problems += of_defaults
    if not isinstance(said, list):
        problems.append("route: expected tables, each headed [[route]]")
        said = []
    found = []
    all_taken = ""
    for number, one in enumerate(said, 1):
        place = f"route[{number}]"
        if not isinstance(one, Mapping):
            problems.append(f"{place}: expected a table")
            continue
        mine: list[str] = []
        route = _route(place, _inherited(defaults, one), place, upstreams, mine)
        found.append(route)
        if all_taken:
            mine.append(f"{place}: nothing comes to it: {all_taken}, without match, takes all there is")
        elif route.match == _ANY and not mine:
            all_taken = place
        # The methods of the defaults are for all routes, whichever those are for.
        if "methods" in one and route.match.methods and route.match.methods.isdisjoint(route.rules.methods):
            mine.append(f"{place}.methods: none of match.methods is among them")
        # What the defaults say wrong is said once, there.
        heard = {problem.removeprefix("defaults") for problem in of_defaults}
        problems += [problem for problem in mine if problem.removeprefix(place) not in heard]
    return (*found, last)


def _route(name: str, said: Mapping[str, Any], place: str, upstreams: list[str], problems: list[str]) -> Route:
    values = read_table(ROUTE, said, place, problems, others=("match", "hooks"))
    match = read_table(MATCH, said.get("match", {}), f"{place}.match", problems)
    conditions = Match(
        tuple(sorted(name.decode("ascii") for name in match["host"] or ())),
        match["path"],
        match["prefix"],
        match["glob"],
        match["regex"],
        match["methods"] or frozenset(),
    )
    hooks = read_table(HOOKS, said.get("hooks", {}), f"{place}.hooks", problems)
    upstream = values["upstream"]
    if upstream is not None and upstream not in upstreams:
        problems.append(f"{place}.upstream: {unknown(upstream, upstreams)}")
    if match["path"] is not None and not conditions.takes(match["path"]):
        problems.append(f"{place}.match: nothing meets it: not even path meets the others, and every condition counts")
    if 0 < values["max_object"] < values["min_size"]:
        problems.append(f"{place}.min_size: more than max_object: nothing would be stored")
    if (values["bypass"] or values["refresh"]) and not values["trusted"]:
        problems.append(f"{place}.trusted: required with bypass and refresh, or anybody could flood the origin")
    loaded = {}
    for hook, dotted in hooks.items():
        if dotted is not None:
            try:
                loaded[hook] = _load(dotted)
            except ValueError as error:
                problems.append(f"{place}.hooks.{hook}: {error}")
    return make_route(
        {**values, "name": values["name"] or name},
        conditions,
        Hooks(**loaded) if loaded else None,
    )


@contextmanager
def _modules_beside(path: str | None) -> Iterator[None]:
    """Python modules in the directory of ``path`` can be imported."""
    if path is None:
        yield
        return
    directory = os.path.dirname(os.path.abspath(path))
    sys.path.insert(0, directory)
    try:
        yield
    finally:
        sys.path.remove(directory)


def _load(dotted: str) -> Any:
    module, _, name = dotted.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever a module does when it is imported
        raise ValueError(f"cannot load {dotted}: {type(error).__name__}: {' '.join(str(error).split())}") from None
    if not callable(found):
        raise ValueError(f"{dotted} cannot be called")
    return found


#: What a route without conditions is for.
_ANY = Match()


def make_route(values: Mapping[str, Any], match: Match = _ANY, hooks: Hooks | None = None) -> Route:
    """The route that ``values``, read as ``schema.ROUTE`` reads them, amount to."""
    template = values["key"]
    keyed = template.fields
    cookies = values["cookies"]
    if b"cookie" in keyed:
        # A key with single cookies in it does not say that the others do not matter: only the whole field does.
        cookies = Cookies.KEYED
    elif cookies is Cookies.KEYED:
        # The fetch carries the cookies that are keyed, and no others.
        keyed = keyed | {b"cookie"}
    deadline = values["wait_deadline"]
    return Route(
        name=values["name"],
        match=match,
        upstream=values["upstream"],
        template=template,
        rules=Rules(
            ttl=values["ttl"],
            default_ttl=values["default_ttl"],
            max_ttl=values["max_ttl"],
            honour_cache_control=values["honour_cache_control"],
            stale=values["stale"],
            stale_if_error=values["stale_if_error"],
            grace=values["grace"],
            persist=values["persist"],
            keep=values["keep"],
            methods=values["methods"],
            statuses=MappingProxyType(values["statuses"] or {}),
            cookies=cookies,
            store_set_cookie=values["store_set_cookie"],
            keyed_fields=keyed,
            min_size=values["min_size"],
            max_object=values["max_object"],
            hit_for_miss=values["hit_for_miss"],
            ranges=values["ranges"],
        ),
        clocks=Clocks(
            wait_stale=min(values["wait_stale"], deadline),
            leader_age=min(values["leader_age"], deadline),
            wait_deadline=deadline,
            late=values["late"],
        ),
        deadlines=Deadlines(
            connect=values["connect"],
            first_byte=values["first_byte"],
            between_bytes=values["between_bytes"],
            total=values["total"],
        ),
        hooks=hooks,
        show_outcome=values["show_outcome"],
        bypass=values["bypass"] or (),
        refresh=values["refresh"] or (),
        trusted=values["trusted"] or (),
        min_uses=values["min_uses"],
        refresh_ahead=1.0 if values["refresh_ahead"] else 0.0,
        encodings=values["encodings"] or (),
        hide=values["hide"] or (),
        respond_with=values["respond_with"] or (),
        strip=values["strip"] or (),
        ask_with=values["ask_with"] or (),
        max_key_body=values["max_key_body"],
    )
