"""What the command line asks for, checked as a whole: everything in here is usable as it stands.

Must not know: option parsers, the reactor, how any of it is built.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from txstalecache.config.routes import Route, Routes
from txstalecache.config.units import parse_bytes, parse_seconds
from txstalecache.flight.clocks import Clocks
from txstalecache.http.keys import DEFAULT_TEMPLATE, KeyTemplate
from txstalecache.http.rules import Cookies, Rules
from txstalecache.origin.address import Address as OriginAddress
from txstalecache.store import address as redis_address

__all__ = ["DEFAULTS", "Settings", "SettingsError"]

#: What is in force when nothing is said, as it would be written.
DEFAULTS: Mapping[str, str | None] = {
    "listen": "tcp:8080:interface=127.0.0.1",
    "origin": None,
    "redis": "embedded",
    "prefix": "txsc:",
    "ttl": None,
    "stale": None,
    "stale-if-error": None,
    "key": DEFAULT_TEMPLATE.text,
    "methods": "GET,HEAD",
    "max-object": "8M",
    "max-upload": "1M",
    "wait-deadline": "15",
    "memory": "64M",
    "access-log": "-",
    "access-log-format": "combined",
}

#: The methods a cache can answer. HEAD is answered from what GET stored.
CACHEABLE = (b"GET", b"HEAD")

LOG_FORMATS = ("combined", "json")

T = TypeVar("T")


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
    """``http://host[:port]``, ``https://host[:port]`` or ``unix:/path``; None only with ``demo``."""
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
    wait_deadline: float
    memory: int
    access_log: str | None
    """A file, ``-`` for standard output, None for no log."""
    access_log_format: str
    demo: bool

    @classmethod
    def parse(cls, given: Mapping[str, str | None], *, demo: bool = False) -> Settings:
        """Settings from texts, named as the options are; what is not given has its default.

        Raises SettingsError with every problem at once.
        """
        problems: list[str] = []
        texts = {**DEFAULTS, **{name: text for name, text in given.items() if text is not None}}

        def take(name: str, parse: Callable[[str], T], instead: T) -> T:
            text = texts[name]
            if text is None:
                return instead
            try:
                return parse(text)
            except ValueError as error:
                problems.append(f"--{name}: {error}")
                return instead

        def seconds(name: str) -> float | None:
            text: Callable[[str], float | None] = parse_seconds
            return take(name, text, None)

        settings = cls(
            listen=take("listen", _endpoint, ""),
            origin=take("origin", _origin, None),
            redis=take("redis", _redis, ""),
            prefix=take("prefix", _prefix, ""),
            ttl=seconds("ttl"),
            stale=seconds("stale"),
            stale_if_error=seconds("stale-if-error"),
            key=take("key", KeyTemplate.parse, DEFAULT_TEMPLATE),
            methods=take("methods", _methods, frozenset()),
            max_object=take("max-object", parse_bytes, 0),
            max_upload=take("max-upload", parse_bytes, 0),
            wait_deadline=take("wait-deadline", _positive, 0.0),
            memory=take("memory", parse_bytes, 0),
            access_log=take("access-log", _log, None),
            access_log_format=take("access-log-format", _log_format, ""),
            demo=demo,
        )
        if demo and texts["origin"] is not None:
            problems.append("--demo: brings its own origin; leave out --origin")
        if not demo and texts["origin"] is None:
            problems.append("--origin: required, the URL to cache (like http://127.0.0.1:8000); or try --demo")
        if settings.redis == "memory" and settings.memory == 0 and not problems:
            problems.append("--memory: with --redis memory there is no other place: expected more than 0")
        if problems:
            raise SettingsError(problems)
        return settings

    def rules(self) -> Rules:
        """The caching rules they amount to."""
        return Rules(
            ttl=self.ttl,
            stale=self.stale,
            stale_if_error=self.stale_if_error,
            methods=self.methods,
            # A key with single cookies in it does not say that the others do not matter: only the whole field does.
            cookies=Cookies.KEYED if b"cookie" in self.key.fields else Cookies.PASS,
            keyed_fields=self.key.fields,
            max_object=self.max_object,
        )

    def routes(self) -> Routes:
        """One route for everything."""
        usual = Clocks()
        clocks = Clocks(
            wait_stale=min(usual.wait_stale, self.wait_deadline),
            leader_age=min(usual.leader_age, self.wait_deadline),
            wait_deadline=self.wait_deadline,
        )
        return Routes([Route(template=self.key, rules=self.rules(), clocks=clocks)])


def _shown(text: str) -> str:
    return ascii(text if len(text) <= 80 else text[:77] + "...")


def _endpoint(text: str) -> str:
    # Whether Twisted knows the scheme is asked when there is a reactor to ask with.
    if not re.match(r"[A-Za-z0-9_.-]+:.", text):
        raise ValueError(f"expected an endpoint (like tcp:8080:interface=127.0.0.1), got {_shown(text)}")
    return text


def _origin(text: str) -> str:
    return str(OriginAddress.parse(text))


def _redis(text: str) -> str:
    if text not in ("embedded", "memory"):
        try:
            redis_address.parse(text)
        except ValueError as error:
            raise ValueError(f"{error} (or embedded, or memory)") from None
    return text


def _prefix(text: str) -> str:
    # Braces would move the hash tag, patterns would change what is subscribed to.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}", text):
        raise ValueError(f"expected 1 to 64 letters, digits or ._:- , got {_shown(text)}")
    return text


def _methods(text: str) -> frozenset[bytes]:
    known = ",".join(method.decode() for method in CACHEABLE)
    methods = frozenset(part.strip().upper().encode("ascii", "replace") for part in text.split(","))
    if b"GET" not in methods or not methods <= set(CACHEABLE):
        raise ValueError(f"expected GET or {known} (other methods pass through uncached), got {_shown(text)}")
    return methods


def _positive(text: str) -> float:
    seconds = parse_seconds(text)
    if seconds <= 0:
        raise ValueError(f"expected more than 0 seconds, got {_shown(text)}")
    return seconds


def _log(text: str) -> str | None:
    if not text or "\0" in text:
        raise ValueError("expected a file, - for standard output, or none")
    return None if text == "none" else text


def _log_format(text: str) -> str:
    if text not in LOG_FORMATS:
        raise ValueError(f"expected {' or '.join(LOG_FORMATS)}, got {_shown(text)}")
    return text
