"""Addresses, names, the fleet's clock, the breaker and the wheel."""

from __future__ import annotations

import pytest
from twisted.internet.task import Clock

from tests.store.samples import key
from txstalecache.store.address import parse
from txstalecache.store.breaker import Breaker
from txstalecache.store.clock import FleetClock
from txstalecache.store.layout import Layout, variant_id
from txstalecache.store.wheel import Wheel

# -- addresses


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost", "redis://localhost:6379"),
        ("redis://:s3cret@10.0.0.1:7000/3", "redis://10.0.0.1:7000/3"),
        ("redis://app:s3cret@[::1]:7000", "redis://[::1]:7000"),
        ("rediss://app:s3cret%40%2F@redis.example/0", "rediss://redis.example:6379"),
        ("unix:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis+sentinel://app:s3cret@a,b:7000/main/2", "redis+sentinel://a,b:7000/main/2"),
        ("redis+sentinel://[::1]:7000/main?sentinel_password=s3cret", "redis+sentinel://[::1]:7000/main"),
        ("rediss+sentinel://a/main?sentinel_user=u&sentinel_password=s3cret&ca=/f", "rediss+sentinel://a/main"),
        ("unix://app:s3cret@/run/redis.sock?db=2", "unix:///run/redis.sock"),
    ],
)
def test_an_address_is_shown_without_credentials(url: str, shown: str) -> None:
    address = parse(url)
    assert address.shown == shown
    assert "s3cret" not in repr(address) and "s3cret" not in str(address)


def test_an_address_keeps_what_is_needed() -> None:
    address = parse("rediss://app:s3cret%40%2F@redis.example:1234/5?ca=/etc/ca.pem")
    assert (address.username, address.password, address.db, address.tls) == ("app", "s3cret@/", 5, True)
    assert (address.host, address.port, address.ca) == ("redis.example", 1234, "/etc/ca.pem")
    assert parse("redis://:s3cret@h").username is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:6379",
        "http://h",
        "redis://",
        "redis:///0",
        "redis://h:0",
        "redis://h:99999",
        "redis://h:port",
        "redis://h/name",
        "redis://h/-1",
        "redis://h/1?db=2",
        "redis://h?ca=/x",
        "redis://h?timeout=3",
        "redis://user@h",
        "redis://:s3cret#x@h",
        "redis://[::1",
        "unix://run/redis.sock",
        "unix://",
        "redis+sentinel://a,b",
        "redis+sentinel:///main",
        "redis+sentinel://a,,b/main",
        "redis+sentinel://a:0/main",
        "redis+sentinel://s3cret@a/main",
        "redis+sentinel://:s3cret@a/main/x",
        "redis+sentinel://:s3cret@a/main?db=1",
        "redis+sentinel://a/main?ca=/s3cret",
        "rediss+sentinel://a/main?sentinel_user=s3cret",
    ],
)
def test_a_bad_address_is_one_clear_line_without_credentials(url: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(url)
    message = str(caught.value)
    assert message and "\n" not in message and "s3cret" not in message


def test_an_unreadable_authority_is_said_at_once() -> None:
    from twisted.internet import reactor

    with pytest.raises(ValueError, match="certificate authority"):
        parse("rediss://h?ca=/does/not/exist").endpoint(reactor, 1.0)


# -- names


def test_all_names_of_a_key_have_one_hash_tag() -> None:
    layout, digest = Layout("p:"), key().digest
    names = [
        layout.variant(digest, ()),
        layout.variant(digest, ((b"accept", b"x"),)),
        layout.name(digest, "b:0123:1"),
        layout.lease(digest),
        layout.lease(f"{digest}:0afe"),
        layout.name(digest, "s:0123456789abcdef"),
    ]
    assert {name.split(b"{")[1].split(b"}")[0] for name in names} == {digest.encode()}
    read = [layout.read(name) for name in names]
    assert [one[:2] for one in read if one] == [(digest, letter) for letter in "evblls"]
    assert [one[2] for one in read if one][2:] == ["0123", "", "0afe", "0123456789abcdef"]
    assert len(set(names)) == len(names)


def test_names_of_others_are_not_ours() -> None:
    layout = Layout("p:")
    for name in (b"q:v1:{ab}:e", b"p:v2:{ab}:e", b"p:v1:probe", b"p:v1:{..}:e", b"", b"\xff\xfe"):
        assert layout.read(name) is None


@pytest.mark.parametrize("prefix", ["{x}", "a b", "a\r\nb", "é", "x" * 65, "}"])
def test_a_prefix_that_would_break_names_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        Layout(prefix)


def test_variants_do_not_collide() -> None:
    selectors = [
        ((b"a", None),),
        ((b"a", b""),),
        ((b"a", b"-"),),
        ((b"ab", b"c"),),
        ((b"a", b"bc"),),
        ((b"a", b"b"), (b"c", b"d")),
        ((b"a", b"b1:c1:d"),),
    ]
    assert len({variant_id(selector) for selector in selectors}) == len(selectors)


# -- the clock


def test_the_fleets_time_is_redis_time_not_the_hosts() -> None:
    clock = Clock()
    clock.advance(50)
    fleet = FleetClock(clock.seconds, lambda: 1_000_000.0)
    assert fleet.now() == 1_000_000.0
    fleet.measured(2_000_000.5, 50.0, 50.0)
    assert fleet.now() == 2_000_000.5
    clock.advance(10)
    assert fleet.now() == 2_000_010.5


def test_a_sharp_measurement_is_not_replaced_by_a_vague_one_that_agrees() -> None:
    clock = Clock()
    fleet = FleetClock(clock.seconds, lambda: 0.0)
    fleet.measured(100.0, 0.0, 0.001)
    before = fleet.now()
    fleet.measured(100.3, 0.0, 1.0)
    assert fleet.now() == before
    # But one that contradicts it is the truth: another Redis took over.
    fleet.measured(5000.0, 0.0, 1.0)
    assert abs(fleet.now() - 5000) < 1


def test_a_sharper_measurement_stops_the_fleets_time_and_does_not_turn_it_back() -> None:
    clock = Clock()
    fleet = FleetClock(clock.seconds, lambda: 0.0)
    fleet.measured(100.1, 0.0, 0.1)
    stored = fleet.now()
    fleet.measured(100.01, 0.0, 0.001)  # the first answer was long in coming: it was later than it seemed
    assert fleet.now() == stored == fleet.mark() < fleet.now()
    clock.advance(1)
    assert abs(fleet.now() - 101.0095) < 0.001


def test_a_clock_that_was_no_measurement_of_the_fleets_time_is_not_waited_for() -> None:
    fleet = FleetClock(Clock().seconds, lambda: 3700.0)
    fleet.measured(100.0, 0.0, 0.001)
    assert abs(fleet.now() - 100) < 1


def test_what_begins_after_a_mark_is_later_even_if_no_time_passes() -> None:
    fleet = FleetClock(Clock().seconds, lambda: 1_795_000_000.0)
    marked = fleet.mark()
    assert fleet.now() > marked
    assert fleet.mark() < fleet.now()


# -- the breaker


def test_what_is_known_to_be_over_is_before_now() -> None:
    clock = FleetClock(lambda: 100.0, lambda: 1000.0)
    clock.passed(1000.5)
    assert 1000.5 < clock.now() < 1000.6
    clock.passed(1000.2)
    assert clock.now() > 1000.5
    clock.passed(4600.0)  # no clock that was measured is so wrong: that is somebody else's
    assert clock.now() < 1001


def test_five_failures_in_five_seconds_open_it_and_one_answer_closes_it() -> None:
    breaker = Breaker()
    assert [breaker.failed(now) for now in (0, 1, 2, 3)] == [False] * 4
    assert [breaker.failed(4), breaker.open] == [True, True]
    breaker.succeeded()
    assert [breaker.open] == [False]
    assert [breaker.failed(now) for now in (10, 11, 12, 13, 15.5)] == [False] * 5
    assert breaker.failed(15.6)


def test_an_answer_in_between_starts_the_count_anew() -> None:
    breaker = Breaker()
    for now in range(4):
        breaker.failed(now)
    breaker.succeeded()
    assert not any(breaker.failed(4 + n / 10) for n in range(4))


# -- the wheel


def test_each_runs_out_once_in_its_time() -> None:
    clock = Clock()
    wheel, out = Wheel(clock), list[str]()
    wheel.add(1.0, lambda: out.append("late"))
    wheel.add(0.25, lambda: out.append("early"))
    wheel.add(0.25, lambda: out.append("too"))
    clock.pump([0.01] * 24)
    assert out == []
    clock.pump([0.01] * 5)
    assert out == ["early", "too"]
    clock.pump([0.01] * 80)
    assert out == ["early", "too", "late"]
    assert not clock.getDelayedCalls()


def test_one_timer_however_many() -> None:
    clock = Clock()
    wheel = Wheel(clock)
    for number in range(1000):
        wheel.add(0.25 + number / 1000, lambda: None)
    assert len(clock.getDelayedCalls()) == 1
    wheel.stop()
    assert not clock.getDelayedCalls()


def test_what_runs_out_may_add_another() -> None:
    clock, out = Clock(), list[float]()
    wheel = Wheel(clock)

    def again() -> None:
        out.append(clock.seconds())
        if len(out) < 3:
            wheel.add(0.1, again)

    wheel.add(0.1, again)
    clock.pump([0.01] * 60)
    assert len(out) == 3 and not clock.getDelayedCalls()


def test_what_is_added_while_others_run_out_does_not_hold_up_those_that_are_next() -> None:
    clock, out = Clock(), list[str]()
    wheel = Wheel(clock)
    wheel.add(0.1, lambda: wheel.add(1.0, lambda: out.append("last")))
    wheel.add(0.2, lambda: out.append("next"))
    clock.pump([0.01] * 25)
    assert out == ["next"]
    wheel.stop()


def test_a_host_clock_set_back_makes_nothing_wait_for_as_long() -> None:
    clock, out = Clock(), list[str]()
    clock.advance(10_000)
    wheel = Wheel(clock)
    wheel.add(0.25, lambda: out.append("out"))
    (timer,) = clock.getDelayedCalls()
    clock.rightNow -= 3600  # the reactor's timers are kept in the same clock
    timer.reset(0)
    clock.advance(0)
    assert out == ["out"]
    wheel.stop()
