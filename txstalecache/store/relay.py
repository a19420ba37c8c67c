"""A body on its way, for those who wait in other processes.

The holder of a lease is told by Redis that somebody elsewhere waits (``lease``). Only then does it write what arrives:
the head to a key named after the lease's token, the body to a stream beside it, chunk by chunk as it lands. Who waits
reads the stream from its start; an end and a cut are said in it. A holder that dies leaves a stream that is gone
``LIFE`` seconds later, without an end.

Must not know: flights, the origin, leases.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.internet.task import deferLater

from txstalecache.http.entry import Entry, Freshness, Selector
from txstalecache.http.keys import Key
from txstalecache.http.messages import ResponseHead
from txstalecache.store import envelope
from txstalecache.store.changes import Changes, forget
from txstalecache.store.commands import Command, ICommands, Refused, Unavailable, ignored
from txstalecache.store.layout import Layout
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
#: Bytes that may wait for Redis before the body is read no further; and before it is given up where it cannot wait.
WINDOW, MOST = 1024 * 1024, 8 * 1024 * 1024
#: Seconds between two tries to read while Redis does not answer; for as long as who relays may be silent.
AGAIN = 0.25
#: Records read at a time.
PAGE = 16

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


class Transmission:
    """The holder's end, as a body's consumer. What Redis cannot take is given up, without a word to the others in the
    process; who reads elsewhere finds out by the stream's disappearance."""

    def __init__(self, relays: Relays, key: Key, token: str, told: Told) -> None:
        self._relays = relays
        self._head, self._stream = relays.head(key, token), relays.stream(key, token)
        self._source: IPushProducer | None = None
        self._patient = self._waits = False
        self._trim = False
        self._pending: list[bytes] = []
        self._held = 0
        """Bytes that are pending, or written and not confirmed."""
        self._number = 0
        self._wrote = float("-inf")
        self._timer: IDelayedCall | None = None
        self.over = False
        self._write([("SET", self._head, told.seal(key), "PX", round(LIFE * 1000))])
        self._beat_later()

    def attach(self, source: IPushProducer, *, patient: bool) -> None:
        """``source`` is asked to wait for Redis where that holds nobody up (``patient``), and stopped on failure."""
        self._source, self._patient = source, patient

    def pass_by(self) -> None:
        """The body is not kept any longer, neither here nor there: nobody else begins to read."""
        if not self.over:
            self._patient, self._trim = False, True
            self._write([("UNLINK", self._head)])
            self._go_on()

    def write(self, data: bytes) -> None:
        """The next bytes."""
        if self.over:
            return
        self._pending.append(data)
        self._held += len(data)
        if self._held >= WINDOW and self._patient and self._source is not None:
            self._waits = True
            self._source.pauseProducing()
        elif self._held >= MOST:
            self._give_up()
            return
        self._soon()

    def delivered(self) -> None:
        """All of it was written."""
        self._end(_END)

    def cut(self) -> None:
        """No more will come though some is missing."""
        self._end(_CUT)

    def _soon(self) -> None:
        if self._timer is not None:
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
        if not self._pending:
            return
        self._wrote = self._relays.clock.seconds()
        data = self._pending[0] if len(self._pending) == 1 else b"".join(self._pending)
        self._pending.clear()
        commands = [self._record(_CHUNK, data[at : at + PIECE]) for at in range(0, len(data), PIECE)]
        if self._number == len(commands):
            commands.append(("PEXPIRE", self._stream, round(LIFE * 1000)))
        self._write(commands, len(data))

    def _record(self, what: bytes, data: bytes) -> Command:
        self._number += 1
        # What is kept from its first byte is bounded by its flight; else who is further behind than this is cut.
        trim = ("MAXLEN", MOST // PIECE) if self._trim else ()
        return ("XADD", self._stream, *trim, f"{self._number}-0", what, data)

    def _end(self, how: bytes) -> None:
        if self.over:
            return
        self._flush()
        self._write(
            [
                self._record(how, b""),
                ("PEXPIRE", self._stream, round(LINGER * 1000)),
                ("UNLINK", self._head),
            ]
        )
        self._stop()

    def _write(self, commands: list[Command], size: int = 0) -> None:
        def confirmed(replies: list[object]) -> None:
            self._held -= size
            if any(isinstance(reply, Refused) for reply in replies):
                self._give_up()
            elif self._held < WINDOW:
                self._go_on()

        self._relays.commands.write(commands, size).addCallbacks(confirmed, lambda failure: self._give_up())

    def _go_on(self) -> None:
        if self._waits and not self.over and self._source is not None:
            self._waits = False
            self._source.resumeProducing()

    def _give_up(self) -> None:
        if self.over:
            return
        self._stop()
        self._relays.commands.write([("UNLINK", self._head, self._stream)]).addErrback(ignored)
        if self._source is not None:
            self._source.stopProducing()

    def _stop(self) -> None:
        self.over = True
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat_later(self) -> None:
        self._relays.wheel.add(LIFE / 3, self._beat)

    def _beat(self) -> None:
        if not self.over:
            self._write([("PEXPIRE", one, round(LIFE * 1000)) for one in (self._head, self._stream)])
            self._beat_later()


class Reception:
    """The other end: ``told``, and then the body."""

    def __init__(self, relays: Relays, key: Key, token: str, told: Told) -> None:
        self.told = told
        self._relays = relays
        self._head, self._stream = relays.head(key, token), relays.stream(key, token)
        self._name = f"{key.digest}:{token}"
        self._number = 0
        self._ended = False

    async def more(self) -> list[bytes]:
        """What has come since: at least one chunk; none at the end. Cut when the rest will not come."""
        clock, failing = self._relays.clock, inf
        while not self._ended:
            # Subscribe, then look.
            changed = self._relays.changes.wait(self._name)
            try:
                chunks = await self._look()
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

    async def _look(self) -> list[bytes]:
        # Exclusive, and in this order: what was there between the two is read next time.
        after = f"({self._number}-0" if self._number else "-"
        records, alive = await self._relays.commands.read(
            [("XRANGE", self._stream, after, "+", "COUNT", PAGE), ("EXISTS", self._stream, self._head)]
        )
        if not isinstance(records, list) or not (records or alive):
            raise Cut("whoever relayed it has gone")
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
