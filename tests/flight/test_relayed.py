"""A flight passes on what another process fetches, while it comes: two registries over one real Redis."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet import reactor as installed
from twisted.internet.defer import Deferred, fail

from tests.flight.test_flight import CACHEABLE, PRIVATE, Seat
from tests.store.conftest import MakeStore
from tests.store.samples import entry
from tests.store.waiting import heard, pause, until
from tests.support.async_test import async_test
from tests.support.held_origin import HeldOrigin, HeldResponse
from tests.support.redis import RedisServer
from txstalecache.flight.clocks import Clocks
from txstalecache.flight.landing import Alone, Attached, Failed, Regroup, Settled
from txstalecache.flight.plan import Plan
from txstalecache.flight.registry import Registry
from txstalecache.http.forward import shared
from txstalecache.http.keys import Key
from txstalecache.http.messages import Fields, RequestHead
from txstalecache.http.rules import Rules
from txstalecache.origin.interfaces import Fault, OriginError
from txstalecache.store.purges import Scope
from txstalecache.store.relay import LIFE

KEY = Key((b"k",))
RELAYED = "hs"
#: Fresh by heuristics only.
MODIFIED = [(b"Last-Modified", b"Mon, 01 Jan 2024 00:00:00 GMT")]
#: Shared, and not stored.
FOR_THOSE_WHO_WAIT = [(b"Cache-Control", b"public, max-age=0")]


#: Stale when it comes, and good enough for who comes later.
GONE_STALE = [(b"Cache-Control", b"max-age=5, stale-while-revalidate=60"), (b"Age", b"6")]


class Process:
    """What one process of a fleet has, with an origin in the test's hands."""

    def __init__(self, backend: Any) -> None:
        self.backend = backend
        self.store = backend.store
        self.origin = HeldOrigin()
        self.registry = Registry(installed, self.origin, backend.store, backend.leases)

    def join(self, *fields: tuple[bytes, bytes], method: bytes = b"GET", **more: Any) -> Any:
        head = RequestHead(method, b"/x", Fields(((b"Host", b"h"), *fields)), b"http", b"h")
        fetch = RequestHead(method, b"/x", shared(head, frozenset(more.get("names", ())), Fields()), b"http", b"h")
        seat = more.pop("seat", Seat)
        plan = Plan(key=KEY, request=head, fetch=fetch, rules=more.pop("rules", Rules()), **more)
        return seat(self.registry.join(plan)[0])

    def refresh(self, **more: Any) -> None:
        """Fetch, behind everybody's back, what is to take the place of a stale entry."""
        head = RequestHead(b"GET", b"/x", Fields(((b"Host", b"h"),)), b"http", b"h")
        self.registry.refresh(
            Plan(key=KEY, request=head, fetch=head, rules=Rules(), entry=entry(self.store.now() - 90.0), **more)
        )

    @property
    def asked(self) -> int:
        return len(self.origin.requests)


class Counting(Seat):
    """Takes as much as comes, and keeps none of it."""

    taken = 0

    def write(self, data: bytes) -> None:
        self.taken += len(data)


class Steady(Counting):
    """Takes ``rate`` bytes a second."""

    rate = 6_000_000
    left = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.reader is not None:
            self.reader.pauseProducing()
            if self.rate:
                installed.callLater(len(data) / self.rate, self._go_on)

    def _go_on(self) -> None:
        if self.reader is not None and not self.ended and not self.left:
            self.reader.resumeProducing()

    def leave(self) -> None:
        self.left = True
        super().leave()


class Stuck(Steady):
    """Takes the first piece, and no more."""

    rate = 0


async def pour(response: HeldResponse, mebibytes: int, redis: RedisServer | None = None) -> int:
    """Send so much, as fast as it is taken, and the end; the most bytes that lay in ``redis`` of it at one time."""
    most = 0
    for number in range(16 * mebibytes):
        await until(lambda: not response.paused, 40)
        response.send(bytes(65536))
        if number % 16 == 0:
            await pause(0)
            if redis is not None:
                most = max([most, *(redis.command("MEMORY", "USAGE", name) or 0 for name in names(redis, "s"))])
    response.end()
    return most


@pytest.fixture
def processes(make_store: MakeStore) -> Any:
    async def pair(redis: RedisServer, count: int = 2) -> list[Process]:
        return [Process(await make_store(redis.url)) for _ in range(count)]

    return pair


def names(redis: RedisServer, letters: str) -> list[bytes]:
    found = redis.command("KEYS", "test:v1:{*")
    return [name for name in found if name.split(b"}:")[1][:1].decode() in letters]


async def watched(
    here: Process, there: Process, redis: RedisServer, *fields: tuple[bytes, bytes], **more: Any
) -> tuple[Any, Any]:
    """A client in each process, the one ``there`` waiting for what the one ``here`` fetches."""
    before = here.asked
    first = here.join(**more)
    await until(lambda: here.asked == before + 1)
    second = there.join(*fields, **more)
    await until(lambda: names(redis, "w"))
    return first, second


async def over(*all_of_them: Process) -> None:
    await until(lambda: not any(one.registry.flights for one in all_of_them))


@async_test
async def test_each_chunk_is_passed_on_before_the_next_one_is_there(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    first, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, CACHEABLE, length=12)
    await until(lambda: isinstance(second.landing, Attached))
    assert second.landing.head == response.head and second.landing.length is None  # no Content-Length field said so
    for number in range(1, 5):
        response.send(b"%03d" % number)
        await until(lambda: second.data == first.data)
        assert len(first.data) == 3 * number
    assert not second.ended
    response.end()
    await until(lambda: second.ended == "delivered")
    await over(here, there)
    assert there.asked == 0
    assert not names(shared_redis, "h")  # nobody begins to read now: the entry is there


@async_test
async def test_who_comes_late_reads_from_the_start_and_a_crowd_reads_once(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    first = here.join()
    await until(lambda: here.asked == 1)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"x" * 300_000)
    await pause(0.05)
    assert first.data and not names(shared_redis, RELAYED)  # nobody asked: nothing is written
    late = [there.join() for _ in range(20)]
    await until(lambda: all(len(seat.data) == 300_000 for seat in late))
    later = there.join()
    assert len(later.data) == 300_000  # its own process has it all
    response.send(b"end")
    response.end()
    await until(lambda: all(seat.ended == "delivered" for seat in [*late, later]))
    assert {seat.data for seat in [*late, later]} == {b"x" * 300_000 + b"end"}
    assert there.asked == 0
    await over(here, there)
    found = await there.store.lookup(KEY, RequestHead(b"GET", b"/x", Fields()))
    assert found.entry is not None and found.entry.length == 300_003


@pytest.mark.parametrize(("method", "body"), [(b"GET", b"body"), (b"HEAD", b"")])
@async_test
async def test_what_comes_all_at_once_and_is_not_stored_reaches_those_who_wait_elsewhere(
    one_redis_server: RedisServer, processes: Any, method: bytes, body: bytes
) -> None:
    here, there = await processes(one_redis_server)

    async def delivered(seat: Seat) -> None:
        await until(lambda: seat.ended == "delivered")

    for number in range(5):
        first, second = await watched(here, there, one_redis_server, method=method)
        response = here.origin.answer(number, 200, [*FOR_THOSE_WHO_WAIT, (b"Content-Length", b"4")])
        response.send(body)
        response.end()
        await delivered(second)
        assert first.data == second.data == body
        assert second.landing.head.fields.get(b"content-length") == b"4"
        await over(here, there)
        assert there.asked == 0
        one_redis_server.command("FLUSHALL")  # nothing of those who waited is left for the next ones


@async_test
async def test_what_is_cut_is_cut_everywhere(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    first, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    response.cut()
    await until(lambda: second.ended == "cut")
    assert first.ended == "cut"
    # The origin has failed once, in the process that asked it.
    assert [sum(process.registry.figures.faults.values()) for process in (here, there)] == [1, 0]
    await over(here, there)
    assert there.asked == 0


@async_test
async def test_a_relay_that_falls_silent_is_cut(one_redis_server: RedisServer, processes: Any) -> None:
    here, there = await processes(one_redis_server)
    _, second = await watched(here, there, one_redis_server)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    for name in names(one_redis_server, "hs"):
        assert 0 < one_redis_server.command("PTTL", name) <= LIFE * 1000  # gone by itself if its sender is
        one_redis_server.command("DEL", name)
    await until(lambda: second.ended == "cut")
    response.end()
    await over(here, there)


@async_test
async def test_a_relay_is_kept_while_its_sender_lives(one_redis_server: RedisServer, processes: Any) -> None:
    here, there = await processes(one_redis_server)
    _, second = await watched(here, there, one_redis_server)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    (stream,) = names(one_redis_server, "s")
    one_redis_server.command("PEXPIRE", stream, 3000)
    await until(lambda: one_redis_server.command("PTTL", stream) > 4000)  # told each third of 5 s
    response.end()
    await until(lambda: second.ended == "delivered")
    await over(here, there)


@pytest.mark.parametrize("record", [("99-0", "d", "later"), ("2-0", "d", "x", "y", "z"), ("2-1", "d", "x")])
@async_test
async def test_a_gap_or_rubbish_in_the_stream_is_not_passed_on(
    shared_redis: RedisServer, processes: Any, record: tuple[str, ...]
) -> None:
    here, there = await processes(shared_redis)
    _, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    (stream,) = names(shared_redis, "s")
    shared_redis.command("XADD", stream, *record)
    await until(lambda: second.ended == "cut")
    assert second.data == b"some"
    response.end()
    await over(here, there)


@async_test
async def test_less_than_was_announced_is_cut(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    _, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, [*CACHEABLE, (b"Content-Length", b"8")], length=8)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    response.end()  # not what an origin's response does, but what a stream might
    await until(lambda: second.ended == "cut")
    await over(here, there)


@pytest.mark.parametrize("fields", [PRIVATE, [*CACHEABLE, (b"Set-Cookie", b"a=b")], [(b"Cache-Control", b"no-store")]])
@async_test
async def test_what_is_private_never_leaves_the_process(shared_redis: RedisServer, processes: Any, fields: Any) -> None:
    here, there = await processes(shared_redis)
    _, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, fields)
    response.send(b"secret")
    await until(lambda: second.landing is not None)
    assert isinstance(second.landing, Alone) and not names(shared_redis, RELAYED)
    response.end()
    await over(here, there)


@pytest.mark.parametrize(("fields", "expected"), [(MODIFIED, Alone), (CACHEABLE, Attached)])
@async_test
async def test_a_cookie_takes_only_what_is_explicitly_for_everybody(
    shared_redis: RedisServer, processes: Any, fields: Any, expected: Any
) -> None:
    cookie = (b"Cookie", b"session=1")
    here, there = await processes(shared_redis)
    _, second = await watched(here, there, shared_redis, cookie)
    response = here.origin.answer(0, 200, fields)
    response.send(b"body")
    await until(lambda: second.landing is not None)
    assert isinstance(second.landing, expected)
    response.end()
    await over(here, there)


@async_test
async def test_a_cookie_behind_others_does_not_take_what_another_process_has_stored(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    _, plain = await watched(here, there, shared_redis)
    named = there.join((b"Cookie", b"session=1"))
    response = here.origin.answer(0, 200, MODIFIED)
    response.send(b"body")
    response.end()  # in one turn: it is stored rather than relayed
    await until(lambda: isinstance(plain.landing, Settled) or plain.data == b"body")
    await until(lambda: named.landing is not None)
    assert named.landing == Alone("cookie")
    await over(here, there)
    assert there.asked == 0


@async_test
async def test_an_answer_chosen_by_a_field_goes_to_those_who_sent_the_same(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    accept = (b"Accept", b"text/html")
    first = here.join(accept)
    await until(lambda: here.asked == 1)
    same, other = there.join(accept), there.join((b"Accept", b"text/plain"))
    await until(lambda: names(shared_redis, "w"))
    response = here.origin.answer(0, 200, [*CACHEABLE, (b"Vary", b"Accept")])
    response.send(b"html")
    await until(lambda: same.data == b"html")
    assert other.landing == Regroup((b"accept",))
    response.end()
    await until(lambda: first.ended == same.ended == "delivered")
    await over(here, there)


@async_test
async def test_for_those_who_wait_only_is_not_for_those_who_come_later(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there, elsewhere = await processes(shared_redis, 3)
    _, second = await watched(here, there, shared_redis)
    await pause(0.1)  # by both clocks it waited before the head came
    response = here.origin.answer(0, 200, [(b"Cache-Control", b"public, max-age=0")])
    response.send(b"now")
    await until(lambda: second.data == b"now")
    late = elsewhere.join()
    await until(lambda: elsewhere.asked == 1)  # and does not wait until the others have all of it
    elsewhere.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: late.ended == "delivered")
    assert not second.ended
    response.end()
    await until(lambda: second.ended == "delivered")
    assert there.asked == 0
    await over(here, there, elsewhere)


@async_test
async def test_for_those_who_wait_only_is_not_for_those_who_come_while_word_of_it_is_on_its_way(
    shared_redis: RedisServer, processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await processes(shared_redis)
    first, second = await watched(here, there, shared_redis)
    receive, word = there.backend.leases.receive, Deferred[None]()

    def late(key: Key, token: str) -> Deferred[Any]:
        return word.addCallback(lambda _: receive(key, token))

    monkeypatch.setattr(there.backend.leases, "receive", late)
    response = here.origin.answer(0, 200, FOR_THOSE_WHO_WAIT)
    response.send(b"some")
    await until(lambda: names(shared_redis, "s"))
    await pause(0.02)  # the processes' clocks agree up to half a round trip
    third = there.join()
    word.callback(None)
    await until(lambda: second.landing is not None and third.landing is not None)
    response.end()
    await until(lambda: first.ended == second.ended == "delivered")
    assert second.data == b"some"
    assert isinstance(third.landing, Regroup)
    await over(here, there)


@async_test
async def test_who_waits_is_sent_at_once_what_others_have_stored_that_may_be_sent_stale(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, *others = await processes(shared_redis, 3)
    first = here.join()
    await until(lambda: here.asked == 1)
    response = here.origin.answer(0, 200, GONE_STALE)
    response.send(b"some")
    await until(lambda: first.data == b"some")
    await pause(0.02)  # the processes' clocks agree up to half a round trip
    late = [other.join() for other in others]  # what has begun to come is too old for them, until it is stored
    await until(lambda: names(shared_redis, "w"))
    response.end()
    await until(lambda: all(seat.landing is not None for seat in late))
    assert [(seat.landing.entry.body, seat.landing.stale) for seat in late] == [((b"some",), "swr")] * 2
    assert sum(other.asked for other in others) == 0
    await over(here, *others)


@async_test
async def test_who_asks_elsewhere_after_the_head_is_told_how_old_it_is_and_takes_only_what_he_would_of_a_store(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there, elsewhere = await processes(shared_redis, 3)
    first, _ = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, [*CACHEABLE, (b"Age", b"10")])
    response.send(b"body")
    await until(lambda: names(shared_redis, "h"))
    late, later = elsewhere.join(), here.join()
    fussy = elsewhere.join((b"Cache-Control", b"max-age=9"))
    await until(lambda: late.data == later.data == b"body")
    assert [int(seat.landing.head.fields.get(b"age")) >= 10 for seat in (late, later)] == [True, True]
    await until(lambda: fussy.landing is not None)
    assert fussy.landing == Regroup(())
    again = elsewhere.join((b"Cache-Control", b"max-age=9"))
    await until(lambda: elsewhere.asked == 1)  # and does not wait for the lease
    elsewhere.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: again.ended == "delivered")
    assert not first.ended
    response.end()
    await until(lambda: first.ended == "delivered")
    await over(here, there, elsewhere)


@async_test
async def test_who_would_not_have_what_its_own_process_fetches_does_not_wait_for_the_lease_of_that(
    shared_redis: RedisServer, processes: Any
) -> None:
    (here,) = await processes(shared_redis, 1)
    first = here.join()
    await until(lambda: here.asked == 1)
    response = here.origin.answer(0, 200, [*CACHEABLE, (b"Age", b"10")])
    response.send(b"body")
    await until(lambda: first.data == b"body")
    fussy = here.join((b"Cache-Control", b"max-age=9"))
    await until(lambda: here.asked == 2)
    here.origin.answer(1, 200, CACHEABLE).end()
    await until(lambda: fussy.ended == "delivered")
    response.end()
    await until(lambda: first.ended == "delivered")
    await over(here)
    assert here.store.peek(KEY, RequestHead(b"GET", b"/x", Fields())).entry.body == ()  # the newer one stays


@pytest.mark.parametrize("where", ["in the same process", "in another"])
@async_test
async def test_what_has_gone_stale_on_its_way_is_not_waited_for(
    shared_redis: RedisServer, processes: Any, where: str
) -> None:
    here, there = await processes(shared_redis)
    first = here.join()
    await until(lambda: here.asked == 1)
    response = here.origin.answer(0, 200, [*CACHEABLE, (b"Age", b"59")])
    gone = here.store.now() + 1
    response.send(b"body")
    await until(lambda: min(here.store.now(), there.store.now()) > gone)
    process = here if where == "in the same process" else there
    asked = process.asked
    late = process.join()
    await until(lambda: process.asked == asked + 1)
    process.origin.answer(asked, 200, CACHEABLE).end()
    await until(lambda: late.ended == "delivered")
    assert not first.ended
    response.end()
    await over(here, there)


@async_test
async def test_those_who_wait_elsewhere_while_a_key_is_purged_wait_for_one_fetch_again(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    first, second = await watched(here, there, shared_redis)
    await heard(there.backend, shared_redis)
    await until(lambda: not there.store.under_way)
    assert await here.store.purge(Scope.everything())
    await heard(there.backend, shared_redis)
    third = here.join()  # under a lease of another name
    await until(lambda: here.asked == 2 or there.asked)
    response = here.origin.answer(1, 200, CACHEABLE, length=4)
    await until(lambda: second.landing is not None)
    response.send(b"body")
    response.end()
    here.origin.answer(0, 200, CACHEABLE).end()
    await over(here, there)
    assert (first.data, second.data, third.data) == (b"", b"body", b"body")
    assert there.asked == 0


@async_test
async def test_what_was_purged_while_it_was_validated_is_fetched_anew_once_for_the_fleet(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    kept = entry(here.store.now() - 90.0)
    first = here.join(entry=kept, conditions=Fields([(b"If-None-Match", b'"1"')]))
    await until(lambda: here.asked == 1)
    assert await there.store.purge(Scope.everything())
    await heard(here.backend, shared_redis)
    await until(lambda: not here.store.under_way)
    second = there.join()
    await until(lambda: there.asked == 1)
    here.origin.answer(0, 304).end()
    await until(lambda: here.asked == 2 or names(shared_redis, "w"))
    there.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: first.landing is not None and second.landing is not None)
    assert here.asked == 1
    await over(here, there)


@async_test
async def test_a_second_attempt_after_a_purge_is_made_by_whoever_fetches_what_holds_since(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    seats = [here.join(), here.join()]
    await until(lambda: here.asked == 1)
    assert await there.store.purge(Scope.everything())
    await heard(here.backend, shared_redis)
    await until(lambda: not here.store.under_way)
    seats.append(there.join())
    await until(lambda: there.asked == 1)
    here.origin.fail(0, Fault.RESET)
    await until(lambda: here.asked == 2 or names(shared_redis, "w"))
    assert here.asked == 1
    there.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: all(isinstance(seat.landing, Attached | Settled) for seat in seats))
    await over(here, there)


@async_test
async def test_who_wants_nothing_older_does_not_wait_for_what_was_asked_for_elsewhere_before(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    first = here.join()
    await until(lambda: here.asked == 1)
    await pause(0.02)
    arrived = there.store.now()
    await pause(0.02)
    second = there.join()
    await until(lambda: names(shared_redis, "w"))
    reloading = there.join(began_after=arrived)
    assert there.asked == 1
    there.origin.answer(0, 200, CACHEABLE).end()
    here.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: all(isinstance(seat.landing, Attached | Settled) for seat in (first, second, reloading)))
    await over(here, there)


@async_test
async def test_what_was_purged_meanwhile_is_not_taken(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    here.store.clock._offset -= 1  # so much earlier it begins: by more than measured clocks may differ
    first = here.join()
    await until(lambda: here.asked == 1)
    response = here.origin.answer(0, 200, [*CACHEABLE, (b"Surrogate-Key", b"blue")])
    response.send(b"old")
    await there.store.purge(Scope.of_tag(b"blue"))
    second = there.join()
    await until(lambda: names(shared_redis, "w"))
    await pause(0.2)
    assert second.landing is None
    response.end()
    await until(lambda: first.ended == "delivered")
    await until(lambda: there.asked == 1)  # the lease is free, and nothing was stored
    there.origin.answer(0, 200, CACHEABLE).end()
    await over(here, there)


@async_test
async def test_a_large_body_of_unknown_length_passes_by(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    rules = Rules(max_object=200_000)
    first = here.join(rules=rules)
    await until(lambda: here.asked == 1)
    second = there.join(rules=rules)
    await until(lambda: names(shared_redis, "w"))
    response = here.origin.answer(0, 200, CACHEABLE)
    for number in range(40):
        response.send(bytes([number]) * 50_000)
        await until(lambda: len(second.data) == len(first.data))
    assert len(first.data) == 2_000_000
    response.end()
    await until(lambda: second.ended == "delivered")
    assert second.data == first.data
    await over(here, there)
    known = here.join(rules=rules, names=(b"x",))
    await until(lambda: here.asked == 2)
    assert isinstance(here.origin.answer(1, 200, CACHEABLE, length=300_000), HeldResponse)
    there.join(rules=rules, names=(b"x",))
    await until(lambda: there.asked == 1)  # each fetches that on its own
    assert known.landing is not None and not known.ended
    here.registry.close()
    there.registry.close()


@pytest.mark.parametrize("where", ["in the same process", "in another"])
@pytest.mark.parametrize("rules", [Rules(), Rules(max_object=3)], ids=["is not stored", "turns out too long"])
@async_test
async def test_nobody_waits_until_somebody_else_has_read_what_is_not_kept(
    shared_redis: RedisServer, processes: Any, where: str, rules: Rules
) -> None:
    here, there = await processes(shared_redis)
    first = here.join(rules=rules)
    await until(lambda: here.asked == 1)
    fields = CACHEABLE if rules.max_object == 3 else [(b"Cache-Control", b"public, max-age=0")]
    response = here.origin.answer(0, 200, fields)
    response.send(b"some")
    await until(lambda: first.data == b"some")
    process = here if where == "in the same process" else there
    asked = process.asked
    late = process.join(rules=rules)
    await until(lambda: process.asked == asked + 1)
    process.origin.answer(asked, 200, fields).end()
    await until(lambda: late.ended == "delivered")
    assert not first.ended
    response.end()
    await over(here, there)


@async_test
async def test_a_fetch_without_progress_gets_one_second_attempt_in_the_whole_fleet(
    shared_redis: RedisServer, processes: Any
) -> None:
    fleet = here, *others = await processes(shared_redis, 3)
    clocks = Clocks(leader_age=0.3)
    seats = [here.join(clocks=clocks)]
    await until(lambda: here.asked == 1)
    seats += [other.join(clocks=clocks) for other in others for _ in range(2)]
    await until(lambda: here.asked == 2)
    await pause(1.5)  # several times as long
    assert [one.asked for one in fleet] == [2, 0, 0]
    here.origin.answer(1, 200, CACHEABLE).end()
    await until(lambda: all(isinstance(seat.landing, Attached | Settled) for seat in seats))
    assert here.origin.cancelled == [0]
    await over(*fleet)


@async_test
async def test_who_waits_elsewhere_counts_for_the_second_attempt_and_nobody_else_does(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    clocks = Clocks(leader_age=0.2)
    first = here.join(clocks=clocks)
    await until(lambda: here.asked == 1)
    await pause(0.6)
    assert here.asked == 1, "nobody waits beside its leader"
    second = there.join(clocks=clocks)
    await until(lambda: here.asked == 2)
    here.origin.answer(1, 200, CACHEABLE).end()
    await until(lambda: all(isinstance(seat.landing, Attached | Settled) for seat in (first, second)))
    assert there.asked == 0
    await over(here, there)


@async_test
async def test_who_has_left_elsewhere_counts_no_longer_and_who_comes_after_does(
    shared_redis: RedisServer, processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txstalecache.store.lease.HOLD", 1.6)
    here, there = await processes(shared_redis)
    clocks = Clocks(leader_age=1.3)
    first, gone = await watched(here, there, shared_redis, clocks=clocks)
    gone.leave()
    # Longer than that somebody waited is remembered: that it is forgotten is told by Redis, too.
    await until(lambda: not names(shared_redis, "w"))
    await pause(0.3)
    assert here.asked == 1
    second = there.join(clocks=clocks)
    await until(lambda: here.asked == 2)
    here.origin.answer(1, 200, CACHEABLE).end()
    await until(lambda: all(isinstance(seat.landing, Attached | Settled) for seat in (first, second)))
    assert there.asked == 0
    await over(here, there)


@pytest.mark.parametrize("ends", ["with an answer", "with an error", "with a page that others have stored"])
@async_test
async def test_a_lease_that_ran_out_in_the_middle_of_a_fetch_brings_no_third_one_and_leaves_nobody_unanswered(
    shared_redis: RedisServer, processes: Any, monkeypatch: pytest.MonkeyPatch, ends: str
) -> None:
    monkeypatch.setattr("txstalecache.store.lease.HOLD", 2.0)
    here, there = await processes(shared_redis)
    clocks = Clocks(leader_age=2.5)
    seats = [here.join(clocks=clocks) for _ in range(2)]
    await until(lambda: here.asked == 1)
    seats += [there.join(clocks=clocks) for _ in range(2)]
    await until(lambda: names(shared_redis, "w"))
    (flight,) = here.registry.flights
    flight.lease._over = True  # what it looks like where a process stands still, or is cut off from Redis
    await until(lambda: there.asked == 1)
    if ends == "with a page that others have stored":
        there.origin.answer(0, 200, CACHEABLE).end()
    await pause(3.5)
    assert (here.asked, there.asked) == (1, 1)
    if ends == "with an answer":
        response = there.origin.answer(0, 200, CACHEABLE)
        await until(lambda: all(isinstance(seat.landing, Attached) for seat in seats))
        assert here.origin.cancelled == [0]
        response.end()
    elif ends == "with an error":
        there.origin.fail(0, Fault.RESET)
    await until(lambda: all(seat.landing is not None for seat in seats))
    assert isinstance(seats[0].landing, Failed) == (ends == "with an error")
    await over(here, there)
    assert (here.asked, there.asked, here.origin.cancelled) == (1, 1, [0])


@async_test
async def test_a_part_is_read_along_as_a_whole_is(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    asks = (b"Range", b"bytes=0-9")
    first = here.join(asks, part=True)
    await until(lambda: here.asked == 1)
    second = there.join(asks, part=True)
    await until(lambda: names(shared_redis, "w"))
    fields = [*CACHEABLE, (b"ETag", b'"1"'), (b"Content-Range", b"bytes 0-9/100"), (b"Content-Length", b"10")]
    response = here.origin.answer(0, 206, fields, length=10)
    response.send(b"01234")
    await until(lambda: second.data == b"01234")
    response.send(b"56789")
    response.end()
    await until(lambda: first.ended == second.ended == "delivered")
    assert (second.data, there.asked) == (b"0123456789", 0)
    await over(here, there)


@async_test
async def test_an_error_that_is_stored_is_read_along_as_it_comes(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    first, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 503, CACHEABLE)
    response.send(b"sorry")
    await until(lambda: second.data == b"sorry")
    response.end()
    await until(lambda: first.ended == second.ended == "delivered")
    assert (second.landing.head.status, there.asked) == (503, 0)
    await over(here, there)


@pytest.mark.parametrize("before", ["read along elsewhere", "read here alone"])
@pytest.mark.parametrize("where", ["here", "there"])
@async_test
async def test_who_comes_when_a_body_has_stalled_does_not_wait_for_it(
    shared_redis: RedisServer, processes: Any, before: str, where: str
) -> None:
    here, there = await processes(shared_redis)
    clocks = Clocks(leader_age=0.3)
    seats = [here.join(clocks=clocks)]
    await until(lambda: here.asked == 1)
    if before == "read along elsewhere":
        seats.append(there.join(clocks=clocks))
        await until(lambda: names(shared_redis, "w"))
    stalled = here.origin.answer(0, 200, CACHEABLE)
    stalled.send(b"some")
    await until(lambda: all(seat.data == b"some" for seat in seats))
    await pause(0.6)
    process = here if where == "here" else there
    asked = process.asked
    late = [process.join(clocks=clocks) for _ in range(3)]
    await until(lambda: process.asked == asked + 1)
    response = process.origin.answer(asked, 200, CACHEABLE)
    response.send(b"other")
    response.end()
    await until(lambda: all(seat.ended == "delivered" for seat in late))
    assert {seat.data for seat in late} == {b"other"}
    # Those who have begun with it have what comes of it all the same; it is not what is stored.
    stalled.send(b" more")
    stalled.end()
    await until(lambda: all(seat.ended == "delivered" for seat in seats))
    assert {seat.data for seat in seats} == {b"some more"}
    await over(here, there)
    await here.store.flush()
    for one in (here, there):
        found = await one.store.lookup(KEY, RequestHead(b"GET", b"/x", Fields()))
        assert found.entry is not None and found.entry.body == (b"other",)


@async_test
async def test_who_reads_along_is_not_cut_off_where_nothing_has_come_behind_the_head_for_long(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    seats = await watched(here, there, shared_redis, clocks=Clocks(leader_age=0.3))
    response = here.origin.answer(0, 200, CACHEABLE)
    await until(lambda: all(isinstance(seat.landing, Attached) for seat in seats))
    await until(lambda: not names(shared_redis, "h"))  # nobody is to begin with it any more
    await pause(0.6)  # it is looked for again by then
    response.send(b"some")
    await until(lambda: all(seat.data == b"some" for seat in seats))
    response.end()
    await until(lambda: all(seat.ended == "delivered" for seat in seats))
    await over(here, there)


@pytest.mark.parametrize("before", ["read along by nobody", "read along elsewhere"])
@async_test
async def test_who_has_to_wait_does_not_wait_for_a_refresh_that_has_stalled(
    shared_redis: RedisServer, processes: Any, before: str
) -> None:
    here, there = await processes(shared_redis)
    clocks = Clocks(leader_age=0.3)
    here.refresh(clocks=clocks)
    await until(lambda: here.asked == 1)
    seats = []
    if before == "read along elsewhere":
        seats.append(there.join(clocks=clocks))
        await until(lambda: names(shared_redis, "w"))
    stalled = here.origin.answer(0, 200, CACHEABLE)
    stalled.send(b"some")
    await until(lambda: all(seat.data == b"some" for seat in seats))
    await pause(0.6)
    if before == "read along by nobody":
        # As long as nobody has to wait, stale is good enough for all of them.
        here.refresh(clocks=clocks)
        there.refresh(clocks=clocks)
        await pause(0.2)
        assert (here.asked, there.asked) == (1, 0)
    late = there.join(clocks=clocks)
    await until(lambda: there.asked == 1)
    there.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: late.ended == "delivered")
    assert late.data == b""
    stalled.end()
    await until(lambda: all(seat.ended == "delivered" for seat in seats))
    await over(here, there)


@async_test
async def test_a_body_that_goes_on_keeps_its_lease(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    clocks = Clocks(leader_age=0.4)
    first = here.join(clocks=clocks)
    await until(lambda: here.asked == 1)
    response = here.origin.answer(0, 200, CACHEABLE)
    for _ in range(6):
        response.send(b"x")
        await pause(0.2)
    second = there.join(clocks=clocks)
    await until(lambda: second.data == b"xxxxxx")
    response.end()
    await until(lambda: first.ended == second.ended == "delivered")
    await over(here, there)
    assert there.asked == 0


@async_test
async def test_one_error_is_the_whole_fleets(shared_redis: RedisServer, processes: Any) -> None:
    here, *others = await processes(shared_redis, 3)
    first = here.join()
    await until(lambda: here.asked == 1)
    seats = [other.join() for other in others]
    await until(lambda: names(shared_redis, "w"))
    await pause(0.1)
    here.origin.answer(0, 503).end()
    await until(lambda: first.ended and all(seat.landing is not None for seat in seats))
    assert [(seat.landing.status, seat.landing.why) for seat in seats] == [(503, "error-marker")] * 2
    assert sum(other.asked for other in others) == 0
    await over(here, *others)


@async_test
async def test_an_error_that_somebody_elsewhere_may_have_provoked_is_tried_once_more(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, *others = await processes(shared_redis, 3)
    strange = here.join((b"Accept", b"strange"))
    await until(lambda: here.asked == 1)
    seats = [other.join((b"Accept", accept)) for other, accept in zip(others, (b"one", b"two"), strict=True)]
    await until(lambda: names(shared_redis, "w"))
    await pause(0.1)
    here.origin.answer(0, 500).end()
    await until(lambda: strange.ended and sum(other.asked for other in others) == 1)
    (asking,) = (other for other in others if other.asked)
    await pause(0.1)  # the other has heard of the first error
    asking.origin.answer(0, 503).end()
    await until(lambda: all(seat.landing is not None for seat in seats))
    assert sum(other.asked for other in others) == 1, "at most two for a burst"
    await over(here, *others)


class Failing:
    """Fails as soon as it is asked."""

    asked = 0

    def fetch(self, request: Any) -> Deferred[Any]:
        self.asked += 1
        return fail(OriginError(Fault.UNREACHABLE))


@pytest.mark.parametrize("kept", ["nothing", "what may not stand in"])
@async_test
async def test_an_error_that_comes_sooner_than_word_of_who_waits_is_theirs_too(
    shared_redis: RedisServer, processes: Any, monkeypatch: pytest.MonkeyPatch, kept: str
) -> None:
    fleet = await processes(shared_redis, 6)
    origin = Failing()
    for one in fleet:
        one.registry.origin = origin
        monkeypatch.setattr(one.backend.leases, "watched", lambda token: None)
    more = {} if kept == "nothing" else {"entry": entry(fleet[0].store.now() - 90.0)}
    seats = [one.join(**more) for one in fleet]
    await until(lambda: all(seat.landing is not None for seat in seats))
    assert {seat.landing.status for seat in seats} == {502}
    assert origin.asked <= 2, "at most two for a burst"
    await over(*fleet)


@async_test
async def test_of_those_who_waited_for_what_has_stalled_one_fetches_anew(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, *others = await processes(shared_redis, 5)
    clocks = Clocks(leader_age=0.3)
    first = here.join(clocks=clocks)
    await until(lambda: here.asked == 1)
    stalled = here.origin.answer(0, 200, GONE_STALE)
    stalled.send(b"some")
    await until(lambda: first.data == b"some")
    await pause(0.02)  # the processes' clocks agree up to half a round trip
    late = [other.join(clocks=clocks) for other in others]
    await until(lambda: any(other.asked for other in others))
    await pause(0.2)  # the others are woken by the same word
    (asking,) = (other for other in others if other.asked)
    assert asking.asked == 1
    asking.origin.answer(0, 200, CACHEABLE).end()
    await until(lambda: all(isinstance(seat.landing, Attached | Settled) for seat in late))
    stalled.end()
    await over(here, *others)


@pytest.mark.parametrize("fields", [FOR_THOSE_WHO_WAIT, CACHEABLE])
@async_test
async def test_a_long_body_takes_as_much_of_redis_as_its_slowest_reader_is_behind(
    shared_redis: RedisServer, processes: Any, fields: Any
) -> None:
    here, there = await processes(shared_redis)
    rules = Rules(max_object=200_000)
    first, second = await watched(here, there, shared_redis, seat=Counting, rules=rules)
    assert await pour(here.origin.answer(0, 200, fields), 32, shared_redis) < 12 << 20
    await until(lambda: second.ended)
    assert (first.ended, first.taken) == (second.ended, second.taken) == ("delivered", 32 << 20)
    await over(here, there)
    assert there.asked == 0


@pytest.mark.parametrize("fields", [FOR_THOSE_WHO_WAIT, CACHEABLE])
@async_test
async def test_who_reads_along_elsewhere_is_waited_for_as_if_he_were_here(
    one_redis_server: RedisServer, processes: Any, fields: Any
) -> None:
    here, there = await processes(one_redis_server)
    rules = Rules(max_object=200_000)
    first = here.join(seat=Counting, rules=rules)
    await until(lambda: here.asked == 1)
    second = there.join(seat=Steady, rules=rules)
    await until(lambda: names(one_redis_server, "w"))
    assert await pour(here.origin.answer(0, 200, fields), 24, one_redis_server) < 12 << 20
    await until(lambda: second.ended)
    assert (first.ended, first.taken) == (second.ended, second.taken) == ("delivered", 24 << 20)
    await over(here, there)


@pytest.mark.parametrize("others", ["quick", "none"])
@async_test
async def test_who_takes_next_to_nothing_elsewhere_is_left_behind_and_nobody_else(
    one_redis_server: RedisServer, processes: Any, others: str
) -> None:
    here, there, elsewhere = await processes(one_redis_server, 3)
    first, second = await watched(here, there, one_redis_server, seat=Counting)
    if others == "none":
        second.leave()
        await over(there)
    stuck = elsewhere.join(seat=Stuck)
    await pause(0.2)
    await pour(here.origin.answer(0, 200, FOR_THOSE_WHO_WAIT), 24)
    await until(lambda: first.ended)
    assert (first.ended, first.taken) == ("delivered", 24 << 20)
    if others == "quick":
        await until(lambda: second.ended)
        assert (second.ended, second.taken) == ("delivered", 24 << 20)
    stuck.rate = 1 << 30
    stuck._go_on()
    await until(lambda: stuck.ended)
    assert stuck.ended == "cut"
    await over(here, there, elsewhere)


@async_test
async def test_a_fetch_that_is_held_up_elsewhere_ends_when_the_last_one_there_leaves(
    one_redis_server: RedisServer, processes: Any
) -> None:
    here, there = await processes(one_redis_server)
    first, second = await watched(here, there, one_redis_server, seat=Stuck)
    response = here.origin.answer(0, 200, FOR_THOSE_WHO_WAIT)
    pouring = Deferred.fromCoroutine(pour(response, 24))
    await until(lambda: second.taken)
    first.leave()
    await until(lambda: response.paused and len(names(one_redis_server, "h")) == 0)
    await pause(1.0)
    assert response.paused and not response.aborted
    second.leave()
    await until(lambda: response.aborted)
    pouring.addErrback(lambda _: None).cancel()
    await over(here, there)
    assert not names(one_redis_server, "hsr")


@async_test
async def test_what_has_ended_stays_while_it_is_read(one_redis_server: RedisServer, processes: Any) -> None:
    here, there = await processes(one_redis_server)
    first, second = await watched(here, there, one_redis_server, seat=Steady)
    first.rate, second.rate = 1 << 30, 500_000
    await pour(here.origin.answer(0, 200, FOR_THOSE_WHO_WAIT), 3)
    await over(here)
    (stream,) = names(one_redis_server, "s")
    await until(lambda: one_redis_server.command("PTTL", stream) > 25_000)  # all of it is there
    one_redis_server.command("PEXPIRE", stream, 20_000)
    await until(lambda: one_redis_server.command("PTTL", stream) > 25_000)
    second.rate = 1 << 30
    await until(lambda: second.ended)
    assert (second.ended, second.taken) == ("delivered", 3 << 20)
    await over(there)


@async_test
async def test_a_client_that_leaves_ends_the_reading_and_not_the_fetch(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    first, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, [(b"Cache-Control", b"public, max-age=0")])
    response.send(b"some")
    await until(lambda: second.data == b"some")
    second.leave()
    await over(there)
    first.leave()
    assert not response.aborted  # it cannot be known that nobody reads it elsewhere
    response.send(b"more")
    response.end()
    await over(here)


@pytest.mark.parametrize("fault", ["silent for 0.6 s", "silent for 2 s", "connections lost"])
@pytest.mark.parametrize("ends", ["meanwhile", "afterwards"])
@async_test
async def test_a_redis_that_is_well_again_soon_cuts_nobody(
    one_redis_server: RedisServer, processes: Any, fault: str, ends: str
) -> None:
    here, there = await processes(one_redis_server)
    _, second = await watched(here, there, one_redis_server)
    response = here.origin.answer(0, 200, CACHEABLE, length=14)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    if fault == "connections lost":
        assert one_redis_server.command("CLIENT", "KILL", "TYPE", "normal") >= 2
    else:
        one_redis_server.pause()
    for _ in range(2):
        response.send(b" more")
        await pause(1.0 if "2 s" in fault else 0.3)
    if ends == "meanwhile":
        response.end()
    one_redis_server.resume()
    if ends == "afterwards":
        response.end()
    await until(lambda: second.ended)
    assert (second.ended, second.data) == ("delivered", b"some more more")
    await over(here, there)
    assert there.asked == 0


@async_test
async def test_a_redis_that_falls_silent_holds_up_nobody_here(one_redis_server: RedisServer, processes: Any) -> None:
    here, there = await processes(one_redis_server)
    first, second = await watched(here, there, one_redis_server, seat=Counting)
    response = here.origin.answer(0, 200, FOR_THOSE_WHO_WAIT)
    response.send(bytes(2 << 20))
    await until(lambda: second.taken == 2 << 20)
    one_redis_server.pause()
    began = installed.seconds()
    await pour(response, 32)
    assert (first.ended, first.taken) == ("delivered", 34 << 20)
    assert installed.seconds() - began < 2.0
    one_redis_server.resume()
    await until(lambda: second.ended)
    assert second.ended == "cut"
    await over(here, there)


@async_test
async def test_without_redis_the_readers_are_cut_and_the_holder_goes_on(
    one_redis_server: RedisServer, processes: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("txstalecache.store.relay.LIFE", 1.0)
    here, there = await processes(one_redis_server)
    first, second = await watched(here, there, one_redis_server)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"some")
    await until(lambda: second.data == b"some")
    one_redis_server.kill()
    await until(lambda: second.ended == "cut")
    response.send(b" more")
    response.end()
    await until(lambda: first.ended == "delivered")
    assert first.data == b"some more"
    await over(here, there)
    await until(lambda: not here.backend._relays.under_way)


@async_test
async def test_a_finished_entry_still_serves_who_looked_too_late(shared_redis: RedisServer, processes: Any) -> None:
    here, there = await processes(shared_redis)
    _, second = await watched(here, there, shared_redis)
    response = here.origin.answer(0, 200, CACHEABLE)
    response.send(b"body")
    response.end()  # in one turn: the head is gone before anybody has read it
    await until(lambda: isinstance(second.landing, Settled) or second.ended == "delivered")
    assert isinstance(second.landing, Settled) or second.data == b"body"
    await over(here, there)
    assert there.asked == 0


@async_test
async def test_who_has_lost_the_lease_gives_its_clients_the_answer_and_stores_nothing(
    shared_redis: RedisServer, processes: Any
) -> None:
    here, there = await processes(shared_redis)
    first = here.join()
    await until(lambda: here.asked == 1)
    (flight,) = here.registry.flights
    # It ran out while the process stood still, and another has it now.
    shared_redis.command("DEL", *names(shared_redis, "l"))
    second = there.join()
    await until(lambda: there.asked == 1)
    await until(lambda: flight.lease.lost)
    for process, body in ((here, b"late"), (there, b"newer")):
        response = process.origin.answer(0, 200, CACHEABLE)
        response.send(body)
        response.end()
        await over(process)
        await process.store.flush()
        assert len(names(shared_redis, "e")) == (process is there)
    assert (first.data, second.data) == (b"late", b"newer")
    for process in (here, there):
        found = await process.store.lookup(KEY, RequestHead(b"GET", b"/x", Fields()))
        assert found.entry is not None and found.entry.body == (b"newer",)
