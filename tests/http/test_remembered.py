"""Short values are worked out once, long ones each time: strangers choose them."""

from __future__ import annotations

import tracemalloc

from txstalecache.http import forward, vary
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.policy import judge
from txstalecache.http.remembered import remembered
from txstalecache.http.rules import Rules


def test_what_is_short_is_worked_out_once_and_what_is_long_each_time() -> None:
    asked: list[bytes] = []

    @remembered(2, longest=3)
    def length(value: bytes) -> int:
        """Of ``value``."""
        asked.append(value)
        return len(value)

    assert [length(b"abc"), length(b"abc"), length(b"abcd"), length(b"abcd")] == [3, 3, 4, 4]
    assert asked == [b"abc", b"abcd", b"abcd"]
    assert length.__doc__ == "Of ``value``."


def test_a_flood_of_long_names_and_values_leaves_nothing_behind() -> None:
    tracemalloc.start()
    try:
        for number in range(2000):
            long = b"a%d-" % number + b"x" * 15_000
            fields = [(b"Host", b"a"), (long, b"1"), (b"Cache-Control", long), (b"Accept-Language", long)]
            head = RequestHead(b"GET", b"/", Fields(fields), b"http", b"a")
            judge(head, None, None, Rules(), 0.0)
            forward.shared(head, frozenset())
            vary.selector(vary.names(Fields([(b"Vary", b"accept-language, " + long)])) or (), head)
        left, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 2 * 1024 * 1024
