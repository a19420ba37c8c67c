"""The sketch of what is asked for most: bounded, and right about what is frequent."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from txstalecache.observe.top import SpaceSaving, TopKeys

NAMES = st.lists(st.tuples(st.sampled_from([bytes([65 + n]) for n in range(20)]), st.integers(1, 9)), max_size=300)


@given(NAMES, st.sets(st.integers(0, 299), max_size=3))
def test_what_is_frequent_is_in_it_and_counts_are_too_high_by_their_error_at_most(
    seen: list[tuple[bytes, int]], fades: set[int]
) -> None:
    sketch, exact = SpaceSaving(8), Counter[bytes]()
    for number, (name, weight) in enumerate(seen):
        if number in fades:
            sketch.fade()
            exact = Counter({name: (count + 1) // 2 for name, count in exact.items()})
        sketch.add(name, weight)
        exact[name] += weight
    total = sum(sketch.count(name) for name in sketch.top(8))
    assert fades or total == sum(exact.values())
    assert len(sketch) <= 8
    for name in exact:
        if exact[name] > total / 8:
            assert sketch.count(name), name
    for name in sketch.top(8):
        assert sketch.count(name) - sketch.error(name) <= exact[name] <= sketch.count(name)


def test_a_flood_of_names_takes_no_more_room_and_hides_nobody() -> None:
    sketch = SpaceSaving(64)
    tracemalloc.start()
    try:
        for number in range(50_000):
            sketch.add(b"flood/%d" % number)
            if number % 10 == 0:
                sketch.add(b"popular")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sketch) == 64
    assert most < 64 * 1024
    assert sketch.top(1) == [b"popular"]
    assert 5000 <= sketch.count(b"popular") <= 5000 + sketch.error(b"popular")


def test_what_was_asked_for_last_month_does_not_hide_what_is_asked_for_now() -> None:
    top = TopKeys(4)
    for number in range(8):
        top.hit(b"/then/%d" % number, 10, 1_000_000)
    for hour in range(25):
        top.tick(hour * TopKeys.HALF_LIFE)
    top.hit(b"/now", 10, 1000)
    top.tick(24 * TopKeys.HALF_LIFE + 1.0)
    assert [(one["url"], one["hits"]) for one in top.top("hits", 1)] == [("/now", 1001)]


def test_each_ranking_has_its_own_order() -> None:
    top = TopKeys()
    top.hit(b"http://a/hit", 1, 100)
    top.asked(b"http://a/large", 10_000, False)
    top.asked(b"http://a/missed", 1, False)
    top.asked(b"http://a/missed", 1, False)
    for _ in range(3):
        top.asked(b"http://a/waited", 1, True)
    firsts = {by: top.top(by, 1)[0]["url"] for by in ("hits", "bytes", "misses", "waiters")}
    assert firsts == {
        "hits": "http://a/hit",
        "bytes": "http://a/large",
        "misses": "http://a/missed",
        "waiters": "http://a/waited",
    }
    assert top.top("hits", 1)[0]["bytes"] == 100
    top.hit(b"http://a/" + b"x" * 100_000, 0)
    assert max(len(str(row["url"])) for row in top.top("hits", 10)) == TopKeys.LONGEST
