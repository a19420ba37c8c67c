"""What purges and discards leave of what comes from anywhere."""

from __future__ import annotations

import pytest

from tests.store.samples import entry, get, key
from txstalecache.store.epochs import Epochs
from txstalecache.store.purges import Hardness, Purge, Purges, Scope


def epochs(*records: Purge) -> Epochs:
    made = Epochs(Purges())
    made.purges.add(records)
    return made


def test_what_began_at_or_before_a_discard_is_outdated_and_nothing_is_left_of_it() -> None:
    made = epochs()
    assert not made.outdated(key(), 0.0)
    made.discard(key(), 100.0)
    assert made.outdated(key(), 100.0) and not made.outdated(key(), 100.5)
    assert made.left(key(), entry(100.0)) is None
    later = entry(100.5)
    assert made.left(key(), later) is later
    assert not made.outdated(key("/b"), 1.0)


def test_the_later_of_a_discard_and_a_purge_counts() -> None:
    made = epochs(Purge(Scope.of_url(b"/a"), Hardness.HARD, 200.0))
    made.discard(key(), 100.0)
    assert made.outdated(key(), 150.0) and not made.outdated(key(), 250.0)
    made.discard(key(), 300.0)
    assert made.outdated(key(), 250.0)
    assert made.discarded(key()) == 300.0
    # A discard is told to Redis by itself: it is no part of what leases are named after.
    assert made.epoch(key()) == 200.0


def test_purges_of_tags_and_variants_count_for_whom_they_cover() -> None:
    gzip = Scope.of_variant(b"/a", {b"Accept-Encoding": b"gzip"})
    made = epochs(Purge(Scope.of_tag(b"blue"), Hardness.HARD, 100.0), Purge(gzip, Hardness.SOFT, 100.0))
    assert made.outdated(key("/b"), 50.0, (b"blue",)) and not made.outdated(key("/b"), 50.0, (b"red",))
    assert made.epoch(key(), get(accept_encoding="gzip")) == 100.0
    assert made.epoch(key(), get(accept_encoding="br")) < 0


def test_a_discard_by_a_clock_that_was_ahead_counts_from_when_it_is_known() -> None:
    made = epochs()
    made.discard(key(), 5000.0)
    made.settle(key(), 100.0)
    assert not made.outdated(key(), 200.0)


def test_discards_are_remembered_for_as_long_as_a_fetch_may_take_and_so_many() -> None:
    made = epochs()
    made.discard(key("/old"), 100.0)
    made.discard(key(), 100.0 + Epochs.REMEMBER - 1)
    assert made.outdated(key("/old"), 100.0)
    made.discard(key(), 100.0 + Epochs.REMEMBER + 1)
    assert not made.outdated(key("/old"), 100.0)


def test_the_oldest_of_too_many_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Epochs, "MOST", 2)
    made = epochs()
    for number, name in enumerate(("/a", "/b", "/a", "/c")):
        made.discard(key(name), 100.0 + number)
    assert [made.discarded(key(name)) > 0 for name in ("/a", "/b", "/c")] == [True, False, True]
