"""The page to watch and steer a proxy with: static files, under a policy that lets it load nothing else.

The page holds no secret, so it needs no token; what it asks for does.
Must not know: what the page asks.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from twisted.web.http import Request

__all__ = ["Dashboard"]

_TYPES: Final = {
    "html": b"text/html; charset=utf-8",
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
    "svg": b"image/svg+xml",
}

_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)

_FIELDS: Final = {
    b"Content-Security-Policy": _POLICY,
    b"X-Content-Type-Options": b"nosniff",
    b"X-Frame-Options": b"DENY",
    b"Referrer-Policy": b"no-referrer",
    b"Cross-Origin-Opener-Policy": b"same-origin",
    b"Cross-Origin-Resource-Policy": b"same-origin",
    b"Permissions-Policy": b"camera=(), geolocation=(), microphone=()",
    b"Cache-Control": b"no-store",
}


class Dashboard:
    """The files of the page: ``/``, and ``/dashboard.NAME`` for what it loads."""

    def __init__(self) -> None:
        self._files: dict[bytes, tuple[bytes, bytes]] = {}
        for file in (files("txstalecache.admin") / "dashboard").iterdir():
            kind = _TYPES.get(file.name.rpartition(".")[2])
            if kind is not None:
                path = "/" if file.name == "index.html" else f"/dashboard.{file.name}"
                self._files[path.encode("ascii")] = (kind, file.read_bytes())

    def __contains__(self, path: bytes) -> bool:
        return path in self._files

    def answer(self, path: bytes, request: Request) -> None:
        """Answer ``request`` with the file at ``path``, which is one of ours, and finish it."""
        kind, body = self._files[path]
        request.setResponseCode(200)
        for name, value in _FIELDS.items():
            request.setHeader(name, value)
        request.setHeader(b"Content-Type", kind)
        request.setHeader(b"Content-Length", b"%d" % len(body))
        if request.method != b"HEAD":
            request.write(body)
        request.finish()
