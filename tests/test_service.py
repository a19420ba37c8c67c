"""The service as it is run: real processes, started by ``twistd`` and ``twist``, asked over sockets, told to leave."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.process import PROXY, Running
from tests.support.tls import Authority

both = pytest.mark.parametrize("runner", sorted(PROXY))


@contextmanager
def running(runner: str, arguments: list[str], cwd: Path) -> Iterator[Running]:
    """A proxy on a free port; killed at the end if it is still there."""
    command = [*PROXY[runner], "--listen", "tcp:0:interface=127.0.0.1", *arguments]
    # A group of its own, as a terminal has it.
    with Running(command, cwd, start_new_session=True) as one:
        yield one


def demo_port(proxy: Running) -> int:
    return int(proxy.wait_for(r"The proxy is on http://127\.0\.0\.1:(\d+)")[1])


def ask(port: int, path: str, connection: socket.socket | None = None) -> tuple[str, bytes]:
    """Head and body of one answer, on a connection of its own or on ``connection``."""
    client = connection or socket.create_connection(("127.0.0.1", port), timeout=20)
    try:
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: demo\r\n\r\n".encode())
        return answer(client)
    finally:
        if connection is None:
            client.close()


def answer(client: socket.socket) -> tuple[str, bytes]:
    got = b""
    while b"\r\n\r\n" not in got:
        piece = client.recv(65536)
        assert piece, f"cut after {got!r}"
        got += piece
    head, _, body = got.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: (\d+)", head)
    assert length is not None
    while len(body) < int(length[1]):
        piece = client.recv(65536)
        assert piece, "cut"
        body += piece
    return head.decode("latin-1"), body


def begin_slow(client: socket.socket, port: int) -> None:
    """A request that is in progress, for most of a second yet, when this returns."""
    ask(port, "/warm")
    client.sendall(b"GET /slow HTTP/1.1\r\nHost: demo\r\n\r\n")
    # A hit sent after it and answered says that it was read.
    ask(port, "/warm")


@both
def test_the_demo_answers_slowly_once_and_then_at_once(runner: str, tmp_path: Path) -> None:
    with running(runner, ["--demo", "--redis", "embedded"], tmp_path) as proxy:
        port = demo_port(proxy)
        head, first = ask(port, "/")
        assert head.startswith("HTTP/1.1 200")
        assert "fwd=uri-miss" in head
        head, second = ask(port, "/")
        assert second == first
        assert "; hit" in head
        assert "Age: " in head
        proxy.wait_for(r'"GET / HTTP/1\.1" 200 .* verdict=miss .*role=leader')
        proxy.wait_for(r'"GET / HTTP/1\.1" 200 .* verdict=fresh .*role=hit')
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.end() == 0
        assert "Traceback" not in proxy.output


def test_the_demo_opens_with_the_dashboard_on(tmp_path: Path) -> None:
    with running("twistd", ["--demo", "--redis", "memory"], tmp_path) as proxy:
        said = proxy.wait_for(r"\n  http://127\.0\.0\.1:(\d+)/#token=(\S+)\n")
        with socket.create_connection(("127.0.0.1", int(said[1])), timeout=20) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"<title>txstalecache</title>" in answer(client)[1]
            known = f"Host: localhost\r\nAuthorization: Bearer {said[2]}\r\n\r\n"
            client.sendall(f"GET /v1/status HTTP/1.1\r\n{known}".encode())
            assert answer(client)[0].startswith("HTTP/1.1 200")
        # Said once, to whoever started it; each time another.
        assert len(said[2]) >= 32
        assert proxy.output.count(said[2]) == 1


def test_it_says_what_it_does_and_where_entries_are_kept(tmp_path: Path) -> None:
    arguments = ["--origin", "http://127.0.0.1:9", "--redis", "memory"]
    with running("twistd", arguments, tmp_path) as proxy:
        said = proxy.wait_for(r"listens on http://127\.0\.0\.1:(\d+), in front of http://127\.0\.0\.1:9")
        proxy.wait_for(r"store: memory")
        assert ask(int(said[1]), "/")[0].startswith("HTTP/1.1 502")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.end() == 0


def test_it_says_how_it_is_to_be_asked(tmp_path: Path) -> None:
    pem, _ = Authority(tmp_path).issue("localhost")
    beside = ["--origin", "http://127.0.0.1:9", "--redis", "memory", "--listen"]
    for listen, said in (
        (f"ssl:0:interface=127.0.0.1:privateKey={pem}", r"listens on https://127\.0\.0\.1:\d+, in front of"),
        ("haproxy:tcp:0:interface=127.0.0.1", r"listens on 127\.0\.0\.1:\d+ \(haproxy\), in front of"),
    ):
        with running("twistd", [*beside, listen], tmp_path) as proxy:
            proxy.wait_for(said)


def test_names_that_are_not_served_get_421(tmp_path: Path) -> None:
    file = tmp_path / "proxy.toml"
    file.write_text(
        '[proxy]\nhosts = ["demo", "*.example.org"]\n[redis]\nurl = "memory"\n'
        '[upstream.www]\nservers = ["http://127.0.0.1:9"]\n'
    )
    beside = ["--origin", "http://127.0.0.1:9", "--redis", "memory", "--hosts", "other"]
    for arguments, status in ((["--config", str(file)], b"502"), (beside, b"421")):
        with running("twistd", arguments, tmp_path) as proxy:
            said = proxy.wait_for(r"listens on http://127\.0\.0\.1:(\d+), in front of")
            assert ask(int(said[1]), "/")[0].encode().split()[1] == status
            proxy.process.send_signal(signal.SIGTERM)
            assert proxy.end() == 0


def test_nothing_says_the_password_of_redis(tmp_path: Path) -> None:
    arguments = ["--demo", "--redis", "redis://:hunter2@127.0.0.1:1/0"]
    with running("twistd", arguments, tmp_path) as proxy:
        port = demo_port(proxy)
        assert ask(port, "/")[0].startswith("HTTP/1.1 200")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.end() == 0
        assert "hunter2" not in proxy.output


@both
def test_sighup_ends_nothing_where_there_is_nothing_to_read_again(runner: str, tmp_path: Path) -> None:
    """``systemctl reload``, whatever the unit says."""
    with running(runner, ["--demo", "--redis", "memory"], tmp_path) as proxy:
        port = demo_port(proxy)
        ask(port, "/")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for("there is nothing to read again")
        assert ask(port, "/")[0].startswith("HTTP/1.1 200")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.end() == 0


def test_a_terminal_that_is_closed_ends_what_was_tried_in_it(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    try:
        command = [*PROXY["twistd"], "--listen", "tcp:0:interface=127.0.0.1", "--demo", "--redis", "memory"]
        with Running(command, tmp_path, stdin=terminal) as proxy:
            ask(demo_port(proxy), "/")
            proxy.process.send_signal(signal.SIGHUP)
            assert proxy.end() == -signal.SIGHUP
    finally:
        os.close(controller)
        os.close(terminal)


@both
def test_sigterm_lets_requests_in_progress_have_their_answers_and_ends_with_0(runner: str, tmp_path: Path) -> None:
    with running(runner, ["--demo", "--redis", "memory"], tmp_path) as proxy:
        port = demo_port(proxy)
        with (
            socket.create_connection(("127.0.0.1", port), timeout=20) as client,
            socket.create_connection(("127.0.0.1", port), timeout=20) as idle,
        ):
            ask(port, "/warm", idle)
            begin_slow(client, port)
            proxy.process.send_signal(signal.SIGTERM)
            head, body = answer(client)
            assert head.startswith("HTTP/1.1 200")
            assert b"for /slow" in body
        assert proxy.end() == 0
        assert "verdict=miss" in next(line for line in proxy.output.splitlines() if '"GET /slow' in line)


def test_ctrl_c_ends_the_proxy_first_and_its_redis_after_the_last_answer(tmp_path: Path) -> None:
    with running("twistd", ["--demo", "--redis", "embedded"], tmp_path) as proxy:
        port = demo_port(proxy)
        proxy.wait_for("Redis at .* is connected")
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            begin_slow(client, port)
            # A terminal sends it to the whole group, the embedded server included.
            os.killpg(proxy.process.pid, signal.SIGINT)
            answer(client)
        proxy.end()
        assert "has ended" not in proxy.output
        assert "going on without it" not in proxy.output
        assert "Traceback" not in proxy.output


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        (signal.SIGTERM, signal.SIGTERM, 0),
        (signal.SIGTERM, signal.SIGINT, 0),
        (signal.SIGINT, signal.SIGINT, -signal.SIGINT),
    ],
)
def test_told_twice_to_leave_it_leaves_as_told_first(first: int, second: int, status: int, tmp_path: Path) -> None:
    with running("twistd", ["--demo", "--redis", "memory"], tmp_path) as proxy:
        port = demo_port(proxy)
        with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
            begin_slow(client, port)
            proxy.process.send_signal(first)
            with pytest.raises(ConnectionError):
                while True:  # until it has been heard
                    socket.create_connection(("127.0.0.1", port), timeout=20).close()
            proxy.process.send_signal(second)
            answer(client)
        assert proxy.end() == status
        assert "Traceback" not in proxy.output


def test_the_access_log_goes_to_its_file_as_json(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    arguments = ["--demo", "--redis", "memory", "--access-log", str(path), "--access-log-format", "json"]
    with running("twistd", arguments, tmp_path) as proxy:
        port = demo_port(proxy)
        ask(port, "/")
        ask(port, "/")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.end() == 0
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["target"], line["status"], line["verdict"]) for line in lines] == [
        ("/", 200, "miss"),
        ("/", 200, "fresh"),
    ]


@pytest.mark.parametrize("reactor", ["asyncio", "poll", "select"])
def test_any_reactor_will_do(reactor: str, tmp_path: Path) -> None:
    twist = PROXY["twist"]
    command = [twist[0], f"--reactor={reactor}", *twist[1:], "--demo", "--listen", "tcp:0:interface=127.0.0.1"]
    with Running(command, tmp_path) as one:
        assert ask(demo_port(one), "/")[0].startswith("HTTP/1.1 200")
        one.process.send_signal(signal.SIGTERM)
        assert one.end() == 0


def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    path = tmp_path / "s"
    arguments = ["--demo", "--redis", "memory", "--listen", f"unix:{path}"]
    with running("twistd", arguments, tmp_path) as proxy:
        proxy.wait_for(r"listens on .*UNIX")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(str(path))
            assert ask(0, "/", client)[0].startswith("HTTP/1.1 200")
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.end() == 0
    assert not path.exists()
