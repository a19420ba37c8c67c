"""What was answered, counted as it is answered: plain numbers, made into rates, percentiles and metrics by who asks.

Every word that is counted by comes from a closed set (``observe.reasons``): nothing a client or an origin sends becomes
a name here. Hits of the fast lane are counted in their ``Cell`` and looked at one in ``EACH``.
Must not know: requests, sockets, Prometheus.
"""

from __future__ import annotations

from collections import Counter, deque
from random import randrange
from typing import Any, Final

from txstalecache.observe.accesslog import Record
from txstalecache.observe.histogram import Histogram
from txstalecache.observe.reasons import OTHER, REASONS
from txstalecache.observe.top import TopKeys

__all__ = ["ROLES", "VERDICTS", "Cell", "Tally"]

VERDICTS: Final = ("fresh", "stale", "validate", "miss", "pass", "refuse")
ROLES: Final = ("hit", "leader", "waiter", "alone", "-")
_CLASSES: Final = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")

#: One hit of the fast lane in so many is timed and ranked, at irregular distances, and stands for those between.
EACH: Final = 64


class Cell:
    """Requests that came to the same. Who answers counts them: ``count``, ``sent`` (bytes of body)."""

    __slots__ = ("count", "due", "sampled", "sent", "verdict")

    def __init__(self, verdict: str) -> None:
        self.verdict = verdict
        self.count = 0
        self.sent = 0
        self.due = 1
        """The count at which one is to be looked at (``Tally.sample``)."""
        self.sampled = 0


class Tally:
    """Call it with the ``Record`` of each request; a lane counts in the cells it is given instead."""

    #: Seconds that are looked back on.
    WINDOW: Final = 10

    def __init__(self) -> None:
        self._cells: dict[tuple[str, str, str, str], Cell] = {}
        self._known: dict[tuple[str, str, str, int], Cell] = {}
        """The cells of what was counted before."""
        self.cut = 0
        """Answers that did not reach their client whole."""
        self.alone: Counter[str] = Counter()
        """Requests that waited for an answer which was not for sharing (``collapsed=?0``), by why."""
        self.durations = {verdict: Histogram() for verdict in VERDICTS}
        self.waits = Histogram()
        self.top = TopKeys()
        self._past: deque[tuple[float, dict[str, Any]]] = deque(maxlen=self.WINDOW + 1)

    def cell(self, verdict: str, why: str, role: str, status: int) -> Cell:
        """Where requests of this kind are counted."""
        found = self._known.get((verdict, why, role, status // 100))
        if found is not None:
            return found
        name = (
            verdict if verdict in VERDICTS else OTHER,
            why if why in REASONS else OTHER,
            role if role in ROLES else OTHER,
            _CLASSES[status // 100] if 0 <= status < 600 else OTHER,
        )
        found = self._cells.get(name)
        if found is None:
            found = self._cells[name] = Cell(name[0])
        if OTHER not in name:
            # All four are from closed sets: it does not grow for long.
            self._known[verdict, why, role, status // 100] = found
        return found

    def __call__(self, record: Record) -> None:
        """One request was answered, or left."""
        verdict, sent = record.verdict, record.sent
        cell = self.cell(verdict, record.why, record.role, record.status)
        cell.count += 1
        cell.sent += sent
        cell.sampled += 1
        cell.due += 1
        if not record.complete:
            self.cut += 1
        if record.collapsed is False:
            self.alone[record.why if record.why in REASONS else OTHER] += 1
        durations = self.durations.get(verdict)
        if durations is not None:
            durations.add(record.duration)
        if record.wait:
            self.waits.add(record.wait)
        if verdict == "refuse":
            return
        url = b"%b://%b%b" % (record.scheme, record.host.lower(), record.target)
        if record.role == "hit":
            self.top.hit(url, sent)
        else:
            self.top.asked(url, sent, record.role == "waiter")

    def sample(self, cell: Cell, url: bytes, sent: int, duration: float) -> None:
        """One of ``cell`` was looked at; it stands for those since the last one."""
        weight, cell.sampled = cell.count - cell.sampled, cell.count
        cell.due = cell.count + randrange(1, 2 * EACH)
        self.durations[cell.verdict].add(duration, weight)
        self.top.hit(url, sent, weight)

    # -- what it comes to ----------------------------------------------------------------------------------------

    def requests(self) -> list[tuple[str, str, str, str, int]]:
        """Verdict, why, role, class of status, and how many."""
        return [(*name, cell.count) for name, cell in self._cells.items()]

    @property
    def sent(self) -> int:
        """Bytes of body sent."""
        return sum(cell.sent for cell in self._cells.values())

    def totals(self) -> dict[str, Any]:
        """Requests by verdict; those answered without a fetch of their own (``saved``); durations, by bucket."""
        verdicts: Counter[str] = Counter()
        saved = 0
        for (verdict, _, role, _), cell in self._cells.items():
            verdicts[verdict] += cell.count
            if role in ("hit", "waiter"):
                saved += cell.count
        durations: Counter[str] = Counter()
        for histogram in self.durations.values():
            durations.update(histogram.sparse())
        return {"verdicts": verdicts, "saved": saved, "durations": durations}

    def tick(self, now: float) -> None:
        """Take note of how things stand; once a second, for ``recent``."""
        self._past.append((now, self.totals()))
        self.top.tick(now)

    def recent(self, now: float) -> dict[str, Any]:
        """What ``totals`` has grown by in the last ``WINDOW`` seconds, in how many ``seconds``."""
        totals = self.totals()
        then, before = self._past[0] if self._past else (now, totals)
        return {
            "seconds": max(0.0, now - then),
            "verdicts": dict(totals["verdicts"] - before["verdicts"]),
            "saved": totals["saved"] - before["saved"],
            "durations": dict(totals["durations"] - before["durations"]),
        }
