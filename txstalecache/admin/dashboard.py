"""The page to watch and steer a proxy with: static files, under a policy that lets it load nothing else.

The page holds no secret, so it needs no token; what it asks for does.
Must not know: what the page asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Final

__all__ = ["Page", "page"]

_TYPES: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}

#: Nothing but this interface's own files and answers, no markup made from text, in nobody's frame.
_FIELDS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Page:
    """An answer that is not JSON."""

    kind: str
    body: bytes
    fields: Mapping[str, str] = field(default_factory=dict)


@cache
def _pages() -> Mapping[bytes, Page]:
    pages: dict[bytes, Page] = {}
    for file in (files("txstalecache.admin") / "dashboard").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind is not None:
            path = "/" if file.name == "index.html" else f"/dashboard.{file.name}"
            pages[path.encode("ascii")] = Page(kind, file.read_bytes(), _FIELDS)
    return pages


def page(path: bytes) -> Page | None:
    """What is at ``path``: the page at ``/``, and ``/dashboard.NAME`` for what it loads; else None."""
    return _pages().get(path)
