"""Commands on their way out over one connection, in the order they were put.

What is short is written then and there. Of a ``Series``, and of what is put behind one, each command is made when the
transport has taken the one before: so an 8 MiB body is not all in memory once more, and holds up nobody who has nothing
to do with it.

Must not know: replies, time limits; what is written.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

from hiredis import pack_command
from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from txstalecache.store.commands import Command, Commands, Series

__all__ = ["Outbox"]


@implementer(IPushProducer)
class Outbox:
    """What is to be written to ``transport``, which has it as a producer while something has to wait."""

    __slots__ = ("_full", "_transport", "_waiting")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._full = False
        """Whether the transport has enough for now."""
        self._waiting: deque[Iterator[Command]] = deque()

    def put(self, commands: Commands) -> None:
        """Write ``commands`` behind what was put before."""
        waiting = self._waiting
        if waiting:
            waiting.append(iter(commands))
        elif type(commands) is Series:
            waiting.append(iter(commands))
            self._transport.registerProducer(self, True)
            self.resumeProducing()
        else:
            # Not joined: the transport does that anyway, and one of these may be long.
            self._transport.writeSequence([*map(pack_command, commands)])  # type: ignore[arg-type]

    def pauseProducing(self) -> None:
        self._full = True

    def resumeProducing(self) -> None:
        self._full = False
        while self._waiting:
            for command in self._waiting[0]:
                self._transport.write(pack_command(command))  # type: ignore[arg-type]
                if self._full:
                    return
            self._waiting.popleft()
        self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self._waiting.clear()
