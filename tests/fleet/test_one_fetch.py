"""One fetch per key for the whole fleet: real processes, threads as clients, real signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from http.client import HTTPConnection
from typing import Any

import pytest

from tests.fleet.processes import Origin, Proxy, ask, together
from tests.support.process import eventually
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow

RunProxy = Callable[..., Proxy]


def pair(run_proxy: RunProxy, origin: Origin, redis: RedisServer, *more: str) -> tuple[Proxy, Proxy]:
    made = [run_proxy("--origin", origin.url, "--redis", redis.url, *more) for _ in range(2)]
    for one in made:
        # Listening comes before Redis is connected; a marker of both is an answer that is shared.
        assert ask(one.port, "/ready")[0] == 200
    deadline = time.monotonic() + 30
    while ask(made[0].port, "/ready")[2] != ask(made[1].port, "/ready")[2]:
        assert time.monotonic() < deadline
    origin.hits.clear()
    return made[0], made[1]


def test_two_processes_and_a_hundred_clients_on_one_cold_key_are_one_fetch(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    one, two = pair(run_proxy, threaded_origin, one_redis_server)
    threaded_origin.delay = 1.0
    results = together([partial(ask, proxy.port) for proxy in (one, two) for _ in range(50)])
    assert {reply[0] for reply, _ in results} == {200}
    assert len({reply[2] for reply, _ in results}) == 1
    assert threaded_origin.hits == ["/x"]
    # One has asked the origin, and all others have waited for that, whichever process they came to.
    eventually(lambda: sum(proxy.output.count("GET /x ") for proxy in (one, two)) == 100)
    lines = [line for proxy in (one, two) for line in proxy.output.splitlines() if "GET /x " in line]
    assert sorted(line.partition("role=")[2].split()[0] for line in lines) == ["leader", *["waiter"] * 99]
    assert sum("collapsed" in reply[1]["cache-status"] for reply, _ in results) == 99


def test_a_process_that_has_just_started_asks_redis_first_and_waits_no_longer_than_2_s_for_one_that_hangs(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    arguments = ("--origin", threaded_origin.url, "--redis", one_redis_server.url)
    one = run_proxy(*arguments)
    assert ask(one.port)[2] == "1\n"
    eventually(lambda: one_redis_server.command("KEYS", "*}:e") != [])
    assert one.end() == 0
    one_redis_server.pause()
    two, found = run_proxy(*arguments), []
    first = threading.Thread(target=lambda port=two.port: found.append(ask(port)))
    first.start()
    time.sleep(0.2)
    one_redis_server.resume()
    first.join(30)
    assert found[0][2] == "1\n"
    assert threaded_origin.hits == ["/x"]
    one_redis_server.pause()
    three = run_proxy(*arguments)
    began = time.monotonic()
    assert ask(three.port)[2] == "2\n"
    assert time.monotonic() - began < 10


def test_a_holder_killed_in_the_middle_of_its_fetch_is_not_waited_for_much_longer_than_its_lease(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    one, two = pair(run_proxy, threaded_origin, one_redis_server)
    threaded_origin.delay = 30.0
    threading.Thread(target=lambda: together([partial(ask, one.port)]), daemon=True).start()
    eventually(lambda: threaded_origin.hits == ["/x"])
    threaded_origin.delay = 0.0
    waiting: list[Any] = []
    crowd = threading.Thread(target=lambda: waiting.extend(together([partial(ask, two.port) for _ in range(10)])))
    crowd.start()
    time.sleep(0.3)
    assert threaded_origin.hits == ["/x"]
    os.kill(one.process.pid, 9)
    killed = time.monotonic()
    crowd.join(20)
    print(f"answered {time.monotonic() - killed:.2f} s after the holder was killed")
    # Its lease is 5 s; it would have held it for 30.
    assert time.monotonic() - killed < 15
    assert {reply[0] for reply, _ in waiting} == {200}
    assert len(threaded_origin.hits) == 2


def test_a_holder_that_stood_still_and_goes_on_asks_the_origin_no_third_time(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    one, two = pair(run_proxy, threaded_origin, one_redis_server)
    threaded_origin.open.clear()
    waiting: list[Any] = []

    def crowd(proxy: Proxy) -> threading.Thread:
        asks: list[Callable[[], Any]] = [partial(ask, proxy.port) for _ in range(5)]
        thread = threading.Thread(target=lambda: waiting.extend(together(asks)))
        thread.start()
        return thread

    crowds = [crowd(one)]
    eventually(lambda: threaded_origin.hits == ["/x"])
    crowds.append(crowd(two))
    time.sleep(0.3)
    os.kill(one.process.pid, signal.SIGSTOP)
    try:
        eventually(lambda: len(threaded_origin.hits) == 2)
    finally:
        os.kill(one.process.pid, signal.SIGCONT)
    time.sleep(6)  # longer than leader_age
    assert len(threaded_origin.hits) == 2
    threaded_origin.open.set()
    for each in crowds:
        each.join(20)
    assert {reply[0] for reply, _ in waiting} == {200} and len(waiting) == 10
    assert len(threaded_origin.hits) == 2


def test_who_waited_in_another_process_and_has_left_brings_no_second_attempt(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    one, two = pair(run_proxy, threaded_origin, one_redis_server)
    threaded_origin.open.clear()
    waiting: list[Any] = []
    leader = threading.Thread(target=lambda: waiting.extend(together([partial(ask, one.port)])))
    leader.start()
    eventually(lambda: threaded_origin.hits == ["/x"])
    leaves = HTTPConnection("127.0.0.1", two.port, timeout=30)
    leaves.request("GET", "/x", headers={"Host": "localhost"})
    eventually(lambda: one_redis_server.command("KEYS", "*:w:*") != [])
    leaves.close()
    time.sleep(6.5)  # longer than leader_age, and than it is remembered that somebody waits
    assert threaded_origin.hits == ["/x"]
    threaded_origin.open.set()
    leader.join(20)
    assert [reply[0] for reply, _ in waiting] == [200]


def test_what_is_not_stored_is_not_waited_for_process_after_process(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    proxies = [*pair(run_proxy, threaded_origin, one_redis_server), *pair(run_proxy, threaded_origin, one_redis_server)]
    threaded_origin.delay = 2.0
    for fields in ("public, max-age=0", "private"):
        threaded_origin.hits.clear()
        threaded_origin.fields = {"Cache-Control": fields}
        path = "/" + fields.replace(", ", "-")
        results = together([partial(ask, proxy.port, path) for proxy in proxies])
        assert {reply[0] for reply, _ in results} == {200}
        slowest = max(seconds for _, seconds in results)
        print(f"{fields}: slowest of 4 processes {slowest:.2f} s, {len(threaded_origin.hits)} fetches")
        # One wait for the holder, and one fetch of one's own; one after the other would be 8 s.
        assert slowest < 7.5


def test_a_stale_entry_is_refreshed_once_and_left_alone_after_a_failure(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    threaded_origin.fields = {"Cache-Control": "max-age=1, stale-while-revalidate=600, stale-if-error=600"}
    one, two = pair(run_proxy, threaded_origin, one_redis_server)
    ask(one.port)
    ask(two.port)
    time.sleep(2)  # what is asked meanwhile is a refresh
    threaded_origin.hits.clear()
    threaded_origin.status, threaded_origin.fields = 500, {}
    ask(one.port)  # stale, and refreshed behind it
    eventually(lambda: threaded_origin.hits.count("/x") >= 1)
    began = time.monotonic()
    while time.monotonic() - began < 3.0:
        assert ask(one.port)[0] == ask(two.port)[0] == 200
    # 1 s, then 2 s, both lengthened by chance; for both processes together.
    assert len(threaded_origin.hits) <= 3


def test_in_mode_protect_a_crowd_is_refused_while_redis_is_away(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    arguments = ("--origin", threaded_origin.url, "--redis", one_redis_server.url, "--redis-down", "protect")
    one = run_proxy(*arguments)
    # The first of all requests waits for Redis to be reached: nobody is refused for having come early.
    assert ask(one.port, "/ready")[0] == 200
    one_redis_server.kill()
    eventually(lambda: ask(one.port, "/cold")[0] == 503)
    status, fields, _ = ask(one.port, "/other")
    assert status == 503
    assert int(fields["retry-after"]) >= 1
    assert "/other" not in threaded_origin.hits
    one_redis_server.start()
    eventually(lambda: ask(one.port, "/other")[0] == 200)
    assert ask(one.port, "/other", "POST")[0] == 200
    assert one.end() == 0
    # Where there is none that is known at once, and said.
    one_redis_server.kill()
    two = run_proxy(*arguments)
    assert ask(two.port, "/other")[0] == 503
    assert two.end() == 0
