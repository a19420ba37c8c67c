"""``txstalecache`` as a process: as it is installed, or forked from one that has imported it already.

Three quarters of what a command costs is importing what it is made of, and there are a hundred of them.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.process import environment
from txstalecache.cli.main import main

__all__ = ["TOKEN", "Command"]

TOKEN = "a-token-of-some-length"

_PROGRAM = str(Path(sys.executable).parent / "txstalecache")

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload([__name__, "txstalecache.cli.client", "twisted.internet.epollreactor"])


def _run(arguments: list[str], cwd: Path, environment: dict[str, str], streams: list[Path]) -> None:
    """What the script that is installed does, with files for its standard streams."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_WRONLY if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    sys.argv = [_PROGRAM, *arguments]
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in enumerate("rww"))
    sys.exit(main())


class Command:
    """The command, told by the environment where the admin interface is."""

    def __init__(self, cwd: Path, admin: str = "", token: str = TOKEN) -> None:
        self.cwd = cwd
        known = {"TXSTALECACHE_ADMIN": admin, "TXSTALECACHE_ADMIN_TOKEN": token}
        self.environment = {**environment(), **{name: text for name, text in known.items() if text}}

    def __call__(
        self, *arguments: str, stdin: str = "", environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end: as it is installed, where that is to have an ``environment`` of its own."""
        if environment:
            done = subprocess.run(
                [_PROGRAM, *arguments],
                cwd=self.cwd,
                env={**self.environment, **environment},
                input=stdin,
                capture_output=True,
                text=True,
                timeout=40,
            )
        else:
            done = self._forked(arguments, stdin)
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

    def _forked(self, arguments: tuple[str, ...], stdin: str) -> subprocess.CompletedProcess[str]:
        with TemporaryDirectory() as place:
            streams = [Path(place) / name for name in ("stdin", "stdout", "stderr")]
            for path, text in zip(streams, (stdin, "", ""), strict=True):
                path.write_text(text)
            process = _FORKED.Process(target=_run, args=(list(arguments), self.cwd, self.environment, streams))
            process.start()
            process.join(40)
            status = process.exitcode
            process.kill()
            assert status is not None, "it has not ended"
            _, out, error = (path.read_text() for path in streams)
            return subprocess.CompletedProcess(list(arguments), status, out, error)

    def said(self, *arguments: str, stdin: str = "") -> str:
        """What it prints when all is well."""
        done = self(*arguments, stdin=stdin)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def begun(self, *arguments: str, **popen: Any) -> subprocess.Popen[bytes]:
        """Start it; the caller sees to its end."""
        pipes: dict[str, Any] = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **popen,
        }
        return subprocess.Popen(
            [_PROGRAM, *arguments], cwd=self.cwd, env={**self.environment, "TERM": "xterm"}, **pipes
        )
