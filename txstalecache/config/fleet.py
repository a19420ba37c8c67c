"""How many processes there are, who may tell them what, and what they do without their Redis.

Must not know: option parsers, files of settings, the reactor, how any of it is built.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

__all__ = ["Fleet"]

#: Where the token may be instead of in a file.
VARIABLE = "TXSTALECACHE_ADMIN_TOKEN"

#: Characters of a token that cannot be guessed.
SHORTEST, LONGEST = 16, 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """The processes of one proxy."""

    workers: int = 1
    admin: str | None = None
    """A Twisted server endpoint description for the admin interface; None: there is none."""
    token: bytes = b""
    """What whoever uses it must know: not for logs."""
    admin_hosts: frozenset[str] = frozenset()
    """Names (lower case) by which it may be asked, beside loopback ones and its address."""
    redis_down: str = "local"
    """``local`` or ``protect``, as ``store.open_store``'s mode."""

    @classmethod
    def of(
        cls, said: Mapping[str, Any], called: Callable[[str], str], problems: list[str], *, demo: bool = False
    ) -> Fleet:
        """From what was read for each option, by its name, without the token; what contradicts something else is added
        to ``problems``, under the name that it is ``called`` where it was written."""
        workers, down = said["workers"], said["redis-down"]
        if workers > 1 and said["redis"] == "memory":
            problems.append(f"{called('workers')}: several processes need a Redis to share, not memory alone")
        if workers > 1 and demo:
            problems.append(f"{called('workers')}: --demo runs in one process")
        if down == "protect" and said["redis"] == "memory":
            problems.append(f"{called('redis-down')}: without a Redis there is none to be down")
        if said["redis"] == "memory" and said["memory"] == 0:
            problems.append(f"{called('memory')}: without a Redis there is no other place: expected more than 0")
        admin, token = said["admin"], b""
        for name in ("admin-token-file", "admin-hosts"):
            if admin is None and said[name] is not None:
                problems.append(f"{called(name)}: is for {called('admin')}, which is not given")
        if admin is not None and admin == said["listen"] and not re.match(r"\w+:(port=)?0(:|\Z)", admin):
            problems.append(f"{called('admin')}: is the public endpoint too ({called('listen')})")
        if admin is not None and said["admin-token-file"] is None and VARIABLE not in os.environ:
            needed = f"{called('admin-token-file')} (or ${VARIABLE})"
            problems.append(f"{called('admin')}: needs {needed}, whoever reaches it must know the token")
        elif admin is None and demo:
            # Something to look at: on a free port, for whoever is told its token.
            admin, token = "tcp:0:interface=127.0.0.1", token_urlsafe(24).encode("ascii")
        hosts = frozenset(one.decode("ascii") for one in said["admin-hosts"] or ())
        return cls(workers=workers, admin=admin, token=token, admin_hosts=hosts, redis_down=down)

    def admitting(self, said: Mapping[str, Any], called: Callable[[str], str], problems: list[str]) -> Fleet:
        """With the token, from where ``said`` says it is: for the process that has the admin interface, when it starts.
        The others, and a file that is read again, have no use for it."""
        if self.admin is None or self.token:
            return self
        file = said["admin-token-file"]
        try:
            token = _checked(os.fsencode(os.environ[VARIABLE]), f"${VARIABLE}") if file is None else _token(file)
        except ValueError as error:
            problems.append(f"{called('admin' if file is None else 'admin-token-file')}: {error}")
            return self
        return replace(self, token=token)


def _token(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            token = file.read(LONGEST + 2).strip()
    except OSError as error:
        raise ValueError(f"{error.strerror}: {path}") from None
    return _checked(token, path)


def _checked(token: bytes, where: str) -> bytes:
    if not SHORTEST <= len(token) <= LONGEST or not all(0x21 <= one <= 0x7E for one in token):
        raise ValueError(f"expected one token of {SHORTEST} to {LONGEST} visible ASCII characters in {where}")
    return token
