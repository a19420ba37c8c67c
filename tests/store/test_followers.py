"""Who reads in other processes: what all have read may go, the slowest is waited for, one that hardly reads is not."""

from __future__ import annotations

from txstalecache.store.followers import Followers

SIZE = 1000
MOST = 10 * SIZE


def followers(records: int, min_rate: int = 600) -> Followers:
    made = Followers(MOST, SIZE)
    made.min_rate = min_rate
    for _ in range(records):
        made.wrote(SIZE - made.RECORD)
    return made


def test_what_all_have_read_may_go_and_nothing_else() -> None:
    some = followers(8)
    assert (some.first, some.number, some.unread) == (1, 8, 8 * SIZE)
    assert some.look({b"a": 0, b"b": 5}, 0.0)
    assert (some.first, some.unread) == (1, 8 * SIZE)
    assert some.look({b"a": 3, b"b": 5}, 1.0)
    assert (some.first, some.number, some.unread) == (4, 8, 5 * SIZE)
    assert some.look({b"a": 8, b"b": 8}, 2.0)
    assert (some.first, some.number, some.unread) == (9, 8, 0)
    some.wrote(SIZE - some.RECORD)
    assert (some.number, some.unread) == (9, SIZE)


def test_a_position_that_cannot_be_harms_nobody() -> None:
    some = followers(8)
    assert some.look({b"a": 99}, 0.0) and some.unread == 0
    assert some.look({b"a": 2}, 1.0) and (some.first, some.unread) == (9, 0)


def test_where_nobody_reads_that_is_said() -> None:
    assert not followers(8).look({}, 0.0)


def test_one_below_min_rate_is_left_behind_while_others_are_quicker() -> None:
    some = followers(10)
    assert some.look({b"slow": 0, b"quick": 10}, 0.0)
    assert some.look({b"slow": 0, b"quick": 10}, 1.9) and some.first == 1
    assert some.look({b"slow": 0, b"quick": 10}, 2.0) and some.first == 11
    assert some.look({b"slow": 4, b"quick": 10}, 3.0)  # it is not waited for again
    assert not some.look({b"slow": 4}, 4.0)


def test_one_at_min_rate_is_waited_for() -> None:
    some = followers(40, min_rate=500)
    for tenth in range(200):
        assert some.look({b"steady": tenth // 19, b"quick": 40}, tenth / 10)
    assert some.first == 11


def test_where_all_are_slow_nobody_is_left_behind_unless_it_has_died() -> None:
    some = followers(10)
    assert some.look({b"a": 0, b"b": 1}, 0.0)
    assert some.look({b"a": 0, b"b": 1}, 20.0)
    assert some.look({b"a": 0, b"b": 2}, 29.0)
    assert some.look({b"a": 0, b"b": 2}, 30.0) and some.first == 3
    assert some.look({b"b": 2}, 58.0)
    assert not some.look({b"b": 2}, 59.0)


def test_where_somebody_in_the_same_process_is_held_up_all_who_are_slow_are_left_behind() -> None:
    some = followers(10)
    assert some.look({b"a": 0, b"b": 1}, 0.0)
    some.pressed = True
    assert some.look({b"a": 0, b"b": 1}, 1.0)
    assert some.look({b"a": 0, b"b": 1}, 3.0)
    some.pressed = True
    assert not some.look({b"a": 0, b"b": 1}, 3.1)
