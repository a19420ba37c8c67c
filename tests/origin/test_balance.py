"""Several servers as one origin: who is asked, who is left alone, and what is asked again elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.origin.test_upload import Whole
from tests.support.held_origin import HeldOrigin
from tests.support.sink import origin_request
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.origin.balance import by_hash, least_connections, round_robin
from txstalecache.origin.group import Member, OriginGroup, Rewrite
from txstalecache.origin.health import Health, HealthCheck
from txstalecache.origin.interfaces import Fault, IOrigin, OriginError


@dataclass(eq=False)
class Server:
    name: str
    weight: int = 1
    busy: int = 0
    turn: int = 0


class Group:
    """Two held origins behind one group, on a clock."""

    def __init__(self, count: int = 2, **options: Any) -> None:
        self.clock = Clock()
        self.origins = [HeldOrigin() for _ in range(count)]
        self.members = [
            Member(f"s{number}", origin, Health(self.clock, f"s{number}", 2, 10.0))
            for number, origin in enumerate(self.origins)
        ]
        self.group = OriginGroup(self.members, **options)

    def fetch(self, *arguments: Any) -> list[Any]:
        """The outcome, once there is one."""
        outcome: list[Any] = []
        done: Deferred[Any] = self.group.fetch(origin_request(*arguments))
        done.addBoth(outcome.append)
        return outcome

    @property
    def asked(self) -> list[int]:
        return [len(origin.requests) for origin in self.origins]


def test_a_group_is_an_origin() -> None:
    assert verifyObject(IOrigin, Group().group)


def test_round_robin_follows_the_weights_and_mixes_evenly() -> None:
    servers = [Server("a", 3), Server("b", 1)]
    turns = "".join(round_robin(servers, b"").name for _ in range(8))
    assert Counter(turns) == {"a": 6, "b": 2}
    assert "bb" not in turns and "aaaa" not in turns


def test_least_connections_takes_the_least_busy_for_its_weight() -> None:
    a, b = Server("a", 1, busy=2), Server("b", 4, busy=4)
    assert least_connections([a, b], b"") is b
    b.busy = 12
    assert least_connections([a, b], b"") is a
    a.busy = b.busy = 0
    assert {least_connections([a, b], b"").name for _ in range(5)} == {"a", "b"}


def test_a_hash_stays_and_only_the_share_of_a_lost_server_moves() -> None:
    servers = [Server("a"), Server("b"), Server("c", 2)]
    keys = [b"%d" % number for number in range(2000)]
    before = {key: by_hash(servers, key).name for key in keys}
    assert before == {key: by_hash(servers, key).name for key in keys}
    shares = Counter(before.values())
    assert 400 < shares["a"] < 600 and 850 < shares["c"] < 1150
    after = {key: by_hash([servers[0], servers[2]], key).name for key in keys}
    assert {key for key in keys if before[key] != after[key]} == {key for key in keys if before[key] == "b"}


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.CONNECT_TIMEOUT, Fault.RESET, Fault.OVERLOADED])
def test_a_get_without_an_answer_is_sent_to_one_other_server_and_no_further(fault: Fault) -> None:
    group = Group(3)
    outcome = group.fetch("GET", "/")
    first = group.asked.index(1)
    group.origins[first].fail(0, fault)
    assert sum(group.asked) == 2
    second = next(number for number in range(3) if number != first and group.asked[number])
    group.origins[second].fail(0, fault)
    assert sum(group.asked) == 2
    assert isinstance(outcome[0].value, OriginError)


def test_a_server_that_is_not_well_is_not_asked_because_another_has_too_much_to_do() -> None:
    group = Group()
    group.members[1].health.checked("no answer")
    outcome = group.fetch("GET", "/")
    group.origins[0].fail(0, Fault.OVERLOADED)
    assert group.asked == [1, 0]
    assert outcome[0].value.fault is Fault.OVERLOADED  # 503, and not what a server says that is down


@pytest.mark.parametrize(("method", "fault"), [("POST", Fault.RESET), ("GET", Fault.TIMEOUT)])
def test_what_may_have_been_done_already_is_not_sent_again(method: str, fault: Fault) -> None:
    group = Group()
    outcome = group.fetch(method, "/")
    group.origins[group.asked.index(1)].fail(0, fault)
    assert sum(group.asked) == 1 and outcome


@pytest.mark.parametrize("fault", [Fault.UNREACHABLE, Fault.CONNECT_TIMEOUT])
def test_what_was_never_sent_is_sent_elsewhere_whatever_it_is(fault: Fault) -> None:
    group = Group()
    outcome = group.fetch("POST", "/", (), Whole(b"body"))
    first = group.asked.index(1)
    group.origins[first].fail(0, fault)
    assert group.asked == [1, 1]
    group.origins[1 - first].answer(0)
    assert outcome[0].head.status == 200


def test_without_retry_nothing_is_sent_again() -> None:
    group = Group(retry=False)
    group.fetch("GET", "/")
    group.origins[group.asked.index(1)].fail(0, Fault.UNREACHABLE)
    assert sum(group.asked) == 1


def test_a_server_that_fails_is_left_alone_for_a_while_and_then_tried() -> None:
    group = Group(retry=False)
    bad, good = group.origins
    for _ in range(4):
        group.fetch("GET", "/")
    for number in range(2):
        bad.fail(number, Fault.UNREACHABLE)
        good.answer(number)
    for _ in range(4):
        group.fetch("GET", "/")
    assert group.asked == [2, 6]
    group.clock.advance(10.5)
    for _ in range(2):
        group.fetch("GET", "/")
    assert group.asked == [3, 7]


def test_when_none_is_well_all_are_tried() -> None:
    group = Group(retry=False)
    for member in group.members:
        member.health.checked("it answers 503")
    for _ in range(4):
        group.fetch("GET", "/")
    assert group.asked == [2, 2]


def test_answers_that_count_as_failures_take_a_server_out_and_any_other_answer_starts_over() -> None:
    group = Group(retry=False, fail_statuses=frozenset({503}))
    bad, good = group.origins
    for number, status in enumerate([503, 404, 503, 503]):
        for _ in range(2):
            group.fetch("GET", "/")
        assert group.members[0].health.well
        bad.answer(number, status)
        good.answer(number)
    assert not group.members[0].health.well
    for _ in range(4):
        group.fetch("GET", "/")
    assert group.asked == [4, 8]


def test_what_answers_when_none_is_well_is_well_again() -> None:
    group = Group(retry=False)
    for member in group.members:
        member.health.failed("refused")
        member.health.failed("refused")
    group.fetch("GET", "/")
    answering = group.asked.index(1)
    group.origins[answering].answer(0)
    assert [member.health.well for member in group.members] == [number == answering for number in range(2)]
    for _ in range(3):
        group.fetch("GET", "/")
    assert group.asked[answering] == 4


def test_an_answer_to_what_was_asked_before_a_server_failed_does_not_make_it_well() -> None:
    group = Group(count=1, retry=False)
    for _ in range(3):
        group.fetch("GET", "/")
    for number in range(2):
        group.origins[0].fail(number, Fault.UNREACHABLE)
    group.origins[0].answer(2)
    assert not group.members[0].health.well


def test_one_server_is_asked_for_what_had_better_meet_again_whatever_its_target() -> None:
    group = Group(choose=by_hash)
    for number in range(8):
        group.group.fetch(replace(origin_request("GET", f"/{number}"), affinity=b"one"))
    assert sorted(group.asked) == [0, 8]


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What was logged about servers."""
    lines: list[str] = []

    @implementer(ILogObserver)
    def observer(event: LogEvent) -> None:
        if str(event.get("log_namespace", "")).startswith("txstalecache.origin.health."):
            lines.append(formatEvent(event))

    globalLogPublisher.addObserver(observer)
    yield lines
    globalLogPublisher.removeObserver(observer)


def test_what_becomes_of_a_server_is_said_once(said: list[str]) -> None:
    clock = Clock()
    health = Health(clock, "one", 2, 10.0)
    for _ in range(4):
        health.failed("it answers 503")
    health.recovered()
    health.recovered()
    assert said == ["one has failed 2 times and is left alone for 10 s at a time (it answers 503)", "one answers again"]
    for why in ("refused", "refused", "", ""):
        health.checked(why)
    assert said[2:] == ["one is not well (refused)", "one is well again"]


def test_a_server_that_is_away_for_days_is_said_to_be_away_once_and_to_be_back_once(said: list[str]) -> None:
    clock = Clock()
    health = Health(clock, "one", 2, 10.0)
    for _ in range(100):
        health.failed("refused")
        clock.advance(10)
    health.succeeded()
    health.succeeded()
    assert said == ["one has failed 2 times and is left alone for 10 s at a time (refused)", "one answers again"]
    for _ in range(2):
        health.failed("refused")
    health.succeeded()  # to what it was asked before
    assert len(said) == 3
    health.checked("")
    assert said[3:] == ["one answers again"]


def test_the_last_server_is_asked_however_it_fails() -> None:
    group = Group(retry=False, fail_statuses=frozenset({503}))
    for _ in range(10):
        before = group.asked
        group.fetch("GET", "/")
        chosen = 0 if group.asked[0] > before[0] else 1
        group.origins[chosen].answer(before[chosen], 503)
    assert not any(member.health.well for member in group.members)
    assert sum(group.asked) == 10 and min(group.asked) >= 4


def test_what_is_idempotent_and_has_no_body_is_sent_again() -> None:
    for method, times in (("OPTIONS", 2), ("DELETE", 2), ("POST", 1), ("PATCH", 1)):
        group = Group()
        group.fetch(method, "/")
        group.origins[group.asked.index(1)].fail(0, Fault.RESET)
        assert sum(group.asked) == times, method


def test_a_health_check_takes_a_server_out_and_brings_it_back() -> None:
    clock, said, asked = Clock(), list[str](), list[Deferred[str]]()

    async def ask() -> str:
        asked.append(Deferred())
        return await asked[-1]

    check = HealthCheck(clock, ask, said.append, 5.0, 2.0)
    asked[0].callback("")
    for number, why in ((1, "it answers 503"), (2, "it answers 500"), (3, "")):
        clock.advance(5)
        asked[number].callback(why)
    assert said == ["", "it answers 500", ""]  # one bad answer alone says nothing
    clock.advance(5)
    asked[4].errback(OSError("refused"))
    clock.advance(5)
    clock.advance(2)  # no answer in time
    assert said == ["", "it answers 500", "", "no answer within 2 s"]
    clock.advance(3)
    asked[6].errback(OSError("refused"))
    assert said[4:] == ["refused"]
    clock.advance(5)
    check.close()
    assert len(asked) == 8 and len(said) == 5
    assert not clock.getDelayedCalls()


def test_a_request_is_rewritten_as_the_group_says() -> None:
    def sent(target: bytes, **how: Any) -> RequestHead:
        return Rewrite(**how)(RequestHead(b"GET", target, Fields([(b"Host", b"a")]), b"http", b"a"))

    assert sent(b"/api/x?y", strip_prefix=b"/api").target == b"/x?y"
    assert sent(b"/api", strip_prefix=b"/api/").target == b"/"
    assert sent(b"/api?y", strip_prefix=b"/api").target == b"/?y"
    assert sent(b"/apix", strip_prefix=b"/api").target == b"/apix"
    assert sent(b"/x", add_prefix=b"/v1/").target == b"/v1/x"
    head = sent(b"/x", host=b"inner")
    assert (head.fields.get(b"host"), head.authority) == (b"inner", b"inner")
