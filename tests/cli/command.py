"""``txstalecache`` as a process, as it is installed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.process import environment

__all__ = ["TOKEN", "Command"]

TOKEN = "a-token-of-some-length"

_PROGRAM = str(Path(sys.executable).parent / "txstalecache")


class Command:
    """The command, told by the environment where the admin interface is."""

    def __init__(self, cwd: Path, admin: str = "", token: str = TOKEN) -> None:
        self.cwd = cwd
        known = {"TXSTALECACHE_ADMIN": admin, "TXSTALECACHE_ADMIN_TOKEN": token}
        self.environment = {**environment(), **{name: text for name, text in known.items() if text}}

    def __call__(
        self, *arguments: str, stdin: str = "", environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        done = subprocess.run(
            [_PROGRAM, *arguments],
            cwd=self.cwd,
            env={**self.environment, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=40,
        )
        assert "Traceback" not in done.stderr + done.stdout, done.stderr
        return done

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
