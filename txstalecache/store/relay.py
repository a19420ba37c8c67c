"""A body on its way, for those who wait in other processes.

The holder of a lease is told by Redis that somebody elsewhere waits (``lease``). Only then does it write what arrives:
the head to a key named after the lease's token, the body to a stream beside it, chunk by chunk as it lands. Who waits
reads the stream from its start; an end and a cut are said in it. A holder that dies leaves a stream that is gone
``LIFE`` seconds later, without an end.

Must not know: flights, the origin, leases.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txstalecache.http.entry import Entry, Freshness, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import ResponseHead
from txstalecache.store import envelope
from txstalecache.store.changes import Changes, forget
from txstalecache.store.commands import Command, ICommands, Refused, Unavailable, ignored
from txstalecache.store.followers import Followers
from txstalecache.store.layout import Layout
from txstalecache.store.scripts import ONCE
from txstalecache.store.wheel import Wheel

__all__ = ["Cut", "Reception", "Relays", "Told", "Transmission"]

#: How long what is relayed outlives the one who relays it, in seconds; told at a third of it that it lives.
LIFE = 5.0
#: How long a complete body stays for those who have not read it all, in seconds.
LINGER = 30.0
#: The shortest time between two writes of less than a ``PIECE``, in seconds.
PACE = 0.02
#: Bytes of one record, at most.
PIECE = 64 * 1024
#: Bytes that may wait for Redis, of a body that is kept, before it is read no further.
WINDOW = 1024 * 1024
#: The same for those that wait for who reads elsewhere, of a body that is not kept; and bytes of that which are taken
#: while Redis does not answer.
MOST = 8 * 1024 * 1024
#: Seconds between two tries while Redis does not answer; for as long as who relays may be silent.
AGAIN = 0.25
#: How long who waits elsewhere may need to notice that a head is there, in seconds.
NOTICE = 1.0
#: Records read at a time; by one that was held up.
PAGE, SOME = 16, 1

_CHUNK, _END, _CUT = b"d", b"e", b"x"


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of an answer before its body."""

    head: ResponseHead
    selector: Selector
    """What it was chosen by."""
    request_time: float
    """When the fetch began; what purges are compared with."""
    response_time: float
    """When the head arrived."""
    late: bool
    """Whether it is also for those who asked after the head arrived, while it is fresh."""

    def seal(self, key: Key) -> bytes:
        """As an entry without a body: checked as entries are when it is opened."""
        entry = Entry(
            status=self.head.status,
            fields=self.head.fields,
            body=(),
            request_time=self.request_time,
            response_time=self.response_time,
            freshness=Freshness(initial_age=0.0, lifetime=0.0, no_cache=not self.late),
            selector=self.selector,
        )
        return envelope.seal_entry(key, entry, 0.0)

    @classmethod
    def open(cls, data: object, key: Key) -> Told | None:
        """What was sealed for exactly this key, undamaged; else None."""
        opened = envelope.open_entry(data, key)
        if opened is None:
            return None
        entry = opened.entry
        head = ResponseHead(entry.status, entry.fields)
        return cls(head, entry.selector, entry.request_time, entry.response_time, not entry.freshness.no_cache)


class Cut(Exception):
    """The rest of the body will not come."""


class Relays:
    """The way to both ends."""

    def __init__(
        self, clock: IReactorTime, commands: ICommands, layout: Layout, wheel: Wheel, changes: Changes
    ) -> None:
        self.clock = clock
        self.commands = commands
        self.layout = layout
        self.wheel = wheel
        self.changes = changes
        self.under_way: set[Transmission] = set()
        """What is not yet all in Redis, nor given up."""
        self._waiting: list[Deferred[None]] = []

    def flush(self) -> Deferred[None]:
        """Fires when nothing is under way. Cancelling is safe."""
        if not self.under_way:
            return succeed(None)
        flushed: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(flushed)
        return flushed

    def ended(self, transmission: Transmission) -> None:
        """``transmission`` is over. Idempotent."""
        self.under_way.discard(transmission)
        if not self.under_way:
            waiting, self._waiting = self._waiting, []
            for flushed in waiting:
                flushed.callback(None)

    def send_as(self, token: str) -> Callable[[Key, Told], Transmission]:
        """The way to relay for the holder of ``token``."""
        return lambda key, told: Transmission(self, key, token, told)

    async def receive(self, key: Key, token: str) -> Reception | None:
        """What the holder of ``token`` relays; None when it does not, or when that cannot be found out."""
        try:
            (value,) = await self.commands.read([("GET", self.head(key, token))])
        except Unavailable:
            return None
        told = Told.open(value, key)
        return None if told is None else Reception(self, key, token, told)

    def head(self, key: Key, token: str) -> bytes:
        """Where the head is."""
        return self.layout.name(key.digest, f"h:{token}")

    def stream(self, key: Key, token: str) -> bytes:
        """Where the body is."""
        return self.layout.name(key.digest, f"s:{token}")

    def readers(self, key: Key, token: str) -> bytes:
        """Where those who read it say how far they are."""
        return self.layout.name(key.digest, f"r:{token}")


class Transmission:
    """The holder's end, as a body's consumer. What Redis does not take is sent again for ``LIFE`` seconds; then it is
    given up, without a word to the others in the process: who reads elsewhere finds out by the stream's disappearance.

    One write is in the air at a time: what is sent again is then never sent after what follows it.
    """

    _log = Logger()

    def __init__(self, relays: Relays, key: Key, token: str, told: Told) -> None:
        self._relays = relays
        self._head, self._stream = relays.head(key, token), relays.stream(key, token)
        self._readers = relays.readers(key, token)
        self._late = told.late
        self._source: IPushProducer | None = None
        self._kept = True
        self._waits = False
        self._pending: list[bytes] = []
        self._held = 0
        """Bytes that are pending, or written and not confirmed."""
        self._blind = 0
        """Bytes that have come since Redis does not answer."""
        self._followers = Followers(MOST, PIECE)
        self._following = False
        self._began = relays.clock.seconds()
        self._hides = False
        """Whether the head is to go."""
        self._hidden = inf
        """Since when nobody finds the head any more though the body goes on."""
        self._wrote = float("-inf")
        self._writing = False
        self._refused = self._silent = inf
        """Since when Redis does not take what is written, and does not say who reads."""
        self._timer: IDelayedCall | None = None
        self._last = b""
        """How it ends, once that is to be written."""
        self.over = False
        """Whether nothing more is taken."""
        relays.under_way.add(self)
        self._send([("SET", self._head, told.seal(key), "PX", round(LIFE * 1000))])
        self._beat_later()

    def attach(self, source: IPushProducer, *, kept: bool, min_rate: int) -> None:
        """``source`` is stopped on failure, and asked to wait: for Redis where the body is ``kept`` from its first byte
        (that holds nobody up), else for those who read elsewhere and take ``min_rate`` bytes a second."""
        self._source, self._kept, self._followers.min_rate = source, kept, min_rate

    def pass_by(self) -> None:
        """The body is not kept any longer, neither here nor there."""
        self._kept = False
        self._balance()

    def hide(self) -> None:
        """Nobody is to begin with it any more."""
        self._hides = True
        self._soon()

    def hurry(self) -> None:
        """Somebody in this process is held up: who hardly reads is not waited for any longer."""
        self._followers.pressed = True

    def write(self, data: bytes) -> None:
        """The next bytes."""
        if self.over:
            return
        self._pending.append(data)
        self._held += len(data)
        self._blind += len(data)
        self._balance()
        self._soon()

    def delivered(self) -> None:
        """All of it was written."""
        self._end(_END)

    def cut(self) -> None:
        """No more will come though some is missing."""
        self._end(_CUT)

    # -- back-pressure -------------------------------------------------------------------------------------------

    def _balance(self) -> None:
        """Have the source wait, or go on."""
        if self.over:
            return
        if self._kept:
            waits, self._blind = self._held >= WINDOW, 0
        elif self._refused < inf or self._silent < inf:
            # Nobody here is held up by a Redis that does not answer.
            waits = False
            if self._blind >= MOST:
                self._give_up()
                return
        else:
            waits, self._blind = self._held + self._followers.unread >= MOST, 0
            if not self._following and self._followers.unread >= WINDOW:
                self._following = True
                Deferred.fromCoroutine(self._follow()).addErrback(
                    lambda failure: self._log.failure("an answer was not passed on to other processes", failure)
                )
        if waits is not self._waits and self._source is not None:
            self._waits = waits
            (self._source.pauseProducing if waits else self._source.resumeProducing)()

    async def _follow(self) -> None:
        """While there is much to read: see how far the others are."""
        clock, pause = self._relays.clock, PACE
        while not self.over and self._followers.unread >= WINDOW:
            await deferLater(clock, pause)
            now = clock.seconds()
            try:
                positions = await self._positions()
                if self._hidden == inf and (positions or now - self._began >= NOTICE):
                    # Nobody is to begin with what has its beginning dropped.
                    await self._relays.commands.write([("UNLINK", self._head)])
                    self._hidden = clock.seconds()
            except Unavailable:
                pause, self._silent = AGAIN, min(self._silent, now)
                lasts = now - self._silent <= LIFE
            else:
                pause, self._silent = PACE, inf
                # Who had found the head has said so by then.
                lasts = now - self._hidden < NOTICE / 2 or self._followers.look(positions, now)
            if not lasts and not self.over:
                self._give_up()
            self._balance()
        self._following = False

    async def _positions(self) -> dict[bytes, int]:
        (found,) = await self._relays.commands.read([("HGETALL", self._readers)])
        if not isinstance(found, list):
            raise Unavailable(str(found))
        return {who: int(number) for who, number in zip(found[::2], found[1::2], strict=True) if number.isdigit()}

    # -- writing -------------------------------------------------------------------------------------------------

    def _soon(self) -> None:
        if self._timer is not None or self._writing or self.over or not (self._pending or self._hides):
            return
        now = self._relays.clock.seconds()
        wait = self._wrote + PACE - now
        if wait <= 0 or self._held >= PIECE:
            self._flush()
        else:
            self._timer = self._relays.clock.callLater(wait, self._on_time)

    def _on_time(self) -> None:
        self._timer = None
        self._flush()

    def _flush(self) -> None:
        commands: list[Command] = []
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        if data or (self._hides and not self._followers.number):
            self._wrote = self._relays.clock.seconds()
            # Without the head something else has to show that it goes on, be it a record with nothing in it.
            commands += [self._record(_CHUNK, data[at : at + PIECE]) for at in range(0, len(data) or 1, PIECE)]
            commands.append(("PEXPIRE", self._stream, round(LIFE * 1000)))
        if self._hides:
            self._hides = False
            commands.append(("UNLINK", self._head))
        if self._last:
            gone: Command = ("UNLINK", self._head, self._readers)
            if not self._late:
                # It may have come all at once, and is not found elsewhere: who waits has yet to notice.
                gone = ("PEXPIRE", self._head, round(NOTICE * 1000))
            commands += [
                self._record(self._last, b""),
                ("PEXPIRE", self._stream, round(LINGER * 1000)),
                gone,
            ]
        self._send(commands, len(data), ends=bool(self._last))

    def _record(self, what: bytes, data: bytes) -> Command:
        self._followers.wrote(len(data))
        # What all have read goes.
        trim = ("MINID", self._followers.first) if self._followers.first > 1 else ()
        return ("XADD", self._stream, *trim, f"{self._followers.number}-0", what, data)

    def _send(self, commands: list[Command], size: int = 0, *, ends: bool = False) -> None:
        self._writing = True

        def confirmed(replies: list[object]) -> None:
            if self not in self._relays.under_way:
                return
            if any(isinstance(reply, Refused) for reply in replies):
                unconfirmed()
                return
            self._writing, self._refused = False, inf
            self._held -= size
            if ends:
                self._finish()
            elif self._last:
                self._flush()
            else:
                self._balance()
                self._soon()

        def unconfirmed(_: object = None) -> None:
            if self not in self._relays.under_way:
                return
            now = self._relays.clock.seconds()
            self._refused = min(self._refused, now)
            if now - self._refused > LIFE:
                self._give_up()
                return
            self._balance()
            if self in self._relays.under_way:
                self._timer = self._relays.clock.callLater(AGAIN, again)

        def again() -> None:
            self._timer = None
            # Perhaps Redis has it all the same.
            repeated = [ONCE([self._stream], *said[2:]) if said[0] == "XADD" else said for said in commands]
            self._send(repeated, size, ends=ends)

        self._relays.commands.write(commands, size).addCallbacks(confirmed, unconfirmed)

    # -- the end -------------------------------------------------------------------------------------------------

    def _end(self, how: bytes) -> None:
        if self.over:
            return
        self.over, self._last = True, how
        if not self._writing:
            self._stop_timer()
            self._flush()

    def _give_up(self) -> None:
        ended = self.over
        self._finish()
        self._relays.commands.write([("UNLINK", self._head, self._stream, self._readers)]).addErrback(ignored)
        if not ended and self._source is not None:
            self._source.stopProducing()

    def _finish(self) -> None:
        self.over = True
        self._pending.clear()
        self._stop_timer()
        self._relays.ended(self)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _beat_later(self) -> None:
        self._relays.wheel.add(LIFE / 3, self._beat)

    def _beat(self) -> None:
        if not self.over:
            kept = [("PEXPIRE", one, round(LIFE * 1000)) for one in (self._head, self._stream, self._readers)]
            self._relays.commands.write(kept).addErrback(ignored)
            self._beat_later()


class Reception:
    """The other end: ``told``, and then the body."""

    def __init__(self, relays: Relays, key: Key, token: str, told: Told) -> None:
        self.told = told
        self._relays = relays
        self._head, self._stream = relays.head(key, token), relays.stream(key, token)
        self._readers = relays.readers(key, token)
        self._name = f"{key.digest}:{token}"
        self._me = os.urandom(8).hex()
        self._number = 0
        self._tells, self._stays = True, False
        """Whether it matters how far this is, and whether all that will come is there and stays while it is read."""
        self._ended = False

    def leave(self) -> None:
        """The rest is not wanted: nobody need wait for this."""
        if not self._ended:
            self._ended = True
            self._relays.commands.write([("HDEL", self._readers, self._me)]).addErrback(ignored)

    async def more(self, most: int = PAGE) -> list[bytes]:
        """What has come since: from one chunk to so many; none at the end. Cut when the rest will not come. Asking says
        that what came before has been passed on."""
        clock, failing = self._relays.clock, inf
        while not self._ended:
            # Subscribe, then look.
            changed = self._relays.changes.wait(self._name)
            try:
                chunks = await self._look(most)
            except Unavailable as error:
                forget(changed)
                failing = min(failing, clock.seconds())
                if clock.seconds() - failing > LIFE:
                    raise Cut(str(error)) from None
                await deferLater(clock, AGAIN)
                continue
            except BaseException:
                forget(changed)
                raise
            if chunks or self._ended:
                forget(changed)
                return chunks
            failing = inf
            await changed
        return []

    async def _look(self, most: int) -> list[bytes]:
        # Exclusive, and in this order: what was there between the two is read next time.
        after = f"({self._number}-0" if self._number else "-"
        commands: list[Command] = [
            ("XRANGE", self._stream, after, "+", "COUNT", most),
            ("PTTL", self._stream),
            ("EXISTS", self._head),
        ]
        if self._tells:
            commands.append(("HSET", self._readers, self._me, self._number))
            commands.append(("PEXPIRE", self._readers, round(LIFE * 1000)))
        if self._stays:
            commands.append(("PEXPIRE", self._stream, round(LINGER * 1000)))
        records, left, begun, *_ = await self._relays.commands.read(commands)
        if isinstance(records, Refused):
            raise Unavailable(str(records))
        there = isinstance(left, int) and left > 0
        if not isinstance(records, list) or not (records or there or begun):
            raise Cut("whoever relayed it has gone")
        self._stays = isinstance(left, int) and left > 2 * LIFE * 1000
        # While others may begin with it nothing of it is dropped, nor once it is complete.
        self._tells = not (begun or self._stays)
        return [chunk for record in records if (chunk := self._read(record))]

    def _read(self, record: object) -> bytes:
        match record:
            case [bytes(number), [bytes(what), bytes(chunk)]] if number == b"%d-0" % (self._number + 1):
                self._number += 1
            case _:
                raise Cut("some of it is missing")
        if what == _CUT:
            raise Cut("it was cut where it came from")
        self._ended = what == _END
        return chunk
