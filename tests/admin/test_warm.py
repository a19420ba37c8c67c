"""Jobs that warm: so many begun a second, so many under way, and so many told of."""

from __future__ import annotations

import pytest
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.task import Clock

from tests.conftest import LoggedFailures
from txstalecache.admin.gate import Refused
from txstalecache.admin.warm import Jobs, WarmJob
from txstalecache.edge.warming import Warmed

STORED = Warmed(200, True, "stored")


class Fetches:
    """What was asked for, and is not answered yet."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.begun = 0
        self.open: list[Deferred[Warmed]] = []
        self.cancelled = 0

    def __call__(self, url: bytes, most: int) -> Deferred[Warmed]:
        asked: Deferred[Warmed] = Deferred(self._cancelled)
        self.begun += 1
        self.open.append(asked)
        return asked

    def _cancelled(self, _: object) -> None:
        self.cancelled += 1

    def answer(self, warmed: Warmed = STORED) -> None:
        self.open.pop(0).callback(warmed)
        self._clock.advance(0)


def urls(count: int) -> list[str]:
    return [f"http://h/{number}" for number in range(count)]


def test_no_more_are_begun_in_a_second_than_the_rate_says() -> None:
    clock = Clock()
    clock.advance(5.0)
    fetches = Fetches(clock)
    job = WarmJob("1", clock, fetches, 4.0, 100)
    job.start(urls(100), None)
    begun = []
    for _ in range(3):
        clock.pump([0.125] * 8)
        begun.append(fetches.begun)
    assert begun == [5, 9, 13]
    assert job.told()["seconds"] == 3.0
    job.cancel()
    assert not clock.getDelayedCalls()


def test_of_the_time_that_was_missed_no_more_than_a_second_is_made_up_for() -> None:
    clock = Clock()
    fetches = Fetches(clock)
    job = WarmJob("1", clock, fetches, 4.0, 2)
    job.start(urls(100), None)
    clock.advance(60)
    assert fetches.begun == 2
    while fetches.open:
        fetches.answer()
    assert fetches.begun == 2 + 4
    job.cancel()


def test_no_more_are_under_way_than_may_be_and_at_the_end_it_is_done() -> None:
    clock = Clock()
    fetches = Fetches(clock)
    job = WarmJob("1", clock, fetches, 1000.0, 3)
    job.start(urls(10), None)
    clock.pump([0.1] * 10)
    assert (fetches.begun, job.running) == (3, True)
    while fetches.open:
        fetches.answer()
        clock.pump([0.1] * 10)
        assert len(fetches.open) == min(3, 10 - job.stored)
    told = job.told()
    assert (told["state"], told["done"], told["failed"], told["total"]) == ("done", 10, 0, 10)
    clock.advance(60)
    assert job.told() == told


def test_all_that_failed_are_counted_and_the_first_are_told() -> None:
    clock = Clock()
    job = WarmJob("1", clock, lambda url, _: succeed(Warmed(404, False, "no-store")), 1000.0, 64)
    job.start(urls(30), None)
    clock.pump([0.1] * 20)
    told = job.told()
    assert (told["state"], told["done"], told["failed"]) == ("done", 0, 30)
    assert [one["url"] for one in told["errors"]] == urls(WarmJob.ERRORS)
    assert told["errors"][0]["problem"].startswith("status 404, not stored: no-store (")


def test_what_cannot_be_asked_for_costs_itself_alone(logged_failures: LoggedFailures) -> None:
    clock = Clock()
    answers = {
        b"http://h/0": succeed(STORED),
        b"http://h/1": fail(ValueError("no URL")),
        b"http://h/2": fail(OSError("out of everything")),
        b"http://h/4": succeed(STORED),
        b"http://h/5": fail(CancelledError("by somebody else")),
    }

    def warm(url: bytes, _: int) -> Deferred[Warmed]:
        if url not in answers:
            raise ValueError
        return answers[url]

    job = WarmJob("1", clock, warm, 1000.0, 1)
    job.start(urls(6), None)
    clock.pump([0.1] * 10)
    told = job.told()
    assert (told["state"], told["done"], told["failed"]) == ("done", 2, 4)
    problems = {1: "no URL", 2: "out of everything", 3: "no URL that can be asked for", 5: "by somebody else"}
    assert told["errors"] == [{"url": f"http://h/{number}", "problem": problem} for number, problem in problems.items()]
    # What is nobody's mistake but ours is in the log.
    assert [failure.type for failure in logged_failures.flush()] == [OSError, CancelledError]


def test_a_job_that_is_cancelled_lets_go_of_what_is_under_way() -> None:
    clock = Clock()
    fetches = Fetches(clock)
    jobs = Jobs(clock, fetches)
    job = jobs.start(urls(10), concurrency=3, rate=1000.0)
    clock.pump([0.1] * 10)
    job.cancel()
    job.cancel()
    clock.pump([0.1] * 10)
    assert (fetches.begun, fetches.cancelled) == (3, 3)
    assert (job.state, job.failed) == ("cancelled", 0)


def test_so_many_jobs_are_under_way_and_one_more_is_refused() -> None:
    clock = Clock()
    fetches = Fetches(clock)
    jobs = Jobs(clock, fetches)
    under_way = [jobs.start(urls(1)) for _ in range(Jobs.RUNNING)]
    # As the docs say.
    assert (under_way[0].told()["rate"], under_way[0].told()["concurrency"]) == (20.0, 4)
    with pytest.raises(Refused) as refused:
        jobs.start(urls(1))
    assert (refused.value.status, refused.value.fields) == (503, {"Retry-After": "10"})
    under_way[0].cancel()
    jobs.start(urls(1))
    jobs.close()
    clock.advance(0)
    assert not any(job.running for job in jobs)
    assert fetches.cancelled == Jobs.RUNNING + 1


def test_jobs_are_remembered_for_a_while_and_those_under_way_for_as_long_as_they_are() -> None:
    clock = Clock()
    fetches = Fetches(clock)
    jobs = Jobs(clock, fetches)
    first = jobs.start(urls(1))
    for _ in range(Jobs.REMEMBERED):
        ended = jobs.start(urls(1))
        fetches.open.pop().callback(STORED)
        clock.advance(0)
        assert not ended.running
    assert len(list(jobs)) == Jobs.REMEMBERED
    assert (jobs.get(first.id), jobs.get(ended.id)) == (first, ended)
    # The oldest that has ended made room.
    assert jobs.get("2") is None
    jobs.close()
    clock.advance(0)
