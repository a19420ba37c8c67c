"""What is to be purged and how, read from what a client says.

Must not know: sockets, stores' insides.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum

from txstalecache.http.keys import DEFAULT_TEMPLATE, split_url
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.store.purges import Hardness, Scope

__all__ = ["BadOrder", "Mode", "Order"]


class BadOrder(ValueError):
    """An order that cannot be meant: one line for whoever gave it."""


class Mode(Enum):
    """What becomes of what is covered."""

    HARD = "hard"
    SOFT = "soft"
    REFRESH = "refresh"
    """As SOFT; a single URL is fetched anew at once, anything else when it is asked for next."""

    @property
    def hardness(self) -> Hardness:
        """As the store has it."""
        return Hardness.HARD if self is Mode.HARD else Hardness.SOFT


_SCOPES = ("url", "prefix", "host", "tag", "all")
_SAID = {"scope", "value", "mode"}


@dataclass(frozen=True, slots=True)
class Order:
    """One purge. ``url`` is given where there is one URL to fetch anew."""

    scope: Scope
    mode: Mode
    url: bytes | None = None

    @classmethod
    def read(cls, body: bytes) -> Order:
        """From JSON: ``{"scope": …, "value": …, "mode": …}``. BadOrder."""
        try:
            said = json.loads(body)
        except (ValueError, RecursionError):
            raise BadOrder("expected JSON") from None
        if not isinstance(said, dict):
            raise BadOrder("expected a JSON object")
        if unknown := sorted(set(said) - _SAID):
            raise BadOrder(f"unknown: {ascii(unknown[0])[:60]}; expected scope, value and mode")
        return cls.of(said.get("scope"), said.get("value"), said.get("mode", "hard"))

    @classmethod
    def of(cls, kind: object, value: object, mode: object) -> Order:
        """From the words. BadOrder."""
        if kind not in _SCOPES:
            raise BadOrder(f"scope: expected one of {', '.join(_SCOPES)}")
        try:
            how = Mode(mode)
        except ValueError:
            raise BadOrder("mode: expected hard, soft or refresh") from None
        if kind == "all":
            if value is not None:
                raise BadOrder("value: all has none")
            return cls(Scope.everything(), how)
        if not isinstance(value, str) or not value or len(value) > 8192:
            raise BadOrder("value: expected a text of 1 to 8192 characters")
        try:
            written = value.encode("ascii" if kind != "tag" else "utf-8")
        except UnicodeError:
            raise BadOrder("value: expected ASCII, percent-encoded as in requests") from None
        if any(one < 0x21 or one == 0x7F for one in written):
            raise BadOrder("value: no spaces or control characters")
        if kind == "tag":
            return cls(Scope.of_tag(written), how)
        if kind == "host":
            return cls(Scope.of_host(_host(b"http", written)), how)
        host, target = b"", written
        if not written.startswith(b"/"):
            try:
                scheme, authority, target = split_url(written)
            except ValueError as error:
                raise BadOrder(f"value: {error}, or a path") from None
            host = _host(scheme, authority)
        if kind == "prefix":
            return cls(Scope.of_prefix(target, host), how)
        if how is Mode.REFRESH and not host:
            raise BadOrder("value: to refresh, expected a whole URL (like http://example.org/path)")
        return cls(Scope.of_url(target, host), how, written if host else None)


def _host(scheme: bytes, authority: bytes) -> bytes:
    """As keys have it: without the port that the scheme implies."""
    return DEFAULT_TEMPLATE.key(RequestHead(b"GET", b"/", Fields(), scheme, authority)).host
