"""Where the admin interface is and with which token: from options, else from the environment.

Must not know: what is asked there.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from txstalecache.cli.exits import BadUsage
from txstalecache.cli.numbers import number

__all__ = ["ADMIN", "TOKEN", "UNSAID", "Connection", "options"]

#: Environment variables.
ADMIN, TOKEN = "TXSTALECACHE_ADMIN", "TXSTALECACHE_ADMIN_TOKEN"

#: Where it is when nothing is said.
USUAL = "http://127.0.0.1:8081"
#: Seconds for one answer.
TIMEOUT = 10.0
#: What the options of ``options`` are where they are not given.
UNSAID = {"admin": None, "token_file": None, "timeout": TIMEOUT, "json": False}

_seconds = number("seconds, up to 3600", lambda seconds: 0 < seconds <= 3600)


def options() -> argparse.ArgumentParser:
    """The options of every command that asks a running proxy, taken before the subcommand as well as after it: so they
    have no defaults, by which the subcommand's would undo what was said before it. The whole parser has (``UNSAID``).
    """
    import shtab

    parser = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    group = parser.add_argument_group("the proxy to ask")
    group.add_argument(
        "--admin",
        metavar="URL",
        help=f"its admin interface: http://HOST:PORT, https://HOST:PORT or unix:PATH [default: ${ADMIN}, else {USUAL}]",
    )
    token = group.add_argument("--token-file", metavar="FILE", help=f"file with its token [default: ${TOKEN}]")
    token.complete = shtab.FILE  # type: ignore[attr-defined]
    group.add_argument("--timeout", metavar="SECONDS", type=_seconds, help=f"for one answer [default: {TIMEOUT:g}]")
    group.add_argument("--json", action="store_true", help="print what it says as JSON")
    return parser


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach one proxy."""

    url: str
    """``scheme://host:port`` for requests; for a unix socket a name that the other end takes for itself."""
    path: str | None
    """The unix socket, where it is one."""
    token: str = field(repr=False)
    timeout: float = TIMEOUT

    @classmethod
    def of(cls, arguments: argparse.Namespace, environment: Mapping[str, str] = os.environ) -> Connection:
        """From parsed options. BadUsage."""
        admin = arguments.admin or environment.get(ADMIN) or USUAL
        file = arguments.token_file
        token = environment.get(TOKEN, "").strip() if file is None else _read(file)
        if not all(0x21 <= ord(one) <= 0x7E for one in token):
            raise BadUsage(f"the token of {file or '$' + TOKEN} has characters in it that no token has")
        url, path = _where(admin)
        return cls(url, path, token, arguments.timeout)

    def __str__(self) -> str:
        return self.url if self.path is None else f"unix:{self.path}"


def _read(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            token = opened.read(4096).decode("ascii").strip()
    except OSError as error:
        raise BadUsage(f"--token-file: {error.strerror}: {file}") from None
    except ValueError:
        raise BadUsage(f"--token-file: that is no token: {file}") from None
    if not token:
        raise BadUsage(f"--token-file: there is nothing in {file}")
    return token


def _where(admin: str) -> tuple[str, str | None]:
    if admin.startswith("unix:"):
        path = "/" + admin[5:].lstrip("/") if admin.startswith("unix:/") else admin[5:]
        if not path or "\0" in path:
            raise BadUsage("--admin: expected unix:PATH")
        return "http://localhost", path
    try:
        parts = urlsplit(admin)
        known = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        known = False
    if not known or parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise BadUsage(f"--admin: expected http://HOST:PORT, https://HOST:PORT or unix:PATH, got {admin[:80]!a}")
    if any(not 0x21 <= ord(one) <= 0x7E for one in parts.netloc):
        raise BadUsage("--admin: expected a name in ASCII")
    return f"{parts.scheme}://{parts.netloc}", None
