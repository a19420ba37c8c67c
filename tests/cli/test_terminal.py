"""On a terminal, into a pipe, and when the user has had enough."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.test_errors import Stranger, stranger
from tests.fleet.processes import Origin, Proxy, ask
from tests.support.process import eventually
from txstalecache.cli.exits import Exit

__all__ = ["stranger"]

# Each starts several processes, some of them on a terminal.
pytestmark = pytest.mark.slow

ESCAPE = b"\x1b]0;owned\x07"


class Terminal:
    """A command on a terminal of its own."""

    def __init__(self, command: Command, *arguments: str) -> None:
        self._ours, theirs = pty.openpty()
        self.process = command.begun(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = b""

    def wait_for(self, pattern: bytes, seconds: float = 20.0) -> None:
        """Until ``pattern`` was shown."""
        deadline = time.monotonic() + seconds
        while not re.search(pattern, self.shown):
            assert self._read(deadline), self.shown.decode("utf-8", "replace")

    def end(self, seconds: float = 20.0) -> int:
        """Its exit status, all that it showed read."""
        deadline = time.monotonic() + seconds
        while self._read(deadline):
            pass
        os.close(self._ours)
        return self.process.wait(seconds)

    def _read(self, deadline: float) -> bool:
        ready, _, _ = select.select([self._ours], [], [], max(0.0, deadline - time.monotonic()))
        try:
            data = os.read(self._ours, 65536) if ready else b""
        except OSError:  # the other end is closed
            data = b""
        self.shown += data
        return bool(data)


def test_top_is_live_and_ctrl_c_leaves_the_terminal_as_it_was(command: Command, proxy: Proxy) -> None:
    terminal = Terminal(command, "top", "--interval", "0.1", "--by", "misses")
    terminal.wait_for(b"hit ratio")
    ask(proxy.port, "/live")
    terminal.wait_for(rb"/live")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == Exit.INTERRUPTED
    assert b"\x1b[?1049h" in terminal.shown
    assert terminal.shown.rstrip().endswith((b"\x1b[?1049l\x1b[?25h", b"\x1b[?25h\x1b[?1049l", b"\x1b[?25h"))
    assert b"\x1b[?1049l" in terminal.shown
    assert b"Traceback" not in terminal.shown


def test_colour_is_for_terminals_that_want_it(command: Command) -> None:
    terminal = Terminal(command, "status")
    assert terminal.end() == 0
    assert b"\x1b[" in terminal.shown
    command.environment["NO_COLOR"] = "1"
    terminal = Terminal(command, "status")
    assert terminal.end() == 0
    assert b"\x1b[3" not in terminal.shown
    assert "\x1b" not in command.said("status") + command.said("top", "--once")


@pytest.mark.parametrize("arguments", [["flights"], ["top", "--once"]])
def test_nothing_a_client_said_reaches_the_terminal_as_control_characters(
    stranger: Stranger, tmp_path: Path, arguments: list[str]
) -> None:
    url = f"http://h/{ESCAPE.decode()}[red]\u202e"
    stranger.say("200 OK", json.dumps({"version": url, "flights": [{"url": url}], "top": [{"url": url}]}).encode())
    command = Command(tmp_path, stranger.url)
    plain = command.said(*arguments)
    terminal = Terminal(command, *arguments)
    assert terminal.end() == 0
    for shown in (plain.encode(), terminal.shown):
        assert ESCAPE not in shown
        assert "\u202e".encode() not in shown
        assert b"\\x1b]0;owned\\x07[red]\\u202e" in shown.replace(b"\r\n", b"").replace(b" ", b"")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_cannot_be_written_in_the_encoding_of_the_output_is_an_escape_as_on_standard_error(
    stranger: Stranger, tmp_path: Path, encoding: str
) -> None:
    stranger.say("200 OK", json.dumps({"version": "1", "origin_saved": 70873}).encode())
    done = Command(tmp_path, stranger.url)("status", environment={"PYTHONIOENCODING": encoding})
    assert (done.returncode, done.stderr) == (0, "")
    assert "70\\u202f873" in done.stdout
    assert "\\u2013" in done.stdout


def test_a_reader_that_leaves_ends_it_quietly(command: Command) -> None:
    top = command.begun("top", "--json", "--interval", "0.1")
    assert top.stdout is not None and top.stderr is not None
    json.loads(top.stdout.readline())
    json.loads(top.stdout.readline())
    top.stdout.close()
    assert top.wait(20) == Exit.PIPE
    assert top.stderr.read() == b""
    top.stderr.close()


@pytest.mark.parametrize("arguments", [["status"], ["flights", "--json"], ["completion", "bash"]])
def test_output_that_cannot_be_written_is_one_line_of_error(command: Command, arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = command.begun(*arguments, stdout=full)
        _, said = done.communicate(timeout=20)
    assert done.returncode == Exit.FAILED
    assert said.decode() == f"txstalecache {arguments[0]}: cannot write: No space left on device\n"


def test_without_a_standard_output_it_does_what_it_is_told(command: Command, proxy: Proxy) -> None:
    ask(proxy.port, "/closed")
    purged = command.begun("purge", "url", "http://localhost/closed", stdout=None, preexec_fn=lambda: os.close(1))
    _, said = purged.communicate(timeout=20)
    assert (purged.returncode, said) == (Exit.OK, b"")
    assert "fwd=uri-miss" in ask(proxy.port, "/closed")[1]["cache-status"]


def test_a_reader_that_has_left_before_the_error_is_no_other_error(command: Command) -> None:
    there, here = os.pipe()
    os.close(there)
    done = command.begun("purge", "url", "http://localhost/a", "nonsense", stdout=here)
    os.close(here)
    _, said = done.communicate(timeout=20)
    assert done.returncode == Exit.PIPE
    assert b"Exception ignored" not in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_cancels_what_is_being_warmed(
    command: Command, served: Origin, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "urls").write_text("".join(f"http://localhost/cold-{number}-{one}\n" for one in range(500)))
    warming = command.begun("warm", "urls", "--rate", "5")
    # The first one is fetched before the command has heard which job it is.
    eventually(lambda: sum(f"/cold-{number}-" in path for path in served.hits) >= 4)
    warming.send_signal(number)
    said, problem = warming.communicate(timeout=20)
    assert warming.returncode == Exit.INTERRUPTED
    assert said == b""
    assert re.fullmatch(rb"txstalecache warm: cancelled after \d+ URLs\n", problem)


def test_ctrl_c_before_the_job_is_known_says_that_it_may_go_on(stranger: Stranger, tmp_path: Path) -> None:
    stranger.reply = None
    (tmp_path / "urls").write_text("http://localhost/cold\n")
    warming = Command(tmp_path, stranger.url).begun("warm", "urls")
    eventually(lambda: stranger.asked)
    warming.send_signal(signal.SIGINT)
    said, problem = warming.communicate(timeout=20)
    assert (warming.returncode, said) == (Exit.INTERRUPTED, b"")
    assert problem.startswith(b"txstalecache warm: cancelled before it was known which job it is")


def test_warming_shows_how_far_it_is(command: Command, tmp_path: Path) -> None:
    (tmp_path / "urls").write_text("".join(f"http://localhost/bar-{one}\n" for one in range(12)))
    terminal = Terminal(command, "warm", "urls", "--rate", "20")
    terminal.wait_for(rb"\d+/12")
    assert terminal.end() == 0
    assert b"done: 12 of 12, 0 failed" in terminal.shown


def test_a_unix_socket_will_do(served: Origin, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("a-token-of-some-length")
    options = ("--admin", f"unix:{tmp_path / 's'}:mode=600", "--admin-token-file", str(tmp_path / "token"))
    proxy = Proxy(tmp_path, "--origin", served.url, "--redis", "memory", *options)
    try:
        proxy.wait_for("admin interface listens on .*UNIX")
        command = Command(tmp_path)
        assert "version" in command.said("status", "--admin", "unix:s")
        assert "version" in command.said("--admin", f"unix:{tmp_path / 's'}", "status")
        assert subprocess.run(["stat", "-c", "%a", tmp_path / "s"], capture_output=True).stdout == b"600\n"
        assert proxy.end() == 0
    finally:
        proxy.close()
