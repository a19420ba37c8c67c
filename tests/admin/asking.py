"""The admin interface of a real proxy, asked over a socket."""

from __future__ import annotations

import json
import socket
import time
from types import TracebackType
from typing import Any

from tests.fleet.processes import Proxy, ask

__all__ = ["TOKEN", "Admin", "Stream"]

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


class Stream:
    """The events of ``admin``, as they come; to be left."""

    def __init__(self, admin: Admin) -> None:
        self._connection = socket.create_connection(("127.0.0.1", admin.proxy.admin), 20)
        self._connection.sendall(
            f"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
        )
        self._file = self._connection.makefile("rb")

    def next(self, wanted: str) -> Any:
        """What the next event called so says."""
        name, seen = "", []
        for line in self._file:
            if line.startswith(b"event: "):
                name = line[7:].strip().decode()
            elif line.startswith(b"data: "):
                seen.append((name, json.loads(line[6:])))
                if name == wanted:
                    return seen[-1][1]
        raise AssertionError(seen)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
        self._connection.close()
