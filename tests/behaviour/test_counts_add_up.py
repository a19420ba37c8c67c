"""What is counted, what is logged, and what was sent and asked come to the same: at random, seeded."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.behaviour.test_explained_at_random import Story
from tests.support.async_test import async_test


@pytest.mark.parametrize("seed", range(1000, 1010))
@async_test
async def test_the_log_the_counts_and_the_wire_agree(make_origin: Any, make_proxy: Any, seed: int) -> None:
    story = Story(seed)
    await story.begin(make_origin, make_proxy)
    replies = []
    for _ in range(60):
        await story.happen()
        replies.append((await story.ask()).reply)
    proxy, origin = story.proxy, story.origin
    tally, figures, log = proxy.resource.tally, proxy.resource.registry.figures, proxy.log
    assert [record.status for record in log] == [reply.status for reply in replies]
    assert [record.sent for record in log] == [reply.length for reply in replies]
    # Of each word that is counted by, as many as there are lines that say it.
    lines = Counter((one.verdict, one.why, one.role, f"{one.status // 100}xx") for one in log)
    assert lines == Counter({tuple(words): count for *words, count in tally.requests()})
    assert tally.sent == sum(reply.length for reply in replies)
    assert tally.totals()["saved"] == sum(one.role in ("hit", "waiter") for one in log)
    assert sum(histogram.count for histogram in tally.durations.values()) <= len(log)
    assert tally.waits.count == sum(one.wait > 0 for one in log)
    assert tally.cut == 0
    assert figures.fetches == figures.latency.count == len(origin.requests)
    assert sum(figures.answers.values()) == len(origin.requests)
    assert not figures.faults
    assert sum(figures.ended.values()) <= figures.fetches + sum(one.role == "hit" for one in log)
    assert (proxy.resource.registry.waiting, proxy.resource.registry.held) == (0, 0)
