"""What is made from the parser: help, completion, the page in the docs."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from tests.cli.command import Command
from txstalecache.cli.document import SOURCE, document
from txstalecache.cli.exits import Exit
from txstalecache.cli.figures import count, rate, share, size, span
from txstalecache.cli.main import SUBCOMMANDS, main
from txstalecache.cli.page import Page
from txstalecache.config.options import Options
from txstalecache.generated import replaced

ROOT = Path(__file__).parents[2]
NAMES = [add.__module__.rpartition(".")[2] for add in SUBCOMMANDS]


def test_the_page_is_what_the_parser_makes() -> None:
    text = (ROOT / "docs/commandline.rst").read_text()
    assert replaced(text, SOURCE, document()) == text, "run python -m txstalecache.cli.document docs/commandline.rst"
    for status in Exit:
        assert f"   * - {status.value}\n     - {status.meaning}" in text


@pytest.mark.parametrize("name", [*(name for name in NAMES if name != "run"), "completion"])
def test_every_subcommand_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"usage: txstalecache {name}" in capsys.readouterr().out


@pytest.mark.parametrize("asked", ["--help", "-h"])
def test_run_tells_its_own_usage_and_the_options_of_twist(asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", asked]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Usage: txstalecache run [FILE] [--origin URL] [options]\n")
    assert all(f"--{name}=" in told for name, *_ in Options.optParameters)


def test_help_and_completion_load_neither_the_reactor_nor_what_prints() -> None:
    script = (
        "import sys; from txstalecache.cli.main import main; main(['completion', 'bash']);"
        "bad = {'twisted.internet.reactor', 'treq', 'rich'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")


def completed(script: str, *words: str) -> set[str]:
    """What bash proposes for the last of ``words``."""
    ask = 'COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_txstalecache; printf "%s\\n" "${COMPREPLY[@]}"'
    done = subprocess.run(
        ["bash", "-c", f"{script}\n{ask}", "bash", "txstalecache", *words], capture_output=True, text=True, timeout=30
    )
    assert done.stderr == ""
    return {word.strip() for word in done.stdout.split()}


def test_bash_completes_commands_options_and_choices(tmp_path: Path) -> None:
    script = Command(tmp_path).said("completion", "bash")
    assert set(NAMES) | {"completion"} <= completed(script, "")
    assert completed(script, "pu") == {"purge"}
    assert {"--soft", "--refresh", "--admin", "--json"} <= completed(script, "purge", "--")
    assert {"url", "variant", "tag", "prefix", "host", "all"} == completed(script, "purge", "")
    assert completed(script, "top", "--by", "m") == {"misses"}


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_of_every_command(shell: str, tmp_path: Path) -> None:
    script = Command(tmp_path).said("completion", shell)
    for name in [*NAMES, "completion"]:
        assert name in script
    assert "dry-run" in script


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (span(0), "0 s"),
        (span(0.0000031), "3 µs"),
        (span(0.0123), "12.3 ms"),
        (span(0.9994), "999 ms"),
        (span(1795464001.1 - 1795464000.1000001), "1.0 s"),
        (span(1), "1.0 s"),
        (span(59.96), "1 m 00 s"),
        (span(302), "5 m 02 s"),
        (span(7500), "2 h 05 m"),
        (span(360000), "4 d 04 h"),
        (span(-2), "-2.0 s"),
        (span(None), "–"),
        (size(0), "0 B"),
        (size(1023), "1023 B"),
        (size(1536), "1.5 KiB"),
        (size(64 << 20), "64.0 MiB"),
        (size(1 << 50), "1024 TiB"),
        (size("x"), "–"),
        (share(0.9344), "93.4 %"),
        (share(None), "–"),
        (rate(3), "3.0"),
        (rate(1234.4), "1\u202f234"),
        (count(1234567), "1\u202f234\u202f567"),
        (count(None), "–"),
    ],
)
def test_figures_are_for_people(said: str, meant: str) -> None:
    assert said == meant


def test_a_figure_of_many_digits_is_printed_as_it_is() -> None:
    out = StringIO()
    page = Page(out)
    page.facts([("saved", f"{count(70873)} requests")])
    page.table([">hits"], [(count(1234567),)])
    page.line(count(1000))
    assert out.getvalue() == "saved  70\u202f873 requests\n     HITS\n1\u202f234\u202f567\n1\u202f000\n"
