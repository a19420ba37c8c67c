"""What is done to the process that the service runs in."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.internet.task import Clock

from txstalecache.process import collect_rarely, count_uptime, leave
from txstalecache.store.clock import uptime


class Running:
    """A reactor that runs already."""

    def callWhenRunning(self, function: Any, *arguments: Any) -> None:
        function(*arguments)


def test_garbage_is_collected_rarely_and_what_is_there_at_the_start_not_again() -> None:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    try:
        collect_rarely(Running())
        assert gc.get_threshold()[0] >= 10 * before[0]
        assert gc.get_freeze_count() > frozen
        assert gc.isenabled()
    finally:
        gc.set_threshold(*before)


def test_time_is_counted_by_a_clock_that_nobody_sets_unless_something_is_due_by_the_other_one() -> None:
    fresh, busy = Clock(), Clock()
    busy.callLater(1.0, lambda: None)
    for reactor in (fresh, busy):
        count_uptime(reactor)
    assert fresh.seconds is uptime
    assert busy.seconds() == 0.0


def test_to_leave_is_to_stop_once() -> None:
    stops: list[int] = []

    class Leaving:
        def stop(self) -> None:
            stops.append(1)
            if len(stops) > 1:
                raise ReactorNotRunning

    reactor = Leaving()
    leave(reactor)
    leave(reactor)
    assert len(stops) == 2
