"""The admin interface of a real proxy, asked over a socket."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.fleet.processes import Proxy, ask

__all__ = ["TOKEN", "Admin"]

TOKEN = "a-token-of-some-length"


class Admin:
    """Asks the admin interface of ``proxy``, with the token."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy

    def page(self, path: str) -> str:
        """The URL of ``path`` as the proxy's clients ask for it."""
        return f"http://localhost{path}"

    def visit(self, path: str, **fields: str) -> str:
        """A client's request; the body of its answer."""
        return ask(self.proxy.port, path, **fields)[2]

    def get(self, path: str, **fields: str) -> tuple[int, Any]:
        """Status and what was said."""
        return self.send("GET", path, None, **fields)

    def post(self, path: str, said: Any, **fields: str) -> tuple[int, Any]:
        """Status and what was said."""
        return self.send("POST", path, json.dumps(said), **{"Content-Type": "application/json", **fields})

    def send(self, method: str, path: str, body: str | None, **fields: str) -> tuple[int, Any]:
        """As it is written."""
        status, got, text = ask(
            self.proxy.admin, path, method, body, **{"Authorization": f"Bearer {TOKEN}", "Host": "127.0.0.1", **fields}
        )
        return status, json.loads(text) if got["content-type"] == "application/json" else text

    def until(self, path: str, true: Any, seconds: float = 15.0) -> Any:
        """What is said at ``path``, once it is ``true``."""
        deadline = time.monotonic() + seconds
        while True:
            said = self.get(path)[1]
            if true(said):
                return said
            assert time.monotonic() < deadline, said
            time.sleep(0.02)
