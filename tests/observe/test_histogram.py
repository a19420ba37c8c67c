"""Durations in buckets: bounded, mergeable, and off by 9 % at most."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from txstalecache.observe.histogram import BOUNDS, Histogram

SECONDS = st.floats(min_value=1e-6, max_value=1000)


@given(st.lists(SECONDS, min_size=1, max_size=50), st.sampled_from([0.5, 0.9, 0.99, 1.0]))
def test_a_percentile_is_not_below_and_at_most_a_fifth_above(durations: list[float], part: float) -> None:
    one = Histogram()
    for seconds in durations:
        one.add(seconds)
    rank = min(len(durations), max(1, -int(-part * len(durations) // 1)))
    exact = sorted(durations)[rank - 1]
    found = one.percentile(part)
    assert found is not None
    assert exact * 0.999999 <= found <= exact * 2 ** (1 / 4) * 1.000001


@given(st.lists(SECONDS, max_size=50))
def test_what_is_below_a_bound_is_counted_there_and_the_rest_is_not(durations: list[float]) -> None:
    one = Histogram()
    for seconds in durations:
        one.add(seconds)
    for bound, count in one.below():
        # A duration on the bound itself may count on either side: floats are not that exact.
        assert sum(d < bound * 0.999999 for d in durations) <= count <= sum(d <= bound * 1.000001 for d in durations)
    assert [bound for bound, _ in one.below()] == list(BOUNDS)
    assert one.count == len(durations)


@given(st.lists(SECONDS, max_size=30), st.lists(SECONDS, max_size=30))
def test_two_processes_add_up_to_what_one_would_have_counted(these: list[float], those: list[float]) -> None:
    both, mine, theirs = Histogram(), Histogram(), Histogram()
    for seconds in these:
        mine.add(seconds)
        both.add(seconds)
    for seconds in those:
        theirs.add(seconds)
        both.add(seconds)
    mine.merge(theirs.sparse(), theirs.total)
    assert mine.counts == both.counts
    assert mine.total == pytest.approx(both.total) == pytest.approx(sum(these + those))


def test_nothing_that_is_added_makes_it_larger() -> None:
    one = Histogram()
    size = len(one.counts)
    for seconds in (-5.0, 0.0, 1e-12, 1e-6, 1.0, 1e5, 1e300):
        one.add(seconds, 3)
    assert len(one.counts) == size
    assert one.count == 21
    assert 2.0**10 <= (one.percentile(1.0) or 0) <= 2.0**11
    assert Histogram().percentile(0.5) is None
    # A clock that was set back takes nothing off the sum.
    two = Histogram()
    two.add(-5.0, 2)
    two.add(0.25, 3)
    assert two.total == 0.75
