"""What a wait for a flight comes to: a closed set.

Must not know: clients, connections.
"""

from __future__ import annotations

from typing import Final

from txstalecache.flight.body import Body
from txstalecache.flight.plan import Sharing
from txstalecache.http.entry import Entry
from txstalecache.http.messages import ResponseHead
from txstalecache.http.values import dataclass

__all__ = ["ROUNDS", "Alone", "Attached", "Failed", "Landing", "Regroup", "Settled"]

#: How often somebody may be told to wait elsewhere (``Regroup``); then they ask the origin on their own, or give up.
ROUNDS: Final = 4


@dataclass(frozen=True, slots=True)
class Attached:
    """The origin's answer, streaming."""

    head: ResponseHead
    body: Body
    length: int | None
    """Bytes of body to come, None when unknown."""
    stored: bool
    why: str
    elsewhere: bool = False
    """Whether another process has asked for it."""


@dataclass(frozen=True, slots=True)
class Settled:
    """A complete entry: validated just now, stored meanwhile by another process, or stale where ``stale`` says why."""

    entry: Entry
    collapsed: bool
    stale: str = ""
    validated: bool = False
    status: int | None = None
    """What the origin answered instead, where ``entry`` stands in for an error."""
    asked: bool = True
    """False: the origin was left alone."""

    @property
    def elsewhere(self) -> bool:
        """Whether another process has asked for it."""
        return self.collapsed and not (self.stale or self.validated)


@dataclass(frozen=True, slots=True)
class Alone:
    """The answer was not for sharing: ask the origin on your own, now, as ``sharing`` says."""

    why: str
    sharing: Sharing = Sharing.SOLO


@dataclass(frozen=True, slots=True)
class Regroup:
    """The answer varies by ``names``: wait with those who send the same. ``part``: and who ask for the same part, which
    is to be fetched alone; the whole is too long to be stored. ``provoked``: it is an error that the one who was asked
    for may have provoked; ask for yourselves, once."""

    names: tuple[bytes, ...]
    part: bool = False
    provoked: bool = False


@dataclass(frozen=True, slots=True)
class Failed:
    """No answer to be had: tell the client ``status``."""

    status: int
    why: str
    retry_after: int | None = None


Landing = Attached | Settled | Alone | Regroup | Failed
