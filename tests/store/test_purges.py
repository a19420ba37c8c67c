"""What a purge covers, and what it leaves: the matching, without Redis."""

from __future__ import annotations

import random

import pytest

from tests.store.samples import entry, get
from txstalecache.http.keys import Key
from txstalecache.store.purges import Hardness, Purge, Purges, Scope

HERE = Key((b"GET", b"example.org", b"/shop/a?x=1"), b"Example.org", b"/shop/a?x=1")


def hard(scope: Scope, when: float) -> Purge:
    return Purge(scope, Hardness.HARD, when)


def soft(scope: Scope, when: float) -> Purge:
    return Purge(scope, Hardness.SOFT, when)


COVERS = [
    Scope.everything(),
    Scope.of_host(b"EXAMPLE.org"),
    Scope.of_prefix(b""),
    Scope.of_prefix(b"/shop/"),
    Scope.of_prefix(b"/shop/a?x=1", b"example.org"),
    Scope.of_url(b"/shop/a?x=1"),
    Scope.of_url(b"/shop/a?x=1", b"Example.ORG"),
    Scope.of_tag(b"blue"),
    Scope.of_variant(b"/shop/a?x=1", {b"Accept-Language": b"de"}),
    Scope.of_variant(b"/shop/a?x=1", {b"Accept-Language": b"de", b"Cookie": None}, b"EXAMPLE.org"),
    Scope.of_variant(b"/shop/a?x=1", {b"X-No-Matter": b"what"}),
]
LEAVES = [
    Scope.of_host(b"example.com"),
    Scope.of_host(b"example.org:8080"),
    Scope.of_prefix(b"/shop/b"),
    Scope.of_prefix(b"/shop/a?x=12"),
    Scope.of_prefix(b"/SHOP"),
    Scope.of_prefix(b"/shop/", b"example.com"),
    Scope.of_url(b"/shop/a"),
    Scope.of_url(b"/shop/a?x=1", b"example.com"),
    Scope.of_tag(b"Blue"),
    Scope.of_tag(b""),
    Scope.of_variant(b"/shop/a?x=1", {b"Accept-Language": b"en"}),
    Scope.of_variant(b"/shop/a?x=1", {b"Accept-Language": None}),
    Scope.of_variant(b"/shop/a?x=1", {b"Accept-Language": b"de"}, b"example.com"),
    Scope.of_variant(b"/shop/a", {b"Accept-Language": b"de"}),
    Scope.of_variant(b"/shop/a?x=1", {b"Accept-Language": b"de", b"Cookie": b"a=b"}),
]
#: What was chosen by these is looked at.
CHOSEN = ((b"accept-language", b"de"), (b"cookie", None))


@pytest.mark.parametrize("scope", COVERS)
def test_what_it_covers_is_gone_if_its_fetch_began_no_later(scope: Scope) -> None:
    purges = Purges()
    purges.add([hard(scope, 100.0)])
    for began, left in ((99.0, False), (100.0, False), (100.000001, True)):
        stored = entry(began, tags=frozenset({b"blue", b"green"}), selector=CHOSEN)
        assert purges.apply(HERE, stored) is (stored if left else None)


@pytest.mark.parametrize("scope", LEAVES)
def test_what_it_does_not_cover_stays_as_it_is(scope: Scope) -> None:
    purges = Purges()
    purges.add([hard(scope, 100.0), soft(scope, 100.0)])
    stored = entry(50.0, tags=frozenset({b"blue", b"green"}), selector=CHOSEN)
    assert purges.apply(HERE, stored) is stored


def test_a_soft_purge_makes_stale_and_the_windows_begin_there() -> None:
    purges = Purges()
    purges.add([soft(Scope.of_tag(b"blue"), 104.0)])
    stored = entry(100.0, lifetime=10.0, keep=5.0, tags=frozenset({b"blue"}))
    left = purges.apply(HERE, stored)
    assert left is not None
    assert left.age(104.0) == pytest.approx(left.freshness.lifetime)
    assert left.freshness.while_revalidate == stored.freshness.while_revalidate
    assert left.expiry(104.0) == pytest.approx(5.0)
    # What was stale before the purge is not made fresher by it.
    late = Purges()
    late.add([soft(Scope.of_tag(b"blue"), 113.0)])
    again = late.apply(HERE, stored)
    assert again is not None and again.freshness.lifetime == 10.0


def test_the_newest_counts_in_whatever_order_they_come() -> None:
    purges = Purges()
    purges.add([hard(Scope.everything(), 100.0)])
    version = purges.version
    purges.add([hard(Scope.everything(), 90.0), hard(Scope.everything(), 100.0)])
    assert purges.version == version
    assert purges.newest(HERE) == (100.0, -1.0)
    purges.add([hard(Scope.everything(), 101.0)])
    assert purges.version > version


def test_records_come_back_from_their_names() -> None:
    for scope in COVERS + LEAVES:
        for record in (hard(scope, 7.0), soft(scope, 7.0)):
            assert Purge.read(record.name(), 7.0) == record
    assert len({hard(scope, 0).name() for scope in {*COVERS, *LEAVES}}) == len({*COVERS, *LEAVES})


def test_a_foreign_name_is_no_record() -> None:
    chance = random.Random(4)
    for junk in [
        None,
        7,
        b"",
        b"!",
        b"!a",
        b"!a0",
        b"!x0:",
        b"?a0:",
        b"!h9:short",
        b"!h-1:x",
        b"!h" + b"9" * 99 + b":",
        b"!v0:",
        b"!v0:./x",
        b"!v0:1:a./x",
        b"!v0:1:a9:b./x",
    ]:
        assert Purge.read(junk, 1.0) is None
    for _ in range(2000):
        Purge.read(chance.randbytes(chance.randrange(20)), 1.0)


def test_values_are_compared_as_variants_are_and_secrets_are_not_written() -> None:
    one = Scope.of_variant(b"/", {b"ACCEPT-ENCODING": b"gzip;q=1,  br", b"Cookie": b"session=secret"})
    other = Scope.of_variant(b"/", {b"cookie": b"session=secret", b"accept-encoding": b"br, GZIP"})
    assert one == other
    assert b"secret" not in hard(one, 1.0).name()
    with pytest.raises(ValueError, match="one field"):
        Scope.of_variant(b"/", {})


def test_a_fetch_is_covered_by_what_it_says() -> None:
    scope = Scope.of_variant(b"/", {b"Accept-Language": b"de", b"Cookie": None})
    assert scope.meant(get("/", accept_language="de"))
    assert not scope.meant(get("/", accept_language="de", cookie="a=b"))
    assert not scope.meant(get("/"))


def test_trimmed_are_those_from_before_anything_that_lives() -> None:
    purges = Purges()
    purges.add([hard(Scope.of_prefix(b"/old"), 10.0), hard(Scope.of_prefix(b"/new"), 20.0)])
    purges.trim(15.0)
    assert len(purges) == 1 and list(purges._lengths) == [4]
    purges.add([hard(Scope.of_variant(b"/", {b"a": b"b"}), 20.0)])
    purges.trim(25.0)
    assert len(purges) == 0 and not purges._lengths and not purges._variants


def test_a_purge_of_everything_leaves_a_later_soft_one_in_force() -> None:
    purges = Purges()
    purges.add([soft(Scope.of_tag(b"blue"), 20.0), hard(Scope.everything(), 10.0)])
    purges.trim(15.0)
    stored = entry(19.0, tags=frozenset({b"blue"}))
    left = purges.apply(HERE, stored)
    assert left is not None and left is not stored


def test_too_many_scopes_purge_more_never_less() -> None:
    purges = Purges()
    purges.MOST = 100
    purges.add([hard(Scope.of_url(b"/%d" % number), float(number)) for number in range(150)])
    assert len(purges) <= 100
    for number in range(150):
        key = Key((b"%d" % number,), b"h", b"/%d" % number)
        assert purges.apply(key, entry(number - 0.5)) is None
    assert purges.apply(HERE, entry(149.5)) is not None


def test_it_costs_the_same_however_much_was_purged() -> None:
    # By the number of scopes looked up, not by the clock: tags, lengths of prefixes and a handful of others.
    purges = Purges()
    purges.add([hard(Scope.of_url(b"/%d" % number), float(number)) for number in range(20_000)])
    purges.add([hard(Scope.of_prefix(b"/%03d" % (number % 1000)), float(number)) for number in range(5000)])
    assert len(purges._lengths) == 1


def test_a_purge_of_everything_makes_what_is_older_superfluous() -> None:
    purges = Purges()
    purges.add([Purge(Scope.of_url(b"/a"), Hardness.SOFT, 5.0), Purge(Scope.of_prefix(b"/b"), Hardness.HARD, 15.0)])
    everything = Purge(Scope.everything(), Hardness.HARD, 10.0)
    purges.add([everything])
    assert set(purges) == {everything, Purge(Scope.of_prefix(b"/b"), Hardness.HARD, 15.0)}
    version = purges.version
    purges.add([Purge(Scope.of_url(b"/a"), Hardness.HARD, 9.0)])
    assert (len(purges), purges.version) == (2, version)
    # A soft one leaves what is gone gone.
    purges.add([Purge(Scope.everything(), Hardness.SOFT, 20.0)])
    assert len(list(purges)) == 3


def test_what_was_said_counts_from_when_it_is_settled() -> None:
    purges = Purges()
    said = Purge(Scope.of_url(b"/a"), Hardness.HARD, 3600.0)
    purges.add([said])
    purges.settle(said, 5.0)
    assert list(purges) == [Purge(said.scope, said.hardness, 5.0)]
    later = Purge(said.scope, said.hardness, 7.0)
    purges.add([later])
    purges.settle(Purge(said.scope, said.hardness, 6.0), 6.5)  # a later one was said meanwhile
    assert list(purges) == [later]
    purges.settle(later, 8.0)
    assert list(purges) == [Purge(said.scope, said.hardness, 8.0)]
