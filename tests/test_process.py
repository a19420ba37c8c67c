"""What is done to the process that the service runs in."""

from __future__ import annotations

import gc
from typing import Any

from txstalecache.process import collect_rarely


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
