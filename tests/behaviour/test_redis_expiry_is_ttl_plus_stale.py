"""Redis expiry = freshness lifetime + stale window, in the one command that stores the entry."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_twisted

from tests.support.client import fetch
from tests.support.origin import Answer, ScriptedOrigin
from txstalecache.http.rules import Rules


def entries(server: Any) -> list[bytes]:
    """The keys that hold entries."""
    return [key for key in server.command("KEYS", "*") if key.endswith(b":e")]


@pytest.mark.parametrize(
    ("rules", "cache_control", "age", "seconds"),
    [
        (Rules(ttl=5, stale=100), None, None, 105),  # the seed's exptime=105 for cache_stale 100
        (Rules(ttl=5, stale=100), "max-age=1", None, 105),
        (Rules(ttl=60, stale=0), None, None, 60),
        (Rules(ttl=5, stale=10, stale_if_error=30), None, None, 35),
        (Rules(), "max-age=60, stale-while-revalidate=30", None, 90),
        (Rules(), "max-age=60, stale-while-revalidate=30, stale-if-error=600", None, 660),
        (Rules(), "max-age=60, stale-while-revalidate=30", 50, 40),
        (Rules(grace=0), "max-age=60", None, 60),
        (Rules(grace=300), "max-age=60", None, 360),  # kept to stand in for an origin that cannot be reached
        (Rules(grace=300), "max-age=60, must-revalidate", None, 60),  # which this one may not
    ],
)
@pytest_twisted.ensureDeferred
async def test_an_entry_stays_in_redis_for_its_lifetime_and_its_longest_stale_window(
    origin: ScriptedOrigin,
    make_proxy: Any,
    shared_redis: Any,
    rules: Rules,
    cache_control: str | None,
    age: int | None,
    seconds: int,
) -> None:
    fields = [("Cache-Control", cache_control)] if cache_control else []
    fields += [("Age", str(age))] if age is not None else []
    origin.on("/x", Answer(200, fields, b"x"))
    proxy = await make_proxy(origin.url, redis=shared_redis.url, rules=rules)
    await fetch(proxy.port, "GET", "/x")
    await proxy.backend.store.flush()
    (key,) = entries(shared_redis)
    left = shared_redis.command("PTTL", key)
    assert seconds * 1000 - 2000 < left <= seconds * 1000


@pytest_twisted.ensureDeferred
async def test_what_is_stored_and_how_long_it_lives_is_one_command(
    origin: ScriptedOrigin, make_proxy: Any, redis_server: Any
) -> None:
    origin.on("/x", Answer(200, [("Cache-Control", "max-age=60, stale-while-revalidate=30")], b"x"))
    proxy = await make_proxy(origin.url, redis=redis_server.url)
    redis_server.command("CONFIG", "RESETSTAT")
    await fetch(proxy.port, "GET", "/x")
    await proxy.backend.store.flush()
    stats = redis_server.command("INFO", "commandstats")
    assert b"cmdstat_expire:" not in stats
    assert b"cmdstat_pexpire:" not in stats
