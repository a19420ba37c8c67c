"""Jobs that have URLs stored before anybody asks for them: so many a second, so many at a time.

A job asks the way clients' requests go, so that nothing is fetched twice. Jobs are kept a while after they have ended,
so many and no more.
Must not know: HTTP of the admin interface, how a URL is fetched.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import partial
from itertools import count
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txstalecache.admin.gate import Refused
from txstalecache.admin.sitemap import MOST_BYTES, MOST_URLS, BadSitemap, Sitemap, read
from txstalecache.edge.warming import Warmed
from txstalecache.observe.reasons import reason

__all__ = ["Jobs", "WarmJob"]


#: Has a URL stored, and gives the beginning of its body; ValueError for what is no URL.
Warm = Callable[[bytes, int], Deferred[Warmed]]


class WarmJob:
    """One list of URLs. ``state``: running, done, cancelled, or failed (a sitemap that is none)."""

    _log = Logger()

    #: Problems that are told.
    ERRORS: Final = 20

    def __init__(self, name: str, clock: IReactorTime, warm: Warm, rate: float, concurrency: int) -> None:
        self.id = name
        self._clock = clock
        self._warm = warm
        self._rate = rate
        self._concurrency = concurrency
        self.state = "running"
        self.total = 0
        self.stored = self.failed = 0
        self.errors: list[dict[str, str]] = []
        self._began = clock.seconds()
        self._ended: float | None = None
        self._left: deque[str] = deque()
        self._sitemaps: deque[str] = deque()
        self._under_way: set[Deferred[Any]] = set()
        self._next = clock.seconds()
        """When the next one may be asked for."""
        self._timer: IDelayedCall | None = None

    def start(self, urls: Sequence[str], sitemap: str | None) -> None:
        """Begin. ``sitemap`` is read first."""
        self._left.extend(urls)
        self.total = len(urls)
        if sitemap is not None:
            self._ask(sitemap, MOST_BYTES, partial(self._read, then=self._first_sitemap))
        else:
            self._more()

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return self.state == "running"

    def cancel(self) -> None:
        """Ask for no more, and let go of what is under way. Idempotent."""
        if self.running:
            self._end("cancelled")

    def told(self) -> dict[str, Any]:
        """How far it is."""
        now = self._clock.seconds() if self._ended is None else self._ended
        return {
            "job": self.id,
            "state": self.state,
            "done": self.stored,
            "failed": self.failed,
            "total": self.total,
            "seconds": round(now - self._began, 3),
            "rate": self._rate,
            "concurrency": self._concurrency,
            "errors": list(self.errors),
        }

    # -- sitemaps ------------------------------------------------------------------------------------------------

    def _read(self, url: str, result: Warmed | Failure, then: Callable[[str, Sitemap | BadSitemap], None]) -> None:
        """Read what has come as a sitemap, a step in each turn of the reactor."""
        steps = _listed(url, result)

        def step() -> None:
            self._timer = None
            try:
                next(steps)
            except StopIteration as end:
                then(url, end.value)
            except BadSitemap as bad:
                then(url, bad)
            else:
                self._timer = self._clock.callLater(0, step)

        step()

    def _first_sitemap(self, url: str, found: Sitemap | BadSitemap) -> None:
        """What was given: a sitemap, or an index of them. Where it is neither there is nothing to do."""
        if isinstance(found, BadSitemap):
            self._problem(url, f"no sitemap: {found}")
            self._end("failed")
            return
        self._sitemaps.extend(found.sitemaps)
        self._take(url, found)
        self._read_one()

    def _read_one(self) -> None:
        """Read the next sitemap of the index; then the URLs have their turn."""
        if self._sitemaps:
            self._ask(self._sitemaps.popleft(), MOST_BYTES, partial(self._read, then=self._next_sitemap))
        else:
            self._more()

    def _next_sitemap(self, url: str, found: Sitemap | BadSitemap) -> None:
        """One of an index: where it is none the others are read all the same."""
        # https://www.sitemaps.org/protocol.html: an index lists sitemaps, never indexes. One may list itself.
        if isinstance(found, Sitemap) and found.sitemaps:
            found = BadSitemap("an index within an index")
        if isinstance(found, BadSitemap):
            self.total += 1
            self._failed(url, f"no sitemap: {found}")
        else:
            self._take(url, found)
        self._read_one()

    def _take(self, url: str, found: Sitemap) -> None:
        taken = found.urls[: max(0, MOST_URLS - self.total)]
        self._left.extend(taken)
        self.total += len(taken)
        if more := len(found.urls) - len(taken):
            self.total += 1
            self._failed(url, f"{more} of its URLs are left out: more than {MOST_URLS} in all")
        for other in found.others:
            self.total += 1
            self._failed(other, "another host than the sitemap's")

    # -- URLs ----------------------------------------------------------------------------------------------------

    def _more(self) -> None:
        """Ask for as many as may be asked for now."""
        self._timer = None
        while self._left and len(self._under_way) < self._concurrency:
            wait = self._next - self._clock.seconds()
            if wait > 0:
                self._timer = self._clock.callLater(wait, self._more)
                return
            self._next = max(self._next, self._clock.seconds() - 1.0) + 1.0 / self._rate
            self._ask(self._left.popleft(), 0, self._warmed)
        if not self._under_way:
            self._end("done")

    def _warmed(self, url: str, result: Warmed | Failure) -> None:
        if isinstance(result, Failure):
            self._failed(url, result.getErrorMessage())
        elif result.stored:
            self.stored += 1
        else:
            answered = f"status {result.status}, " if result.status else ""
            rule = reason(result.why).rule
            self._failed(url, f"{answered}not stored: {result.why}" + (f" ({rule})" if rule else ""))
        if self._timer is None:
            self._more()

    def _ask(self, url: str, most: int, then: Callable[[str, Warmed | Failure], None]) -> None:
        try:
            asked = self._warm(url.encode("ascii"), most)
        except ValueError:
            asked = Deferred()
            asked.errback(ValueError("no URL that can be asked for"))
        self._under_way.add(asked)

        def ended(result: Any) -> None:
            self._under_way.discard(asked)
            if isinstance(result, Failure):
                if result.check(CancelledError) and not self.running:
                    return
                if not result.check(ValueError):
                    self._log.failure("a URL could not be warmed", result)
            if self.running:
                then(url, result)

        # Not before the loop that asked goes on: an answer that is there already would come in the middle of it.
        self._clock.callLater(0, asked.addBoth, ended)

    def _failed(self, url: str, problem: str) -> None:
        self.failed += 1
        self._problem(url, problem)

    def _problem(self, url: str, problem: str) -> None:
        if len(self.errors) < self.ERRORS:
            self.errors.append({"url": url, "problem": problem})

    def _end(self, state: str) -> None:
        self.state = state
        self._ended = self._clock.seconds()
        self._left.clear()
        self._sitemaps.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for asked in list(self._under_way):
            asked.cancel()


def _listed(url: str, result: Warmed | Failure) -> Generator[None, None, Sitemap]:
    """What the sitemap at ``url`` lists, as ``sitemap.read`` comes to it. BadSitemap."""
    if isinstance(result, Failure):
        raise BadSitemap(result.getErrorMessage())
    if result.status != 200:
        raise BadSitemap(f"the proxy's origin answers {result.status}" if result.status else result.why)
    return (yield from read(result.body, url))


class Jobs:
    """The jobs of one process, the youngest last."""

    #: Under way at a time, and remembered.
    RUNNING: Final = 4
    REMEMBERED: Final = 32
    RATE, CONCURRENCY = 20.0, 4

    def __init__(self, clock: IReactorTime, warm: Warm) -> None:
        self._clock = clock
        self._warm = warm
        self._jobs: dict[str, WarmJob] = {}
        self._numbers = count(1)

    def __iter__(self) -> Iterator[WarmJob]:
        return iter(list(self._jobs.values()))

    def get(self, name: str) -> WarmJob | None:
        """The job called so; None when there is none, or it is forgotten."""
        return self._jobs.get(name)

    def start(
        self,
        urls: Sequence[str],
        sitemap: str | None = None,
        rate: float = RATE,
        concurrency: int = CONCURRENCY,
    ) -> WarmJob:
        """A new job. Refused when enough are under way."""
        if sum(1 for job in self if job.running) >= self.RUNNING:
            raise Refused(503, f"{self.RUNNING} jobs are under way already", **{"Retry-After": "10"})
        for job in self:
            if len(self._jobs) < self.REMEMBERED:
                break
            if not job.running:
                del self._jobs[job.id]
        job = WarmJob(str(next(self._numbers)), self._clock, self._warm, rate, concurrency)
        self._jobs[job.id] = job
        job.start(urls, sitemap)
        return job

    def close(self) -> None:
        """Cancel what is under way."""
        for job in self:
            job.cancel()
