"""What this store says to Redis about entries and markers, and what it makes of the answers.

Must not know: connections, the memory tier, who asks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain

from twisted.internet.defer import Deferred

from txstalecache.http.entry import Entry, Marker, MarkerKind, Selector
from txstalecache.http.keys import Key
from txstalecache.store import envelope
from txstalecache.store.commands import Command, Commands, ICommands, Refused, Series, ignored
from txstalecache.store.envelope import PIECE, Opened, Row
from txstalecache.store.epochs import Epochs
from txstalecache.store.layout import Layout, variant_id
from txstalecache.store.purgelog import PurgeLog
from txstalecache.store.scripts import DISCARD, MAX_VARIANTS, PUT

__all__ = ["Loaded", "Remote"]


@dataclass(slots=True)
class Loaded:
    """What Redis knows about one key."""

    entries: dict[Selector, Opened] = field(default_factory=dict)
    """Those that were asked for and are there, with their bodies."""
    rows: list[Row] = field(default_factory=list)
    advice: Marker | None = None
    """The marker that says how to fetch."""
    cookie: Marker | None = None

    def lists(self, variant: Entry) -> bool:
        """Whether the index has ``variant``. What it has not (it may have been evicted) no discard would have found."""
        return any(one.selector == variant.selector and one.request_time == variant.request_time for one in self.rows)


class Remote:
    """Entries in Redis. Its Deferreds fail with ``Unavailable`` or ``Refused`` and with nothing else. A body may be
    long: after each piece that was read others have their ``turn`` of the reactor, which fires then."""

    #: The longest that anything is kept, in seconds.
    LONGEST = 366 * 86400.0
    #: How long a purge is of use, in seconds.
    USEFUL = LONGEST + Epochs.REMEMBER

    def __init__(
        self, commands: ICommands, layout: Layout, purge_log: PurgeLog, turn: Callable[[], Deferred[None]]
    ) -> None:
        self._commands = commands
        self.purge_log = purge_log
        self._layout = layout
        self.turn = turn
        self.corrupt = 0
        """Values that were not what they should be, so far."""

    @property
    def available(self) -> bool:
        """Whether Redis is worth asking."""
        return self._commands.available

    @property
    def writable(self) -> bool:
        """Whether Redis is worth telling."""
        return self._commands.writable

    # -- reading ----------------------------------------------------------------------------------------------------

    def load(self, key: Key, wanted: Iterable[Selector], bodies: dict[str, Opened]) -> Deferred[Loaded]:
        """Everything about ``key`` but the variants that are not ``wanted``, in one round trip (two for a body in
        pieces that is not among ``bodies``)."""
        base = self._layout.name(key.digest, "")
        selectors: list[Selector] = [()]
        names = [base + b"e"]
        for chosen in wanted:
            if chosen:
                selectors.append(chosen)
                names.append(self._layout.variant(key.digest, chosen))
        # The purges come along: what Redis answers is never older than what is known to have been purged.
        asked = self._commands.read(
            [("MGET", base + b"m", base + b"c", *names), ("HGETALL", base + b"x"), self.purge_log.news()]
        )
        return asked.addCallback(self._loaded, key, selectors, names, bodies)

    def _loaded(
        self,
        replies: list[object],
        key: Key,
        selectors: list[Selector],
        names: list[bytes],
        bodies: dict[str, Opened],
    ) -> Loaded | Deferred[Loaded]:
        values, rows, purged = replies
        more = self.purge_log.note(purged)
        if not isinstance(values, list) or len(values) != len(names) + 2:
            raise values if isinstance(values, Refused) else Refused(f"unexpected reply to MGET: {type(values)}")
        loaded = Loaded()
        outside: dict[Selector, Opened] = {}
        odd: list[bytes] = []
        for suffix, value in zip((b"m", b"c"), values[:2], strict=True):
            if value is None:
                continue
            marker = envelope.open_marker(value, key)
            if marker is None:
                odd.append(self._layout.name(key.digest, "") + suffix)
            elif marker.kind is MarkerKind.COOKIE:
                loaded.cookie = marker
            else:
                loaded.advice = marker
        if rows != []:
            odd += self._index(rows, self._layout.name(key.digest, "x"), loaded)
        for chosen, name, value in zip(selectors, names, values[2:], strict=True):
            if value is None:
                continue
            opened = envelope.open_entry(value, key)
            if opened is None or opened.entry.selector != chosen:
                odd.append(name)
            elif chosen and not loaded.lists(opened.entry):
                continue
            elif opened.manifest is None:
                loaded.entries[chosen] = opened
            else:
                outside[chosen] = opened
        if odd:
            self._delete(odd)
        if outside or more is not None:
            return Deferred.fromCoroutine(self._rest(key, loaded, outside, bodies, more))
        return loaded

    async def _rest(
        self, key: Key, loaded: Loaded, outside: dict[Selector, Opened], bodies: dict[str, Opened], more: int | None
    ) -> Loaded:
        """``loaded`` with the bodies that are ``outside``, once all purges are known."""
        await self.purge_log.learn(more)
        for chosen, opened in outside.items():
            whole = await self._whole(key, opened, bodies)
            if whole is None:
                self._delete([self._layout.variant(key.digest, chosen)])
            else:
                loaded.entries[chosen] = whole
        return loaded

    async def fetch(self, key: Key, chosen: Selector, bodies: dict[str, Opened]) -> Opened | None:
        """One variant, with its body."""
        name = self._layout.variant(key.digest, chosen)
        (value,) = await self._commands.read([("GET", name)])
        if isinstance(value, Refused):
            raise value
        opened = envelope.open_entry(value, key)
        if opened is not None and opened.entry.selector == chosen:
            whole = await self._whole(key, opened, bodies)
            if whole is not None:
                return whole
        if value is not None:
            self._delete([name])
        return None

    def _index(self, rows: object, index: bytes, loaded: Loaded) -> list[bytes]:
        if isinstance(rows, Refused) and not rows.wrong_type:
            raise rows  # that it is not to be had is no fault of what it says
        if not isinstance(rows, list) or len(rows) % 2 or len(rows) > 4 * MAX_VARIANTS:
            return [index]
        for name, value in zip(rows[::2], rows[1::2], strict=True):
            row = envelope.open_row(value)
            if row is None or variant_id(row.selector).encode() != name:
                return [index]
            loaded.rows.append(row)
        return []

    async def _whole(self, key: Key, opened: Opened, bodies: dict[str, Opened]) -> Opened | None:
        """``opened`` with its body; None when some of it is gone."""
        manifest = opened.manifest
        if manifest is None:
            return opened
        known = bodies.get(manifest.body_id)
        if known is not None and known.entry.length == manifest.length:
            return _with_body(opened, known.entry.body)
        names = [self._piece(key, manifest.body_id, number) for number in range(manifest.pieces)]
        # One command per piece: a single reply of many megabytes is read slowly.
        replies = await self._commands.read([("GET", name) for name in names])
        body = []
        for number, reply in enumerate(replies):
            piece = envelope.open_piece(reply, manifest, number)
            if piece is None:
                return None
            body.append(piece)
            await self.turn()
        return _with_body(opened, tuple(body))

    def _delete(self, names: list[bytes]) -> None:
        if names:
            self.corrupt += len(names)
            self._commands.write([("UNLINK", *names)]).addErrback(ignored)

    # -- writing ----------------------------------------------------------------------------------------------------

    def put(self, key: Key, entry: Entry, keep: float, until: float, body_id: str) -> Deferred[bool]:
        """Store ``entry`` for ``keep`` seconds; False when Redis has something newer. ``body_id`` names a body that is
        larger than one piece."""
        layout, digest = self._layout, key.digest
        base = layout.name(digest, "")
        milliseconds = max(1, round(keep * 1000))
        pieces = envelope.pieces(entry.length) if body_id else 0
        sealed = envelope.seal_entry(key, entry, until, body_id, pieces)
        more: tuple[bytes | str | int, ...] = ()
        if entry.selector:
            row = Row(entry.selector, entry.request_time, entry.response_time, until)
            more = (variant_id(entry.selector), envelope.seal_row(row), MAX_VARIANTS)
        keys = [layout.variant(digest, entry.selector) if entry.selector else base + b"e"]
        keys += [base + b"d", base + b"m", base + b"x"]
        last = PUT(keys, base, envelope.stamp(entry.request_time), milliseconds, sealed, *more)
        commands: Commands = [last]
        size = len(sealed)
        if pieces:
            # The pieces outlive the envelope that leads to them, never the other way round.
            body = self._pieces(key, entry, body_id, milliseconds + 10_000)
            commands = Series(pieces + 1, chain(body, commands))
            size += entry.length
        return self._commands.write(commands, size).addCallback(lambda replies: _accepted(replies) == 1)

    def _pieces(self, key: Key, entry: Entry, body_id: str, milliseconds: int) -> Iterator[Command]:
        """What stores the body of ``entry``, piece after piece."""
        for number, piece in enumerate(envelope.cut(entry.body)):
            sealed = envelope.seal_piece(body_id, number, piece)
            yield "SET", self._piece(key, body_id, number), sealed, "PX", milliseconds

    def mark(self, key: Key, marker: Marker, seconds: float) -> Deferred[object]:
        """Make ``marker`` known for ``seconds``."""
        name = self._layout.name(key.digest, "c" if marker.kind is MarkerKind.COOKIE else "m")
        value = envelope.seal_marker(key, marker)
        command = ("SET", name, value, "PX", max(1, round(seconds * 1000)))
        return self._commands.write([command], len(value)).addCallback(_accepted)

    def unmark(self, key: Key) -> Deferred[object]:
        """Take the marker that says how to fetch (PRIVATE, ERROR or LONG) away."""
        return self._commands.write([("DEL", self._layout.name(key.digest, "m"))], 100).addCallback(_accepted)

    def discard(self, key: Key, when: float) -> Deferred[object]:
        """Forget the variants of ``key`` whose fetch began at ``when`` or earlier, those still in the air too."""
        base = self._layout.name(key.digest, "")
        command = DISCARD(
            [base + b"e", base + b"d", base + b"x"], base, envelope.stamp(when), round(Epochs.REMEMBER * 1000)
        )
        return self._commands.write([command], 200).addCallback(_accepted)

    def discarded(self, key: Key) -> Deferred[float]:
        """When ``key`` was last discarded; before all time when that is not known."""
        asked = self._commands.read([("GET", self._layout.name(key.digest, "d"))])
        return asked.addCallback(lambda replies: envelope.stamped(replies[0]))

    def _piece(self, key: Key, body_id: str, number: int) -> bytes:
        return self._layout.name(key.digest, f"b:{body_id}:{number}")

    @staticmethod
    def body_id(entry: Entry) -> str:
        """A fresh name for the body of ``entry``; empty when it fits in the envelope."""
        return os.urandom(8).hex() if entry.length > PIECE else ""


def _accepted(replies: list[object]) -> object:
    """The last of ``replies``; Refused when one of them is."""
    for reply in replies:
        if isinstance(reply, Refused):
            raise reply
    return replies[-1]


def _with_body(opened: Opened, body: tuple[bytes, ...]) -> Opened:
    return Opened(replace(opened.entry, body=body), opened.until, opened.manifest)
