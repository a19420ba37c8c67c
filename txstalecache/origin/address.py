"""Where an upstream server is: its URL taken apart.

Must not know: connections.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

__all__ = ["Address"]

_PORTS: dict[str, int] = {"http": 80, "https": 443}
_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9_](?:[A-Za-z0-9_-]*[A-Za-z0-9_])?(?:\.[A-Za-z0-9_-]+)*\.?")


@dataclass(frozen=True, slots=True)
class Address:
    """One server: ``http://host[:port]``, ``https://host[:port]`` or ``unix:/path/of/socket`` (plain HTTP)."""

    scheme: Literal["http", "https", "unix"]
    host: str
    """Name or IP address, without brackets; empty for a unix socket."""
    port: int
    """0 for a unix socket."""
    path: str
    """Of the unix socket; empty otherwise."""

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ValueError with one line that says what is wrong and what would be right."""
        shown = repr(url)
        if not url or any(character.isspace() or not character.isprintable() for character in url):
            raise ValueError(f"origin {shown}: expected a URL such as http://127.0.0.1:8000, without white space")
        try:
            parts = urlsplit(url)
            port = parts.port
            host = parts.hostname or ""
        except ValueError as error:
            raise ValueError(f"origin {shown}: {error}") from None
        if parts.scheme == "unix":
            if parts.netloc or not parts.path.startswith("/") or parts.query or parts.fragment:
                raise ValueError(f"origin {shown}: expected unix:/absolute/path/of/socket")
            if len(parts.path.encode()) > 107:
                raise ValueError(f"origin {shown}: the path of a unix socket has at most 107 bytes")
            return cls("unix", "", 0, parts.path)
        if parts.scheme not in ("http", "https"):
            raise ValueError(f"origin {shown}: expected http://, https:// or unix:/")
        if host == "unix":
            raise ValueError(f"origin {shown}: write a unix socket as unix:/absolute/path/of/socket")
        if parts.username is not None or parts.password is not None:
            raise ValueError(f"origin {shown}: a user name or password cannot be part of it")
        if parts.path not in ("", "/") or parts.query or parts.fragment or url[-1] in "?#":
            raise ValueError(f"origin {shown}: only scheme, host and port; the request brings path and query")
        if ":" not in host and _NAME.fullmatch(host) is None:
            raise ValueError(f"origin {shown}: expected a host name (in ASCII, xn--… if need be) or an IP address")
        if port == 0:
            raise ValueError(f"origin {shown}: expected a port between 1 and 65535")
        return cls("https" if parts.scheme == "https" else "http", host, port or _PORTS[parts.scheme], "")

    @property
    def authority(self) -> bytes:
        """The ``Host`` of requests that bring none (RFC 9110 §7.2)."""
        if self.scheme == "unix":
            return b"localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}").encode("ascii")

    def __str__(self) -> str:
        return f"unix:{self.path}" if self.scheme == "unix" else f"{self.scheme}://{self.authority.decode()}"
