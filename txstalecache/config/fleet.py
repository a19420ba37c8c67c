"""How many processes there are, who may tell them what, and what they do without their Redis.

Must not know: option parsers, the reactor, how any of it is built.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from txstalecache.config.settings import SettingsError

__all__ = ["FLEET", "Fleet"]

#: What is in force when nothing is said, as it would be written.
FLEET: Mapping[str, str | None] = {"workers": "1", "admin": None, "admin-token-file": None, "redis-down": "local"}

#: More processes than any host has use for: somebody's mistake.
MOST = 256
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
    redis_down: str = "local"
    """``local`` or ``protect``, as ``store.open_store``'s mode."""

    @classmethod
    def parse(cls, given: Mapping[str, str | None], *, redis: str, demo: bool = False) -> Fleet:
        """From texts, named as the options are; ``redis`` as settled. SettingsError with every problem
        at once."""
        texts = {**FLEET, **{name: text for name, text in given.items() if text is not None}}
        problems: list[str] = []
        workers, admin, mode = 1, texts["admin"], texts["redis-down"] or ""
        said = texts["workers"] or ""
        if said.isascii() and said.isdigit() and 1 <= int(said[:6]) <= MOST:
            workers = int(said)
        else:
            problems.append(f"--workers: expected a number from 1 to {MOST}, got {said[:40]!a}")
        if workers > 1 and redis == "memory":
            problems.append("--workers: several processes need a Redis to share; leave out --redis memory")
        if workers > 1 and demo:
            problems.append("--workers: --demo runs in one process")
        if mode not in ("local", "protect"):
            problems.append(f"--redis-down: expected local or protect, got {mode[:40]!a}")
        elif mode == "protect" and redis == "memory":
            problems.append("--redis-down: with --redis memory there is none to be down")
        token = b""
        if admin is not None:
            if ":" not in admin or not admin.partition(":")[2]:
                problems.append(
                    f"--admin: expected an endpoint (like tcp:8081:interface=127.0.0.1), got {admin[:80]!a}"
                )
            if texts["admin-token-file"] is None:
                problems.append("--admin: needs --admin-token-file, whoever reaches it must know the token")
        elif texts["admin-token-file"] is not None:
            problems.append("--admin-token-file: is for --admin, which is not given")
        if admin is not None and texts["admin-token-file"] is not None:
            try:
                token = _token(texts["admin-token-file"])
            except ValueError as error:
                problems.append(f"--admin-token-file: {error}")
        if problems:
            raise SettingsError(problems)
        return cls(workers=workers, admin=admin, token=token, redis_down=mode)


def _token(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            token = file.read(LONGEST + 2).strip()
    except OSError as error:
        raise ValueError(f"{error.strerror}: {path}") from None
    except ValueError:
        raise ValueError("not a path") from None
    if not SHORTEST <= len(token) <= LONGEST or not all(0x21 <= one <= 0x7E for one in token):
        raise ValueError(f"expected one token of {SHORTEST} to {LONGEST} visible ASCII characters in {path}")
    return token
