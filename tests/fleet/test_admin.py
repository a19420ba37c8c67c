"""The admin interface of real proxies: purges reach every process that shares the Redis."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.processes import Origin, Proxy, ask
from tests.support.process import environment, eventually
from tests.support.redis import RedisServer

TOKEN = "a-token-of-some-length"
RunProxy = Callable[..., Proxy]


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return str(path)


def order(proxy: Proxy, token: str = TOKEN, **said: Any) -> tuple[int, dict[str, Any]]:
    fields = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    status, _, body = ask(proxy.admin, "/v1/purge", "POST", json.dumps(said), **fields)
    return status, json.loads(body)


def start(run_proxy: RunProxy, origin: Origin, redis: str, token_file: str) -> Proxy:
    admin = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", token_file)
    proxy = run_proxy("--origin", origin.url, "--redis", redis, *admin)
    # It listens before its Redis is there.
    eventually(lambda: figures(proxy)["redis_tracking"] == 1)
    return proxy


def figures(proxy: Proxy) -> dict[str, float]:
    said: dict[str, Any] = json.loads(ask(proxy.admin, "/v1/status", Authorization=f"Bearer {TOKEN}")[2])
    return said["store"]["figures"]  # type: ignore[no-any-return]


def changes(port: int, old: str, path: str = "/x", **fields: str) -> None:
    """Returns once ``port`` does not answer ``old`` any more. How long that takes: bench/fleet.py."""
    eventually(lambda: ask(port, path, **fields)[2] != old)


def test_a_purge_holds_in_every_process_and_after_a_restart(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, token_file: str
) -> None:
    one = start(run_proxy, threaded_origin, one_redis_server.url, token_file)
    two = start(run_proxy, threaded_origin, one_redis_server.url, token_file)
    threaded_origin.fields["Surrogate-Key"] = "blue"
    orders: list[dict[str, Any]] = [
        {"scope": "tag", "value": "blue"},
        {"scope": "url", "value": "http://localhost/x"},
        {"scope": "url", "value": "/x"},
        {"scope": "prefix", "value": "http://localhost/"},
        {"scope": "host", "value": "localhost"},
        {"scope": "all"},
    ]
    ask(one.port)
    for said in orders:
        old = ask(one.port)[2]
        assert ask(two.port)[2] == old
        status, answer = order(one, **said)
        assert (status, answer.pop("count") >= 0) == (200, True)
        # Only of one URL is it known what Redis has.
        assert answer.pop("whole") == (said["scope"] == "url" and said["value"].startswith("http"))
        assert answer == {"purged": True, "everywhere": True, "refreshing": False}
        assert ask(one.port)[2] != old  # the one that was told knows at once
        changes(two.port, old)
    old = ask(one.port)[2]
    assert order(one, scope="all")[0] == 200
    assert two.end() == 0
    three = start(run_proxy, threaded_origin, one_redis_server.url, token_file)
    assert ask(three.port)[2] != old


def test_a_soft_purge_leaves_stale_and_a_refresh_fetches_at_once(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, token_file: str
) -> None:
    one = start(run_proxy, threaded_origin, one_redis_server.url, token_file)
    threaded_origin.fields["Cache-Control"] = "max-age=60, stale-while-revalidate=60"
    assert ask(one.port)[2] == "1\n"
    assert order(one, scope="url", value="http://localhost/x", mode="soft")[0] == 200
    assert ask(one.port)[2] == "1\n"  # and it is refreshed behind this
    changes(one.port, "1\n")
    assert threaded_origin.hits == ["/x"] * 2
    said = order(one, scope="url", value="http://localhost/x", mode="refresh")
    assert said == (200, {"purged": True, "everywhere": True, "refreshing": True, "count": 1, "whole": True})
    eventually(lambda: len(threaded_origin.hits) == 3)
    changes(one.port, "2\n")
    assert len(threaded_origin.hits) == 3


def test_a_purge_beats_a_fetch_in_the_air(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer, token_file: str
) -> None:
    one = start(run_proxy, threaded_origin, one_redis_server.url, token_file)
    two = start(run_proxy, threaded_origin, one_redis_server.url, token_file)
    assert one.port and two.port and one.admin
    held = threaded_origin.open
    held.clear()
    early: list[str] = []
    thread = threading.Thread(target=lambda: early.append(ask(two.port)[2]), daemon=True)
    thread.start()
    eventually(lambda: threaded_origin.hits)
    time.sleep(0.5)  # it began earlier by both clocks
    threaded_origin.open = threading.Event()
    threaded_origin.open.set()  # for who comes now
    assert order(one, scope="url", value="/x")[0] == 200
    eventually(lambda: figures(two)["purge_scopes"])
    assert ask(two.port)[2] == "2\n"  # it does not wait for the one in the air, which is still held
    assert not early
    held.set()
    thread.join(10)
    assert early == ["1\n"]
    # What the early fetch brought is nowhere.
    assert {ask(proxy.port)[2] for proxy in (one, two)} == {"2\n"}
    assert len(threaded_origin.hits) == 2


@pytest.mark.parametrize("workers", [1, 2])
def test_a_key_hook_that_fails_on_a_bare_request_stands_in_no_purges_way(
    workers: int, run_proxy: RunProxy, threaded_origin: Origin, token_file: str, tmp_path: Path
) -> None:
    path = tmp_path / "proxy.toml"
    upstream = f"[upstream.site]\nservers = ['{threaded_origin.url}']\n"
    path.write_text(upstream + "[defaults.hooks]\nkey = 'tests.support.hooks.tenant'\n")
    options = ("--admin", "tcp:0:interface=127.0.0.1", "--admin-token-file", token_file, "--workers", str(workers))
    found = {**environment(), "PYTHONPATH": str(Path(__file__).parents[2])}
    one = run_proxy("--config", str(path), *options, env=found)
    if workers > 1:
        one.workers(workers)
    eventually(lambda: figures(one)["redis_tracking"] == 1)  # in each of them
    known = {"Authorization": f"Bearer {TOKEN}"}
    tenant = {"X-Tenant": "A"}

    def stored() -> str:
        """What every process answers."""
        eventually(lambda: len({ask(one.port, **tenant)[2] for _ in range(10)}) == 1)
        return ask(one.port, **tenant)[2]

    old = stored()
    assert order(one, scope="url", value="http://localhost/x")[1].pop("count", "none told") is None
    changes(one.port, old, **tenant)
    old = stored()
    status, _, body = ask(one.admin, "/x", "PURGE", **known)
    assert (status, json.loads(body)["purged"]) == (200, True)
    changes(one.port, old, **tenant)
    status, _, body = ask(one.admin, "/v1/entry?url=http://localhost/x", **known)
    assert status == 503
    assert "the route's own code failed" in json.loads(body)["error"]
    assert one.end() == 0
    assert "Traceback" not in one.output


def test_without_the_token_there_is_nothing(run_proxy: RunProxy, threaded_origin: Origin, token_file: str) -> None:
    one = start(run_proxy, threaded_origin, "embedded", token_file)
    strangers: list[dict[str, str]] = [{}, {"Authorization": "Bearer wrong-token-of-length"}, {"Authorization": TOKEN}]
    for fields in strangers:
        for method, path in (("POST", "/v1/purge"), ("GET", "/v1/status"), ("PURGE", "/x"), ("GET", "/nothing")):
            status, got, _ = ask(one.admin, path, method, **fields)
            assert (status, got["www-authenticate"]) == (401, "Bearer")
    known, of_json = {"Authorization": f"Bearer {TOKEN}"}, {"Content-Type": "application/json"}
    status, _, body = ask(one.admin, "/v1/status", **known)
    assert status == 200
    assert json.loads(body)["process"]["pid"] == one.process.pid
    for bad in ("", "[]", "{", '{"scope": "url"}', '{"scope": "all", "mode": "x"}', '{"scope": "all", "x": 1}'):
        assert ask(one.admin, "/v1/purge", "POST", bad, **known, **of_json)[0] == 400
    assert ask(one.admin, "/v1/purge", "POST", "x" * 70000, **known, **of_json)[0] == 413
    assert ask(one.admin, "/v1/purge", **known)[0] == 405
    assert ask(one.admin, "/nothing", **known)[0] == 404
    # The public port knows nothing of it: a PURGE there is the origin's business.
    assert ask(one.port, "/v1/status", **known)[2].strip().isdigit()
    old = ask(one.port)[2]
    assert ask(one.admin, "/x", "PURGE", **known)[0] == 200
    assert ask(one.port)[2] != old
    assert TOKEN not in one.output
    assert one.end() == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--admin", "tcp:0"], "--admin: needs --admin-token-file"),
        (["--admin-token-file", "x"], "--admin-token-file: is for --admin"),
        (["--admin", "tcp:0", "--admin-token-file", "/nowhere"], "--admin-token-file: No such file or directory"),
        (["--admin", "tcp:0", "--admin-token-file", "/dev/null"], "--admin-token-file: expected one token"),
        (["--admin", "tcp", "--admin-token-file", "/dev/null"], "--admin: expected an endpoint"),
        (["--workers", "0"], "--workers: expected a whole number from 1 to 256"),
        (["--workers", "2", "--redis", "memory"], "--workers: several processes need a Redis"),
        (["--redis-down", "panic"], "--redis-down: expected local or protect"),
    ],
)
def test_what_cannot_be_meant_is_said_in_one_line(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from txstalecache.config.options import Options

    with pytest.raises(SystemExit) as ended:
        Options().parseOptions(["--origin", "http://127.0.0.1:1", *arguments])
    assert ended.value.code == 64
    assert says in capsys.readouterr().err
