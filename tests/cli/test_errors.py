"""Whatever is wrong is one line on standard error and an exit status that says what kind of wrong."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.cli.command import TOKEN, Command
from tests.fleet.processes import Proxy
from txstalecache.cli.exits import BadUsage, Exit
from txstalecache.cli.main import main
from txstalecache.cli.warm import MOST, _source


def refused(command: Command, *arguments: str, stdin: str = "") -> tuple[int, str]:
    """Status and line of a command that fails."""
    done = command(*arguments, stdin=stdin)
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1, done.stderr
    return done.returncode, done.stderr.rstrip("\n")


class Stranger(ThreadingHTTPServer):
    """An HTTP server that is not the admin interface: says ``reply`` to everything; None: nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        self.reply: bytes | None = b""
        self.asked: list[str] = []
        self.over = threading.Event()
        stranger = self

        class Handler(BaseHTTPRequestHandler):
            def handle_one_request(self) -> None:
                self.raw_requestline = self.rfile.readline(65537)
                self.close_connection = True
                if not self.raw_requestline or not self.parse_request():
                    return
                stranger.asked.append(self.path)
                if stranger.reply is None:
                    stranger.over.wait(20)
                else:
                    self.wfile.write(stranger.reply)

        super().__init__(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def say(self, status: str, body: bytes, *fields: str) -> None:
        lines = [f"HTTP/1.1 {status}", *fields, f"Content-Length: {len(body)}", "Connection: close", "", ""]
        self.reply = "\r\n".join(lines).encode() + body

    def close(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self._thread.join(5)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    one = Stranger()
    yield one
    one.close()


def test_nobody_there(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        status, line = refused(Command(tmp_path), "status", "--admin", f"http://127.0.0.1:{port}")
    assert status == Exit.UNREACHABLE
    assert line == (
        f"txstalecache status: http://127.0.0.1:{port}: connection refused; is the proxy running with --admin?"
    )
    status, line = refused(Command(tmp_path), "flights", "--admin", "unix:there/is/none")
    assert status == Exit.UNREACHABLE
    assert "unix:there/is/none: no such file or directory" in line


def test_an_admin_interface_at_an_ipv6_address_is_reached(tmp_path: Path) -> None:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        pytest.skip("no IPv6 here")
    (tmp_path / "token").write_text(TOKEN)
    admin = ("--admin", r"tcp6:0:interface=\:\:1", "--admin-token-file", "token")
    with Proxy(tmp_path, "--origin", "http://127.0.0.1:9", "--redis", "memory", *admin) as proxy:
        where = proxy.wait_for(r"admin interface listens on (http://\[::1\]:\d+)")[1]
        assert "version" in Command(tmp_path, where).said("status")
        assert '"top": []' in Command(tmp_path, where).said("top", "--once", "--json", "--limit", "3")


def test_a_token_that_is_wrong_or_missing(command: Command, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("another-token-of-some-length")
    assert refused(command, "status", "--token-file", "wrong") == (
        Exit.TOKEN,
        f"txstalecache status: {command.environment['TXSTALECACHE_ADMIN']}: the token is wrong",
    )
    without = Command(tmp_path, command.environment["TXSTALECACHE_ADMIN"], token="")
    status, line = refused(without, "status")
    assert status == Exit.TOKEN
    assert "a token is needed: --token-file FILE, or $TXSTALECACHE_ADMIN_TOKEN" in line


def test_the_token_of_the_file_beats_the_environments(command: Command, tmp_path: Path) -> None:
    (tmp_path / "right").write_text(TOKEN + "\n")
    command.environment["TXSTALECACHE_ADMIN_TOKEN"] = "another-token-of-some-length"
    assert "version" in command.said("status", "--token-file", "right")


def test_the_public_endpoint_is_not_the_admin_interface(command: Command, proxy: Proxy) -> None:
    status, line = refused(command, "status", "--admin", f"http://127.0.0.1:{proxy.port}")
    assert status == Exit.UNREACHABLE
    assert "that is not the admin interface of txstalecache" in line


@pytest.mark.parametrize(
    ("status", "body"),
    [
        ("200 OK", b"<html>hello</html>"),
        ("200 OK", b'{"other": "application"}'),
        pytest.param("200 OK", b"[" * 200_000, id="200 OK-too deep"),
        ("200 OK", b"[]"),
        ("404 Not Found", b"{}"),
        ("500 Oops", b""),
    ],
)
def test_somebody_else_is_recognised(stranger: Stranger, tmp_path: Path, status: str, body: bytes) -> None:
    stranger.say(status, body)
    ended, line = refused(Command(tmp_path, stranger.url), "status")
    assert ended == Exit.UNREACHABLE
    assert "that is not the admin interface" in line


@pytest.mark.parametrize("reply", [("400 Bad", b'{"error": "a\\u001b[2J\\nb"}'), ("503 Busy", b"503 a\x1b[2J\nb")])
def test_an_error_from_elsewhere_is_one_line_without_control_characters(
    stranger: Stranger, tmp_path: Path, reply: tuple[str, bytes]
) -> None:
    stranger.say(*reply)
    assert refused(Command(tmp_path, stranger.url), "status")[1].endswith(r"a\x1b[2J\nb")


def test_redirects_are_not_followed(stranger: Stranger, tmp_path: Path) -> None:
    stranger.say("302 Found", b"", f"Location: {stranger.url}/stolen", "Set-Cookie: a=b")
    assert refused(Command(tmp_path, stranger.url), "status")[0] == Exit.UNREACHABLE
    assert stranger.asked == ["/v1/status"]


def test_an_answer_that_does_not_come_and_one_that_is_cut(stranger: Stranger, tmp_path: Path) -> None:
    stranger.reply = None
    status, line = refused(Command(tmp_path, stranger.url), "status", "--timeout", "0.3")
    assert status == Exit.UNREACHABLE
    assert line.endswith("no answer within 0.3 s")
    stranger.reply = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"
    status, line = refused(Command(tmp_path, stranger.url), "status")
    assert status == Exit.UNREACHABLE
    assert line.endswith("the connection was cut before the answer was complete")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["status", "--admin", "127.0.0.1:8081"], "--admin: expected http://HOST:PORT"),
        (["status", "--admin", "http://h/path"], "--admin: expected http://HOST:PORT"),
        (["status", "--admin", "http://user:word@h"], "--admin: expected http://HOST:PORT"),
        (["status", "--token-file", "nowhere"], "--token-file: No such file or directory: nowhere"),
        (["status", "--token-file", "empty"], "--token-file: there is nothing in empty"),
        (["status", "--token-file", "odd"], "characters in it that no token has"),
        (["status", "--timeout", "0"], "--timeout: expected seconds"),
        (["top", "--limit", "x"], "--limit: expected a number"),
        (["top", "--by", "name"], "--by: invalid choice"),
        (["explain", "http://h/", "-H", "nonsense"], "expected 'Name: value'"),
        (["purge", "everything"], "SCOPE: invalid choice"),
        (["purge", "tag"], "purge tag needs a VALUE"),
        (["purge", "all", "x"], "purge all has no VALUE"),
        (["purge", "tag", "x", "--soft", "--refresh"], "not allowed with argument"),
        (["nonsense"], "invalid choice: 'nonsense'"),
        ([], "the following arguments are required: SUBCOMMAND"),
    ],
)
def test_what_makes_no_sense(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "odd").write_text("two words\n")
    monkeypatch.chdir(tmp_path)
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(ended.code or 0)
    line = capsys.readouterr().err
    assert status == Exit.USAGE
    assert line.startswith("txstalecache")
    assert line.count("\n") == 1
    assert said in line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory: urls"),
        (b"\n# none\n", "no URLs: urls"),
        (b"http://h/\ntwo words\n", "expected http:// or https:// URLs, got 'two words': urls"),
        ("http://h/ä".encode(), "expected URLs in ASCII, percent-encoded as in requests: urls"),
        (b"\n <urlset/>", "expected one URL per line, got XML; give a sitemap by its URL: urls"),
        (b"http://h/" + b"a" * MOST, f"more than {MOST} bytes: urls"),
    ],
)
def test_a_list_to_warm_that_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bytes | None, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path("urls").write_bytes(text)
    with pytest.raises(BadUsage) as caught:
        _source("urls")
    assert str(caught.value) == said


def test_a_list_to_warm_is_one_url_per_line_or_a_sitemap(tmp_path: Path) -> None:
    urls = tmp_path / "urls"
    urls.write_text("# a comment\n\n  http://h/a \r\nhttps://h/b#c")
    assert _source(str(urls)) == {"urls": ["http://h/a", "https://h/b#c"]}
    assert _source("https://h/sitemap.xml") == {"sitemap": "https://h/sitemap.xml"}


def test_what_the_proxy_refuses(command: Command) -> None:
    status, line = refused(command, "explain", "nonsense")
    assert status == Exit.FAILED
    assert line.startswith("txstalecache explain: url: expected a URL")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["top", "--once", "--limit", "1000000"], "limit: expected a number from 1 to 256"),
        (["warm", "-", "--concurrency", "100000"], "concurrency: expected a whole number from 1 to 64"),
        (["warm", "-", "--rate", "10000000"], "rate: expected a number from 0.01 to 1000"),
        (["purge", "host", "http://h"], "value: 'http://h' is no host"),
    ],
)
def test_the_only_bounds_are_the_proxys(command: Command, arguments: list[str], said: str) -> None:
    status, line = refused(command, *arguments, stdin="http://h/x\n")
    assert status == Exit.FAILED
    assert line.startswith(f"txstalecache {arguments[0]}: {said}")


def test_what_the_admin_interface_turns_away_at_its_door_is_told_as_it_says_it(command: Command) -> None:
    status, line = refused(command, "get", "http://h/" + "x" * 40_000)
    # As Python calls it, which is not the same in each.
    phrase = HTTPStatus(414).phrase
    assert (status, line) == (Exit.FAILED, f"txstalecache get: 414 {phrase}: target too long")
    status, line = refused(command, "warm", "-", stdin=f"http://h/{'x' * 1000}\n" * 2500)
    assert status == Exit.FAILED
    assert f"413 {HTTPStatus(413).phrase}: body too large" in line


def test_run_ends_as_twist_does(tmp_path: Path) -> None:
    done = Command(tmp_path)("run", "--nonsense")
    assert (done.returncode, done.stderr) == (64, "txstalecache: option --nonsense not recognized\n")
    done = Command(tmp_path)("run", "nowhere.toml", "--listen", "tcp:0")
    assert (done.returncode, done.stderr.count("\n")) == (64, 1)
    assert "nowhere.toml" in done.stderr
