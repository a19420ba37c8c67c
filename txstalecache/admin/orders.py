"""What is to be done, read from what a client says: purges, lists to be warmed, requests to be explained.

Must not know: sockets, stores' insides.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from txstalecache.admin.warm import Jobs
from txstalecache.edge.heads import Rejected, authority
from txstalecache.http.fields import is_token
from txstalecache.http.keys import split_url
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.vary import MOST_NAMES
from txstalecache.store.purges import Hardness, Scope

__all__ = [
    "LONGEST",
    "METHOD",
    "NAME",
    "SCOPES",
    "VALUE",
    "BadOrder",
    "Mode",
    "Order",
    "Question",
    "WarmOrder",
    "reading",
    "url_said",
]

#: Characters of a URL, or of anything else that is to be purged, and of the value of a field.
LONGEST = 8192
#: A method, the name of a field, and the value of one.
METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,256}")
VALUE = re.compile(rf"[\t\x20-\x7e\x80-\xff]{{0,{LONGEST}}}")


class BadOrder(ValueError):
    """An order that cannot be meant: one line for whoever gave it."""


class Mode(Enum):
    """What becomes of what is covered."""

    HARD = "hard"
    SOFT = "soft"
    REFRESH = "refresh"
    """As SOFT, and fetched anew: a single URL at once, of anything else the URLs that are known, in their turn."""

    @property
    def hardness(self) -> Hardness:
        """As the store has it."""
        return Hardness.HARD if self is Mode.HARD else Hardness.SOFT


SCOPES = ("url", "variant", "prefix", "host", "tag", "all")
_SAID = ("scope", "value", "fields", "mode", "dry")


def reading(data: bytes) -> bytes:
    """``data`` as it is to be read: UTF-8. BadOrder."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        raise BadOrder("expected UTF-8") from None
    return data


def _object(body: bytes, *names: str) -> dict[str, Any]:
    """The JSON object that ``body`` is, with no other names than ``names``. BadOrder."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        raise BadOrder("expected JSON") from None
    if not isinstance(said, dict):
        raise BadOrder("expected a JSON object")
    if unknown := sorted(set(said) - set(names)):
        *most, last = names
        raise BadOrder(f"unknown: {ascii(unknown[0])[:60]}; expected {', '.join(most)} and {last}")
    return said


def url_said(said: object, name: str = "url") -> str:
    """A whole URL, as a request for it would have it. BadOrder."""
    if not isinstance(said, str) or not said or len(said) > LONGEST:
        raise BadOrder(f"{name}: expected a URL of 1 to {LONGEST} characters")
    try:
        scheme, authority, target = split_url(said.encode("ascii"))
        return (scheme + b"://" + authority + target).decode("ascii")
    except UnicodeError:
        raise BadOrder(f"{name}: expected ASCII, percent-encoded as in requests") from None
    except ValueError as error:
        raise BadOrder(f"{name}: {error}") from None


@dataclass(frozen=True, slots=True)
class Order:
    """One purge. ``url`` is given where there is one URL to fetch anew; ``dry``: only count what it would cover."""

    scope: Scope
    mode: Mode
    url: bytes | None = None
    dry: bool = False

    @classmethod
    def read(cls, body: bytes) -> Order:
        """From JSON: ``{"scope": …, "value": …, "mode": …, "dry": …}``; for a variant ``fields`` as well. BadOrder."""
        said = _object(body, *_SAID)
        dry = said.get("dry", False)
        if not isinstance(dry, bool):
            raise BadOrder("dry: expected true or false")
        return cls.of(said.get("scope"), said.get("value"), said.get("mode", Mode.HARD.value), dry, said.get("fields"))

    @classmethod
    def of(cls, kind: object, value: object, mode: object, dry: bool = False, fields: object = None) -> Order:
        """From the words. BadOrder."""
        if kind not in SCOPES:
            raise BadOrder(f"scope: expected one of {', '.join(SCOPES)}")
        try:
            how = Mode(mode)
        except ValueError:
            raise BadOrder("mode: expected hard, soft or refresh") from None
        if fields is not None and kind != "variant":
            raise BadOrder("fields: is for the scope variant")
        if kind == "all":
            if value is not None:
                raise BadOrder("value: all has none")
            return cls(Scope.everything(), how, dry=dry)
        if not isinstance(value, str) or not value or len(value) > LONGEST:
            raise BadOrder(f"value: expected a text of 1 to {LONGEST} characters")
        try:
            written = value.encode("ascii" if kind != "tag" else "utf-8")
        except UnicodeError:
            raise BadOrder("value: expected ASCII, percent-encoded as in requests") from None
        if any(one < 0x21 or one == 0x7F for one in written):
            raise BadOrder("value: no spaces or control characters")
        if kind == "tag":
            return cls(Scope.of_tag(written), how, dry=dry)
        if kind == "host":
            return cls(Scope.of_host(_host(b"http", _authority(written))), how, dry=dry)
        host, target = b"", written
        if not written.startswith(b"/"):
            try:
                scheme, at, target = split_url(written)
            except ValueError as error:
                raise BadOrder(f"value: {error}, or a path") from None
            host = _host(scheme, _authority(at))
        if kind == "prefix":
            return cls(Scope.of_prefix(target, host), how, dry=dry)
        if kind == "variant":
            return cls(Scope.of_variant(target, _fields(fields), host), how, dry=dry)
        if how is Mode.REFRESH and not host:
            raise BadOrder("value: to refresh, expected a whole URL (like http://example.org/path)")
        return cls(Scope.of_url(target, host), how, written if host else None, dry)


def _fields(said: object) -> dict[bytes, bytes | None]:
    """What requests say, by the names of their fields; null: they are without it."""
    if not isinstance(said, dict) or not 0 < len(said) <= MOST_NAMES:
        raise BadOrder('fields: expected request fields, like {"Accept-Language": "de"}; null: without it')
    found: dict[bytes, bytes | None] = {}
    for name, value in said.items():
        written = name.encode("utf-8", "replace")
        if not is_token(written) or not (value is None or isinstance(value, str)):
            raise BadOrder("fields: expected names of fields, and a text or null for each")
        if value is not None and (len(value) > LONGEST or not value.isascii() or not value.isprintable()):
            raise BadOrder("fields: expected values of printable ASCII")
        found[written.lower()] = None if value is None else value.strip().encode("ascii")
    return found


def _authority(said: bytes) -> bytes:
    """``said``, a host that a request may be for, perhaps with a port. BadOrder: nothing is stored for any other."""
    try:
        return authority([said], b"HTTP/1.1")
    except Rejected:
        raise BadOrder(f"value: {ascii(said.decode('ascii'))[:60]} is no host (like example.org)") from None


def _host(scheme: bytes, authority: bytes) -> bytes:
    """As keys have it: without the port that the scheme implies."""
    return RequestHead(b"GET", b"/", Fields(), scheme, authority).host


@dataclass(frozen=True, slots=True)
class WarmOrder:
    """What is to be warmed: URLs, or those that a sitemap lists; how many a second, and at a time."""

    urls: Sequence[str]
    sitemap: str | None
    rate: float
    concurrency: int

    MOST = 10_000
    SLOWEST, FASTEST, WIDEST = 0.01, 1000.0, 64

    @classmethod
    def read(cls, body: bytes) -> WarmOrder:
        """From JSON: ``{"urls": […]}`` or ``{"sitemap": …}``, with ``rate`` and ``concurrency``. BadOrder."""
        said = _object(body, "urls", "sitemap", "rate", "concurrency")
        if ("urls" in said) == ("sitemap" in said):
            raise BadOrder("expected either urls or sitemap")
        rate, concurrency = said.get("rate", Jobs.RATE), said.get("concurrency", Jobs.CONCURRENCY)
        if isinstance(rate, bool) or not isinstance(rate, int | float) or not cls.SLOWEST <= rate <= cls.FASTEST:
            raise BadOrder(f"rate: expected a number from {cls.SLOWEST:g} to {cls.FASTEST:g}")
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or not 1 <= concurrency <= cls.WIDEST:
            raise BadOrder(f"concurrency: expected a whole number from 1 to {cls.WIDEST}")
        if "sitemap" in said:
            return cls((), url_said(said["sitemap"], "sitemap"), float(rate), concurrency)
        urls = said["urls"]
        if not isinstance(urls, list) or not 1 <= len(urls) <= cls.MOST:
            raise BadOrder(f"urls: expected a list of 1 to {cls.MOST} URLs")
        read = [url_said(url, f"urls[{place}]") for place, url in enumerate(urls)]
        return cls(read, None, float(rate), concurrency)


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is to be explained."""

    url: str
    method: str
    fields: list[list[str]]

    #: Fields.
    MOST = 100

    @classmethod
    def read(cls, body: bytes) -> Question:
        """From JSON: ``{"url": …, "method": …, "fields": {name: value}}``. BadOrder."""
        said = _object(body, "url", "method", "fields")
        method, fields = said.get("method", "GET"), said.get("fields", {})
        if not isinstance(method, str) or not METHOD.fullmatch(method):
            raise BadOrder("method: expected a token")
        if not isinstance(fields, dict) or len(fields) > cls.MOST:
            raise BadOrder(f"fields: expected an object of at most {cls.MOST} names with their values")
        for name, value in fields.items():
            if not NAME.fullmatch(name):
                raise BadOrder("fields: a name is a token")
            if not isinstance(value, str) or not VALUE.fullmatch(value):
                raise BadOrder(f"fields: {name[:60]}: expected a text without control characters")
        return cls(url_said(said.get("url")), method, [[name, value] for name, value in fields.items()])
