"""The unit in ``contrib`` says what the proxy needs and holds it to no more.

Its directives are read here; where ``systemd-analyze`` is installed that judges them as well.
"""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from txstalecache.config.options import Options
from txstalecache.listening import BACKLOG
from txstalecache.store.opening import StoreService
from txstalecache.workers import LEAVING

UNIT = Path(__file__).parents[2] / "contrib" / "systemd" / "txstalecache.service"
SOCKET = UNIT.with_suffix(".socket")


def directives(unit: Path = UNIT) -> dict[str, list[str]]:
    """The values of each directive, in order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(name, []).append(value)
    return found


def test_the_command_is_one_the_proxy_understands() -> None:
    said = directives()
    environment = dict(line.split("=", 1) for line in said["Environment"])
    command = re.sub(r"\$\{(\w+)\}", lambda found: environment[found[1]], said["ExecStart"][0])
    # As lines, like those of the access log that go to the journal with them: twist would write JSON.
    program, as_lines, plugin, *arguments = shlex.split(command)
    assert (Path(program).name, as_lines, plugin) == ("twist", "--log-format=text", "txstalecache")
    options = Options()
    options.parseOptions(arguments)
    assert options.settings.listen == "tcp:80"


def test_its_socket_is_where_the_service_is_told_to_find_it() -> None:
    said = directives(SOCKET)
    # A port alone is one socket for both families.
    assert (said["ListenStream"], said["BindIPv6Only"]) == (["80"], ["both"])
    told = "Environment=TXSTALECACHE_LISTEN=systemd:domain=INET6:index=0"
    assert f"#       {told}\n" in SOCKET.read_text()
    assert f"    {told}\n" in (UNIT.parents[2] / "docs" / "fleet.rst").read_text()
    assert int(said["Backlog"][0]) == BACKLOG


def test_it_reads_its_file_again_at_systemctl_reload() -> None:
    assert directives()["ExecReload"] == ["kill -HUP $MAINPID"]


def test_it_has_the_time_to_drain_and_the_descriptors_it_needs() -> None:
    said = directives()
    assert said["KillSignal"] == ["SIGTERM"]
    # Its workers may, and then it lets its own Redis take what it has to say.
    assert int(said["TimeoutStopSec"][0]) > LEAVING + StoreService.FAREWELL + 5
    assert "KillMode" not in said, "the embedded Redis goes with its unit"
    assert int(said["LimitNOFILE"][0]) >= 10_000
    assert said["Restart"] == ["on-failure"]


@pytest.mark.parametrize(
    ("directive", "value"),
    [
        ("DynamicUser", "yes"),
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("ProtectKernelTunables", "yes"),
        ("ProtectKernelModules", "yes"),
        ("ProtectControlGroups", "yes"),
        ("RestrictNamespaces", "yes"),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("SystemCallArchitectures", "native"),
        ("CapabilityBoundingSet", "CAP_NET_BIND_SERVICE"),
        ("UMask", "0077"),
    ],
)
def test_it_is_held_to_what_it_needs(directive: str, value: str) -> None:
    assert directives()[directive] == [value]


def test_system_calls_are_those_of_a_service() -> None:
    assert directives()["SystemCallFilter"] == ["@system-service", "~@privileged"]


if ANALYZE := shutil.which("systemd-analyze"):

    @pytest.mark.parametrize(
        "judged",
        [["verify"], ["security", "--offline=true", "--threshold=25"]],
        ids=lambda it: it[0] + str(len(it)),
    )
    def test_systemd_has_nothing_against_it(judged: list[str], tmp_path: Path) -> None:
        assert ANALYZE is not None
        unit = tmp_path / UNIT.name
        # What is to be started is not installed here.
        unit.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))
        # It looks for the other beside the one.
        shutil.copy(SOCKET, tmp_path)
        units = [str(unit), str(tmp_path / SOCKET.name)][: 2 if judged == ["verify"] else 1]
        told = subprocess.run([ANALYZE, *judged, *units], capture_output=True, text=True, timeout=30)
        assert told.returncode == 0, told.stdout + told.stderr
        assert UNIT.stem not in told.stderr, told.stderr
