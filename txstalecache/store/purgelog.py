"""The purges as Redis keeps them: learned beside what is looked up, told, and told again to a Redis that has lost them.

Redis gives a purge its time; until then it holds in this process from the time at which it was said. A server that was
emptied, or took over before it had heard all, is told what this process remembers, each with the time it had: all
processes agree on what was purged when. That this was done is a record too (``AGAIN``), the newest one: whoever reads
only what is new reads everything once more.

A purge that lies ahead was dated by a clock that has been set back since. So were the entries it is about: it is left
as it is, or they would come back, and nothing that it covers is kept until its time has come. Once Redis was emptied
there are no such entries any longer, and it counts from then on. What lies ahead by more than a day was said by nobody.

Must not know: connections, the memory tier, who purges and why.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import islice
from math import ceil

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txstalecache.store.clock import FleetClock
from txstalecache.store.commands import Command, ICommands, Refused, Unavailable, ignored
from txstalecache.store.layout import Layout
from txstalecache.store.purges import Hardness, Purge, Purges, Scope
from txstalecache.store.scripts import AHEAD, PURGE, REMIND

__all__ = ["AGAIN", "PurgeLog"]

#: The name of the record that says that others were told again; no purge is called so.
AGAIN = b"again"

_EVERYTHING = Purge(Scope.everything(), Hardness.HARD, 0.0).name()


class PurgeLog:
    """``purges`` and Redis told of each other. ``useful``: for how many seconds a purge is. What begins once a purge
    is known is later than it, by ``clock``. There may be tens of thousands: between page and page others have their
    ``turn`` of the reactor, which fires then."""

    log = Logger()

    #: Purges that Redis has still to be told, at most; beyond them it is told to purge everything.
    MOST = 10_000
    #: Purges learned, or told again, at a time.
    PAGE = 1000

    def __init__(
        self,
        commands: ICommands,
        layout: Layout,
        purges: Purges,
        useful: float,
        clock: FleetClock,
        turn: Callable[[], Deferred[None]],
    ) -> None:
        self._commands = commands
        self._name = layout.purges
        self._purges = purges
        self._useful = useful
        self._clock = clock
        self._turn = turn
        self.corrupt = 0
        """How often there was something else in the log's place, so far."""
        self._seen = self._again = -1
        """The newest purge that Redis told of, and when others were last told again; in its microseconds."""
        self._telling: set[Purge] = set()
        self._untold: OrderedDict[tuple[Scope, Hardness], Purge] = OrderedDict()
        self._warned = False
        self._lost: list[Purge] = []
        """What Redis knew once and does not know any longer."""

    # -- learning ---------------------------------------------------------------------------------------------------

    def everything(self) -> Command:
        """What asks for all of it: a server that is new to us may have others than the last."""
        return ("ZRANGEBYSCORE", self._name, "-inf", "+inf", "WITHSCORES")

    async def learn_everything(self, reply: object) -> None:
        """The answer to ``everything``. Never raises."""
        self._purges.trim(self._clock.now() - self._useful)
        self._set_right(AHEAD)
        newest, told = -1, {}
        records = reply if isinstance(reply, list) else []
        try:
            told = self._read(reply if reply is not records else records[: 2 * self.PAGE])
            newest = self._take(told)
            for at in range(2 * self.PAGE, len(records), 2 * self.PAGE):
                await self._turn()
                page = self._read(records[at : at + 2 * self.PAGE])
                newest = max(newest, self._take(page))
                told |= page
        except Refused:
            return
        self._seen = -1
        self._saw(newest)
        self._again = max(self._again, told.get(AGAIN, -1))
        self._lost = await self._missing(told)

    def news(self) -> Command:
        """What asks for the purges that are new."""
        return self._after(self._seen)

    def note(self, reply: object) -> int | None:
        """The answer to ``news``. The time after which there is more to ``learn``, or None. Raises Refused."""
        told = self._read(reply)
        self._saw(self._take(told))
        again = told.get(AGAIN, -1)
        if again > self._again:
            self._again = again
            return -1
        full = isinstance(reply, list) and len(reply) >= 2 * self.PAGE
        return max(told.values(), default=None) if full else None

    async def learn(self, after: int | None) -> None:
        """Learn what comes after that time, if there is one. Raises Unavailable or Refused."""
        while after is not None:
            (reply,) = await self._commands.read([self._after(after)])
            after = self.note(reply)

    async def sync(self) -> None:
        """The log has changed: learn what is new, or tell it again where nothing is left of it. Raises as ``learn``."""
        reply, there = await self._commands.read([self.news(), ("EXISTS", self._name)])
        await self.learn(self.note(reply))
        if there == 0:
            self._lost = await self._missing({})
            await self.catch_up()

    async def compare(self) -> None:
        """Redis was emptied, perhaps: learn everything, and tell it again what is missing. Raises as ``learn``."""
        (reply,) = await self._commands.read([self.everything()])
        latest = (self._clock.now() + FleetClock.SHARP) * 1_000_000
        # Else it was another database that was emptied.
        if isinstance(reply, list) and not any(when > latest for when in self._read(reply[-2 * self.PAGE :]).values()):
            self._set_right(FleetClock.SHARP)
        await self.learn_everything(reply)
        await self.catch_up()

    def _after(self, when: int) -> Command:
        after = f"({when}" if when >= 0 else "-inf"
        return ("ZRANGEBYSCORE", self._name, after, "+inf", "WITHSCORES", "LIMIT", 0, self.PAGE)

    def _read(self, reply: object) -> dict[bytes, int]:
        """Names and times. An error about what is there is taken for an empty log; raises Refused for any other."""
        if not isinstance(reply, list):
            if not isinstance(reply, Refused) or not reply.wrong_type:
                raise reply if isinstance(reply, Refused) else Refused("unexpected reply about purges")
            self.corrupt += 1
            self._commands.write([("UNLINK", self._name)]).addErrback(ignored)
            return {}
        told: dict[bytes, int] = {}
        if not reply:
            return told
        latest = round((self._clock.now() + AHEAD) * 1_000_000)
        for name, score in zip(reply[::2], reply[1::2], strict=False):
            when = _microseconds(score)
            if isinstance(name, bytes) and when is not None and when <= latest:
                told[name] = when
        return told

    def _take(self, told: Mapping[bytes, int]) -> int:
        """Take note of what Redis has ``told``. The newest of that in microseconds, -1 without any."""
        read = [(name, Purge.read(name, when / 1_000_000)) for name, when in told.items()]
        self._purges.add(record for _, record in read if record is not None)
        # What is no record hides none that is earlier.
        newest = max((told[name] for name, record in read if record is not None or name == AGAIN), default=-1)
        self._clock.passed(newest / 1_000_000)
        return newest

    def _saw(self, newest: int) -> None:
        """All is known that Redis has until the ``newest`` that it told of; -1: it told of none."""
        if newest >= 0:
            self._seen = max(self._seen, newest)
            self._warn(self._seen / 1_000_000 - self._clock.now())

    def _warn(self, ahead: float) -> None:
        """Say once that purges lie ahead: what they cover is not kept for so long."""
        if ahead <= FleetClock.SHARP:
            self._warned = False
        elif not self._warned:
            self._warned = True
            self.log.warn(
                "the newest purge lies {seconds} s ahead of Redis' clock, which was set back: "
                "what such purges cover is not stored until then, or until Redis is emptied",
                seconds=round(ahead),
            )

    def _set_right(self, ahead: float) -> None:
        """What lies ahead by more than ``ahead`` seconds counts from now on."""
        now = self._clock.now()
        when = ceil(now * 1_000_000) / 1_000_000  # as Redis will have it
        for one in self._purges.later_than(now + ahead):
            self._purges.settle(one, when)

    # -- telling ----------------------------------------------------------------------------------------------------

    @property
    def behind(self) -> bool:
        """Whether there is anything that Redis should know and does not."""
        return bool(self._untold or self._lost)

    async def tell(self, said: Purge) -> bool:
        """Have Redis record ``said``, which holds here already; whether it has. Else ``catch_up`` will try again."""
        self._telling.add(said)
        microseconds = round(said.when * 1_000_000)
        command = PURGE([self._name], said.name(), Purges.MOST, self._longest, _EVERYTHING, microseconds)
        try:
            (reply,) = await self._commands.write([command], 200)
            when = _microseconds(reply)
            if when is None:
                raise reply if isinstance(reply, Refused) else Refused("unexpected reply to a purge")
        except (Unavailable, Refused):
            self._later(said)
            return False
        finally:
            self._telling.discard(said)
        self._purges.settle(said, when / 1_000_000)
        self._clock.passed(when / 1_000_000)
        return True

    async def catch_up(self) -> None:
        """Tell what Redis has lost, and what was said while it was away, as far as it listens. Never raises."""
        lost, self._lost = self._lost, []
        for at in range(0, len(lost), self.PAGE):
            page = [part for one in lost[at : at + self.PAGE] for part in (one.name(), round(one.when * 1_000_000))]
            size = sum(len(part) if isinstance(part, bytes) else 16 for part in page)
            command = REMIND([self._name], AGAIN, Purges.MOST, self._longest, _EVERYTHING, *page)
            try:
                (reply,) = await self._commands.write([command], size)
            except Unavailable as error:
                reply = error
            if isinstance(reply, Exception):
                self._lost += lost[at:]
                return
        while self._untold:
            _, said = self._untold.popitem(last=False)
            if not await self.tell(said):
                return

    @property
    def _longest(self) -> int:
        return round(self._useful * 1_000_000)

    def _later(self, said: Purge) -> None:
        known = self._untold.setdefault((said.scope, said.hardness), said)
        if known.when < said.when:
            self._untold[said.scope, said.hardness] = said
        if len(self._untold) > self.MOST:
            _, oldest = self._untold.popitem(last=False)
            everything = Purge(Scope.everything(), Hardness.HARD, oldest.when)
            self._untold[everything.scope, everything.hardness] = everything

    async def _missing(self, told: Mapping[bytes, int]) -> list[Purge]:
        """What Redis once gave a time to and is not among what it has ``told``."""
        missing: list[Purge] = []
        known = iter(self._purges)
        while page := list(islice(known, self.PAGE)):
            missing += [
                one
                for one in page
                if told.get(one.name(), -1) < round(one.when * 1_000_000)
                and one not in self._telling
                and self._untold.get((one.scope, one.hardness)) != one
            ]
            if len(page) == self.PAGE:
                await self._turn()
        return missing


def _microseconds(reply: object) -> int | None:
    try:
        when = int(float(reply)) if isinstance(reply, bytes) else -1
    except (ValueError, OverflowError):
        return None
    return when if 0 <= when < 1 << 53 else None
