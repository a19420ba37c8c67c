"""Answers from one stored variant, ready to be written: what the ordinary path would say, remembered while it holds.

Nothing is decided here: ``policy.judge`` decides and ``respond.from_entry`` answers, as for every request; what they
came to is kept as bytes until the earliest moment at which any of it may change. One ``Answer`` serves every request of
its shape (``edge.asked``), so it is worked out from the shape alone.
Must not know: sockets, the reactor; ``now`` is an argument.
"""

from __future__ import annotations

from math import ceil, floor, inf
from typing import Final

from txstalecache.config.routes import Route
from txstalecache.edge import respond
from txstalecache.edge.asked import Shape, shaped
from txstalecache.edge.reply import Reply, head_bytes
from txstalecache.edge.visit import NOBODY, Outcome, Visit
from txstalecache.flight.body import Body
from txstalecache.http import policy
from txstalecache.http.entry import Entry, Freshness
from txstalecache.http.messages import BODILESS, RequestHead
from txstalecache.http.pseudonym import OURS, Pseudonym
from txstalecache.http.verdict import Fresh, Stale
from txstalecache.observe.tally import Cell
from txstalecache.store.memory import Shelf, Variant

__all__ = ["Answer", "Ready", "answer", "until"]

#: An answer is not used in the last bit of its time: floating point is not that exact.
_MARGIN: Final = 1e-5


class Answer:
    """One answer in bytes, and what the access log says about it."""

    __slots__ = (
        "__weakref__",
        "body",
        "cell",
        "changes",
        "entry",
        "head",
        "refreshes",
        "renewed",
        "route",
        "sent",
        "since",
        "status",
        "until",
        "verdict",
        "why",
    )

    def __init__(
        self,
        route: Route,
        entry: Entry,
        verdict: Fresh | Stale,
        status: int,
        head: bytes,
        body: tuple[bytes, ...],
        since: float,
        until: float,
    ) -> None:
        self.route = route
        """Whose rules it was made by."""
        self.entry = entry
        self.status = status
        self.head = head
        """Status line and fields."""
        self.body = body
        """The entry's own pieces, not copies, where all of it is sent."""
        self.sent = 0
        """Bytes of body."""
        self.verdict = type(verdict).__name__.lower()
        self.why = verdict.why
        self.refreshes = isinstance(verdict, Stale)
        self.renewed = -inf
        """When a refresh was last asked for behind it."""
        self.since = since
        self.until = until
        self.cell = Cell(self.verdict)
        """Where each use of it is counted; whoever uses it puts a shared one in its place."""
        self.changes = -1
        """Of the shelf that it was found on: it holds as long as they stay."""


class Ready:
    """What hangs on a variant: its answers by shape and route. ``ROOM`` of them at most."""

    __slots__ = ("answers", "charged")

    ROOM: Final = 8

    def __init__(self) -> None:
        self.answers: dict[tuple[int, Shape], Answer] = {}
        self.charged = 0

    def keep(self, wanted: tuple[int, Shape], made: Answer) -> int:
        """Keep ``made`` for who wants the same; the bytes of memory by which this is more than before, or less."""
        answers = self.answers
        before = self.charged
        had = answers.pop(wanted, None)
        if had is not None:
            self.charged -= _weight(wanted, had)
        elif len(answers) >= self.ROOM:
            oldest = next(iter(answers))
            self.charged -= _weight(oldest, answers.pop(oldest))
        answers[wanted] = made
        self.charged += _weight(wanted, made)
        return self.charged - before


def _weight(wanted: tuple[int, Shape], made: Answer) -> int:
    """Bytes of memory that an answer takes, beside its entry (see the test that measures)."""
    parts = 0 if made.body == made.entry.body else made.sent
    return 700 + len(made.head) + parts + sum(40 + len(value) for value in wanted[1] if value is not None)


def until(entry: Entry, now: float, *others: float) -> float:
    """The earliest moment after ``now`` at which an answer from ``entry`` may be another one.

    Its ``Age`` is in whole seconds, what is left of its lifetime is rounded; a client may ask for so and so many
    seconds of either; the windows of ``Freshness`` end. ``others``: moments that matter for other reasons.
    """
    freshness: Freshness = entry.freshness
    age = entry.age(now)
    left = freshness.lifetime - age
    # Counted from now, while age runs with the time.
    steps = [floor(age) + 1 - age, left - (ceil(left * 2) - 1) / 2, left - floor(left * 2) / 2]
    windows = (0.0, freshness.while_revalidate, freshness.if_error, freshness.if_unreachable, freshness.keep)
    steps += [left + window for window in windows]
    moments = [now + step for step in steps if step >= 0]  # at such a moment: for no longer than that
    moments += [other for other in others if other > now]
    return min(moments) - _MARGIN


def answer(
    head: RequestHead,
    shape: Shape,
    route: Route,
    shelf: Shelf,
    variant: Variant,
    now: float,
    pseudonym: Pseudonym = OURS,
) -> Answer | None:
    """What requests of ``shape`` get from ``variant``, the one on ``shelf`` that they are for, from ``now`` on, by the
    proxy called ``pseudonym``; None when that is for the ordinary path to say."""
    entry = variant.entry
    if entry is None:
        return None
    plain = shaped(head, shape)
    verdict = policy.judge(plain, entry, shelf.marker(now), route.rules, now)
    if not isinstance(verdict, Fresh | Stale):
        return None
    outcome = Outcome(type(verdict).__name__.lower(), verdict.why, "hit", entry.age(now))
    visit = Visit(NOBODY, plain, route, shelf.key, now, outcome=outcome, pseudonym=pseudonym)
    reply = respond.from_entry(visit, entry, now)
    pieces = _pieces(reply)
    if pieces is None:
        return None
    if b"date" not in reply.fields:
        return None  # the ordinary path knows the time of day
    sent = sum(map(len, pieces))
    if plain.method != b"HEAD" and reply.status not in BODILESS:
        # Without its length the body would go out in chunks; with another one the connection would be cut.
        if reply.fields.get_all(b"content-length") != [b"%d" % sent]:
            return None
    elif sent:
        return None
    ends = [marker.until for marker in (shelf.advice, shelf.cookie) if marker is not None]
    written = head_bytes(b"HTTP/1.1", reply.status, reply.fields, reply.more)
    made = Answer(route, entry, verdict, reply.status, written, pieces, now, until(entry, now, variant.until, *ends))
    made.sent = sent
    return made


def _pieces(reply: Reply) -> tuple[bytes, ...] | None:
    """The body that is sent; None when it is so long that it should leave as it is taken."""
    body = reply.body
    if body is None or not reply.segments:
        return ()
    if not body.ended:
        return None
    pieces: list[bytes] = []
    length = 0
    for segment in reply.segments:
        if isinstance(segment, bytes):
            pieces.append(segment)
            length += len(segment)
            continue
        at, stop = segment[0], body.length if segment[1] is None else min(segment[1], body.length)
        length += stop - at
        if length > Body.COMPACT:
            return None
        while at < stop:
            piece = body.piece(at, stop - at)
            pieces.append(bytes(piece))
            at += len(piece)
    return tuple(pieces) if length <= Body.COMPACT else None
