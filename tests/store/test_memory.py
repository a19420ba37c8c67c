"""The memory tier: no more than its bytes, what is popular stays, keys are held whole."""

from __future__ import annotations

import gc
import random
import tracemalloc

import pytest

from tests.store.samples import entry, get, key
from txstalecache.http.entry import Marker, MarkerKind
from txstalecache.http.messages import Fields
from txstalecache.store.memory import MemoryTier, Shelf, Variant

NOW = 1000.0


def shelf(name: str, body: bytes = b"x" * 1000) -> Shelf:
    made = Shelf(key(name), complete=True)
    made.add(Variant.of(entry(NOW, body), NOW + 100))
    return made


def encoded(coding: str | None, at: float = NOW, body: bytes = b"") -> Variant:
    value = None if coding is None else coding.encode()
    return Variant.of(entry(at, body, selector=((b"accept-encoding", value),)), at + 100)


def test_it_never_holds_more_than_its_bytes() -> None:
    tier = MemoryTier(500_000)
    chance = random.Random(3)
    for number in range(3000):
        tier.put(shelf(f"/{chance.randrange(1500)}", b"x" * chance.randrange(5000)))
        tier.get(key(f"/{number % 50}"))
        assert tier.bytes <= 500_000
    assert tier.bytes == sum(one.cost for one in tier)
    for one in list(tier):
        tier.drop(one.key)
    assert tier.bytes == len(tier) == tier._small_bytes == 0
    assert not tier._small and not tier._main and not tier._digests


@pytest.mark.parametrize("length", [0, 1000, 50_000])
def test_it_counts_what_it_costs(length: int) -> None:
    tier = MemoryTier(1 << 30)
    gc.collect()
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    for number in range(500):
        one = shelf(f"/some/path/{number}", bytes(bytearray(length)))
        variant = next(iter(one.variants.values()))
        assert variant.entry is not None
        # As they come from the wire: every string an object of its own, and the index of names built.
        fields = Fields((bytes(bytearray(b"X-Field-%d" % n)), bytes(bytearray(b"v" * 20))) for n in range(8))
        variant.entry = type(variant.entry)(
            **{name: getattr(variant.entry, name) for name in variant.entry.__slots__ if name != "fields"},
            fields=fields,
        )
        assert b"date" not in fields
        tier.put(one)
    gc.collect()
    real = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert 0.8 * real <= tier.bytes <= 1.5 * real, (real / 500, tier.bytes / 500)


def test_a_scan_does_not_wash_out_what_is_popular() -> None:
    tier = MemoryTier(400_000)
    popular = [f"/popular/{number}" for number in range(40)]
    for _ in range(3):
        for name in popular:
            if tier.get(key(name)) is None:
                tier.put(shelf(name))
    # Ten times what it holds, between two times that they are asked for: of the least recently used none would be left.
    for _ in range(3):
        for number in range(2000):
            tier.put(shelf(f"/scan/{number}"))
        assert 80 < len(tier) < 200
        for name in popular:
            tier.get(key(name))
    assert sum(tier.look(key(name)) is not None for name in popular) == 40


def test_a_newcomer_has_its_time_though_what_is_popular_fills_the_tier() -> None:
    tier = MemoryTier(400_000)
    for number in range(200):
        tier.put(shelf(f"/popular/{number}"))
        tier.get(key(f"/popular/{number}"))
    assert tier.evicted
    tier.put(shelf("/new"))
    assert tier.look(key("/new")) is not None


def test_it_costs_the_same_however_many_there_are() -> None:
    # Operations, not seconds: eviction of one newcomer looks at a bounded number of others on average.
    tier = MemoryTier(3_000_000)
    for number in range(20_000):
        tier.put(shelf(f"/{number}", b""))
    assert len(tier) > 500
    assert tier.evicted + len(tier) == 20_000


def test_what_is_too_large_is_not_held_and_replaces_nothing_by_old() -> None:
    tier = MemoryTier(100_000)
    tier.put(shelf("/a"))
    old = tier.look(key("/a"))
    tier.put(shelf("/a", b"x" * 60_000))
    assert tier.look(key("/a")) is None
    assert old is not None and not old.alive
    MemoryTier(0).put(shelf("/a"))


def test_a_shelf_says_when_it_is_no_longer_held() -> None:
    tier = MemoryTier(1_000_000)
    first = shelf("/a")
    tier.put(first)
    assert [first.alive] == [True]
    second = shelf("/a")
    tier.put(second)
    assert [first.alive, second.alive] == [False, True]
    tier.clear()
    assert [first.alive, second.alive] == [False, False]
    assert len(tier) == 0 and tier.bytes == 0


def test_what_hangs_on_an_entry_is_counted() -> None:
    tier = MemoryTier(1_000_000)
    one = shelf("/a")
    tier.put(one)
    before = tier.bytes
    (variant,) = one.variants.values()
    tier.charge(one, variant, 5000)
    assert tier.bytes == before + 5000
    tier.put(one)
    assert tier.bytes == before + 5000
    tier.drop(one.key)
    assert tier.bytes == 0
    tier.charge(one, variant, 5000)
    assert tier.bytes == 0


def test_the_most_recent_matching_variant_answers() -> None:
    one = Shelf(key(), complete=True)
    one.add(encoded("gzip", NOW, b"gzip"))
    one.add(encoded(None, NOW + 1, b"plain"))
    found = one.find(get(accept_encoding="gzip"), NOW + 2, "memory")
    assert found is not None and found.entry is not None and found.entry.body == (b"gzip",)
    assert found.vary == (b"accept-encoding",)
    found = one.find(get(), NOW + 2, "memory")
    assert found is not None and found.entry is not None and found.entry.body == (b"plain",)
    found = one.find(get(accept_encoding="br"), NOW + 2, "memory")
    assert found is not None and found.entry is None and found.vary == (b"accept-encoding",)
    # RFC 9111 §4.1: an answer that did not vary matches too; the most recent counts.
    one.add(Variant.of(entry(NOW + 3, b"all"), NOW + 100))
    found = one.find(get(accept_encoding="gzip"), NOW + 4, "memory")
    assert found is not None and found.entry is not None and found.entry.body == (b"all",)


def test_at_most_16_variants_the_oldest_goes() -> None:
    one = Shelf(key(), complete=True)
    for number in range(20):
        one.add(encoded(f"coding{number}", NOW + number))
    assert len(one.variants) == 16
    assert one.matching(get(accept_encoding="coding3"), NOW + 21) is None
    assert one.matching(get(accept_encoding="coding4"), NOW + 21) is not None


def test_older_does_not_replace_newer_and_what_was_discarded_does_not_come_back() -> None:
    one = Shelf(key(), complete=True)
    assert one.add(encoded("gzip", NOW + 5, b"new"))
    assert not one.add(encoded("gzip", NOW, b"old"))
    one.discard(NOW + 5)
    assert not one.variants
    assert not one.add(encoded("gzip", NOW + 5, b"in the air"))
    assert one.add(encoded("gzip", NOW + 6, b"fetched since"))


def test_what_is_gone_does_not_answer() -> None:
    one = shelf("/a")
    assert one.matching(get(), NOW + 99) is not None
    assert one.matching(get(), NOW + 100) is None


def test_an_incomplete_shelf_does_not_say_no() -> None:
    one = Shelf(key())
    assert one.find(get(), NOW, "memory") is None
    one.add(encoded("gzip"))
    assert one.find(get(accept_encoding="br"), NOW, "memory") is None
    assert one.find(get(accept_encoding="gzip"), NOW, "memory") is not None


def test_cookie_stands_beside_the_other_markers() -> None:
    one = shelf("/a")
    cookie = Marker(MarkerKind.COOKIE, NOW + 50, "implicit")
    private = Marker(MarkerKind.PRIVATE, NOW + 20, "private")
    one.mark(cookie)
    one.mark(private)
    assert one.marker(NOW) is private
    assert one.marker(NOW + 20) is cookie
    assert one.marker(NOW + 50) is None
