"""The command line as a person meets it: real ``twistd`` and ``twist`` processes."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet.processes import Proxy, ask
from tests.support.process import PROXY, activated, environment, finished
from txstalecache.config.options import Options

ORIGIN = ["--origin", "http://127.0.0.1:9"]

both = pytest.mark.parametrize("runner", sorted(PROXY))


def one_line(said: str, begins: str) -> None:
    """One clear line, no traceback."""
    lines = said.splitlines()
    assert len(lines) == 1, said
    assert lines[0].startswith(f"txstalecache: {begins}")


def refused(done: subprocess.CompletedProcess[str], begins: str) -> None:
    """One clear line, and a status that is not zero."""
    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    one_line(done.stderr, begins)


@both
def test_help_explains_every_option_with_unit_and_default(runner: str, tmp_path: Path) -> None:
    done = finished([*PROXY[runner], "--help"], tmp_path)
    assert done.returncode == 0
    text = re.sub(r"\s+", " ", done.stdout)
    for name, _, default, doc in Options.optParameters:
        assert f"--{name}=" in text
        assert name is not None
        explained = text.partition(f"--{name}=")[2]
        assert doc is not None
        assert explained.lstrip().startswith(doc.split("[default")[0].rstrip())
        if default is not None:
            assert f"[default: {default}]" in explained
    for name in ("ttl", "stale", "stale-if-error"):
        assert "[default: the origin decides" in text.partition(f"--{name}=")[2].partition("--")[0]
    for name in ("ttl", "stale", "stale-if-error", "wait-deadline"):
        assert text.partition(f"--{name}= ")[2].startswith("SECONDS")
    for name in ("memory", "max-object"):
        assert text.partition(f"--{name}= ")[2].startswith("BYTES")
    assert "--demo" in text


USUAL = ["--listen", "tcp:0:interface=127.0.0.1", "--redis", "memory", *ORIGIN]

BAD = [
    (["--ttl", "10x"], "--ttl: expected seconds"),
    (["--stale", "-1"], "--stale: expected seconds"),
    (["--redis", "mongodb://x"], "--redis: a Redis URL begins with"),
    (["--key", "$nonsense"], "--key: "),
    (["--methods", "PATCH"], "--methods: "),
    (["--memory", "lots"], "--memory: expected bytes"),
    (["--origin", "gopher://x"], "--origin: "),
    (["--listen", "carrier-pigeon:8080"], "--listen: expected an endpoint of a kind that Twisted knows"),
    (["--listen", "tcp:no-number"], "--listen: expected a port"),
    (["--config", ""], "--config: expected the name of a file"),
    (["--nonsense"], "option --nonsense not recognized"),
    (["stray"], "unexpected argument 'stray'"),
]

#: What shows only when the service is made, or started.
UNUSABLE = [
    (["--listen", "unix:/x.sock:nonsense=1"], "--listen unix:/x.sock:nonsense=1: "),
    (["--listen", "ssl:0:privateKey=/missing.pem"], "--listen ssl:0"),
    (
        ["--listen", "ssl:0:privateKey=/dev/null"],
        "--listen ssl:0:privateKey=/dev/null: not a certificate and its key, in PEM, that OpenSSL takes: ",
    ),
    (["--listen", "systemd:domain=INET:index=0"], "--listen systemd:domain=INET:index=0: no such socket was passed"),
    (
        ["--listen", "systemd:domain=INET:name=web"],
        "--listen systemd:domain=INET:name=web: no such socket was passed",
    ),
    (
        ["--listen", "unix:/missing/x.sock"],
        "cannot listen on unix:/missing/x.sock: No such file or directory: /missing/x.sock",
    ),
    (["--access-log", "/missing/directory/access.log"], "--access-log: No such file or directory"),
]


def written(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else ""


@pytest.mark.parametrize(("arguments", "begins"), BAD, ids=written)
def test_a_bad_value_is_one_line_and_a_status(
    arguments: list[str], begins: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        Options().parseOptions([*USUAL, *arguments])
    assert ended.value.code == 64
    said = capsys.readouterr()
    assert said.out == ""
    one_line(said.err, begins)


@both
@pytest.mark.parametrize(("arguments", "begins"), [BAD[0], *BAD[-2:]], ids=written)
def test_nothing_is_added_to_that_line(runner: str, arguments: list[str], begins: str, tmp_path: Path) -> None:
    done = finished([*PROXY[runner], *USUAL, *arguments], tmp_path)
    assert done.returncode == 64
    refused(done, begins)


@pytest.mark.parametrize(("arguments", "begins"), UNUSABLE, ids=written)
def test_a_value_that_cannot_be_used_is_one_line_and_a_status(
    arguments: list[str], begins: str, tmp_path: Path
) -> None:
    refused(finished([*PROXY["twistd"], *USUAL, *arguments], tmp_path), begins)


@pytest.mark.parametrize(("arguments", "begins"), [UNUSABLE[0], *UNUSABLE[-2:]], ids=written)
def test_so_it_is_with_twist(arguments: list[str], begins: str, tmp_path: Path) -> None:
    refused(finished([*PROXY["twist"], *USUAL, *arguments], tmp_path), begins)


@both
def test_without_an_origin_the_line_says_what_to_give(runner: str, tmp_path: Path) -> None:
    refused(finished(PROXY[runner], tmp_path), "--origin: required")


@both
def test_a_taken_port_is_one_line_and_a_status(runner: str, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        listen = f"tcp:{port}:interface=127.0.0.1"
        done = finished([*PROXY[runner], "--redis", "memory", "--listen", listen, *ORIGIN], tmp_path)
    refused(done, f"cannot listen on {listen}: Address already in use")


@both
@pytest.mark.parametrize("option", ["--listen", "--admin"])
def test_a_passed_on_socket_of_another_domain_than_was_said_is_one_line_and_a_status(
    runner: str, option: str, tmp_path: Path
) -> None:
    """``ListenStream=80`` is for both families: taken for one of IPv4, clients' addresses were what lay in memory."""
    (tmp_path / "token").write_text("a token of 16 and more".replace(" ", "-"))
    usual = ["--redis", "memory", "--listen", "tcp:0:interface=127.0.0.1", "--admin-token-file", "token", *ORIGIN]
    with socket.socket(socket.AF_INET6) as passed:
        passed.bind(("::1", 0))
        passed.listen()
        command = [
            *activated(passed.fileno()),
            *PROXY[runner],
            *usual,
            "--admin",
            "tcp:0",
            option,
            "systemd:domain=INET:index=0",
        ]
        done = finished(command, tmp_path, inherits=[passed.fileno()])
    refused(done, "cannot listen on systemd:domain=INET:index=0: the socket that was passed on needs domain=INET6")


def test_the_file_is_found_again_from_the_directory_that_twistd_goes_to(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    text = "[redis]\nurl = 'memory'\n[upstream.w]\nservers = 'http://127.0.0.1:9'\n"
    (tmp_path / "site.toml").write_text(text)
    twistd = [PROXY["twistd"][0], "--nodaemon", "--pidfile=", "--rundir", "elsewhere", "txstalecache"]
    with Proxy(tmp_path, "--config", "site.toml", command=twistd) as proxy:
        port = proxy.wait_for(r"listens on http://127\.0\.0\.1:(\d+)")[1]
        # Who answers has set up how it takes signals.
        assert ask(int(port))[0] == 502
        (tmp_path / "site.toml").write_text(text + "[[route]]\n")
        proxy.process.send_signal(signal.SIGHUP)
        assert "1 routes" in proxy.wait_for("configuration (not )?reloaded: .*")[0]


def test_what_waits_for_a_restart_is_named_at_a_reload(tmp_path: Path) -> None:
    def write(process: str, window: str) -> None:
        (tmp_path / "site.toml").write_text(
            f"[proxy]\n{process}\n[redis]\nurl = 'memory'\n[limits]\nwindow = '{window}'\n"
            "[upstream.w]\nservers = 'http://127.0.0.1:9'\n"
        )

    write("memory = '1M'", "1M")
    # --listen is beside it: what the file says of that counts for nothing, before and after a restart.
    with Proxy(tmp_path, "--config", "site.toml") as proxy:
        # Who answers has set up how it takes signals.
        assert ask(int(proxy.wait_for(r"listens on http://127\.0\.0\.1:(\d+)")[1]))[0] == 502
        for number, (process, window, waiting) in enumerate(
            [
                ("memory = '2M'\nlisten = 'tcp:81'", "2M", "proxy.memory, limits.window"),
                ("memory = '2M'", "1024K", "proxy.memory"),
            ],
            1,
        ):
            write(process, window)
            proxy.process.send_signal(signal.SIGHUP)
            assert proxy.wait_for_all("not before a restart: (.*)", number)[-1][1].strip() == waiting
        write("memory = '1024K'", "1M")
        proxy.process.send_signal(signal.SIGHUP)
        proxy.wait_for_all("configuration reloaded: 0 routes", 3)
        assert proxy.output.count("not before a restart") == 2


@pytest.mark.parametrize("way", ["twistd", "twist", "run", "check", "workers"])
def test_hooks_are_found_beside_the_file_from_wherever_it_is_read(way: str, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "site" / "hooks_of_this_site.py").write_text("def storable(request, response): return False\n")
    (tmp_path / "site" / "site.toml").write_text(
        f"[proxy]\nworkers = {2 if way == 'workers' else 1}\n"
        f"[redis]\nurl = '{'embedded' if way == 'workers' else 'memory'}'\n"
        "[upstream.w]\nservers = 'http://127.0.0.1:9'\n[defaults.hooks]\nstorable = 'hooks_of_this_site.storable'\n"
    )
    own = str(Path(PROXY["twistd"][0]).with_name("txstalecache"))
    if way == "check":
        done = finished([own, "check", "../site/site.toml"], tmp_path / "elsewhere")
        assert (done.returncode, done.stderr) == (0, "")
        return
    twistd = [PROXY["twistd"][0], "--nodaemon", "--pidfile=", "--rundir", "elsewhere", "txstalecache"]
    command = {"twist": PROXY["twist"], "run": [own, "run"]}.get(way, twistd)
    with Proxy(tmp_path, "--config", "site/site.toml", command=command) as proxy:
        proxy.wait_for("worker 2: .*listens on " if way == "workers" else "listens on ")


def test_a_daemon_that_cannot_listen_says_so_to_its_starter_and_leaves_no_pid_file(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        twistd = [PROXY["twistd"][0], "--pidfile", "pid", "--logfile", "log", "txstalecache"]
        arguments = ["--redis", "memory", "--listen", f"tcp:{port}:interface=127.0.0.1", *ORIGIN]
        done = finished([*twistd, *arguments], tmp_path)
    assert done.returncode != 0
    assert "cannot listen" in done.stderr
    assert "Traceback" not in done.stderr
    # The daemon tells its starter before it tidies up.
    deadline = time.monotonic() + 10
    while (tmp_path / "pid").exists() and time.monotonic() < deadline:
        os.sched_yield()
    assert not (tmp_path / "pid").exists()
    # Who asks why has nothing else to read, once the starter is gone.
    assert f"cannot listen on tcp:{port}:interface=127.0.0.1: Address already in use" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("module", ["txstalecache", "txstalecache.tap", "txstalecache.config.settings"])
def test_reading_the_options_leaves_the_choice_of_reactor_open(module: str) -> None:
    program = (
        f"import sys, {module}\n"
        "from txstalecache.tap import Options\n"
        "options = Options(); options.parseOptions(['--origin', 'http://127.0.0.1:9', '--redis', 'redis://127.0.0.1'])\n"
        "assert 'twisted.internet.reactor' not in sys.modules\n"
        "assert 'txredisapi' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), timeout=30, check=True)


def test_a_proxy_without_an_admin_interface_loads_nothing_of_it() -> None:
    program = (
        "import sys, txstalecache.service, txstalecache.workers\n"
        "of_it = {'prometheus_client', 'txstalecache.admin.resource'} & set(sys.modules)\n"
        "assert not of_it, of_it\n"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), timeout=30, check=True)


def test_help_loads_nothing_that_it_has_no_use_for() -> None:
    program = (
        "import sys\n"
        "from txstalecache.tap import Options\n"
        "try: Options().parseOptions(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'twisted.web', 'OpenSSL', 'txredisapi', 'treq'}\n"
        "heavy |= {'txstalecache.service', 'txstalecache.config.settings'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], env=environment(), timeout=30, check=True)
