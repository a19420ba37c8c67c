"""Leases: one fetch per key for the whole fleet.

A lease is a value in Redis with a random token and an expiry, kept alive by a heartbeat: its holder killed, it is gone
after ``HOLD`` seconds. Only the holder's token takes it away, so nobody ever deletes another's.
``LocalLeases`` is what is left without Redis: everybody is granted (the registry coalesces), only back-offs hold.

Must not know: flights, entries.
"""

from __future__ import annotations

import os
import random
from collections import OrderedDict
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txstalecache.http.keys import Key
from txstalecache.store.changes import Changes
from txstalecache.store.commands import ICommands, Refused, Unavailable, ignored
from txstalecache.store.interfaces import ILease, ILeases, Purpose, Tell
from txstalecache.store.layout import Layout
from txstalecache.store.relay import Reception, Relays
from txstalecache.store.scripts import ACQUIRE, BACK_OFF, BEAT, RELEASE, RESTING, Script
from txstalecache.store.wheel import Wheel

if TYPE_CHECKING:
    from collections.abc import Callable

    from twisted.python.failure import Failure

__all__ = ["LocalLeases", "RedisLeases"]

#: The first back-off and the longest, in seconds.
FIRST, LONGEST = 1.0, 60.0
#: How long a lease outlives its holder, in seconds; the heartbeat comes at a third of it.
HOLD = 5.0
#: What is found in place of "somebody waits" once none of them need wait for another.
DISBANDED = b"0"
#: Who waits for a lease says so again at least as often, in seconds; who has not for longer waits no more, or will be
#: heard in a moment.
AWAITED = 1.0


# -- without Redis --------------------------------------------------------------------------------------------------


@implementer(ILease)
class _LocalLease:
    """Granted to whoever asked."""

    lost = awaited = False
    bare = True

    def __init__(self, leases: LocalLeases, name: str) -> None:
        self._leases = leases
        self.name = name
        self._over = False

    def release(self) -> None:
        """It went well: what failed before is forgotten."""
        if not self._over:
            self._over = True
            self._leases.succeeded(self.name)

    disband = release

    def back_off(self) -> None:
        """It did not go well."""
        if not self._over:
            self._over = True
            self._leases.failed(self.name)


@implementer(ILeases)
class LocalLeases:
    """Grants every lease but a refresh during a back-off."""

    #: Names whose failures are remembered.
    MOST = 10_000

    def __init__(self, clock: IReactorTime, changes: Changes | None = None) -> None:
        self._clock = clock
        self._changes = changes or Changes(clock)
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def grant(self, name: str, purpose: Purpose) -> ILease | None:
        """See ``ILeases``; None during a back-off."""
        if purpose is Purpose.REFRESH and self.rests(name):
            return None
        return _LocalLease(self, name)

    def acquire(self, name: str, purpose: Purpose, tell: Tell | None = None) -> Deferred[ILease | None]:
        # Nobody else knows of it.
        return succeed(self.grant(name, purpose))

    def changed(self, key: Key) -> Deferred[None]:
        return self._changes.wait(key.digest)

    def holder(self, name: str) -> Deferred[tuple[str, float] | None]:
        return succeed(None)

    def rests(self, name: str) -> bool:
        """Whether a back-off runs for ``name``."""
        return self._clock.seconds() < self._failures.get(name, (0, 0.0))[1]

    def disbanded(self, name: str, token: str) -> Deferred[bool]:
        return succeed(False)

    def resting(self, name: str) -> Deferred[bool]:
        return succeed(self.rests(name))

    def receive(self, key: Key, token: str) -> Deferred[Reception | None]:
        return succeed(None)

    def succeeded(self, name: str) -> None:
        """The fetch called ``name`` went well."""
        self._failures.pop(name, None)

    def failed(self, name: str) -> None:
        """The fetch called ``name`` failed: nobody refreshes it for a while."""
        count, _ = self._failures.pop(name, (0, 0.0))
        pause = min(FIRST * 2 ** min(count, 30), LONGEST) * _jitter()
        self._failures[name] = (count + 1, self._clock.seconds() + pause)
        while len(self._failures) > self.MOST:
            self._failures.popitem(last=False)


def _jitter() -> float:
    # Never shorter than said: the origin is to be left alone for that long.
    return random.uniform(1.0, 1.25)


# -- with Redis -----------------------------------------------------------------------------------------------------


@implementer(ILease)
class _RedisLease:
    """Held in Redis under ``token``; ``lost`` once it cannot be shown to be ours any longer."""

    def __init__(self, leases: RedisLeases, name: str, token: str, asked: float, tell: Tell | None) -> None:
        self._leases = leases
        self.name = name
        self._token = token
        self._confirmed = asked
        self._over = False
        self._taken = False
        self.bare = False
        self._tell = tell
        self._said = self._waited = -inf
        """When it was last said that somebody waits, and when that was certain."""

    def granted(self) -> None:
        """It is ours: keep it."""
        self._next()

    def told(self) -> None:
        """Somebody waits for it elsewhere. After a pause that may be word of what was last said of that running out:
        who waits is heard again in a moment."""
        now = self._leases.ticks()
        certain = self._said == -inf or now - self._said < HOLD / 2
        begins = certain and not self.awaited
        self._said = now
        if certain:
            self._waited = now
        if begins and self._tell is not None:
            self._tell(self._leases.relays.send_as(self._token))

    @property
    def awaited(self) -> bool:
        return self._leases.ticks() - self._waited < AWAITED

    @property
    def lost(self) -> bool:
        """By the clock, not by word: a process that was stopped for longer has lost it before it can be told."""
        return self._taken or self._leases.ticks() - self._confirmed >= HOLD

    def release(self) -> None:
        if not self._over:
            self._end()
            self._leases.end(self.name, self._token)

    def disband(self) -> None:
        if not self._over:
            self._end()
            self._leases.disband(self.name, self._token)

    def back_off(self) -> None:
        if not self._over:
            self._end()
            self._leases.back_off(self.name, self._token)

    def _end(self) -> None:
        self._over = True
        # The next beat is still to come, and finds that out: nothing of the fetch waits for it.
        self._tell = None

    def _next(self) -> None:
        self._leases.wheel.add(HOLD / 3, self._beat)

    def _beat(self) -> None:
        if self._over or self._taken:
            return
        asked = self._leases.ticks()

        def kept(reply: object) -> None:
            if reply == 1:
                self._confirmed = asked
            else:
                self._taken = True

        self._leases.beat(self.name, self._token).addCallbacks(kept, ignored)
        self._next()


@implementer(ILeases)
class RedisLeases:
    """Leases for the fleet; local ones while Redis is not available. ``ticks`` are seconds that a stopped process does
    not miss."""

    def __init__(
        self,
        commands: ICommands,
        layout: Layout,
        wheel: Wheel,
        ticks: Callable[[], float],
        local: LocalLeases,
        changes: Changes,
        relays: Relays,
    ) -> None:
        self._commands = commands
        self._layout = layout
        self._local = local
        self._changes = changes
        self.wheel = wheel
        self.ticks = ticks
        self.relays = relays
        self._held: dict[str, _RedisLease] = {}
        """By token; those that were asked for, too: word of who waits for one may overtake its being granted."""
        self._unheard: dict[str, str] = {}
        """The names of those, by token, that may have been granted though it was not heard."""

    #: Leases that may have been granted unheard, and are remembered for being given back. More run out by themselves.
    MOST = 1000

    def grant(self, name: str, purpose: Purpose) -> ILease | None:
        return None if self._commands.available else self._local.grant(name, purpose)

    def acquire(self, name: str, purpose: Purpose, tell: Tell | None = None) -> Deferred[ILease | None]:
        if not self._commands.available:
            return self._local.acquire(name, purpose)
        if self._unheard:
            self._give_back_unheard()
        token = os.urandom(16).hex()
        lease = self._held[token] = _RedisLease(self, name, token, self.ticks(), tell)
        waits = "1" if purpose is Purpose.FETCH else "0"
        asked = self._ask(ACQUIRE, name, token, round(HOLD * 1000), waits, self._base(name))
        acquired: Deferred[ILease | None] = Deferred()

        def answer(reply: object) -> None:
            granted = reply in (1, 2)
            if not granted:
                del self._held[token]
            if acquired.called:
                # Nobody wants it any more; it must not stay locked for that.
                if granted:
                    lease.release()
            elif granted:
                lease.bare = reply == 2
                lease.granted()
                acquired.callback(lease)
            else:
                acquired.callback(None)

        def unanswered(failure: Failure) -> None:
            del self._held[token]
            if len(self._unheard) < self.MOST:
                self._unheard[token] = name
            if not acquired.called:
                acquired.callback(self._local.grant(name, purpose))

        asked.addCallbacks(answer, unanswered)
        return acquired

    def changed(self, key: Key) -> Deferred[None]:
        return self._changes.wait(key.digest)

    def resting(self, name: str) -> Deferred[bool]:
        if not self._commands.available:
            return self._local.resting(name)
        return self._ask(RESTING, name).addCallbacks(lambda reply: reply == 1, lambda failure: self._local.rests(name))

    def holder(self, name: str) -> Deferred[tuple[str, float] | None]:
        if not self._commands.available:
            return succeed(None)
        lease = self._layout.lease(name)

        def read(replies: list[object]) -> tuple[str, float] | None:
            value, left = replies
            if not isinstance(value, bytes) or not value.startswith(b"h:") or not isinstance(left, int):
                return None
            return value.split(b":")[1].decode("latin-1"), left / 1000

        asked = self._commands.read([("GET", lease), ("PTTL", lease)])
        return asked.addCallbacks(read, ignored)

    def disbanded(self, name: str, token: str) -> Deferred[bool]:
        asked = self._commands.read([("GET", self._waits(name, token))])
        return asked.addCallbacks(lambda replies: replies[0] == DISBANDED, lambda failure: False)

    def receive(self, key: Key, token: str) -> Deferred[Reception | None]:
        return Deferred.fromCoroutine(self.relays.receive(key, token))

    def watched(self, token: str) -> None:
        """Somebody in some process waits for the lease held under ``token``, perhaps one of ours."""
        lease = self._held.get(token)
        if lease is not None:
            lease.told()

    def end(self, name: str, token: str) -> None:
        """Give back the lease ``name`` if it is still held under ``token``."""
        self._held.pop(token, None)
        self._local.succeeded(name)
        self._tell(RELEASE, [self._layout.lease(name)], token).addErrback(ignored)

    def disband(self, name: str, token: str) -> None:
        """The same, with word to those who wait for it."""
        self._held.pop(token, None)
        self._local.succeeded(name)
        names = [self._layout.lease(name), self._waits(name, token)]
        self._tell(RELEASE, names, token, round(HOLD * 1000)).addErrback(ignored)

    def _give_back_unheard(self) -> None:
        """Redis answers again: before anything is asked for, what nobody holds is not to stay locked."""
        unheard, self._unheard = self._unheard, {}
        for token, name in unheard.items():
            self._ask(RELEASE, name, token).addErrback(ignored)

    def back_off(self, name: str, token: str) -> None:
        """Turn the lease ``name`` into a back-off if it is still held under ``token``."""
        self._held.pop(token, None)
        percent = round(100 * _jitter())
        numbers = round(FIRST * 1000), round(LONGEST * 1000), percent
        told = self._tell(BACK_OFF, [self._layout.lease(name)], token, *numbers)
        told.addErrback(lambda failure: self._local.failed(name))

    def beat(self, name: str, token: str) -> Deferred[object]:
        """Keep the lease ``name``: fires with 1 while it is held under ``token``."""
        return self._ask(BEAT, name, token, round(HOLD * 1000))

    def _base(self, name: str) -> bytes:
        return self._layout.name(name.partition(":")[0], "")

    def _waits(self, name: str, token: str) -> bytes:
        """Where it is said that somebody waits for who holds ``name`` under ``token``."""
        return self._base(name) + b"w:" + token.encode()

    def _ask(self, script: Script, name: str, *args: bytes | str | int) -> Deferred[object]:
        # Where reads go: somebody waits, and should not behind a large body on its way out.
        return self._commands.read([script([self._layout.lease(name)], *args)]).addCallback(_only)

    def _tell(self, script: Script, names: list[bytes], *args: bytes | str | int) -> Deferred[object]:
        # Where writes go: whoever is woken by this must find what was stored before it.
        return self._commands.write([script(names, *args)], 100).addCallback(_only)


def _only(replies: list[object]) -> object:
    if isinstance(replies[0], Refused):
        raise Unavailable(str(replies[0]))
    return replies[0]
